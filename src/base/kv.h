/* A name and its value: tags, environment variables, stored headers. */
#pragma once

#include "base/str.h"

struct kv {
	struct str k, v;
};

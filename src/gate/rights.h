/* The rights that the gate gives up before it opens anything. */
#pragma once

#include "gate/conf.h"

int rights_drop(const struct gate_conf *c, struct err *err);

/* The public port. */
#pragma once

#include "gate/gate.h"

int front_open(struct gate *g, struct err *err);

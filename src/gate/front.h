/* The public port. */
#pragma once

#include "gate/gate.h"

int front_open(struct gate *g, struct err *err);

/* The doors of boxes: the socket in a box's network namespace where its requests to Wick's API come in (taken over).
 * They are requests like any other: the worker signs them with its function's keys. NULL: the socket is of no use. */
struct front_door *front_listen(struct gate *g, int fd);
struct front_door *front_unlisten(struct front_door *d); /* also when the port is closed already */

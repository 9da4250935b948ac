/* Invocations that wait for a worker of their function, oldest first. */
#pragma once

#include "gate/fn.h"

/* Gives waiting invocations to idle workers and has workers started for the rest. To be called when either changed. */
void queue_pump(struct fn *fn);
/* A worker died before it read its invocation: back to the head. */
void queue_put_back(struct invocation *inv);
/* The function was changed: what waits goes to the new definition (NULL: deleted). */
void queue_move(struct fn *from, struct fn *to);
void queue_timed_out(void *fn);
bool queue_remove(struct invocation *inv); /* false: it did not wait */
/* Room has come back somewhere: every function that waits may try. */
void queue_pump_all(struct gate *g);

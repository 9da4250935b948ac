/* Invocations that wait for a worker of their function, oldest first. */
#pragma once

#include "gate/fn.h"
#include "gate/place.h"

/* Gives waiting invocations to workers that have room and has workers started for the rest. To be called when either
 * changed. */
void queue_pump(struct fn *fn);
/* Something that functions share was given back (a start is over, a worker is gone, a limit was raised): those who wait
 * for that may try, who has least first. */
void queue_room(struct gate *g);
/* The node is there: every function that waits may try. */
void queue_pump_all(struct gate *g);
/* A worker died before it read its invocation: back to the head. */
void queue_put_back(struct invocation *inv);
/* The function was changed: what waits goes to the new definition (NULL: deleted). */
void queue_move(struct fn *from, struct fn *to);
void queue_timed_out(void *fn);
enum wait_reason queue_why(const struct fn *fn, struct place_view *ret); /* why its invocations wait, now */
bool queue_remove(struct invocation *inv);                               /* false: it did not wait */
void queue_view(const struct fn *fn, struct place_view *ret);            /* what placement decides by, now */

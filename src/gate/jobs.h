/* Durable events: taken from the store when due, run through the flow, deleted, retried or kept as failed. */
#pragma once

#include "gate/gate.h"

struct jobs *jobs_new(struct gate *g);
struct jobs *jobs_free(struct jobs *j);
void jobs_kick(struct jobs *j); /* something was committed: look now */
/* Events in hand now, for `wick events`. */
bool jobs_running(const struct jobs *j, struct str id);

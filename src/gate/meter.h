/* What invocations used and cost, and the counters of the gate. */
#pragma once

#include "gate/gate.h"
#include "gate/req.h"

struct meter *meter_new(struct gate *g);
struct meter *meter_free(struct meter *m);
/* Hands what is gathered to the store now; done(arg) when it is durable. */
void meter_flush(struct gate *g, void (*done)(void *arg), void *arg);
/* Prometheus text exposition format. */
void meter_metrics(struct gate *g, struct buf *b);

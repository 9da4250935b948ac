/* What invocations used and cost, and the counters of the gate. */
#pragma once

#include "gate/gate.h"
#include "gate/req.h"

struct meter *meter_new(struct gate *g);
struct meter *meter_free(struct meter *m);
/* Hands what is gathered to the store now; done(arg) when it is durable. */
void meter_flush(struct gate *g, void (*done)(void *arg), void *arg);
struct meter_totals {
	uint64_t began_us; /* monotonic: since when they are counted */
	uint64_t invocations, errors;
};
struct meter_totals meter_totals(const struct gate *g);
/* Prometheus text exposition format. */
void meter_metrics(struct gate *g, struct buf *b);

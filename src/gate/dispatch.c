/* The dispatch step: sends the invocation to the worker that placement gave it, and waits for what comes back as lane
 * events (worker.c). The run's clock starts here and stops when the answer is read: once, monotonic, by the holder of
 * the socket. */
#include "gate/dispatch.h"

#include "gate/flow.h"
#include "gate/fn.h"
#include "gate/stream.h"
#include "sys/clock.h"

static void send_invoke(struct invocation *inv)
{
	struct worker *w = inv->worker;
	const struct function *def = &inv->fn->def;
	struct lane_invoke in = {
		.deadline_ms = (uint64_t)clock_wall_ms() + def->timeout_s * 1000ull,
		.arn = inv->qualified_arn.n ? inv->qualified_arn : def->arn,
		.trace = inv->trace,
		.client_context = inv->client_context,
		.event = inv->event,
	};

	memcpy(in.id, inv->r->id, sizeof(in.id));
	invocation_logf(inv, "START RequestId: %s Version: %.*s", inv->r->id_text, STR_ARG(def->version));
	worker_run_begins(w, inv);
	if (!w->local)
		in.limit_ms = def->timeout_s * 1000ull;
	if (w->n_leases) {
		inv->usage.device = arena_str(&inv->r->arena, w->device_model);
		inv->usage.device_kind = arena_str(&inv->r->arena, w->device_kind);
		inv->usage.rung = str_from(device_rung_name(w->leases[0].rung));
		inv->usage.slots = w->slots;
	}
	if (inv->stream)
		stream_fill_invoke(inv->stream, &in);
	lane_send_invoke(w->lane, &in);
	if (inv->stream)
		stream_run_begins(inv->stream);
}

static void stamp_usage(struct invocation *inv)
{
	struct usage *u = &inv->usage;

	if (!inv->placed_us) /* ended before it had a worker */
		inv->placed_us = clock_mono_us();
	u->queue_us = inv->placed_us - inv->queued_us;
	if (inv->run_began_us && inv->run_ended_us)
		u->run_us = inv->run_ended_us - inv->run_began_us;
	if (u->queue_us >= u->start_us + inv->box_us + u->init_us)
		u->queue_us -= u->start_us + inv->box_us + u->init_us;
}

enum step_result dispatch_step(struct req *r)
{
	struct invocation *inv = r->inv;

	if (!inv)
		return STEP_MORE;
	if (inv->state == INVOCATION_PLACED) {
		send_invoke(inv);
		return STEP_WAIT;
	}
	if (inv->state == INVOCATION_RUNNING)
		return STEP_WAIT;
	stamp_usage(inv);
	return STEP_MORE;
}

/* The queue step and the queues: one a function, first in first out, in memory (synchronous calls are soft state:
 * after a crash their clients see an error at once; events wait in the store and are put here one by one by jobs.c).
 * Owned by struct fn. An invocation that has waited queue_wait_ms is refused. */
#include "gate/queue.h"

#include "gate/dispatch.h"
#include "gate/flow.h"
#include "gate/nodes.h"
#include "gate/place.h"
#include "sys/clock.h"

enum step_result queue_step(struct req *r)
{
	struct invocation *inv = r->inv;

	if (!inv || inv->state != INVOCATION_NEW)
		return STEP_MORE;
	inv->queued_us = clock_mono_us();
	inv->state = INVOCATION_QUEUED;
	invocation_list_push(&inv->fn->queue, inv);
	if (inv->fn->queue.n == 1)
		timer_set(inv->fn->queue_timer, r->g->conf.s.queue_wait_ms);
	return STEP_MORE;
}

static void set_timer(struct fn *fn)
{
	struct invocation *head = invocation_list_first(&fn->queue);
	uint64_t waited, limit = fn->g->conf.s.queue_wait_ms;

	if (!head) {
		timer_stop(fn->queue_timer);
		return;
	}
	waited = (clock_mono_us() - head->queued_us) / 1000;
	timer_set(fn->queue_timer, waited >= limit ? 1 : limit - waited);
}

static void place_on(struct worker *w, struct invocation *inv)
{
	invocation_list_remove(&inv->fn->queue, inv);
	if (inv->fn->queue.n == 0) {
		timer_stop(inv->fn->queue_timer);
		inv->fn->patient = false;
	}
	worker_run(w, inv);
	req_continue(inv->r);
}

void queue_pump(struct fn *fn)
{
	uint64_t waits_us;
	unsigned n;

	while (fn->queue.n && fn->workers[WORKER_IDLE].n)
		/* Last in, first out: the worker that ran last is the one whose memory is warm. */
		place_on(worker_list_last(&fn->workers[WORKER_IDLE]), invocation_list_first(&fn->queue));
	for (n = place_starts(fn, &waits_us); n > 0; n--)
		worker_start(fn);
	if (waits_us && !fn->patient) {
		fn->patient = true;
		timer_set(fn->queue_timer, waits_us / 1000 + 1);
	}
}

void queue_put_back(struct invocation *inv)
{
	inv->state = INVOCATION_QUEUED;
	inv->worker = NULL;
	inv->tries++;
	invocation_list_push_front(&inv->fn->queue, inv);
	set_timer(inv->fn);
	inv->r->step = REQ_PLACE;
	queue_pump(inv->fn);
}

static void refuse(struct invocation *inv, enum fail f, const char *why)
{
	invocation_list_remove(&inv->fn->queue, inv);
	inv->state = INVOCATION_OVER;
	req_failf(inv->r, f, "%s", why);
	req_continue(inv->r);
}

void queue_move(struct fn *from, struct fn *to)
{
	struct invocation *inv;

	while ((inv = invocation_list_first(&from->queue))) {
		if (!to) {
			refuse(inv, FAIL_NOT_FOUND, "The function was deleted while the invocation waited.");
			continue;
		}
		invocation_list_remove(&from->queue, inv);
		inv->fn = fn_ref(to);
		invocation_list_push(&to->queue, inv);
		fn_unref(from); /* the table's reference is still held */
	}
	timer_stop(from->queue_timer);
	if (to && to->queue.n) {
		set_timer(to);
		queue_pump(to);
	}
}

void queue_timed_out(void *arg)
{
	struct fn *fn = fn_ref(arg);
	uint64_t limit_us = fn->g->conf.s.queue_wait_ms * 1000, now = clock_mono_us();
	struct invocation *inv;

	fn->patient = false;
	while ((inv = invocation_list_first(&fn->queue)) && now - inv->queued_us >= limit_us) {
		if (!nodes_any_up(fn->g))
			refuse(inv, FAIL_NO_NODE, "No node is connected that could run the function.");
		else
			refuse(inv, FAIL_THROTTLED,
			       "Rate Exceeded: no worker was free and none could be started in time.");
	}
	set_timer(fn);
	queue_pump(fn);
	fn_unref(fn);
}

bool queue_remove(struct invocation *inv)
{
	if (inv->state != INVOCATION_QUEUED)
		return false;
	invocation_list_remove(&inv->fn->queue, inv);
	inv->state = INVOCATION_OVER;
	return true;
}

bool dispatch_cancel_queued(struct invocation *inv)
{
	return inv->state == INVOCATION_NEW || queue_remove(inv);
}

static void pump_waiting(void *arg, struct fn *fn)
{
	if (fn->queue.n)
		queue_pump(fn);
}

void queue_pump_all(struct gate *g)
{
	fns_each(g, pump_waiting, NULL);
}

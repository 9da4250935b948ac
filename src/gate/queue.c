/* The queue and place steps, and the queues: one a function version, first in first out, in memory (synchronous calls
 * are soft state: after a crash their clients see an error at once; events wait in the store and are put here one by
 * one by jobs.c). Owned by struct fn. An invocation that has waited queue_wait_ms is refused, unless a worker that is
 * on its way will take it: a first request waits for as long as an initialisation may take.
 *
 * While nothing is short, a function serves itself: its invocations go to its workers, and place_decide says how many
 * are started for the rest. A function that got less than it wants because of something that others have (starts at
 * once, memory, a limit) is hungry. As long as one is, everything is served in rounds: who has least (invocations in
 * hand and workers starting, of all versions) gets one, until nobody can get any more. */
#include "gate/queue.h"

#include "gate/crash.h"
#include "gate/dispatch.h"
#include "gate/flow.h"
#include "gate/logs.h"
#include "gate/node.h"
#include "sys/clock.h"

#define LOOK_AGAIN_US 100000 /* while the oldest waits for a start that takes longer than the queue may hold it */

enum step_result queue_step(struct req *r)
{
	struct invocation *inv = r->inv;

	if (!inv || inv->state != INVOCATION_NEW)
		return STEP_MORE;
	inv->queued_us = clock_mono_us();
	inv->state = INVOCATION_QUEUED;
	invocation_list_push(&inv->fn->queue, inv);
	return STEP_MORE;
}

enum step_result place_step(struct req *r)
{
	struct invocation *inv = r->inv;

	if (!inv || inv->state == INVOCATION_OVER)
		return STEP_MORE;
	if (inv->state == INVOCATION_QUEUED)
		queue_pump(inv->fn);
	return inv->state == INVOCATION_QUEUED ? STEP_WAIT : STEP_MORE;
}

/* ---- what is known ---- */

/* Workers to be there whether or not anybody waits. */
static unsigned kept(const struct fn *fn)
{
	return fn->stale || fn->g->draining ? 0 : fn->provisioned;
}

static void view_limits(const struct fn *fn, struct place_view *v)
{
	const struct pool_sums *sums = pool_sums(fn->g);

	v->running = fn->running;
	v->provisioned = kept(fn);
	v->is_reserved = fn->group->is_reserved;
	v->reserved = fn->group->reserved;
	v->group_running = fn->group->running;
	v->group_starting = fn->group->starting;
	v->shared_limit = functions_shared_limit(fn->g);
	v->shared_running = sums->shared_running;
	v->shared_active = sums->shared_active;
}

static void view_start(const struct fn *fn, struct place_view *v)
{
	const struct worker *w = worker_list_first(&fn->workers[WORKER_INIT]);

	if (!w)
		w = worker_list_first(&fn->workers[WORKER_WAITING]);
	if (!w)
		return;
	v->start_age_us = clock_mono_us() - w->asked_us;
	v->start_stage = !w->started_us ? START_ASKED : !w->boxed_us ? START_BOXING : START_INIT;
}

static bool is_shared(enum wait_reason reason)
{
	return reason == WAIT_NO_MEMORY || reason == WAIT_RESERVED || reason == WAIT_ACCOUNT || reason == WAIT_STARTS ||
	       reason == WAIT_FAIR_SHARE || reason == WAIT_NO_PLACE;
}

void queue_view(const struct fn *fn, struct place_view *v)
{
	struct gate *g = fn->g;
	const struct invocation *head = invocation_list_first(&fn->queue);

	*v = (struct place_view){
		.node_up = nodes_any_up(g),
		.waiting = (unsigned)fn->queue.n,
		.starting = fn->starting,
		.ready = fn->live - fn->starting,
		.concurrency = fn->concurrency,
		.run_us = fn->run_us,
		.start_us = fn->start_us,
		.waited_us = head ? clock_mono_us() - head->queued_us : 0,
		.crashes = fn->crash ? fn->crash->n : 0,
		.backoff_us = crash_left_us(fn),
		.memory_mb = fn->def.memory_mb,
		.estimate_mb = place_estimate_kib(fn->memory_kib, fn->def.memory_mb) >> 10,
		.cpus = nodes_cpus(g),
		.starts = pool_starts(g),
		.starts_limit = place_starts_limit(nodes_cpus(g)),
		.memory_all_mb = nodes_memory_largest_mb(g),
	};
	if (v->memory_mb > v->memory_all_mb)
		v->memory_could_mb = nodes_memory_could_mb(g);
	v->memory_free_mb =
		place_memory_free_mb(nodes_memory_mb(g), nodes_memory_free_mb(g), pool_sums(g)->memory_kib >> 10);
	view_limits(fn, v);
	view_start(fn, v);
}

enum wait_reason queue_why(const struct fn *fn, struct place_view *v)
{
	struct place_decision d;

	queue_view(fn, v);
	place_decide(v, &d);
	if (d.starts && fn->reason == WAIT_NO_PLACE)
		return WAIT_NO_PLACE;
	/* What is to be started would be under way by now but for those who have less. */
	return d.starts && hungry_list_linked(fn) && !is_shared(d.reason) ? WAIT_FAIR_SHARE : d.reason;
}

/* ---- refusals ---- */

static void refuse(struct invocation *inv, enum fail f, const char *why)
{
	invocation_list_remove(&inv->fn->queue, inv);
	inv->state = INVOCATION_OVER;
	req_failf(inv->r, f, "%s", why);
	req_continue(inv->r);
}

static void refuse_late(struct invocation *inv, const struct place_view *v, enum wait_reason reason)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	if (reason == WAIT_NO_NODE) {
		refuse(inv, FAIL_NO_NODE, "No node is connected that could run the function.");
		return;
	}
	buf_adds(&b, "Rate Exceeded: no worker was free and none could be started in time. ");
	wait_text(&b, reason, v);
	if (reason == WAIT_NO_PLACE) {
		buf_addc(&b, ' ');
		nodes_why(inv->fn->g, inv->fn, &b);
	}
	refuse(inv, FAIL_THROTTLED, b.p);
}

/* Nothing will change for these soon, so they are told at once instead of at the end of their patience. */
static void answer_hopeless(struct fn *fn, const struct place_view *v, enum wait_reason reason)
{
	struct invocation *inv;

	while ((inv = invocation_list_first(&fn->queue))) {
		if (reason == WAIT_RESERVED) {
			refuse(inv, FAIL_THROTTLED, "Rate Exceeded: the function's reserved concurrency is 0.");
			continue;
		}
		queue_remove(inv);
		if (reason == WAIT_TOO_LARGE) {
			_cleanup_(buf_done) struct buf b = BUF_NULL;

			wait_text(&b, reason, v);
			invocation_log(inv, buf_str(&b));
			invocation_error(inv, USAGE_INIT_ERROR, "Runtime.MemoryTooLarge", "%s", b.p);
		} else {
			crash_answer(inv);
		}
		req_continue(inv->r);
	}
}

static bool is_hopeless(const struct place_view *v, enum wait_reason reason)
{
	return reason == WAIT_TOO_LARGE || reason == WAIT_CRASH_LOOPING ||
	       (reason == WAIT_RESERVED && v->reserved == 0);
}

/* ---- serving ---- */

static void set_timer(struct fn *fn, uint64_t again_us)
{
	const struct invocation *head = invocation_list_first(&fn->queue);
	uint64_t now = clock_mono_us(), at = again_us ? now + again_us : UINT64_MAX;

	if (head)
		at = MIN(at, MAX(head->queued_us + fn->g->conf.s.queue_wait_ms * 1000, now + LOOK_AGAIN_US));
	if (at == UINT64_MAX || (fn->timer_us && fn->timer_us <= at))
		return;
	fn->timer_us = at;
	timer_set(fn->queue_timer, at > now ? (at - now + 999) / 1000 : 1);
}

static bool has_work(const struct fn *fn)
{
	return fn->queue.n || fn->live < kept(fn);
}

/* Hands the oldest invocation to a worker. Last in, first out: one that has room beside what it does, then the idle one
 * that ran last, whose memory is warm. */
static bool give(struct fn *fn)
{
	struct invocation *inv = invocation_list_first(&fn->queue);
	struct worker *w = roomy_list_last(&fn->roomy);
	struct place_view v = {0};

	if (!w)
		w = worker_list_last(&fn->workers[WORKER_IDLE]);
	if (!inv || !w)
		return false;
	view_limits(fn, &v);
	if (place_may_run(&v) != WAIT_NONE)
		return false;
	invocation_list_remove(&fn->queue, inv);
	worker_run(w, inv);
	req_continue(inv->r);
	return true;
}

static void decide(struct fn *fn, struct place_view *v, struct place_decision *d)
{
	uint64_t used_kib = pool_sums(fn->g)->memory_kib, freed_mb = 0;

	queue_view(fn, v);
	place_decide(v, d);
	/* What the machine says it has left lags behind: what was ended for this worker is not seen there at once. */
	while (d->starts == 0 && (d->reason == WAIT_NO_MEMORY || d->reason == WAIT_FAIR_SHARE) &&
	       freed_mb < v->estimate_mb && pool_evict_idle(fn->g, fn)) {
		uint64_t before_kib = used_kib;

		used_kib = pool_sums(fn->g)->memory_kib;
		freed_mb += (before_kib - used_kib) >> 10;
		queue_view(fn, v);
		place_decide(v, d);
	}
}

static void set_hungry(struct fn *fn, bool hungry)
{
	struct hungry_list *l = &pool_hungry(fn->g)->list;

	if (hungry && !hungry_list_linked(fn))
		hungry_list_push(l, fn_ref(fn));
	if (!hungry && hungry_list_linked(fn)) {
		hungry_list_remove(l, fn);
		fn_unref(fn);
	}
}

/* Of its parked workers the last used whose slice can be had. */
static bool wake_one(struct fn *fn)
{
	struct worker *w = worker_list_last(&fn->workers[WORKER_PARKED]);

	while (w && !worker_wake(w))
		w = worker_list_prev(w);
	return w != NULL;
}

/* Up to `most` invocations given or workers started. False: it could get nothing. The caller holds a reference. */
static bool serve(struct fn *fn, unsigned most)
{
	struct place_decision d;
	struct place_view v;
	unsigned got = 0, n;

	while (got < most && give(fn))
		got++;
	if (!has_work(fn)) {
		set_hungry(fn, false);
		return got > 0;
	}
	decide(fn, &v, &d);
	fn->reason = d.reason;
	if (fn->queue.n && d.starts == 0 && is_hopeless(&v, d.reason)) {
		set_hungry(fn, false);
		answer_hopeless(fn, &v, d.reason);
		return got > 0;
	}
	n = MIN(d.starts, most - got);
	set_hungry(fn, n < d.starts || is_shared(d.reason));
	set_timer(fn, d.again_us);
	got += n;
	for (; n > 0; n--) {
		if (wake_one(fn) || worker_start(fn, fn->queue.n == 0))
			continue;
		/* There is room, but on no node that is fit for it. What is freed for it will call again. */
		fn->reason = WAIT_NO_PLACE;
		set_hungry(fn, true);
		set_timer(fn, fn_avoids_us(fn));
		pool_make_place(fn);
		return got > n;
	}
	return got > 0;
}

/* Of the hungry that were not in vain in this round, who has least. */
static struct fn *neediest(const struct hungry_list *l, unsigned round)
{
	struct fn *best = NULL;
	unsigned least = UINT32_MAX;

	for (struct fn *fn = hungry_list_first(l); fn; fn = hungry_list_next(fn)) {
		unsigned has = fn->group->running + fn->group->starting;

		if (fn->seen != round && has < least) {
			least = has;
			best = fn;
		}
	}
	return best;
}

void queue_room(struct gate *g)
{
	struct hungry *h = pool_hungry(g);
	struct fn *fn;

	/* What a round sets going may call here again; it is served in this same round. */
	if (h->list.n == 0 || h->serving)
		return;
	h->serving = true;
	h->round++;
	while ((fn = neediest(&h->list, h->round))) {
		fn_ref(fn);
		if (!serve(fn, h->list.n == 1 ? UINT32_MAX : 1))
			fn->seen = h->round;
		fn_unref(fn);
	}
	h->serving = false;
}

void queue_pump(struct fn *fn)
{
	const struct hungry_list *hungry = &pool_hungry(fn->g)->list;

	if (hungry->n == 0)
		while (give(fn))
			;
	if (hungry->n == 0 && !has_work(fn))
		return;
	fn_ref(fn);
	if (hungry->n == 0) {
		serve(fn, UINT32_MAX);
	} else {
		if (has_work(fn))
			set_hungry(fn, true);
		queue_room(fn->g);
	}
	fn_unref(fn);
}

void queue_put_back(struct invocation *inv)
{
	struct fn *fn = inv->fn;

	inv->state = INVOCATION_QUEUED;
	inv->worker = NULL;
	inv->tries++;
	inv->r->step = REQ_PLACE;
	invocation_list_push_front(&fn->queue, inv);
	if (fn->stale)
		queue_move(fn, fn_get(fn->g, fn->def.name, fn->def.version));
	else
		queue_pump(fn);
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
	set_hungry(from, false);
	timer_stop(from->queue_timer);
	from->timer_us = 0;
	if (to && to->queue.n)
		queue_pump(to);
}

/* Refuses those that have waited too long. The oldest are whom the workers on their way will take. */
static void refuse_all_late(struct fn *fn)
{
	uint64_t limit_us = fn->g->conf.s.queue_wait_ms * 1000, now = clock_mono_us();
	struct invocation *inv = invocation_list_first(&fn->queue), *next;
	struct place_decision d;
	struct place_view v;

	queue_view(fn, &v);
	place_decide(&v, &d);
	if (d.starts && fn->reason == WAIT_NO_PLACE)
		d.reason = WAIT_NO_PLACE;
	for (uint64_t n = (uint64_t)fn->starting * fn->concurrency; inv && n > 0; n--)
		inv = invocation_list_next(inv);
	for (; inv && now - inv->queued_us >= limit_us; inv = next) {
		next = invocation_list_next(inv);
		refuse_late(inv, &v, d.reason);
	}
}

void queue_timed_out(void *arg)
{
	struct fn *fn = fn_ref(arg);

	fn->timer_us = 0;
	if (fn->queue.n)
		refuse_all_late(fn);
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
	if (has_work(fn))
		queue_pump(fn);
}

void queue_pump_all(struct gate *g)
{
	fns_each(g, pump_waiting, NULL);
}

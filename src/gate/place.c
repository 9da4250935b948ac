/* The place step and the policy of worker counts: start for the waiting, counting those already starting; never more
 * than the account's limit or the memory allows, and no more starting at once than the cores can serve. When memory is
 * short, workers of other functions that are idle the longest make room. Keeps no state of its own. */
#include "gate/place.h"

#include "gate/flow.h"
#include "gate/nodes.h"
#include "gate/queue.h"
#include "sys/clock.h"

/* Is it sooner to wait for the workers there are than for a new one? One that takes 50 ms to start is no help to
 * invocations that take 1 ms and will be served in 5; it only takes memory and drives the others out of the caches. Not
 * before every core has two workers; and never for longer than a start takes, so that a function that has become slow
 * is noticed. */
static bool is_patient(const struct place_view *v)
{
	if (!v->run_us || !v->start_us || v->workers + v->starting < 2 * v->cpus || v->workers == 0)
		return false;
	return v->waited_us < v->start_us && v->run_us * v->waiting / v->workers < v->start_us;
}

unsigned place_decide(const struct place_view *v)
{
	unsigned n;

	if (!v->node_up || v->waiting <= v->starting || v->active >= v->limit || v->starting_all >= v->starting_limit)
		return 0;
	if (is_patient(v))
		return 0;
	n = MIN(v->waiting - v->starting, v->limit - v->active);
	n = MIN(n, v->starting_limit - v->starting_all);
	return (unsigned)MIN((uint64_t)n, v->memory_free_mb / MAX(v->memory_mb, (uint64_t)1));
}

unsigned place_starts(struct fn *fn, uint64_t *waits_us)
{
	struct gate *g = fn->g;
	uint64_t all_mb = nodes_memory_mb(g), used_mb = pool_memory_mb(g);
	struct place_view v = {
		.waiting = (unsigned)fn->queue.n,
		.starting = (unsigned)(fn->workers[WORKER_WAITING].n + fn->workers[WORKER_INIT].n),
		.active = pool_active(g),
		.limit = g->conf.s.concurrency,
		.starting_all = pool_starting(g),
		.starting_limit = nodes_starts_at_once(g),
		.memory_mb = fn->def.memory_mb,
		.workers = (unsigned)(fn->workers[WORKER_IDLE].n + fn->workers[WORKER_BUSY].n),
		.cpus = nodes_cpus(g),
		.run_us = fn->run_us,
		.start_us = fn->start_us,
		.node_up = nodes_any_up(g),
	};

	*waits_us = 0;
	if (fn->stale || v.waiting <= v.starting)
		return 0;
	v.waited_us = clock_mono_us() - invocation_list_first(&fn->queue)->queued_us;
	if (is_patient(&v)) {
		*waits_us = v.start_us - v.waited_us;
		return 0;
	}
	while (used_mb + v.memory_mb > all_mb && pool_evict_idle(g, fn))
		used_mb = pool_memory_mb(g);
	v.memory_free_mb = all_mb > used_mb ? all_mb - used_mb : 0;
	return place_decide(&v);
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

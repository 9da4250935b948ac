/* The policy of worker counts. In the order of place_decide:
 *
 * A worker is started for those who wait and have none coming: as many as wait, less those that the ones on their way
 * will take (each `concurrency` of them). Workers that have room are used before (queue.c, the last used first).
 * Provisioned concurrency is a number of workers that are there without anybody waiting.
 *
 * Limits. A reservation is cap and guarantee of all versions of a name. The others share what the account's limit
 * leaves when all reservations and provisioned workers are taken off; what provisioned concurrency covers is not
 * counted. A limit counts invocations; of workers there are never more than can be of use under it.
 *
 * Memory. MemorySize is a promise that most workers never call in: an idle Python worker has 3 MB of its own. So memory
 * is overcommitted: a worker is reckoned with half as much again as the workers of its function were measured to use
 * (place_estimate_kib), and only the first ones with the whole of MemorySize. What a worker measures counts pages that
 * it shares with its zygote, so all together are reckoned with what the machine misses, and half as much again, where
 * that is less; but with no less than a quarter of the sum. The hard limit stays MemorySize, by control group, so that
 * one that grows is ended itself and harms nobody; when memory runs short, idle workers are ended, the oldest first.
 *
 * Fairness. When starts or memory are short, who has least is served first (queue.c). A last part of both is kept for
 * functions that have no worker yet, so that a burst of one function never holds up another's first worker.
 *
 * Patience. One that takes 5 ms to start is no help to invocations that take 1 ms and will be served in 2.
 *
 * Crashes. After two failed starts in a row only one is tried at a time, after a while (crash.c). */
#include "gate/place.h"

#include "base/util.h"

#define ESTIMATE_MIN_KIB (8u << 10)
#define STARTS_AGAIN_US  50000 /* starts that take long count less after a while (pool_starts) */

uint64_t place_estimate_kib(uint64_t measured_kib, uint64_t memory_mb)
{
	uint64_t most = memory_mb << 10, kib = measured_kib + measured_kib / 2;

	if (!measured_kib)
		return most;
	return MIN(MAX(kib, (uint64_t)ESTIMATE_MIN_KIB), most);
}

uint64_t place_memory_free_mb(uint64_t all_mb, uint64_t measured_mb, uint64_t promised_mb)
{
	uint64_t used_mb = all_mb > measured_mb ? all_mb - measured_mb : 0;
	uint64_t reckoned_mb = MIN(promised_mb, MAX(used_mb + used_mb / 2, promised_mb / 4));

	return MIN(all_mb > reckoned_mb ? all_mb - reckoned_mb : 0, measured_mb);
}

unsigned place_starts_limit(unsigned cpus)
{
	return MAX(4 * cpus, 8u);
}

/* Is it sooner to wait for the workers there are than for a new one? Not before every core has two workers; and never
 * for longer than a start takes, so that a function that has become slow is noticed. */
static bool is_patient(const struct place_view *v)
{
	if (!v->run_us || !v->start_us || v->ready + v->starting < 2 * v->cpus || v->ready == 0)
		return false;
	return v->waited_us < v->start_us && v->run_us * v->waiting / (v->ready * v->concurrency) < v->start_us;
}

static unsigned above(unsigned a, unsigned b)
{
	return a > b ? a - b : 0;
}

static unsigned workers_for(unsigned invocations, const struct place_view *v)
{
	return (invocations + v->concurrency - 1) / v->concurrency;
}

enum wait_reason place_may_run(const struct place_view *v)
{
	if (v->is_reserved)
		return v->group_running < v->reserved ? WAIT_NONE : WAIT_RESERVED;
	if (v->running < v->provisioned || v->shared_running < v->shared_limit)
		return WAIT_NONE;
	return WAIT_ACCOUNT;
}

/* Lowers what is to be started to a limit, and remembers which it was. */
static void cap(struct place_decision *d, unsigned most, enum wait_reason reason)
{
	if (d->starts <= most)
		return;
	d->starts = most;
	d->reason = reason;
}

/* Those who wait, and what may be started for them under limits of invocations. */
static void wanted(const struct place_view *v, struct place_decision *d)
{
	unsigned kept = above(v->provisioned, v->ready + v->starting);

	d->starts = above(workers_for(v->waiting, v), v->starting);
	d->reason = v->waiting ? WAIT_STARTING : WAIT_NONE;
	if (d->starts && is_patient(v)) {
		d->starts = 0;
		d->reason = WAIT_BUSY;
		d->again_us = v->start_us - v->waited_us;
	}
	if (v->is_reserved)
		cap(d, above(workers_for(above(v->reserved, v->group_running), v), v->group_starting), WAIT_RESERVED);
	else
		cap(d, workers_for(above(v->shared_limit, v->shared_active) + above(v->provisioned, v->running), v),
		    WAIT_ACCOUNT);
	if (kept > d->starts)
		d->starts = kept;
}

/* Workers that the memory takes when so much of it is kept. */
static unsigned fitting(const struct place_view *v, uint64_t kept_mb)
{
	uint64_t n = v->memory_free_mb > kept_mb ? v->memory_free_mb - kept_mb : 0;

	return (unsigned)MIN(n / MAX(v->estimate_mb, (uint64_t)1), (uint64_t)UINT32_MAX);
}

void place_decide(const struct place_view *v, struct place_decision *ret)
{
	bool first = v->ready + v->starting == 0;

	*ret = (struct place_decision){.reason = WAIT_NONE};
	if (!v->waiting && v->ready + v->starting >= v->provisioned)
		return;
	wanted(v, ret);
	if (!v->node_up) {
		cap(ret, 0, WAIT_NO_NODE);
		return;
	}
	if (v->memory_mb > v->memory_all_mb) {
		cap(ret, 0, v->memory_mb > v->memory_could_mb ? WAIT_TOO_LARGE : WAIT_NO_PLACE);
		return;
	}
	if (v->crashes && v->backoff_us) {
		cap(ret, 0, v->backoff_us > PLACE_PATIENCE_US ? WAIT_CRASH_LOOPING : WAIT_BACKING_OFF);
		ret->again_us = v->backoff_us;
		return;
	}
	if (v->crashes > 1)
		cap(ret, above(1, v->starting), WAIT_BACKING_OFF);
	cap(ret, fitting(v, 0), WAIT_NO_MEMORY);
	if (!first)
		cap(ret, fitting(v, v->memory_all_mb / 8), WAIT_FAIR_SHARE);
	if (ret->starts > above(v->starts_limit, v->starts)) {
		cap(ret, above(v->starts_limit, v->starts), WAIT_STARTS);
		ret->again_us = STARTS_AGAIN_US;
	}
	if (!first && ret->starts > above(v->starts_limit - v->starts_limit / 4, v->starts)) {
		cap(ret, above(v->starts_limit - v->starts_limit / 4, v->starts), WAIT_STARTS);
		ret->again_us = STARTS_AGAIN_US;
	}
}

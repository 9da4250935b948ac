/* All workers: by id, by state, and the sums that placement asks for. A worker's state is membership of a list of its
 * function; worker_set_state is the only code that moves it, and it keeps the sums. */
#pragma once

#include "gate/gate.h"

struct fn;
struct fn_group;
struct worker;

/*	WAITING for the node's word -> INIT until READY -> IDLE <-> BUSY -> ENDING until the node reports the exit.
 *	AWAY: its node is, and it has nothing in hand; it is what it was when that is back. PARKED: it was idle, and its
 *	device memory goes to the host's or is there; woken it is INIT until it has it back. */
enum worker_state {
	WORKER_WAITING,
	WORKER_INIT,
	WORKER_IDLE,
	WORKER_BUSY,
	WORKER_AWAY,
	WORKER_PARKED,
	WORKER_ENDING,
	WORKER_STATES
};

/* Of all functions. An invocation or a starting worker is shared when it is neither under a reservation nor covered by
 * provisioned concurrency: such share what the account's limit leaves. */
struct pool_sums {
	unsigned running;                       /* invocations that workers have in hand */
	unsigned shared_running, shared_active; /* the shared of them; and with the shared workers on their way */
	unsigned workers[WORKER_STATES], frozen;
	uint64_t memory_kib; /* what all live workers are reckoned with (place_estimate_kib) */
};

struct pool *pool_new(struct gate *g);
struct pool *pool_free(struct pool *p);
const struct pool_sums *pool_sums(const struct gate *g);
size_t pool_workers(const struct gate *g);
struct worker *pool_find(struct gate *g, const uint8_t id[static 16]);
/* Starts that count against starts-at-once: those that are young, and of the others one for eight, because they wait
 * for something else than the machine or would hold it for long. */
unsigned pool_starts(const struct gate *g);
/* Ends the worker that is idle the longest, not of this function (NULL: of any) and not provisioned; false: none. */
bool pool_evict_idle(struct gate *g, const struct fn *but);
/* Parks or ends the worker that is idle the longest whose slice, or whose place on its node, fn could use; nothing when
 * one that could serve is ending already. */
void pool_make_place(struct fn *fn);
/* Whom that would be, or who leaves already; NULL: nobody whose leaving would make a place. */
struct worker *pool_in_the_way(const struct fn *fn);
bool pool_would_park(const struct worker *w, const struct fn *fn); /* else it is ended */
/* Every second, while there are workers: ends those that were idle for their function's time, and freezes those that
 * were idle for a moment. */
void pool_tend(struct gate *g);

/* For worker.c, functions.c and provision.c */
void pool_add(struct worker *w);    /* as WAITING */
void pool_remove(struct worker *w); /* from everything */
void worker_set_state(struct worker *w, enum worker_state s, const char *why);
const char *worker_state_name(enum worker_state s);
void pool_thaw(struct worker *w); /* nothing when it is not frozen */
/* Of one with nothing in hand. What it is frozen for is its node's to know now: an INVOKE thaws it there. */
void pool_away(struct worker *w);
void pool_run_began(struct fn *fn); /* an invocation was given to one of its workers */
void pool_run_ended(struct fn *fn);
void pool_recount(struct fn *fn);           /* its provisioned concurrency or its reservation is another */
struct hungry *pool_hungry(struct gate *g); /* queue.c's */
/* A worker was seen to use this much; what it shares with its zygote is counted in. */
void pool_measured(struct worker *w, uint64_t kib);

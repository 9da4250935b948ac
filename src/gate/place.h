/* How many workers: the policy. Pure functions over counts (place.c; tested by tables); queue.c gathers the counts and
 * does what is decided. */
#pragma once

#include "gate/why.h"

struct place_view {
	bool node_up;
	/* The function version */
	unsigned waiting;          /* invocations in the queue */
	unsigned starting, ready;  /* its workers on their way; and that are idle or busy */
	unsigned running;          /* invocations in hand */
	unsigned concurrency;      /* invocations that one worker takes at once; at least 1 */
	unsigned provisioned;      /* workers to be kept, asked for or not */
	uint64_t run_us, start_us; /* what a run and a start take; 0: not known */
	uint64_t waited_us;        /* the oldest in the queue */
	uint64_t start_age_us;     /* of the worker that is on its way the longest, and how far it is */
	enum start_stage start_stage;
	unsigned crashes;     /* starts that failed in a row */
	uint64_t backoff_us;  /* until the next may be tried */
	uint64_t memory_mb;   /* its MemorySize */
	uint64_t estimate_mb; /* what its next worker is reckoned with */
	/* All versions of its name */
	bool is_reserved;
	unsigned reserved, group_running, group_starting;
	/* All functions without a reservation, what provisioned concurrency covers left out */
	unsigned shared_limit, shared_running, shared_active; /* active: with the workers on their way */
	/* The machine */
	unsigned cpus;
	unsigned starts, starts_limit;          /* of all functions, at once: more only slow each other down */
	uint64_t memory_free_mb, memory_all_mb; /* for workers */
	uint64_t memory_could_mb;               /* of a node that is not there now but may come back; 0: none */
};

/* Who comes while a function backs off for longer than this is answered at once instead of waiting. */
#define PLACE_PATIENCE_US 1000000ull

struct place_decision {
	unsigned starts;         /* so many workers now */
	enum wait_reason reason; /* why not more; WAIT_STARTING where there will be enough */
	uint64_t again_us;       /* to be asked again after this, though nothing has happened; 0: no need */
};
void place_decide(const struct place_view *v, struct place_decision *ret);

/* May one more invocation be given to a worker that has room for it? WAIT_NONE: it may. */
enum wait_reason place_may_run(const struct place_view *v);

/* What a worker is reckoned with: MemorySize while nobody has measured one of its function; then half as much again as
 * they use, within 8 MiB and MemorySize. */
uint64_t place_estimate_kib(uint64_t measured_kib, uint64_t memory_mb);
/* Of the memory for workers, what is left for more: measured is what the machine said it has left, promised what the
 * workers there are were reckoned with. */
uint64_t place_memory_free_mb(uint64_t all_mb, uint64_t measured_mb, uint64_t promised_mb);
/* More starts at once than this only take time from each other: a start is nearly all work of a core. */
unsigned place_starts_limit(unsigned cpus);

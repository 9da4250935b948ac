/* How many workers. The decision is a pure function over counts (table-tested); place_starts gathers them. */
#pragma once

#include "gate/fn.h"

struct place_view {
	unsigned waiting;                      /* invocations in the queue */
	unsigned starting;                     /* workers of this function on their way */
	unsigned active;                       /* workers of all functions that run or start */
	unsigned limit;                        /* of the account */
	unsigned starting_all, starting_limit; /* of all functions: more at once only slow each other down */
	uint64_t memory_free_mb, memory_mb;    /* of the machine's share for workers; of one worker */
	unsigned workers, cpus;                /* workers of this function that are ready; cores of the node */
	uint64_t run_us, start_us;             /* what a run and a start of this function take; 0: not known */
	uint64_t waited_us;                    /* the oldest in the queue */
	bool node_up;
};
/* How many workers of this function to start now. */
unsigned place_decide(const struct place_view *v);
/* With waits_us (else 0): nobody is started because it is sooner to wait, which is to be asked again after so long. */
unsigned place_starts(struct fn *fn, uint64_t *waits_us);

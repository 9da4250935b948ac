/* A worker as the gate sees it: its lane, its state (pool.h), the invocations that it has in hand. */
#pragma once

#include "base/list.h"
#include "gate/front.h"
#include "gate/invoke.h"
#include "gate/pool.h"
#include "link/lane.h"
#include "model/slice.h"

struct node;

struct worker {
	uint8_t id[16];
	char id_text[37];
	struct gate *g;
	struct fn *fn;     /* a reference */
	struct node *node; /* where it runs; NULL: that is gone, or not chosen yet */
	struct list_link on_node;
	struct slice_lease *leases; /* what it holds of its node's devices */
	size_t n_leases;
	bool holds;     /* them; false: it is parked, and others may */
	uint32_t slots; /* of all together */
	struct str device_model, device_kind;
	struct arena arena; /* of these texts */
	enum worker_state state;
	enum worker_state before;  /* AWAY: what it was */
	struct list_link on_state; /* in fn->workers[state] */
	struct list_link on_pool;  /* in the pool's list of those that start (oldest first), idle or are frozen */
	struct list_link on_roomy; /* in fn->roomy: BUSY, and takes one more */
	struct lane *lane;
	struct front_door *door;      /* where its box's requests come in */
	struct front_door *init_door; /* and those of the snapshot that is initialised for it */
	struct timer *deadline;       /* of the initialisation; then of the oldest run, or earlier */
	uint64_t deadline_us;         /* when it rings; 0: it is not set */
	struct run_list runs;         /* BUSY: invocations in hand, oldest first */
	struct invocation *late;      /* one of them: over its time, the worker is being killed for it */
	unsigned concurrency;         /* invocations it takes at once */
	struct buf line;              /* output without its newline yet */
	struct buf words;             /* the last that it printed */
	uint64_t asked_us, started_us, boxed_us, ready_us; /* monotonic: START sent, process runs, box closed, READY */
	uint64_t box_us;                                   /* what boxing took */
	uint32_t max_rss_kib;
	int64_t idle_since_ms, keys_expire_ms;
	bool frozen;
	bool local;             /* its lane is its own socket */
	bool away;              /* its node is: nothing can be said to it now */
	bool overdue;           /* its initialisation took too long; it is being killed */
	bool retiring;          /* takes nothing more, and ends when it has nothing in hand */
	bool provisioned;       /* started before it was asked for */
	bool node_gone;         /* it died with its node: nobody's fault */
	bool node_at_fault;     /* that could not start it: another may */
	bool used;              /* has run something: not cold any more */
	bool lane_over, exited; /* both: it can go */
	enum lane_end lane_end;
	struct buf init_error; /* what initialisation failed with */
	char init_error_type[96];
	int exit_status, exit_signal;
	bool out_of_memory;
	const char *device_type; /* it was ended for its slice of a device; NULL: it was not */
	char *device_error;
};

DEFINE_LIST(worker_list, struct worker, on_state)
DEFINE_LIST(pool_list, struct worker, on_pool)
DEFINE_LIST(roomy_list, struct worker, on_roomy)
DEFINE_LIST(node_workers, struct worker, on_node)

/* False: no node has room for it now. */
bool worker_start(struct fn *fn, bool provisioned);
void worker_free(struct worker *w);
void worker_end(struct worker *w, const char *reason); /* idle: closes the lane; otherwise the node kills it */
void worker_park(struct worker *w); /* IDLE: its slice is others' to have, as soon as the node says so */
bool worker_wake(struct worker *w); /* PARKED: false: its slice is not to be had now */
void worker_retire(struct worker *w, const char *reason); /* ends it once it has nothing in hand */
/* Gives it one (IDLE, or BUSY with room): PLACED; and it is RUNNING from when dispatch says so, just before INVOKE is
 * sent: the run's clock and its deadline begin, a frozen worker is woken. */
void worker_run(struct worker *w, struct invocation *inv);
void worker_run_begins(struct worker *w, struct invocation *inv);
struct invocation *worker_invocation(const struct worker *w, const uint8_t id[static 16]); /* NULL: not in its hands */
void worker_forget(struct worker *w, struct invocation *inv); /* without an outcome: the gate closes */
/* The node's reports */
void worker_parked(struct worker *w, bool on, const char *error /* NULL: it is done */);
void worker_started_remote(struct worker *w, struct carrier *lane /* taken over */);
/* One that an earlier life of this gate started, idle on a node that has come back. */
struct worker_past {
	uint8_t id[16];
	int64_t keys_expire_ms;
	bool provisioned;
	unsigned concurrency;
	const json_t *slices;
};
/* False: what it held is not to be had; the lane is freed. */
bool worker_adopt(struct fn *fn, struct node *n, const struct worker_past *past, struct carrier *lane);
void worker_away(struct worker *w, bool away); /* its node is, or is back */
void worker_node_gone(struct worker *w);       /* and it died with it */
void worker_started(struct worker *w, int lane_fd, int log_fd);
void worker_door(struct worker *w, int fd); /* of its snapshot; taken over */
void worker_failed(struct worker *w, struct str type, struct str error, struct str output);
void worker_exited(struct worker *w, int status, int signo, bool oom);
/* Before worker_exited: the node ended it for its slice of a device, and why (link/messages.h, EXITED). */
void worker_lost_slice(struct worker *w, struct str type, struct str error);

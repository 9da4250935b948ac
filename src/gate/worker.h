/* A worker as the gate sees it: its lane, its state, what it does now. State is membership of a list of its function;
 * worker_set_state is the only code that moves it. */
#pragma once

#include "base/list.h"
#include "gate/gate.h"
#include "gate/invoke.h"
#include "link/lane.h"

/*	WAITING for the node's word -> INIT until READY -> IDLE <-> BUSY -> ENDING until the node reports the exit */
enum worker_state { WORKER_WAITING, WORKER_INIT, WORKER_IDLE, WORKER_BUSY, WORKER_ENDING, WORKER_STATES };

struct worker {
	uint8_t id[16];
	char id_text[37];
	struct gate *g;
	struct fn *fn; /* a reference */
	enum worker_state state;
	struct list_link on_state; /* in fn->workers[state] */
	struct list_link on_idle;  /* in the pool's idle list, longest idle first */
	struct lane *lane;
	struct timer *deadline;                  /* of the run or of the initialisation */
	struct invocation *inv;                  /* BUSY */
	struct buf line;                         /* output without its newline yet */
	uint64_t asked_us, started_us, ready_us; /* monotonic: START sent, process runs, READY */
	uint32_t max_rss_kib;
	int64_t idle_since_ms, keys_expire_ms;
	bool node_gone;         /* it died with its node: nobody's fault */
	bool timed_out;         /* its run; it is being killed */
	bool used;              /* has run something: not cold any more */
	bool lane_over, exited; /* both: it can go */
	enum lane_end lane_end;
	struct buf init_error; /* what initialisation failed with */
	char init_error_type[96];
	int exit_status, exit_signal;
	bool out_of_memory;
};

DEFINE_LIST(worker_list, struct worker, on_state)
DEFINE_LIST(idle_list, struct worker, on_idle)

struct pool; /* all workers by id, and the sums that placement asks for */
struct pool *pool_new(struct gate *g);
struct pool *pool_free(struct pool *p);
size_t pool_workers(const struct gate *g);
uint64_t pool_memory_mb(const struct gate *g); /* of all workers not ENDING */
unsigned pool_starting(const struct gate *g);  /* WAITING, INIT */
unsigned pool_active(const struct gate *g);    /* WAITING, INIT, BUSY */
/* Ends the worker that is idle the longest, not of this function; false: none. */
bool pool_evict_idle(struct gate *g, const struct fn *but);
void pool_end_idle_before(struct gate *g, int64_t since_ms);
struct worker *pool_find(struct gate *g, const uint8_t id[static 16]);
void pool_node_down(struct gate *g); /* the node is gone, and with it its workers */

void worker_start(struct fn *fn);
void worker_end(struct worker *w, const char *reason); /* idle: closes the lane; otherwise the node kills it */
void worker_run(struct worker *w, struct invocation *inv);
/* The node's reports */
void worker_started(struct worker *w, int lane_fd, int log_fd);
void worker_failed(struct worker *w, struct str type, struct str error);
void worker_exited(struct worker *w, int status, int signo, bool oom);

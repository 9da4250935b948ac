/* A deployed function's version as the gate works with it: its definition, its queue and its workers; and the group of
 * versions that share a name, of which limits speak. functions.c owns both. */
#pragma once

#include "base/bits.h"
#include "gate/functions.h"
#include "gate/why.h"
#include "gate/worker.h"
#include "model/alias.h"
#include "model/options.h"
#include "model/url_conf.h"

/* All versions of a function. Lives while one of them is in memory. */
struct fn_group {
	struct gate *g;
	char *name;
	unsigned refs;        /* struct fns */
	struct fn *list;      /* those in the table, the newest first; each a reference */
	struct arena aliases; /* of what follows */
	struct fn_alias {
		struct alias al;
		struct fn_alias *next;
	} * alias; /* those that were used */
	struct fn_url {
		struct str qualifier; /* n == 0: none */
		struct url_conf conf;
		struct fn_url *next;
	} * url; /* the same */
	bool is_reserved;
	unsigned reserved; /* guarantee and cap of invocations at once */
	unsigned running;  /* invocations that workers of any version have in hand */
	unsigned starting; /* workers of any version on their way */
};

struct crash;
struct stats;

struct fn {
	struct gate *g;
	struct fn_group *group;
	struct fn *next; /* in group->list */
	unsigned refs;   /* the table, invocations, workers, provision.c */
	bool stale;      /* the definition was changed or deleted: no new work for its workers */
	struct function def;
	struct function_options opt;
	struct arena arena; /* of def and opt */
	json_t *doc;        /* of def; the node is told this */

	struct invocation_list queue;
	struct worker_list workers[WORKER_STATES];
	struct roomy_list roomy;    /* workers at work that take one more */
	struct list_link on_hungry; /* it waits for what others have (queue.c) */
	unsigned seen;              /* the round of queue.c in which it got nothing */
	enum wait_reason reason;    /* why it waits, when that was last decided */
	unsigned concurrency;       /* what a worker takes at once: as asked for, or as many as the last one said */
	unsigned provisioned;       /* workers to be kept; provision.c sets it */
	struct timer *queue_timer;  /* to look at the queue again: the head waits too long, a backoff ends */
	uint64_t timer_us;          /* when it rings; 0: it is not set */
	uint64_t run_us, start_us;  /* moving averages of a run with its way there and back, and of START sent to READY;
				       0: not known yet */
	struct crash *crash;        /* while it cannot start */
	struct stats *stats;        /* from its first run on */

	struct bits code_on; /* numbers of the nodes that have its packages */
	/* node_fail.c */
	struct bits avoid;       /* nodes where its last start has failed */
	uint64_t avoid_until_us; /* they get none until then */
	unsigned avoided;        /* times in a row */

	/* pool.c counts these. */
	unsigned running, starting, live; /* invocations in hand; workers on their way; workers that are not ENDING */
	unsigned shared_running, shared_active;
	uint64_t memory_kib, promised_kib; /* what a worker was measured to use; what all are reckoned with */
};

DEFINE_LIST(hungry_list, struct fn, on_hungry)

/* Functions that wait for what others have; queue.c's. */
struct hungry {
	struct hungry_list list; /* a reference each */
	unsigned round;          /* number of the last */
	bool serving;
};

/* Both: borrowed; NULL: no such function. version: "$LATEST" or a number. qualifier: n == 0 ($LATEST), a version or an
 * alias, of whose two versions one is drawn. */
struct fn *fn_get(struct gate *g, struct str name, struct str version);
struct fn *fn_find(struct gate *g, struct str name, struct str qualifier);
void fn_set_provisioned(struct fn *fn, unsigned n);
/* The configuration of its URL, or of an alias's: borrowed until functions_changed; NULL: it has none. */
const struct url_conf *fn_url(struct fn *fn, struct str qualifier);
struct fn *fn_ref(struct fn *fn);
void fn_unref(struct fn *fn);
void fns_each(struct gate *g, void (*each)(void *arg, struct fn *fn),
	      void *arg); /* each holds a reference in its call */

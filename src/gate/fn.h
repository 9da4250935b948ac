/* A deployed function as the gate works with it: its definition, its queue and its workers. functions.c owns it. */
#pragma once

#include "gate/functions.h"
#include "gate/worker.h"

struct fn {
	struct gate *g;
	unsigned refs; /* the table, invocations, workers */
	bool stale;    /* the definition was changed or deleted: no new work for its workers */
	struct function def;
	struct arena arena; /* of def */
	json_t *doc;        /* of def; the node is told this */
	struct invocation_list queue;
	struct worker_list workers[WORKER_STATES];
	uint64_t run_us, start_us; /* moving averages of a run, and of START sent to READY; 0: not known yet */
	bool patient;              /* queue_timer is set to ask again whether to start more workers */
	struct timer *queue_timer; /* the head of the queue has waited too long */
};

struct fn *fn_get(struct gate *g, struct str name); /* NULL: no such function. Borrowed */
struct fn *fn_ref(struct fn *fn);
void fn_unref(struct fn *fn);

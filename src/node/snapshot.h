/* SnapStart: for a published version, a worker that has initialised and then, instead of running invocations, forks
 * workers of itself. Loop thread. */
#pragma once

#include "node/worker.h"

struct snapshot_order {
	struct zygote *from;                   /* a zygote of the runtime */
	const struct plan_order *plan;         /* as for a worker; kind and fds are set here */
	struct code_package *package, *layers; /* references are taken while it lives; layers may be NULL */
	int output;                            /* what it prints while it initialises goes there; the caller's */
	/* Once, before the first fork is answered: where its requests to Wick's API come in. fd is the receiver's. */
	void (*door)(void *arg, int fd);
	void *arg;
};

struct snapshots *snapshots_new(struct loop *l, struct groups *groups, const struct node_conf *conf);
struct snapshots *snapshots_free(struct snapshots *ss); /* when no worker is left */

struct snapshot;
/* The snapshot of this version, started when there is none; perhaps not ready yet, then forks wait for it. NULL: err.
 */
struct snapshot *snapshot_get(struct snapshots *ss, const struct snapshot_order *o, struct err *err);
/* exited: of a worker that was forked (its parent is the snapshot). After an error, snapshot_error says what became of
 * the snapshot's initialisation, where that is why. */
void snapshot_fork(struct snapshot *s, const uint8_t id[static 16], struct str plan, const int *fds, size_t n_fds,
		   zygote_forked *forked, void (*exited)(void *arg, const struct child_exit *ex), void *arg);
/* The worker is gone for whoever asked; nothing is said of it any more. */
void snapshot_forget(struct snapshot *s, const uint8_t id[static 16]);
bool snapshot_error(const struct snapshot *s, const char **type, const char **message);

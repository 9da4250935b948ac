/* Boxed processes of a runtime that takes long to start (Node.js), waiting for a function. Loop thread. */
#pragma once

#include "node/groups.h"
#include "node/plan.h"
#include "node/zygotes.h"

struct pooled;

/* One that was taken: everything is the taker's. */
struct pooled_box {
	struct zygote *control; /* a FORK sent to it makes it a worker */
	struct child *child;
	struct cgroup *group;
	int pid, output; /* the pipe's end to read from */
};

struct pooled_site {
	struct loop *loop;
	const struct node_conf *conf;
	const struct plan_host *host;
	struct groups *groups;
	struct zygotes *zygotes;
	const char *code_folder;
};

struct pooled *pooled_new(const struct pooled_site *site);
struct pooled *pooled_free(struct pooled *p);
/* One that is ready, or false. New ones are started in its place, and those that nobody takes end with the zygotes'
 * idle time. exited: as child_start's, from now on. */
bool pooled_take(struct pooled *p, struct pooled_box *ret, const struct zygote_events *ev,
		 void (*exited)(void *arg, const struct child_exit *ex), void *arg);

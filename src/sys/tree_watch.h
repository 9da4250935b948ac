/* Changes below a folder, told in batches: a save of an editor is several events, a checkout of a branch thousands. */
#pragma once

#include "base/err.h"
#include "sys/loop.h"

struct tree_watch_conf {
	const char *path;           /* a folder with all below it, or one file */
	const char *const *ignored; /* names that do not count, and are not looked into: ".git", "*.pyc". NULL-ended */
	const char *const *slow;    /* names of folders in which changes may come for long: "node_modules" */
	uint64_t quiet_ms;          /* told when nothing changed for this long */
	uint64_t slow_ms;           /* the same after a change in one of the slow ones */
	/* paths: what changed since last time, each once and at most so many as TREE_WATCH_PATHS; n may be more than
	 * that. They are gone when it returns. */
	void (*changed)(void *arg, const char *const *paths, size_t n);
	void *arg;
};

#define TREE_WATCH_PATHS 64

struct tree_watch;
struct tree_watch *tree_watch_new(struct loop *l, const struct tree_watch_conf *conf, struct err *err);
struct tree_watch *tree_watch_free(struct tree_watch *w); /* NULL allowed; returns NULL */

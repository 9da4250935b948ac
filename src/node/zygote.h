/* One zygote as the node sees it: its process, its control socket and the forks it has been asked for. Loop thread. */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "sys/child.h"
#include "sys/loop.h"

struct zygote;

/* pid and pidfd (the receiver's; -1: the worker is not a child of this process) or error. Called once, never from
 * within zygote_fork. */
typedef void zygote_forked(void *arg, int pid, int pidfd, const char *error);

struct zygote_events {
	void (*loaded)(void *arg, struct zygote *z, struct str names);
	/* Of a worker whose parent is the zygote itself. */
	void (*exited)(void *arg, const uint8_t id[static 16], const struct child_exit *ex);
	/* Its process or its socket is gone; all forks have been answered. It is to be freed, here or later. */
	void (*ended)(void *arg, struct zygote *z, const char *why);
};

struct zygote_spec {
	const char *path;    /* of the program */
	const char *imports; /* names with commas between; NULL or "": none */
	uint32_t uid;        /* the user it becomes; 0: stays who it is */
};

struct zygote *zygote_start(struct loop *l, const struct zygote_spec *spec, const struct zygote_events *ev, void *arg,
			    struct err *err);
/* A worker that forks others of itself (SnapStart), or one that waits for its code: only the socket is the node's here
 * (taken over), the process is somebody else's. */
struct zygote *zygote_attach(struct loop *l, int control, const struct zygote_events *ev, void *arg);
/* From now on its events are somebody else's. */
void zygote_handler(struct zygote *z, const struct zygote_events *ev, void *arg);
struct zygote *zygote_free(struct zygote *z); /* what waits is answered with an error */

/* plan is copied, fds are duplicated. */
void zygote_fork(struct zygote *z, const uint8_t id[static 16], struct str plan, const int *fds, size_t n_fds,
		 zygote_forked *forked, void *arg);
/* Whoever asked for this fork is not interested any more and is not called; what comes of it is ended. */
void zygote_forget(struct zygote *z, const uint8_t id[static 16]);
bool zygote_is_busy(const struct zygote *z); /* forks are not answered yet */
bool zygote_is_loaded(const struct zygote *z);
int zygote_pid(const struct zygote *z); /* -1: attached */

/* The life of a zygote: loads, then forks boxed workers when told (wire/zygote.h has the protocol). */
#pragma once

#include "box/box.h"

/* A worker in its box: stdin is /dev/null, stdout and stderr are the output pipe, environ is the plan's, the cwd too,
 * every other descriptor but the lane and those the plan brought is closed. */
struct zygote_worker {
	const struct boxplan *plan;
	int lane; /* the worker's end */
	const int *fds;
	size_t n_fds; /* all that came with the plan, CGROUP's and WAIT's closed (-1) */
	uint8_t id[16];
};

struct zygote_runtime {
	const char *program;                                        /* "wick-python": in messages */
	int (*load)(void *arg, struct str import, struct err *err); /* once, as the unprivileged user. May be NULL */
	const char *(*loaded)(void *arg);                           /* text of LOADED. May be NULL */
	void (*before)(void *arg); /* around the clone: as pthread_atfork's. May be NULL */
	void (*in_parent)(void *arg);
	void (*in_child)(void *arg);
	void (*run)(void *arg, const struct zygote_worker *w); /* boxed, BOXED is sent (but for a plan of
						       BOX_PROFILE_POOL, which has no lane); its return is exit(0) */
};

/* argv as node gives it. Returns the exit status of the program. */
int zygote_main(int argc, char **argv, const struct zygote_runtime *rt, void *arg);
/* Serves FORK messages on a control socket; for SnapStart called in a worker, whose children are its own and are
 * reported by EXITED. Returns when the socket is closed. */
int zygote_serve(int control, bool own_children, const struct zygote_runtime *rt, void *arg);
/* Frame BOXED with res's listening socket, which is closed here. For who enters a box by a second plan of its own. */
void zygote_send_boxed(int lane, const struct box_result *res);

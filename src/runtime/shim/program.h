/* The function's program: bootstrap, a web server, a native executable. Started by the shim, which is pid 1 of the box,
 * and watched by it, with whatever orphans fall to pid 1. */
#pragma once

#include "base/err.h"
#include "runtime/shim/poller.h"

#include <sys/types.h>

struct program {
	pid_t pid; /* 0: none */
	int statm; /* /proc/PID/statm, or -1 */
	uint64_t max_rss_kib;
	struct watch signals;
	struct poller *poller;
	void (*exited)(void *arg, int status); /* as of waitpid */
	void (*told_to_end)(void *arg);        /* SIGTERM came; it was passed on. May be NULL */
	void *arg;
};

/* Before anything is started: from here on children are reaped. -errno. */
int program_watch(struct program *p, struct poller *poller, void (*exited)(void *arg, int status), void *arg);
/* Starts path with the environment of this process. keep: descriptors it gets, from PROGRAM_GIVEN_FD on. -1: err says
 * what is wrong with the file. */
#define PROGRAM_GIVEN_FD 3
int program_start(struct program *p, const char *path, char *const argv[], const int *keep, size_t n_keep,
		  struct err *err);
/* A child that was forked, not started. */
void program_adopt(struct program *p, pid_t pid);
void program_unblock_signals(void);              /* in a forked child: as exec'd ones begin */
uint64_t program_max_rss_kib(struct program *p); /* the most that was seen, looking now */

/* "exit status 1", "signal: segmentation fault". */
void program_exit_text(int status, char out[static 64]);
/* Why path could not be executed (error of execve), for the person who packaged it. Returns -1. */
int program_explain(const char *path, int error, struct err *err);

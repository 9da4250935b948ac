/* Child processes: started with posix_spawn-like plain data, ended and reaped through a pidfd on the loop. */
#pragma once

#include "base/err.h"
#include "sys/loop.h"

struct child_fd {
	int from; /* fd of the parent */
	int to;   /* its number in the child; every other fd is closed there */
};

struct child_spec {
	const char *path;
	char *const *argv;
	char *const *envp;          /* NULL: the parent's */
	const char *cwd;            /* NULL: the parent's */
	const struct child_fd *fds; /* 0, 1, 2 too where wanted; those not named are /dev/null */
	size_t n_fds;
	int oom_score_adj;    /* 0: as the parent */
	bool new_session;     /* setsid: the child leads a process group of its own, child_kill reaches all of it;
			       what is left of the group when the child exits is killed */
	bool die_with_parent; /* PR_SET_PDEATHSIG SIGKILL */
	bool batch;           /* SCHED_BATCH: when it is woken it does not push aside who woke it */
};

struct child_exit {
	int status;      /* as of waitpid */
	uint64_t cpu_us; /* user + system time */
	uint64_t max_rss_kib;
};

struct child;
/* exited is called once, on the loop; the child may be freed in it. */
struct child *child_start(struct loop *l, const struct child_spec *spec,
			  void (*exited)(void *arg, const struct child_exit *ex), void *arg, struct err *err);
/* A child of this process that somebody else made for it (CLONE_PARENT). pidfd is taken over. The leader of a pid
 * namespace takes everything in it along when it ends, so there is no group. */
struct child *child_adopt(struct loop *l, int pid, int pidfd, void (*exited)(void *arg, const struct child_exit *ex),
			  void *arg, struct err *err);
/* Whom its end is told from now on. */
void child_handler(struct child *c, void (*exited)(void *arg, const struct child_exit *ex), void *arg);
struct child *child_free(struct child *c); /* kills (SIGKILL) and reaps one that still runs */
int child_pid(const struct child *c);
void child_kill(struct child *c, int signo); /* no-op once it has exited */

/* A process that is nobody's child here, known by its pidfd. */
int pidfd_kill(int pidfd, int signo); /* -errno */
int pidfd_pid(int pidfd);             /* its number in our pid namespace; -1: it is gone */

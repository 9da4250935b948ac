/* Child processes. A child is started by clone with CLONE_VFORK and CLONE_VM: cost does not grow with the
 * parent's memory, and an error of the set-up is written straight into the parent's struct. The child side
 * (everything named in_child_*) therefore calls nothing but system calls and allocates nothing. The end is seen
 * through a pidfd on the loop; there is no SIGCHLD handler, and pids of others are never waited for.
 *
 * A struct child owns its pidfd and the zombie; its creator owns the struct child. When the leader of a session
 * of its own exits, what is left of its process group is killed, so that a function leaves nothing behind. */
#include "sys/child.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK_BYTES ((size_t)65536)

struct child {
	int pid, pidfd;
	bool group, exited;
	struct watch *watch;
	void (*done)(void *arg, const struct child_exit *ex);
	void *arg;
};

/* What parent and child share while the child sets itself up. */
struct start {
	const struct child_spec *spec;
	char *const *envp;
	int *moved;         /* the fds to pass, above every target number */
	int *targets;       /* target numbers, ascending, for closing the gaps */
	int base;           /* first number above every target */
	int parent;         /* pid */
	char oom[16];       /* text for oom_score_adj, "" for none */
	const char *failed; /* step */
	int error;
};

static int in_child_fds(struct start *s)
{
	const struct child_spec *spec = s->spec;
	int next = 3;

	s->failed = "pass file descriptors";
	/* First out of the way of all targets, so that one move cannot overwrite the source of another. */
	for (size_t i = 0; i < spec->n_fds; i++) {
		s->moved[i] = fcntl(spec->fds[i].from, F_DUPFD_CLOEXEC, s->base);
		if (s->moved[i] < 0)
			return -1;
	}
	for (int i = 0; i < 3; i++) {
		int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

		if (fd < 0)
			return -1;
		if (fd != i && dup2(fd, i) < 0)
			return -1;
		if (fd == i && fcntl(fd, F_SETFD, 0) < 0)
			return -1;
		if (fd > 2)
			close(fd);
	}
	for (size_t i = 0; i < spec->n_fds; i++)
		if (dup2(s->moved[i], spec->fds[i].to) < 0)
			return -1;
	s->failed = "close file descriptors";
	for (size_t i = 0; i < spec->n_fds; i++) {
		if (s->targets[i] > next && close_range((unsigned)next, (unsigned)s->targets[i] - 1, 0) < 0)
			return -1;
		next = MAX(next, s->targets[i] + 1);
	}
	return close_range((unsigned)next, UINT_MAX, 0);
}

static int in_child_signals(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL); /* fails for KILL, STOP and libc's own, which need none */
	sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL);
}

static int in_child_oom(struct start *s)
{
	int fd, r;

	if (!s->oom[0])
		return 0;
	s->failed = "set oom_score_adj";
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	r = write(fd, s->oom, strlen(s->oom)) < 0 ? -1 : 0;
	close(fd);
	return r;
}

static int in_child_setup(struct start *s)
{
	const struct child_spec *spec = s->spec;

	s->failed = "reset signals";
	if (in_child_signals() < 0)
		return -1;
	if (spec->die_with_parent) {
		s->failed = "die with parent";
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
			return -1;
		if (getppid() != s->parent)
			_exit(127);
	}
	s->failed = "make a session";
	if (spec->new_session && setsid() < 0)
		return -1;
	if (in_child_oom(s) < 0)
		return -1;
	s->failed = "set the scheduling class";
	if (spec->batch && sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0}) < 0)
		return -1;
	s->failed = "change folder";
	if (spec->cwd && chdir(spec->cwd) < 0)
		return -1;
	return in_child_fds(s);
}

static int in_child(void *arg)
{
	struct start *s = arg;

	if (in_child_setup(s) == 0) {
		s->failed = "run";
		execve(s->spec->path, s->spec->argv, s->envp);
	}
	s->error = errno;
	_exit(127);
}

static int cmp_int(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

/* Returns the pid, with *pidfd; or -1 with s->failed and s->error. */
static int spawn(struct start *s, int *pidfd)
{
	sigset_t all, old;
	void *stack;
	int pid;

	s->failed = "start";
	stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED) {
		s->error = errno;
		return -1;
	}
	/* No handler of ours may run in the child while it shares our memory. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = clone(in_child, (char *)stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, s, pidfd);
	if (pid < 0)
		s->error = errno;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	munmap(stack, STACK_BYTES);
	if (pid > 0 && s->error) {
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		close(*pidfd);
		return -1;
	}
	return pid;
}

static void reap(struct child *c, struct child_exit *ex)
{
	struct rusage ru = {0};
	int status = 0;

	/* Still a zombie, so its number, which is that of its group, cannot be anybody else's. */
	if (c->group)
		kill(-c->pid, SIGKILL);
	while (wait4(c->pid, &status, 0, &ru) < 0 && errno == EINTR)
		;
	c->exited = true;
	*ex = (struct child_exit){
		.status = status,
		.cpu_us = (uint64_t)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000000 +
			  (uint64_t)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec),
		.max_rss_kib = (uint64_t)ru.ru_maxrss,
	};
}

static void close_pidfd(struct child *c)
{
	c->watch = watch_free(c->watch);
	close(c->pidfd);
	c->pidfd = -1;
}

static void on_pidfd(void *arg, int events)
{
	struct child *c = arg;
	struct child_exit ex;

	reap(c, &ex);
	close_pidfd(c);
	c->done(c->arg, &ex);
}

static struct child *child_new(struct loop *l, int pid, int pidfd, bool group,
			       void (*exited)(void *arg, const struct child_exit *ex), void *arg, struct err *err)
{
	struct child *c = xnew(struct child);

	*c = (struct child){.pid = pid, .pidfd = pidfd, .group = group, .done = exited, .arg = arg};
	c->watch = watch_new(l, pidfd, WATCH_READ, on_pidfd, c);
	if (c->watch)
		return c;
	err_set(err, errno, "watch process %d", pid);
	return child_free(c);
}

struct child *child_adopt(struct loop *l, int pid, int pidfd, void (*exited)(void *arg, const struct child_exit *ex),
			  void *arg, struct err *err)
{
	return child_new(l, pid, pidfd, false, exited, arg, err);
}

struct child *child_start(struct loop *l, const struct child_spec *spec,
			  void (*exited)(void *arg, const struct child_exit *ex), void *arg, struct err *err)
{
	struct start s = {.spec = spec, .envp = spec->envp ? spec->envp : environ, .base = 3, .parent = (int)getpid()};
	_cleanup_(freep) int *moved = xnew_n(int, spec->n_fds + 1);
	_cleanup_(freep) int *targets = xnew_n(int, spec->n_fds + 1);
	int pid, pidfd = -1;
	struct child *c;

	for (size_t i = 0; i < spec->n_fds; i++) {
		targets[i] = spec->fds[i].to;
		s.base = MAX(s.base, targets[i] + 1);
	}
	qsort(targets, spec->n_fds, sizeof(*targets), cmp_int);
	s.moved = moved;
	s.targets = targets;
	if (spec->oom_score_adj)
		snprintf(s.oom, sizeof(s.oom), "%d", spec->oom_score_adj);
	pid = spawn(&s, &pidfd);
	if (pid < 0) {
		err_set(err, s.error, "start %s: %s", spec->path, s.failed);
		return NULL;
	}
	c = child_new(l, pid, pidfd, spec->new_session, exited, arg, err);
	if (!c)
		err_wrap(err, "start %s", spec->path);
	return c;
}

void child_handler(struct child *c, void (*exited)(void *arg, const struct child_exit *ex), void *arg)
{
	c->done = exited;
	c->arg = arg;
}

struct child *child_free(struct child *c)
{
	struct child_exit ex;

	if (!c)
		return NULL;
	if (!c->exited) {
		child_kill(c, SIGKILL);
		reap(c, &ex);
		close_pidfd(c);
	}
	free(c);
	return NULL;
}

int child_pid(const struct child *c)
{
	return c->pid;
}

void child_kill(struct child *c, int signo)
{
	if (!c->exited)
		kill(c->group ? -c->pid : c->pid, signo);
}

int pidfd_kill(int pidfd, int signo)
{
	return syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0) < 0 ? -errno : 0;
}

int pidfd_pid(int pidfd)
{
	char path[64], line[128];
	int pid = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Pid: %d", &pid) == 1)
			break;
	if (f)
		fclose(f);
	return pid;
}

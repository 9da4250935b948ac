/* Starting, watching and explaining programs. A program inherits nothing but stdin, stdout, stderr and what it is
 * given; signals are as at the start of any process. Errors of exec are told by what is wrong with the file: execve's
 * own number says ENOENT when it is the interpreter that is missing. */
#include "runtime/shim/program.h"

#include "wire/execfile.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Where descriptors wait that are given to a program: out of the way of the numbers they get. */
#define GIVEN_FROM 200

static void reap(struct program *p)
{
	int status, ended = 0;
	bool over = false;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != p->pid)
			continue;
		over = true;
		ended = status;
	}
	if (over) {
		p->pid = 0;
		p->exited(p->arg, ended);
	}
}

static void signal_ready(struct watch *w, uint32_t events)
{
	struct program *p = container_of(w, struct program, signals);
	struct signalfd_siginfo si;

	while (read(w->fd, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo != SIGTERM)
			continue;
		if (p->pid > 0)
			kill(p->pid, SIGTERM);
		if (p->told_to_end)
			p->told_to_end(p->arg);
	}
	reap(p);
}

int program_watch(struct program *p, struct poller *poller, void (*exited)(void *arg, int status), void *arg)
{
	sigset_t set;

	*p = (struct program){.statm = -1, .exited = exited, .arg = arg, .poller = poller};
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	p->signals = (struct watch){.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), .ready = signal_ready};
	if (p->signals.fd < 0)
		return -errno;
	return poller_watch(poller, &p->signals, EPOLLIN);
}

void program_unblock_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

void program_adopt(struct program *p, pid_t pid)
{
	char path[64];

	p->pid = pid;
	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	p->statm = open(path, O_RDONLY | O_CLOEXEC);
}

int program_start(struct program *p, const char *path, char *const argv[], const int *keep, size_t n_keep,
		  struct err *err)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	pid_t pid;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	for (size_t i = 0; i < n_keep; i++)
		posix_spawn_file_actions_adddup2(&files, keep[i], GIVEN_FROM + (int)i);
	for (size_t i = 0; i < n_keep; i++) {
		posix_spawn_file_actions_adddup2(&files, GIVEN_FROM + (int)i, PROGRAM_GIVEN_FD + (int)i);
		posix_spawn_file_actions_addclose(&files, GIVEN_FROM + (int)i);
	}
	r = posix_spawn(&pid, path, &files, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	if (r)
		return program_explain(path, r, err);
	program_adopt(p, pid);
	return 0;
}

uint64_t program_max_rss_kib(struct program *p)
{
	unsigned long pages;
	char text[128];
	ssize_t n = p->statm < 0 ? -1 : pread(p->statm, text, sizeof(text) - 1, 0);

	if (n > 0) {
		text[n] = '\0';
		if (sscanf(text, "%*u %lu", &pages) == 1)
			p->max_rss_kib = MAX(p->max_rss_kib, pages * (uint64_t)sysconf(_SC_PAGESIZE) / 1024);
	}
	return p->max_rss_kib;
}

void program_exit_text(int status, char out[static 64])
{
	if (WIFSIGNALED(status)) {
		const char *d = sigdescr_np(WTERMSIG(status));

		snprintf(out, 64, "signal: %s", d ? d : "unknown");
		for (char *c = out; *c; c++)
			*c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
	} else {
		snprintf(out, 64, "exit status %d", WEXITSTATUS(status));
	}
}

static int explain_content(const char *path, int error, const struct execfile *x, struct err *err)
{
	const char *name = execfile_machine_name(x->machine);

	if (x->kind == EXECFILE_ELF && !x->ours)
		return err_set(err, 0, "%s is built for %s, this machine is %s", path,
			       name ? name : "another architecture", execfile_machine_here());
	if ((error == ENOENT || error == EACCES) && x->interpreter.n)
		return err_set(err, 0, "%s needs the interpreter %.*s, which %s", path, STR_ARG(x->interpreter),
			       error == ENOENT ? "is not there" : "cannot be executed");
	if (error == ENOEXEC && x->kind == EXECFILE_OTHER)
		return err_set(err, 0, "%s is neither a program for this machine nor a script that begins with #!",
			       path);
	return err_set(err, error, "%s cannot be executed", path);
}

int program_explain(const char *path, int error, struct err *err)
{
	char head[EXECFILE_HEAD];
	struct execfile x;
	struct stat st;
	ssize_t n;
	int fd;

	if (stat(path, &st) < 0)
		return err_set(err, errno, "%s cannot be executed", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, 0, "%s is %s, not a program", path,
			       S_ISDIR(st.st_mode) ? "a folder" : "a special file");
	if (access(path, X_OK) < 0)
		return err_set(err, 0, "%s is not executable: chmod +x it before packaging", path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, head, sizeof(head));
	if (fd >= 0)
		close(fd);
	if (n < 0)
		return err_set(err, error, "%s cannot be executed", path);
	execfile_look(&x, str_n(head, (size_t)n));
	return explain_content(path, error, &x, err);
}

/* A zygote's process and the talk with it (wire/zygote.h). Forks are sent in order as the socket takes them, and
 * answered in order; what a zygote has not answered when it ends is answered by an error, so that no start is lost.
 *
 * The zygote owns its child, its end of the socket and the duplicates of descriptors that wait to be sent. What may
 * fail: the program does not start, ends, or says what it may not; each ends the zygote with a reason. */
#include "node/zygote.h"

#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"
#include "sys/fdpass.h"
#include "sys/file.h"
#include "sys/log.h"
#include "wire/zygote.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define OOM_ADJ    1000      /* inherited by the workers: the kernel ends them before anything of Wick's */
#define SOCKET_MAX (4 << 20) /* room for a few hundred plans */

struct fork {
	struct list_link on_list;
	uint8_t id[16];
	struct buf packet;
	int fds[FDPASS_MAX];
	size_t n_fds;
	zygote_forked *forked;
	void *arg;
};

DEFINE_LIST(fork_list, struct fork, on_list)

struct zygote {
	struct loop *loop;
	const struct zygote_events *events;
	void *arg;
	struct child *child;
	int sock;
	struct watch *watch;
	struct timer *soon; /* to end outside of the caller's call */
	struct fork_list unsent, asked;
	char *program;
	char *why;
	bool loaded, over;
};

static void fork_free(struct fork *f)
{
	for (size_t i = 0; i < f->n_fds; i++)
		close(f->fds[i]);
	buf_done(&f->packet);
	free(f);
}

static void nobody(void *arg, const struct child_exit *ex)
{
}

static void answer(struct zygote *z, struct fork *f, int pid, int pidfd, const char *error)
{
	_cleanup_(err_done) struct err err = ERR_NULL;

	if (f->forked)
		f->forked(f->arg, pid, pidfd, error);
	else if (pidfd >= 0)
		child_free(child_adopt(z->loop, pid, pidfd, nobody, NULL, &err)); /* kills and reaps */
	fork_free(f);
}

static void answer_all(struct zygote *z, const char *error)
{
	struct fork *f;

	while ((f = fork_list_pop(&z->asked)) || (f = fork_list_pop(&z->unsent)))
		answer(z, f, -1, -1, error);
}

/* Tells its owner, who may free it. */
static void end(void *arg)
{
	struct zygote *z = arg;

	answer_all(z, z->why);
	z->events->ended(z->arg, z, z->why);
}

static void fail(struct zygote *z, char *why /* taken */)
{
	if (z->over) {
		free(why);
		return;
	}
	z->over = true;
	z->why = why;
	z->watch = watch_free(z->watch);
	timer_set(z->soon, 0);
}

static void send_some(struct zygote *z)
{
	struct fork *f;

	while ((f = fork_list_first(&z->unsent))) {
		ssize_t n = fd_send(z->sock, f->packet.p, f->packet.n, f->fds, f->n_fds);

		if (n == -EAGAIN || n == -ENOBUFS)
			break;
		if (n < 0) {
			fail(z, xasprintf("%s does not listen any more: %s", z->program, strerror((int)-n)));
			return;
		}
		fork_list_remove(&z->unsent, f);
		for (size_t i = 0; i < f->n_fds; i++)
			close(f->fds[i]);
		f->n_fds = 0;
		buf_done(&f->packet);
		fork_list_push(&z->asked, f);
	}
	if (z->watch)
		watch_set(z->watch, WATCH_READ | (f ? WATCH_WRITE : 0));
}

static struct fork *find(const struct fork_list *l, const uint8_t id[static 16])
{
	struct fork *f = fork_list_first(l);

	while (f && memcmp(f->id, id, sizeof(f->id)) != 0)
		f = fork_list_next(f);
	return f;
}

static void on_forked(struct zygote *z, const struct zygote_packet *p, int *pidfd)
{
	struct fork *f = find(&z->asked, p->id);

	if (!f) {
		log_warn("%s forked a worker nobody asked for", z->program);
		return;
	}
	fork_list_remove(&z->asked, f);
	if (p->type == ZYGOTE_FAILED) {
		char *text = str_dup(p->text);

		answer(z, f, -1, -1, text);
		free(text);
	} else {
		answer(z, f, p->pid, steal_fd(pidfd), NULL);
	}
}

static void on_packet(struct zygote *z, const struct zygote_packet *p, int *fd)
{
	const struct child_exit ex = {.status = p->status, .cpu_us = p->cpu_us};

	switch (p->type) {
	case ZYGOTE_LOADED:
		z->loaded = true;
		z->events->loaded(z->arg, z, p->text);
		break;
	case ZYGOTE_FORKED:
	case ZYGOTE_FAILED:
		on_forked(z, p, fd);
		break;
	case ZYGOTE_EXITED:
		z->events->exited(z->arg, p->id, &ex);
		break;
	case ZYGOTE_FORK:
		log_warn("%s sent what is the node's to send", z->program);
	}
}

/* One packet. False: no more, or the zygote is over. */
static bool receive(struct zygote *z)
{
	char bytes[4096 + ZYGOTE_TEXT_MAX / 4];
	int fds[FDPASS_MAX];
	struct zygote_packet p;
	size_t n_fds;
	ssize_t n = fd_recv(z->sock, bytes, sizeof(bytes), fds, &n_fds);

	if (n == -EAGAIN)
		return false;
	if (n <= 0) {
		if (!z->child)
			fail(z, xasprintf("%s is gone", z->program));
		z->watch = watch_free(z->watch); /* how it ended is told by its exit */
		return false;
	}
	if (!zygote_decode(&p, str_n(bytes, (size_t)n)))
		fail(z, xasprintf("%s does not speak the protocol", z->program));
	else
		on_packet(z, &p, n_fds ? &fds[0] : &(int){-1});
	for (size_t i = 0; i < n_fds; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return !z->over;
}

static void on_socket(void *arg, int events)
{
	struct zygote *z = arg;

	if (events & (WATCH_READ | WATCH_HANGUP))
		while (receive(z))
			;
	if (!z->over && z->watch && (events & WATCH_WRITE))
		send_some(z);
}

static void on_exit_of(void *arg, const struct child_exit *ex)
{
	struct zygote *z = arg;

	while (!z->over && receive(z))
		;
	z->child = child_free(z->child);
	fail(z, WIFSIGNALED(ex->status) ? xasprintf("%s was ended by signal %d", z->program, WTERMSIG(ex->status))
					: xasprintf("%s ended with status %d", z->program, WEXITSTATUS(ex->status)));
}

static struct zygote *zygote_new(struct loop *l, int sock, const struct zygote_events *ev, void *arg)
{
	struct zygote *z = xnew(struct zygote);
	int size = SOCKET_MAX;

	*z = (struct zygote){.loop = l, .events = ev, .arg = arg, .sock = sock};
	if (setsockopt(sock, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	fd_set_nonblock(sock);
	z->soon = timer_new(l, end, z);
	z->watch = watch_new(l, sock, WATCH_READ, on_socket, z);
	return z;
}

static struct child *start_program(struct zygote *z, const struct zygote_spec *spec, int theirs, struct err *err)
{
	char uid[16];
	const char *argv[9];
	size_t n = 0;
	const struct child_fd fds[] = {{2, 1}, {2, 2}, {theirs, ZYGOTE_CONTROL_FD}};
	/* No secrets of the node's environment may be inherited by what functions are forked from. */
	const char *const env[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "TZ=:UTC", NULL};
	const struct child_spec child = {
		.path = spec->path,
		.argv = (char *const *)argv,
		.envp = (char *const *)env,
		.cwd = "/",
		.fds = fds,
		.n_fds = ARRAY_SIZE(fds),
		.oom_score_adj = OOM_ADJ,
		.new_session = true,
		.die_with_parent = true,
	};

	argv[n++] = z->program;
	argv[n++] = "--zygote";
	snprintf(uid, sizeof(uid), "%u", spec->uid);
	if (spec->uid) {
		argv[n++] = "--uid", argv[n++] = uid;
		argv[n++] = "--gid", argv[n++] = uid;
	}
	if (spec->imports && spec->imports[0])
		argv[n++] = "--import", argv[n++] = spec->imports;
	argv[n] = NULL;
	return child_start(z->loop, &child, on_exit_of, z, err);
}

struct zygote *zygote_start(struct loop *l, const struct zygote_spec *spec, const struct zygote_events *ev, void *arg,
			    struct err *err)
{
	struct zygote *z;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		err_set(err, errno, "make a socket for %s", spec->path);
		return NULL;
	}
	z = zygote_new(l, pair[0], ev, arg);
	z->program = xstrdup(strrchr(spec->path, '/') ? strrchr(spec->path, '/') + 1 : spec->path);
	z->child = start_program(z, spec, pair[1], err);
	close(pair[1]);
	return z->child ? z : zygote_free(z);
}

struct zygote *zygote_attach(struct loop *l, int control, const struct zygote_events *ev, void *arg)
{
	struct zygote *z = zygote_new(l, control, ev, arg);

	z->program = xstrdup("the process that forks the function's workers");
	return z;
}

void zygote_handler(struct zygote *z, const struct zygote_events *ev, void *arg)
{
	z->events = ev;
	z->arg = arg;
}

struct zygote *zygote_free(struct zygote *z)
{
	if (!z)
		return NULL;
	z->over = true;
	answer_all(z, "the node is stopping");
	z->watch = watch_free(z->watch);
	z->soon = timer_free(z->soon);
	close(z->sock);
	child_free(z->child);
	free(z->program);
	free(z->why);
	free(z);
	return NULL;
}

void zygote_fork(struct zygote *z, const uint8_t id[static 16], struct str plan, const int *fds, size_t n_fds,
		 zygote_forked *forked, void *arg)
{
	struct fork *f = xnew(struct fork);
	struct zygote_packet p = {.type = ZYGOTE_FORK, .text = plan};

	assert(n_fds <= FDPASS_MAX);
	*f = (struct fork){.forked = forked, .arg = arg};
	memcpy(f->id, id, sizeof(f->id));
	memcpy(p.id, id, sizeof(p.id));
	zygote_encode(&f->packet, &p);
	for (; f->n_fds < n_fds; f->n_fds++) {
		f->fds[f->n_fds] = fcntl(fds[f->n_fds], F_DUPFD_CLOEXEC, 3);
		if (f->fds[f->n_fds] < 0) {
			fail(z, xasprintf("no more file descriptors: %s", strerror(errno)));
			break;
		}
	}
	fork_list_push(&z->unsent, f);
	if (z->over)
		timer_set(z->soon, 0); /* answered from there */
	else
		send_some(z);
}

void zygote_forget(struct zygote *z, const uint8_t id[static 16])
{
	struct fork *f = find(&z->asked, id);

	if (!f)
		f = find(&z->unsent, id);
	if (f)
		f->forked = NULL;
}

bool zygote_is_busy(const struct zygote *z)
{
	return z->unsent.n + z->asked.n > 0;
}

bool zygote_is_loaded(const struct zygote *z)
{
	return z->loaded && !z->over;
}

int zygote_pid(const struct zygote *z)
{
	return z->child ? child_pid(z->child) : -1;
}

/* The node's end of wick-park. Owns that process, the pipes to it, the asks that wait and the list of who is parked;
 * workers are their owners', known here by pid.
 *
 * One ask is under way at a time, under a deadline. What may fail: the program is not there, the machine has no driver
 * that can (that is remembered), the driver refuses, wick-park crashes or hangs. In the last two cases the ask under
 * way is answered with an error, the owners of the parked are told, and the next ask starts a new wick-park. One that
 * is killed while the kernel does not let go of it is kept aside until it is gone; nobody waits for it. */
#include "node/park.h"

#include "base/list.h"
#include "base/mem.h"
#include "sys/child.h"
#include "sys/file.h"
#include "sys/log.h"
#include "wire/park.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM "wick-park"
/* Of the limit, how much a process may take to finish what runs on the device: the copy comes after it. */
#define LOCK_SHARE 4

struct ask {
	struct list_link on_list;
	int pid;
	bool on;
	park_done *done; /* NULL: forgotten while under way */
	void *arg;
};
DEFINE_LIST(ask_list, struct ask, on_list)

struct parked {
	struct list_link on_list;
	int pid;
};
DEFINE_LIST(parked_list, struct parked, on_list)

/* A wick-park that was killed and is not gone yet. */
struct dying {
	struct list_link on_list;
	struct park *p;
	struct child *child;
};
DEFINE_LIST(dying_list, struct dying, on_list)

enum helper_state { HELPER_NONE, HELPER_STARTING, HELPER_IDLE, HELPER_BUSY };

struct park {
	struct loop *l;
	struct park_conf conf;
	char *libexec, *unsupported;
	enum helper_state state;
	struct child *child;
	bool over;    /* child has exited */
	int to, from; /* pipes to its standard input and output; -1 */
	struct watch *watch;
	struct timer *deadline, *soon;
	struct buf line; /* what has come of an answer */
	struct ask *now; /* HELPER_BUSY */
	struct ask_list waiting;
	struct parked_list parked;
	struct dying_list dying;
};

static void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void set_parked(struct park *p, int pid, bool on)
{
	struct parked *w = parked_list_first(&p->parked);

	while (w && w->pid != pid)
		w = parked_list_next(w);
	if (w && !on) {
		parked_list_remove(&p->parked, w);
		free(w);
	} else if (!w && on) {
		w = xnew(struct parked);
		w->pid = pid;
		parked_list_push(&p->parked, w);
	}
}

static void answer(struct ask *a, bool ok, uint64_t us, const char *error)
{
	if (a->done)
		a->done(a->arg, ok, us, error);
	free(a);
}

static void dead(void *arg, const struct child_exit *ex)
{
	struct dying *d = arg;

	dying_list_remove(&d->p->dying, d);
	child_free(d->child);
	free(d);
}

/* The process and what belongs to it; one that is not over is killed and left to be reaped when it is. */
static void drop_helper(struct park *p)
{
	struct dying *d;

	timer_stop(p->deadline);
	p->watch = watch_free(p->watch);
	closep(&p->to);
	closep(&p->from);
	buf_clear(&p->line);
	p->state = HELPER_NONE;
	if (p->child && !p->over) {
		d = xnew(struct dying);
		*d = (struct dying){.p = p, .child = steal(&p->child)};
		child_handler(d->child, dead, d);
		child_kill(d->child, SIGKILL);
		dying_list_push(&p->dying, d);
	}
	p->child = child_free(p->child);
	p->over = false;
}

/* It is gone, or it is to go. Whoever waits for one that did not even start is told, so that a program which cannot
 * start is not started for ever; behind an ask that failed others go on with a new one. */
static void helper_gone(struct park *p, const char *why)
{
	_cleanup_(freep) char *text = xstrdup(why);
	struct ask_list failed = {0};
	struct parked *w;
	struct ask *a;

	if (p->state == HELPER_STARTING)
		while ((a = ask_list_pop(&p->waiting)))
			ask_list_push(&failed, a);
	if (p->now)
		ask_list_push(&failed, steal(&p->now));
	drop_helper(p);
	log_warn("parking: %s", text);
	while ((a = ask_list_pop(&failed)))
		answer(a, false, 0, text);
	while ((w = parked_list_pop(&p->parked))) {
		int pid = w->pid;

		free(w);
		if (p->conf.lost)
			p->conf.lost(p->conf.arg, pid, text);
	}
	timer_set(p->soon, 0);
}

static void no_parking(struct park *p, struct str why)
{
	struct ask *a;

	p->unsupported = str_dup(why);
	log_info("parking: %s", p->unsupported);
	drop_helper(p);
	while ((a = ask_list_pop(&p->waiting)))
		answer(a, false, 0, p->unsupported);
}

static void on_late(void *arg)
{
	struct park *p = arg;
	_cleanup_(freep) char *why = NULL;

	if (p->state == HELPER_STARTING)
		why = xasprintf("the CUDA driver did not start within %llu ms", (unsigned long long)p->conf.limit_ms);
	else
		why = xasprintf("process %d was not %s within %llu ms", p->now->pid, p->now->on ? "parked" : "woken",
				(unsigned long long)p->conf.limit_ms);
	helper_gone(p, why);
}

static void answered(struct park *p, const struct park_answer *said)
{
	struct ask *a = steal(&p->now);
	_cleanup_(freep) char *error = said->said == PARK_ERROR ? str_dup(said->text) : NULL;

	timer_stop(p->deadline);
	p->state = HELPER_IDLE;
	if (!error && a->done)
		set_parked(p, a->pid, a->on);
	answer(a, !error, said->us, error);
	timer_set(p->soon, 0);
}

/* False: wick-park is dropped. */
static bool take_line(struct park *p, struct str line)
{
	struct park_answer a;

	if (!park_answer_parse(&a, line)) {
		helper_gone(p, PROGRAM " says what nobody understands");
		return false;
	}
	if (p->state == HELPER_STARTING && a.said == PARK_UNSUPPORTED) {
		no_parking(p, a.text);
		return false;
	}
	if (p->state == HELPER_STARTING && a.said == PARK_READY) {
		timer_stop(p->deadline);
		p->state = HELPER_IDLE;
		log_info("parking: ready, with a CUDA driver of version %llu.%llu",
			 (unsigned long long)a.version / 1000, (unsigned long long)a.version % 1000 / 10);
		timer_set(p->soon, 0);
		return true;
	}
	if (p->state == HELPER_BUSY && (a.said == PARK_OK || a.said == PARK_ERROR) && a.pid == p->now->pid) {
		answered(p, &a);
		return true;
	}
	helper_gone(p, PROGRAM " says what nobody asked for");
	return false;
}

enum taken { TAKEN_ALL, TAKEN_TO_THE_END, TAKEN_DROPPED /* wick-park is */ };

/* Reads what is there. */
static enum taken take_answers(struct park *p)
{
	char bytes[PARK_LINE_MAX];

	for (;;) {
		ssize_t n = read(p->from, bytes, sizeof(bytes));
		const char *end;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 ? TAKEN_TO_THE_END : TAKEN_ALL;
		buf_add(&p->line, bytes, (size_t)n);
		while (p->line.n && (end = memchr(p->line.p, '\n', p->line.n))) {
			size_t used = (size_t)(end + 1 - p->line.p);
			_cleanup_(freep) char *line = str_dup(str_n(p->line.p, used - 1));

			buf_consume(&p->line, used);
			if (!take_line(p, str_from(line)))
				return TAKEN_DROPPED;
		}
		if (p->line.n >= PARK_LINE_MAX) {
			helper_gone(p, PROGRAM " says what nobody understands");
			return TAKEN_DROPPED;
		}
	}
}

static void readable(void *arg, int events)
{
	struct park *p = arg;

	if (take_answers(p) != TAKEN_TO_THE_END)
		return;
	/* Its end is told by its exit, which also says why. One that only closed its output is of no use. */
	watch_set(p->watch, 0);
	child_kill(p->child, SIGKILL);
}

static void exited(void *arg, const struct child_exit *ex)
{
	struct park *p = arg;
	_cleanup_(freep) char *why = NULL;

	p->over = true;
	/* Its last words may be in the pipe still. */
	if (take_answers(p) == TAKEN_DROPPED)
		return;
	if (WIFSIGNALED(ex->status))
		why = xasprintf("%s was ended by signal %d", PROGRAM, WTERMSIG(ex->status));
	else
		why = xasprintf("%s ended with status %d", PROGRAM, WEXITSTATUS(ex->status));
	helper_gone(p, why);
}

static int start_process(struct park *p, const char *path, struct err *err)
{
	_cleanup_(closep) int in = -1, out = -1;
	char program[] = PROGRAM, flag[] = "--lock-ms", lock[24];
	char *argv[] = {program, flag, lock, NULL};
	int pair[2];

	snprintf(lock, sizeof(lock), "%llu", (unsigned long long)MAX(p->conf.limit_ms / LOCK_SHARE, 1));
	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_set(err, errno, "make a pipe for %s", PROGRAM);
	in = pair[0], p->to = pair[1];
	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_set(err, errno, "make a pipe for %s", PROGRAM);
	p->from = pair[0], out = pair[1];
	fd_set_nonblock(p->to);
	fd_set_nonblock(p->from);
	p->watch = watch_new(p->l, p->from, WATCH_READ, readable, p);
	if (!p->watch)
		return err_set(err, errno, "watch %s", PROGRAM);

	/* Its words on standard error are the node's log. */
	const struct child_fd fds[] = {{in, 0}, {out, 1}, {STDERR_FILENO, 2}};
	const struct child_spec spec = {
		.path = path,
		.argv = argv,
		.fds = fds,
		.n_fds = ARRAY_SIZE(fds),
		.die_with_parent = true,
	};

	p->child = child_start(p->l, &spec, exited, p, err);
	return p->child ? 0 : -1;
}

int park_start(struct park *p, struct err *err)
{
	_cleanup_(freep) char *path = NULL;

	if (p->unsupported)
		return err_set(err, 0, "%s", p->unsupported);
	if (p->state != HELPER_NONE)
		return 0;
	path = file_find_program(p->libexec, PROGRAM);
	if (!path)
		err_set(err, 0, "the program %s is not installed (looked in %s)", PROGRAM, p->libexec);
	if (!path || start_process(p, path, err) < 0) {
		drop_helper(p);
		return -1;
	}
	p->state = HELPER_STARTING;
	timer_set(p->deadline, p->conf.limit_ms);
	return 0;
}

static void send_ask(struct park *p)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	struct park_request q;

	p->now = ask_list_pop(&p->waiting);
	q = (struct park_request){.verb = p->now->on ? PARK_VERB_PARK : PARK_VERB_WAKE, .pid = p->now->pid};
	park_request_format(&b, &q);
	p->state = HELPER_BUSY;
	timer_set(p->deadline, p->conf.limit_ms);
	/* The pipe is empty: a line fits, or nobody reads it any more, and then the exit is told next. */
	if (write(p->to, b.p, b.n) < 0 && errno != EPIPE)
		helper_gone(p, PROGRAM " takes no requests");
}

/* The next ask, if it can be made now. Always from the loop, so that done is never called within park_ask. */
static void pump(void *arg)
{
	struct park *p = arg;
	_cleanup_(err_done) struct err err = ERR_NULL;
	struct ask *a;

	if (!p->waiting.n || p->state == HELPER_STARTING || p->state == HELPER_BUSY)
		return;
	if (p->state == HELPER_IDLE) {
		send_ask(p);
		return;
	}
	if (park_start(p, &err) == 0)
		return;
	/* Those only that wait now: one who asks again in done is for the next turn. */
	for (size_t n = p->waiting.n; n > 0 && (a = ask_list_pop(&p->waiting)); n--)
		answer(a, false, 0, err.msg);
	if (p->waiting.n)
		timer_set(p->soon, 0);
}

void park_ask(struct park *p, int pid, bool on, park_done *done, void *arg)
{
	struct ask *a = xnew(struct ask);

	*a = (struct ask){.pid = pid, .on = on, .done = done, .arg = arg};
	ask_list_push(&p->waiting, a);
	timer_set(p->soon, 0);
}

void park_forget(struct park *p, int pid)
{
	struct ask *a = ask_list_first(&p->waiting), *next;

	for (; a; a = next) {
		next = ask_list_next(a);
		if (a->pid != pid)
			continue;
		ask_list_remove(&p->waiting, a);
		free(a);
	}
	if (p->now && p->now->pid == pid)
		p->now->done = NULL;
	set_parked(p, pid, false);
}

const char *park_unsupported(const struct park *p)
{
	return p->unsupported;
}

struct park *park_new(struct loop *l, const struct park_conf *conf)
{
	struct park *p = xnew(struct park);

	*p = (struct park){.l = l, .conf = *conf, .libexec = xstrdup(conf->libexec), .to = -1, .from = -1};
	p->deadline = timer_new(l, on_late, p);
	p->soon = timer_new(l, pump, p);
	return p;
}

struct park *park_free(struct park *p)
{
	struct parked *w;
	struct dying *d;
	struct ask *a;

	if (!p)
		return NULL;
	drop_helper(p);
	/* Killed all of them; child_free waits for the end of each. */
	while ((d = dying_list_pop(&p->dying))) {
		child_free(d->child);
		free(d);
	}
	while ((a = ask_list_pop(&p->waiting)))
		free(a);
	free(p->now);
	while ((w = parked_list_pop(&p->parked)))
		free(w);
	timer_free(p->deadline);
	timer_free(p->soon);
	buf_done(&p->line);
	free(p->libexec);
	free(p->unsupported);
	free(p);
	return NULL;
}

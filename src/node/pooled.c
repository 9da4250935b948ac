/* A few boxed Node.js processes that have started and wait for code, so that a cold start is not a Node.js start. They
 * are begun when a function of that runtime is first used, replaced as they are taken, and end with the idle time of
 * zygotes. User code is in none of them: what one becomes, it stays.
 *
 * Owns the boxes that wait, with their process, group, pipe and control socket. One that ends by itself is replaced a
 * moment later; where none can be made, workers are started whole. */
#include "node/pooled.h"

#include "base/id.h"
#include "base/list.h"
#include "base/mem.h"
#include "sys/child.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define TICK_MS   1000
#define MEMORY_MB 512 /* until its function is known */

struct waiting {
	struct list_link on_list;
	struct pooled *pool;
	uint8_t id[16];
	struct zygote *asked; /* has not answered yet */
	struct zygote *control;
	struct child *child;
	struct cgroup *group;
	int output;
	bool loaded;
};

DEFINE_LIST(waiting_list, struct waiting, on_list)

struct pooled {
	struct pooled_site site;
	struct waiting_list boxes;
	struct timer *tick;
	uint64_t used_ms;
	bool wanted;
};

static void waiting_free(struct waiting *w)
{
	if (waiting_list_linked(w))
		waiting_list_remove(&w->pool->boxes, w);
	if (w->asked)
		zygote_forget(w->asked, w->id);
	zygote_free(w->control);
	child_free(w->child);
	groups_give(w->pool->site.groups, w->group);
	if (w->output >= 0)
		close(w->output);
	free(w);
}

static void on_loaded(void *arg, struct zygote *z, struct str names)
{
	((struct waiting *)arg)->loaded = true;
}

static void on_exited_child(void *arg, const uint8_t id[static 16], const struct child_exit *ex)
{
}

static void on_ended(void *arg, struct zygote *z, const char *why)
{
	/* Its process is about to end: on_exit. */
}

static const struct zygote_events waiting_events = {.loaded = on_loaded, .exited = on_exited_child, .ended = on_ended};

static void on_exit_of(void *arg, const struct child_exit *ex)
{
	struct waiting *w = arg;

	log_warn("a process that waited for code has ended (status %d)", ex->status);
	waiting_free(w);
}

static void on_forked(void *arg, int pid, int pidfd, const char *error)
{
	struct waiting *w = arg;
	_cleanup_(err_done) struct err err = ERR_NULL;

	w->asked = NULL;
	if (!error)
		w->child = child_adopt(w->pool->site.loop, pid, pidfd, on_exit_of, w, &err);
	if (w->child)
		return;
	log_warn("no process can wait for code: %s", error ? error : err.msg);
	waiting_free(w);
}

static int make_plan(struct pooled *p, unsigned joins, struct buf *bytes, struct err *err)
{
	struct arena a = ARENA_NULL;
	const struct plan_order o = {
		.kind = PLAN_POOL, .host = p->site.host, .code_folder = p->site.code_folder, .joins = joins};
	struct boxplan plan;
	int r = plan_make(&plan, &o, &a, err);

	if (r == 0)
		boxplan_encode(bytes, &plan);
	arena_done(&a);
	return r;
}

static int begin(struct pooled *p, struct zygote *z, struct err *err)
{
	_cleanup_(buf_done) struct buf bytes = BUF_NULL;
	struct waiting *w = xnew(struct waiting);
	int control[2], out[2], fds[2 + CGROUP_JOIN_MAX];
	size_t n = 2;

	*w = (struct waiting){.pool = p, .output = -1};
	random_bytes(w->id, sizeof(w->id));
	w->group = groups_take(p->site.groups, MEMORY_MB);
	if (w->group)
		n += cgroup_join_fds(w->group, fds + 2);
	if (make_plan(p, (unsigned)n - 2, &bytes, err) < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0) {
		waiting_free(w);
		return err_set(err, errno, "make a socket");
	}
	w->control = zygote_attach(p->site.loop, control[0], &waiting_events, w);
	if (pipe2(out, O_CLOEXEC) < 0) {
		close(control[1]);
		waiting_free(w);
		return err_set(err, errno, "make a log pipe");
	}
	w->output = out[0];
	fd_set_nonblock(w->output);
	fds[0] = control[1];
	fds[1] = out[1];
	waiting_list_push(&p->boxes, w);
	w->asked = z;
	zygote_fork(z, w->id, buf_str(&bytes), fds, n, on_forked, w);
	close(control[1]);
	close(out[1]);
	return 0;
}

static void refill(struct pooled *p)
{
	_cleanup_(err_done) struct err err = ERR_NULL;

	while (p->wanted && p->boxes.n < p->site.conf->prestart) {
		struct zygote *z = zygotes_get(p->site.zygotes, RUNTIME_NODEJS, STR(""), &err);

		if (!z || begin(p, z, &err) < 0) {
			log_warn("no process can wait for code: %s", err.msg);
			return;
		}
	}
}

static void on_tick(void *arg)
{
	struct pooled *p = arg;

	if (loop_now_ms(p->site.loop) - p->used_ms >= p->site.conf->zygote_idle_ms) {
		p->wanted = false;
		while (p->boxes.n)
			waiting_free(waiting_list_first(&p->boxes));
		return;
	}
	refill(p);
	timer_set(p->tick, TICK_MS);
}

static void soon(struct pooled *p)
{
	p->wanted = true;
	p->used_ms = loop_now_ms(p->site.loop);
	/* Not in the middle of a start that somebody waits for. */
	timer_set(p->tick, 50);
}

bool pooled_take(struct pooled *p, struct pooled_box *ret, const struct zygote_events *ev,
		 void (*exited)(void *arg, const struct child_exit *ex), void *arg)
{
	struct waiting *w = waiting_list_first(&p->boxes);

	soon(p);
	while (w && !(w->loaded && w->child))
		w = waiting_list_next(w);
	if (!w)
		return false;
	waiting_list_remove(&p->boxes, w);
	zygote_handler(w->control, ev, arg);
	child_handler(w->child, exited, arg);
	*ret = (struct pooled_box){
		.control = w->control,
		.child = w->child,
		.group = w->group,
		.pid = child_pid(w->child),
		.output = w->output,
	};
	free(w);
	return true;
}

struct pooled *pooled_new(const struct pooled_site *site)
{
	struct pooled *p = xnew(struct pooled);

	*p = (struct pooled){.site = *site};
	p->tick = timer_new(site->loop, on_tick, p);
	return p;
}

struct pooled *pooled_free(struct pooled *p)
{
	if (!p)
		return NULL;
	while (p->boxes.n)
		waiting_free(waiting_list_first(&p->boxes));
	timer_free(p->tick);
	free(p);
	return NULL;
}

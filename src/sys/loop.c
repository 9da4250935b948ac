/* The event loop, over libuv. Every handle is one allocation that begins with its libuv handle; *_free closes it
 * and the close callback frees it at the end of the loop turn, so a callback may free its own handle and no
 * event of the same turn reaches freed memory. The loop owns only the hooks; all else belongs to its creator.
 * Making a handle fails only where the kernel refuses the fd (watch_new); want of memory or of an epoll fd stops
 * the process. */
#include "sys/loop.h"

#include "base/list.h"
#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <uv.h>

struct loop_hook {
	struct list_link on_loop;
	struct loop *loop;
	void (*fn)(void *arg);
	void *arg;
	bool dead;
};

DEFINE_LIST(hook_list, struct loop_hook, on_loop)

struct loop {
	uv_loop_t uv;
	uv_prepare_t prepare;
	uv_idle_t soon;    /* active: the loop polls without sleeping */
	uv_check_t polled; /* ends that */
	struct hook_list hooks;
	bool in_hooks, dead_hooks, again, in_timer;
};

/* A hook that keeps asking for another pass gives way to the events after so many. */
#define HOOK_PASSES_MAX 8

static void must(int r)
{
	if (r != 0)
		abort();
}

static void free_handle(uv_handle_t *h)
{
	free(h);
}

static void bury_hooks(struct loop *l)
{
	struct loop_hook *h = hook_list_first(&l->hooks);

	while (h) {
		struct loop_hook *next = hook_list_next(h);

		if (h->dead) {
			hook_list_remove(&l->hooks, h);
			free(h);
		}
		h = next;
	}
	l->dead_hooks = false;
}

static void run_hooks(uv_prepare_t *p)
{
	struct loop *l = p->data;
	unsigned pass = 0;

	l->in_hooks = true;
	do {
		l->again = false;
		for (struct loop_hook *h = hook_list_first(&l->hooks); h; h = hook_list_next(h))
			if (!h->dead)
				h->fn(h->arg);
	} while (l->again && ++pass < HOOK_PASSES_MAX);
	l->in_hooks = false;
	if (l->again)
		loop_soon(l);
	if (l->dead_hooks)
		bury_hooks(l);
}

static void nothing(uv_idle_t *i)
{
}

static void on_polled(uv_check_t *c)
{
	struct loop *l = c->data;

	uv_idle_stop(&l->soon);
}

/* Before any thread: the pool reads it when its first job comes. Most jobs wait for a disk; libuv's four threads would
 * make all wait for a few. */
static void size_pool(void)
{
	setenv("UV_THREADPOOL_SIZE", "16", 0);
}

struct loop *loop_new(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct loop *l = xnew(struct loop);

	must(pthread_once(&once, size_pool));
	must(uv_loop_init(&l->uv));
	must(uv_prepare_init(&l->uv, &l->prepare));
	l->prepare.data = l;
	must(uv_prepare_start(&l->prepare, run_hooks));
	uv_unref((uv_handle_t *)&l->prepare);
	must(uv_idle_init(&l->uv, &l->soon));
	must(uv_check_init(&l->uv, &l->polled));
	l->polled.data = l;
	must(uv_check_start(&l->polled, on_polled));
	uv_unref((uv_handle_t *)&l->polled);
	return l;
}

static void assert_closing(uv_handle_t *h, void *arg)
{
	if (uv_is_closing(h))
		return;
	fprintf(stderr, "loop_free: a %s is still open\n", uv_handle_type_name(h->type));
	abort();
}

struct loop *loop_free(struct loop *l)
{
	if (!l)
		return NULL;
	uv_close((uv_handle_t *)&l->prepare, NULL);
	uv_close((uv_handle_t *)&l->soon, NULL);
	uv_close((uv_handle_t *)&l->polled, NULL);
	uv_walk(&l->uv, assert_closing, NULL);
	uv_run(&l->uv, UV_RUN_DEFAULT);
	must(uv_loop_close(&l->uv));
	assert(l->hooks.n == 0);
	free(l);
	return NULL;
}

void loop_run(struct loop *l)
{
	uv_run(&l->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *l)
{
	uv_stop(&l->uv);
}

uint64_t loop_now_ms(struct loop *l)
{
	return uv_now(&l->uv);
}

void loop_again(struct loop *l)
{
	l->again = true;
}

void loop_soon(struct loop *l)
{
	must(uv_idle_start(&l->soon, nothing));
}

struct loop_hook *loop_hook_new(struct loop *l, void (*fn)(void *arg), void *arg)
{
	struct loop_hook *h = xnew(struct loop_hook);

	h->loop = l;
	h->fn = fn;
	h->arg = arg;
	hook_list_push(&l->hooks, h);
	return h;
}

struct loop_hook *loop_hook_free(struct loop_hook *h)
{
	if (!h)
		return NULL;
	if (h->loop->in_hooks) {
		h->dead = true;
		h->loop->dead_hooks = true;
		return NULL;
	}
	hook_list_remove(&h->loop->hooks, h);
	free(h);
	return NULL;
}

struct timer {
	uv_timer_t uv;
	struct loop *loop;
	void (*fn)(void *arg);
	void *arg;
};

static void timer_fired(uv_timer_t *u)
{
	struct timer *t = container_of(u, struct timer, uv);
	struct loop *l = t->loop;

	l->in_timer = true;
	t->fn(t->arg);
	l->in_timer = false;
}

struct timer *timer_new(struct loop *l, void (*fn)(void *arg), void *arg)
{
	struct timer *t = xnew(struct timer);

	must(uv_timer_init(&l->uv, &t->uv));
	t->loop = l;
	t->fn = fn;
	t->arg = arg;
	return t;
}

struct timer *timer_free(struct timer *t)
{
	if (t)
		uv_close((uv_handle_t *)&t->uv, free_handle);
	return NULL;
}

void timer_set(struct timer *t, uint64_t ms)
{
	/* libuv runs timers until none is due: one set to "now" by a timer would never let the loop poll. */
	if (ms == 0 && t->loop->in_timer)
		ms = 1;
	else if (ms > 0)
		uv_update_time(&t->loop->uv);
	must(uv_timer_start(&t->uv, timer_fired, ms, 0));
}

void timer_repeat(struct timer *t, uint64_t ms)
{
	ms = MAX(ms, (uint64_t)1);
	must(uv_timer_start(&t->uv, timer_fired, ms, ms));
}

void timer_stop(struct timer *t)
{
	uv_timer_stop(&t->uv);
}

void timer_unref(struct timer *t)
{
	uv_unref((uv_handle_t *)&t->uv);
}

struct watch {
	uv_poll_t uv;
	int events;
	void (*fn)(void *arg, int events);
	void *arg;
};

static void watch_fired(uv_poll_t *u, int status, int revents);

static void watch_start(struct watch *w)
{
	int ev = 0;

	if (w->events == 0) {
		uv_poll_stop(&w->uv);
		return;
	}
	if (w->events & WATCH_READ)
		ev |= UV_READABLE;
	if (w->events & WATCH_WRITE)
		ev |= UV_WRITABLE;
	if (w->events & WATCH_HANGUP)
		ev |= UV_DISCONNECT;
	must(uv_poll_start(&w->uv, ev, watch_fired));
}

static void watch_fired(uv_poll_t *u, int status, int revents)
{
	struct watch *w = container_of(u, struct watch, uv);
	int events = 0;

	if (status < 0) {
		/* libuv stops a poll whose fd has an error. The owner learns the error from its next read or
		 * write, so it is told that both are possible, and the watch stays level-triggered. */
		events = w->events;
		watch_start(w);
	} else {
		if (revents & UV_READABLE)
			events |= WATCH_READ;
		if (revents & UV_WRITABLE)
			events |= WATCH_WRITE;
		if (revents & UV_DISCONNECT)
			events |= WATCH_HANGUP;
		events &= w->events;
	}
	if (events)
		w->fn(w->arg, events);
}

struct watch *watch_new(struct loop *l, int fd, int events, void (*fn)(void *arg, int events), void *arg)
{
	struct watch *w = xnew(struct watch);
	int r;

	r = uv_poll_init(&l->uv, &w->uv, fd);
	if (r != 0) {
		free(w);
		errno = -r;
		return NULL;
	}
	w->events = events;
	w->fn = fn;
	w->arg = arg;
	watch_start(w);
	return w;
}

struct watch *watch_free(struct watch *w)
{
	if (w)
		uv_close((uv_handle_t *)&w->uv, free_handle);
	return NULL;
}

void watch_set(struct watch *w, int events)
{
	if (events == w->events)
		return;
	w->events = events;
	watch_start(w);
}

struct wake {
	uv_async_t uv;
	void (*fn)(void *arg);
	void *arg;
};

static void wake_fired(uv_async_t *u)
{
	struct wake *w = container_of(u, struct wake, uv);

	w->fn(w->arg);
}

struct wake *wake_new(struct loop *l, void (*fn)(void *arg), void *arg)
{
	struct wake *w = xnew(struct wake);

	must(uv_async_init(&l->uv, &w->uv, wake_fired));
	w->fn = fn;
	w->arg = arg;
	return w;
}

struct wake *wake_free(struct wake *w)
{
	if (w)
		uv_close((uv_handle_t *)&w->uv, free_handle);
	return NULL;
}

void wake_send(struct wake *w)
{
	uv_async_send(&w->uv);
}

struct work {
	uv_work_t uv;
	void (*run)(void *arg);
	void (*done)(void *arg);
	void *arg;
};

static void work_run(uv_work_t *u)
{
	struct work *w = container_of(u, struct work, uv);

	w->run(w->arg);
}

static void work_done(uv_work_t *u, int status)
{
	struct work *w = container_of(u, struct work, uv);

	w->done(w->arg);
	free(w);
}

void loop_work(struct loop *l, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
	struct work *w = xnew(struct work);

	*w = (struct work){.run = work, .done = done, .arg = arg};
	must(uv_queue_work(&l->uv, &w->uv, work_run, work_done));
}

struct signal_watch {
	uv_signal_t uv;
	void (*fn)(void *arg, int signo);
	void *arg;
};

static void signal_fired(uv_signal_t *u, int signo)
{
	struct signal_watch *s = container_of(u, struct signal_watch, uv);

	s->fn(s->arg, signo);
}

struct signal_watch *signal_watch_new(struct loop *l, int signo, void (*fn)(void *arg, int signo), void *arg)
{
	struct signal_watch *s = xnew(struct signal_watch);

	must(uv_signal_init(&l->uv, &s->uv));
	s->fn = fn;
	s->arg = arg;
	must(uv_signal_start(&s->uv, signal_fired, signo));
	return s;
}

struct signal_watch *signal_watch_free(struct signal_watch *s)
{
	if (s)
		uv_close((uv_handle_t *)&s->uv, free_handle);
	return NULL;
}

/* epoll and a short list of timers. Owners keep their watches; what is closed in the middle of a turn is freed at its
 * end. Running out of descriptors or memory for epoll is the end of the worker: it has no smaller way to go on. */
#include "runtime/shim/poller.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_A_TURN 64

int poller_init(struct poller *p)
{
	*p = (struct poller){.epoll = epoll_create1(EPOLL_CLOEXEC)};
	return p->epoll < 0 ? -errno : 0;
}

uint64_t poller_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

int poller_watch(struct poller *p, struct watch *w, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = w};

	w->events = events;
	return epoll_ctl(p->epoll, EPOLL_CTL_ADD, w->fd, &ev) < 0 ? -errno : 0;
}

void poller_change(struct poller *p, struct watch *w, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = w};
	int op = !events ? EPOLL_CTL_DEL : !w->events ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

	if (w->fd < 0 || w->events == events)
		return;
	w->events = events;
	epoll_ctl(p->epoll, op, w->fd, &ev);
}

void poller_close(struct poller *p, struct watch *w)
{
	if (w->fd < 0)
		return;
	epoll_ctl(p->epoll, EPOLL_CTL_DEL, w->fd, NULL);
	close(w->fd);
	w->fd = -1;
	if (w->free)
		watch_list_push(&p->dying, w);
}

void poller_timer(struct poller *p, struct poll_timer *t, uint64_t after_us)
{
	t->at_us = poller_now_us() + after_us;
	if (!poll_timer_list_linked(t))
		poll_timer_list_push(&p->timers, t);
}

void poller_timer_stop(struct poller *p, struct poll_timer *t)
{
	if (poll_timer_list_linked(t))
		poll_timer_list_remove(&p->timers, t);
	t->at_us = 0;
}

/* Until the next timer: NULL waits for ever. */
static const struct timespec *next_wait(const struct poller *p, struct timespec *ts)
{
	uint64_t now, at = UINT64_MAX;

	for (const struct poll_timer *t = poll_timer_list_first(&p->timers); t; t = poll_timer_list_next(t))
		at = MIN(at, t->at_us);
	if (at == UINT64_MAX)
		return NULL;
	now = poller_now_us();
	at = at > now ? at - now : 0;
	*ts = (struct timespec){.tv_sec = (time_t)(at / 1000000), .tv_nsec = (long)(at % 1000000) * 1000};
	return ts;
}

static void fire_timers(struct poller *p)
{
	uint64_t now;
	struct poll_timer *t;

	if (!poll_timer_list_first(&p->timers))
		return;
	now = poller_now_us();
	do {
		for (t = poll_timer_list_first(&p->timers); t && t->at_us > now; t = poll_timer_list_next(t))
			;
		if (t) {
			poller_timer_stop(p, t);
			t->fired(t);
		}
	} while (t);
}

static int wait_events(struct poller *p, struct epoll_event *ev)
{
	struct timespec ts;
	const struct timespec *wait = next_wait(p, &ts);
	int n = epoll_pwait2(p->epoll, ev, EVENTS_A_TURN, wait, NULL);

	/* Before Linux 5.11. */
	if (n < 0 && errno == ENOSYS)
		n = epoll_wait(p->epoll, ev, EVENTS_A_TURN,
			       wait ? (int)(wait->tv_sec * 1000 + wait->tv_nsec / 1000000 + 1) : -1);
	if (n < 0 && errno == EINTR)
		return 0;
	if (n < 0) {
		fprintf(stderr, "epoll: %s\n", strerror(errno));
		_exit(1);
	}
	return n;
}

void poller_run(struct poller *p)
{
	struct epoll_event ev[EVENTS_A_TURN];

	for (;;) {
		struct watch *w;
		int n = wait_events(p, ev);

		for (int i = 0; i < n; i++) {
			w = ev[i].data.ptr;
			if (w->fd >= 0)
				w->ready(w, ev[i].events);
		}
		fire_timers(p);
		while ((w = watch_list_pop(&p->dying)))
			w->free(w);
	}
}

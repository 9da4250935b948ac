/* The loop of a shim: descriptors, timers, one thread. Small on purpose: it is set up in every cold start, after the
 * fork. */
#pragma once

#include "base/list.h"

#include <sys/epoll.h>

/* Something that waits for its descriptor. Embedded in what owns it. */
struct watch {
	int fd; /* -1: not watched */
	uint32_t events;
	void (*ready)(struct watch *w, uint32_t events);
	struct list_link on_dying;
	void (*free)(struct watch *w);
};
DEFINE_LIST(watch_list, struct watch, on_dying)

struct poll_timer {
	uint64_t at_us; /* monotonic; 0: not set */
	void (*fired)(struct poll_timer *t);
	struct list_link on_timers;
};
DEFINE_LIST(poll_timer_list, struct poll_timer, on_timers)

struct poller {
	int epoll;
	struct watch_list dying; /* freed at the end of the turn: an event of theirs may be in hand */
	struct poll_timer_list timers;
};

int poller_init(struct poller *p); /* -errno */
_noreturn_ void poller_run(struct poller *p);
uint64_t poller_now_us(void);

int poller_watch(struct poller *p, struct watch *w, uint32_t events); /* w->fd and w->ready are set. -errno */
/* 0: nothing is told, not even the end of the connection. */
void poller_change(struct poller *p, struct watch *w, uint32_t events);
/* Closes the descriptor. Where w->free is set it is called at the end of this turn. */
void poller_close(struct poller *p, struct watch *w);

void poller_timer(struct poller *p, struct poll_timer *t, uint64_t after_us);
void poller_timer_stop(struct poller *p, struct poll_timer *t);

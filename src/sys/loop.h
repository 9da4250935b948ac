/* The event loop: timers, file descriptors, wake-ups from other threads, work for the thread pool, signals.
 * One loop, one thread; every function but wake_send is for that thread only. sys/loop.c is the only user
 * of libuv. A handle that is closed inside its own callback is freed at the end of the loop turn. */
#pragma once

#include "base/util.h"

struct loop;

struct loop *loop_new(void);
struct loop *loop_free(struct loop *l); /* NULL allowed; returns NULL. All handles must be closed. */
void loop_run(struct loop *l);          /* until loop_stop */
void loop_stop(struct loop *l);
uint64_t loop_now_ms(struct loop *l); /* monotonic, of this loop turn */

/* Called once per loop turn, after the events of the turn and before the loop sleeps: for flushing what the
 * turn gathered. Returned handle is freed by loop_hook_free. */
struct loop_hook;
struct loop_hook *loop_hook_new(struct loop *l, void (*fn)(void *arg), void *arg);
struct loop_hook *loop_hook_free(struct loop_hook *h);
/* In a hook: all hooks run once more before the loop sleeps (this one made work that another may gather). */
void loop_again(struct loop *l);
/* Another turn comes without sleeping: events are looked at, hooks and timers run. */
void loop_soon(struct loop *l);

struct timer;
struct timer *timer_new(struct loop *l, void (*fn)(void *arg), void *arg);
struct timer *timer_free(struct timer *t);
void timer_set(struct timer *t, uint64_t ms);    /* once, ms from now; set again moves it */
void timer_repeat(struct timer *t, uint64_t ms); /* every ms */
void timer_stop(struct timer *t);
void timer_unref(struct timer *t); /* does not keep loop_run going */

#define WATCH_READ   1
#define WATCH_WRITE  2
#define WATCH_HANGUP 4
struct watch;
/* Level-triggered. The fd stays the caller's, and must outlive the watch. An fd with an error counts as ready for
 * all that is watched. NULL and errno when the fd cannot be polled (a regular file: EPERM). */
struct watch *watch_new(struct loop *l, int fd, int events, void (*fn)(void *arg, int events), void *arg);
struct watch *watch_free(struct watch *w);
void watch_set(struct watch *w, int events); /* 0: paused */

struct wake;
struct wake *wake_new(struct loop *l, void (*fn)(void *arg), void *arg);
struct wake *wake_free(struct wake *w);
void wake_send(struct wake *w); /* from any thread; several sends may be one call of fn */

/* Runs work(arg) on a pool thread, then done(arg) on the loop. Cannot be cancelled. */
void loop_work(struct loop *l, void (*work)(void *arg), void (*done)(void *arg), void *arg);

struct signal_watch;
struct signal_watch *signal_watch_new(struct loop *l, int signo, void (*fn)(void *arg, int signo), void *arg);
struct signal_watch *signal_watch_free(struct signal_watch *s);

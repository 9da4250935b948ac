/* Listening sockets beside the public one: one for each box, made in its network namespace, a thousand of them. Each
 * costs one watch of the loop. What is behind them is not trusted: a door has few connections at once, and all doors
 * together half of what the server has, so that no box shuts out the rest; the others wait in their socket's queue.
 *
 * A door belongs to who listens; its memory stays until its last connection has ended. A door rests while it may accept
 * nothing (too many connections, or no file descriptor left), and is woken when a connection ends, or by a timer. */
#include "net/http_door.h"

#include "base/list.h"
#include "base/mem.h"
#include "sys/log.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#define DOOR_CONNECTIONS 64
#define ACCEPTS_A_TURN   16
#define REST_MS          100

struct http_door {
	struct list_link on_doors;
	struct http_doors *doors; /* NULL: the server is gone */
	struct watch *watch;
	int fd;
	unsigned connections;
	bool rests, closed;
};

DEFINE_LIST(door_list, struct http_door, on_doors)

struct http_doors {
	struct loop *loop;
	struct MHD_Daemon *daemon;
	struct door_list list;
	struct timer *timer;      /* wakes those that rest */
	struct http_door *adding; /* whose connection is being given to the daemon */
	unsigned connections, max;
	bool stopped;
	void (*added)(void *arg);
	void *arg;
};

static void set_rest(struct http_door *d, bool rests)
{
	d->rests = rests;
	if (d->watch)
		watch_set(d->watch, rests ? 0 : WATCH_READ);
}

static void wake_all(void *arg)
{
	struct http_doors *ds = arg;

	if (ds->stopped)
		return;
	for (struct http_door *d = door_list_first(&ds->list); d; d = door_list_next(d))
		if (d->rests && d->connections < DOOR_CONNECTIONS)
			set_rest(d, false);
}

static void door_free(struct http_door *d)
{
	if (d->closed && d->connections == 0)
		free(d);
}

static void on_door(void *arg, int events)
{
	struct http_door *d = arg;
	struct http_doors *ds = d->doors;

	for (unsigned i = 0; i < ACCEPTS_A_TURN; i++) {
		struct sockaddr_storage sa;
		socklen_t n = sizeof(sa);
		int fd;

		if (d->connections >= DOOR_CONNECTIONS || ds->connections >= ds->max) {
			set_rest(d, true);
			return;
		}
		fd = accept4(d->fd, (struct sockaddr *)&sa, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
				return;
			/* No descriptor or no memory: later there may be one. */
			set_rest(d, true);
			timer_set(ds->timer, REST_MS);
			return;
		}
		ds->adding = d;
		/* On failure it has closed the socket. */
		MHD_add_connection(ds->daemon, fd, (struct sockaddr *)&sa, n);
		ds->adding = NULL;
		ds->added(ds->arg);
	}
}

void http_doors_began(struct http_doors *ds, void **context)
{
	struct http_door *d = ds->adding;

	*context = d;
	if (!d)
		return;
	d->connections++;
	ds->connections++;
}

void http_doors_ended(struct http_doors *ds, void *context)
{
	struct http_door *d = context;

	if (!d)
		return;
	d->connections--;
	ds->connections--;
	if (d->rests && !d->closed && !ds->stopped)
		set_rest(d, false);
	else if (ds->connections + 1 == ds->max)
		timer_set(ds->timer, 0);
	door_free(d);
}

struct http_doors *http_doors_new(struct loop *l, unsigned max, void (*added)(void *arg), void *arg)
{
	struct http_doors *ds = xnew(struct http_doors);

	*ds = (struct http_doors){.loop = l, .max = max, .added = added, .arg = arg};
	ds->timer = timer_new(l, wake_all, ds);
	return ds;
}

void http_doors_open(struct http_doors *ds, struct MHD_Daemon *daemon)
{
	ds->daemon = daemon;
}

void http_doors_stop(struct http_doors *ds)
{
	ds->stopped = true;
	for (struct http_door *d = door_list_first(&ds->list); d; d = door_list_next(d))
		set_rest(d, true);
}

static void door_close(struct http_door *d)
{
	d->watch = watch_free(d->watch);
	if (d->fd >= 0)
		close(steal_fd(&d->fd));
	if (d->doors)
		door_list_remove(&d->doors->list, d);
	d->doors = NULL;
}

struct http_doors *http_doors_free(struct http_doors *ds)
{
	if (!ds)
		return NULL;
	while (door_list_first(&ds->list))
		door_close(door_list_first(&ds->list));
	timer_free(ds->timer);
	free(ds);
	return NULL;
}

struct http_door *http_doors_add(struct http_doors *ds, int fd)
{
	struct http_door *d = xnew(struct http_door);

	d->doors = ds;
	d->fd = fd;
	door_list_push(&ds->list, d);
	d->watch = watch_new(ds->loop, fd, WATCH_READ, on_door, d);
	if (!d->watch) {
		log_warn("a box's socket cannot be watched: %s", strerror(errno));
		d->closed = true;
		door_close(d);
		door_free(d);
		return NULL;
	}
	if (ds->stopped)
		set_rest(d, true);
	return d;
}

bool http_doors_adopt(struct http_doors *ds, int fd)
{
	struct sockaddr_storage sa = {.ss_family = AF_UNIX};

	if (ds->stopped) {
		close(fd);
		return false;
	}
	/* On failure it has closed the socket. */
	if (MHD_add_connection(ds->daemon, fd, (struct sockaddr *)&sa, sizeof(sa.ss_family)) != MHD_YES)
		return false;
	ds->added(ds->arg);
	return true;
}

struct http_door *http_server_unlisten(struct http_door *d)
{
	if (!d)
		return NULL;
	door_close(d);
	d->closed = true;
	door_free(d);
	return NULL;
}

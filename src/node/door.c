/* Accepts connections of a box and takes each over its stream of the link (link/splice.h). What is behind a door is not
 * trusted: a worker has few connections at once, the others wait in its socket's queue, and one for which no stream
 * comes is closed. A door owns its sockets and its connections. */
#include "node/door.h"

#include "base/list.h"
#include "base/mem.h"
#include "link/splice.h"
#include "sys/file.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOCKETS_MAX     2
#define CONNECTIONS_MAX 64
#define ACCEPTS_A_TURN  16
#define STREAM_WAIT_MS  10000
#define REST_MS         100

struct door_connection {
	struct list_link on_door;
	struct door *door;
	uint64_t number;
	struct splice *splice;
	struct timer *timer; /* until the stream comes */
	bool attached;
};

DEFINE_LIST(connection_list, struct door_connection, on_door)

struct door {
	struct loop *loop;
	const struct door_handler *handler;
	void *arg;
	int fds[SOCKETS_MAX];
	struct watch *watches[SOCKETS_MAX];
	size_t n;
	struct connection_list connections;
	struct timer *rest; /* wakes a door that could not accept */
	uint64_t next;
};

static void accept_more(struct door *d, bool on)
{
	for (size_t i = 0; i < d->n; i++)
		watch_set(d->watches[i], on ? WATCH_READ : 0);
}

static void connection_free(struct door_connection *c)
{
	struct door *d = c->door;

	splice_free(c->splice);
	timer_free(c->timer);
	connection_list_remove(&d->connections, c);
	if (d->connections.n == CONNECTIONS_MAX - 1)
		accept_more(d, true);
	free(c);
}

static void on_over(void *arg)
{
	connection_free(arg);
}

bool door_attach(struct door *d, uint64_t connection, struct h2_stream *s)
{
	struct door_connection *c = connection_list_first(&d->connections);

	while (c && c->number != connection)
		c = connection_list_next(c);
	if (!c || c->attached)
		return false;
	c->attached = true;
	timer_stop(c->timer);
	h2_respond(s, 200, NULL, 0, &splice_stream, c->splice);
	splice_begin(c->splice, s);
	return true;
}

/* ---- accepting ---- */

static void on_rest(void *arg)
{
	struct door *d = arg;

	accept_more(d, d->connections.n < CONNECTIONS_MAX);
}

static void take(struct door *d, int fd)
{
	struct door_connection *c = xnew(struct door_connection);

	*c = (struct door_connection){.door = d, .number = d->next++};
	c->splice = splice_new(d->loop, fd, on_over, c);
	c->timer = timer_new(d->loop, on_over, c); /* no stream came */
	timer_set(c->timer, STREAM_WAIT_MS);
	connection_list_push(&d->connections, c);
	if (d->connections.n >= CONNECTIONS_MAX)
		accept_more(d, false);
	d->handler->opened(d->arg, c->number);
}

static void accept_from(struct door *d, int from)
{
	for (unsigned i = 0; i < ACCEPTS_A_TURN && d->connections.n < CONNECTIONS_MAX; i++) {
		int fd = accept4(from, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			take(d, fd);
			continue;
		}
		if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
			return;
		/* No descriptor or no memory: later there may be one. */
		accept_more(d, false);
		timer_set(d->rest, REST_MS);
		return;
	}
}

static void on_first(void *arg, int events)
{
	struct door *d = arg;

	accept_from(d, d->fds[0]);
}

static void on_second(void *arg, int events)
{
	struct door *d = arg;

	accept_from(d, d->fds[1]);
}

static void close_socket(struct door *d, size_t i)
{
	watch_free(d->watches[i]);
	close(d->fds[i]);
}

void door_listen(struct door *d, int fd)
{
	static void (*const on[SOCKETS_MAX])(void *arg, int events) = {on_first, on_second};

	if (d->n == SOCKETS_MAX) {
		close(fd);
		return;
	}
	fd_set_nonblock(fd);
	d->fds[d->n] = fd;
	d->watches[d->n] = watch_new(d->loop, fd, d->connections.n < CONNECTIONS_MAX ? WATCH_READ : 0, on[d->n], d);
	if (d->watches[d->n])
		d->n++;
	else
		close(fd); /* no socket: the box has no way to Wick then */
}

struct door *door_new(struct loop *l, const struct door_handler *h, void *arg)
{
	struct door *d = xnew(struct door);

	*d = (struct door){.loop = l, .handler = h, .arg = arg};
	d->rest = timer_new(l, on_rest, d);
	return d;
}

static struct door_connection *next_attached(struct door *d)
{
	struct door_connection *c = connection_list_first(&d->connections);

	while (c && !c->attached)
		c = connection_list_next(c);
	return c;
}

void door_hang_up(struct door *d)
{
	struct door_connection *c;

	while ((c = next_attached(d)))
		connection_free(c);
}

/* One that the gate was told of before is told twice then, and the second stream for it is refused. */
void door_again(struct door *d)
{
	for (struct door_connection *c = connection_list_first(&d->connections); c; c = connection_list_next(c))
		if (!c->attached)
			d->handler->opened(d->arg, c->number);
}

struct door *door_free(struct door *d)
{
	struct door_connection *c;

	if (!d)
		return NULL;
	for (size_t i = 0; i < d->n; i++)
		close_socket(d, i);
	d->n = 0;
	while ((c = connection_list_first(&d->connections)))
		connection_free(c);
	timer_free(d->rest);
	free(d);
	return NULL;
}

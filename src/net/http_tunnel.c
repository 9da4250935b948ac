/* Tunnels: what becomes of a connection whose exchange was answered 101. The socket is read and written here, on the
 * loop; what the client sends goes to the handler's body and body_end, what it gets comes from the reply's pull. Both
 * are taken only as fast as the other side goes: at most one piece of each direction is held.
 *
 * Owned by its exchange. It ends when the pull has ended and the client has closed too (or does not, for a while), or
 * with the connection; libmicrohttpd then completes the exchange. Handlers are called from the loop's events and from
 * the server's hook, never from within http_exchange_resume. */
#include "net/http_exchange.h"

#include "base/mem.h"

#include <errno.h>
#include <sys/socket.h>

#define PIECE      ((size_t)64 << 10)
#define ROUNDS_MAX 16

static void tunnel_close(struct http_tunnel *t)
{
	if (t->closed)
		return;
	t->closed = true;
	t->watch = watch_free(t->watch);
	MHD_upgrade_action(t->handle, MHD_UPGRADE_ACTION_CLOSE);
	t->ex->server->dirty = true;
}

/* True: the socket takes nothing more now. */
static bool tunnel_send(struct http_tunnel *t)
{
	while (t->out_at < t->out.n) {
		ssize_t n = send(t->fd, t->out.p + t->out_at, t->out.n - t->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			t->broken = errno != EAGAIN;
			return true;
		}
		t->out_at += (size_t)n;
	}
	buf_clear(&t->out);
	t->out_at = 0;
	return false;
}

/* What the handler has for the client. True: it waits for the socket. */
static bool tunnel_out(struct http_tunnel *t)
{
	struct http_exchange *ex = t->ex;

	for (unsigned i = 0; i < ROUNDS_MAX && !t->out_ended; i++) {
		ssize_t n;

		if (tunnel_send(t))
			return true;
		n = ex->pull.pull(ex->pull.pull_arg, (uint8_t *)buf_reserve(&t->out, PIECE), PIECE);
		if (n == 0)
			return false;
		if (n == HTTP_PULL_ERROR)
			t->broken = true;
		if (n < 0) {
			t->out_ended = true;
			shutdown(t->fd, SHUT_WR);
			exchange_patrol_from_now(ex);
			return false;
		}
		t->out.n = (size_t)n;
	}
	return !t->out_ended && tunnel_send(t);
}

/* Offers what was read; false: the handler takes no more now. */
static bool tunnel_offer(struct http_tunnel *t)
{
	const struct http_exchange *ex = t->ex;

	if (t->out_ended) /* nobody listens any more */
		t->in_at = t->in.n;
	while (t->in_at < t->in.n) {
		size_t left = t->in.n - t->in_at;
		size_t n = ex->server->handler.body(ex->x, (const uint8_t *)t->in.p + t->in_at, left);

		if (n == 0)
			return false;
		t->in_at += MIN(n, left);
	}
	buf_clear(&t->in);
	t->in_at = 0;
	return true;
}

static void tunnel_in(struct http_tunnel *t)
{
	for (unsigned i = 0; i < ROUNDS_MAX && !t->in_ended && !t->broken; i++) {
		ssize_t n;

		if (!tunnel_offer(t))
			return;
		n = recv(t->fd, buf_reserve(&t->in, PIECE), PIECE, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0) {
			t->broken = true;
		} else if (n == 0) {
			t->in_ended = true;
			if (!t->out_ended)
				t->ex->server->handler.body_end(t->ex->x);
		} else {
			t->in.n = (size_t)n;
		}
	}
}

void http_tunnel_run(struct http_tunnel *t)
{
	bool wait_room;
	int events;

	if (t->closed)
		return;
	t->ex->server->busy = true;
	wait_room = tunnel_out(t);
	tunnel_in(t);
	if (t->broken || (t->out_ended && t->in_ended)) {
		tunnel_close(t);
		return;
	}
	events = WATCH_HANGUP;
	if (!t->in_ended && t->in_at == t->in.n)
		events |= WATCH_READ;
	if (wait_room)
		events |= WATCH_WRITE;
	/* A client that has closed its side hangs up for ever; the rest goes out, or fails. */
	watch_set(t->watch, t->in_ended ? events & WATCH_WRITE : events);
}

static void on_socket(void *arg, int events)
{
	http_tunnel_run(arg);
}

void http_tunnel_cut(struct http_tunnel *t)
{
	tunnel_close(t);
}

struct http_tunnel *http_tunnel_free(struct http_tunnel *t)
{
	if (!t)
		return NULL;
	watch_free(t->watch);
	buf_done(&t->in);
	buf_done(&t->out);
	free(t);
	return NULL;
}

static void on_upgrade(void *cls, struct MHD_Connection *conn, void *con_cls, const char *extra, size_t extra_n,
		       MHD_socket fd, struct MHD_UpgradeResponseHandle *handle)
{
	struct http_exchange *ex = cls;
	struct http_tunnel *t = xnew(struct http_tunnel);

	t->ex = ex;
	t->handle = handle;
	t->fd = fd;
	buf_add(&t->in, extra, extra_n);
	ex->tunnel = t;
	t->watch = watch_new(ex->server->loop, fd, WATCH_READ, on_socket, t);
	if (!t->watch)
		tunnel_close(t);
	else
		exchange_wake(ex);
}

struct MHD_Response *http_tunnel_response(struct http_exchange *ex)
{
	return MHD_create_response_for_upgrade(on_upgrade, ex);
}

/* Connections to the program. Never blocking; what cannot be written waits in `out`, which is bounded by the window of
 * the exchange; what is read goes on at once or is left in the kernel's buffer while its reader has no window. The
 * program is not trusted: an answer that is no HTTP/1.1 is the exchange's error. */
#include "runtime/web/web.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE   (128u << 10)
#define QUICK_BELOW (16u << 10) /* less than it may be a piece that something waits behind */
/* A connection idle for longer is not used again, and closed: programs close theirs after a few seconds, and a worker
 * that was frozen wakes with that and the next request in the same moment; and a program that serves one connection at
 * a time serves no other before. */
#define IDLE_MAX_US (1000 * 1000)
#define IDLE_MAX    32
#define BULK_LEAST  (16u << 10)
#define PIPE_SIZE   (1 << 20)

static void upstream_free(struct watch *watch)
{
	struct upstream *u = container_of(watch, struct upstream, watch);

	http1_body_done(&u->body);
	buf_done(&u->in);
	buf_done(&u->out);
	free(u);
}

void upstream_close(struct upstream *u)
{
	if (u->watch.fd < 0)
		return;
	upstream_list_remove(u->on_list.owner, u);
	poller_close(&u->web->shim.poller, &u->watch);
}

static bool is_paused(const struct upstream *u)
{
	return u->x && u->state != UPSTREAM_HEAD && exchange_is_held(u->x);
}

static void want(struct upstream *u)
{
	poller_change(&u->web->shim.poller, &u->watch,
		      (is_paused(u) ? 0 : EPOLLIN) | (u->connecting || u->out_at < u->out.n ? EPOLLOUT : 0));
}

/* Window for what the socket took. */
static void give_back(struct upstream *u)
{
	uint64_t pending = u->out.n - u->out_at, gone = u->unacked > pending ? u->unacked - pending : 0;

	if (!u->x || !gone || (pending && gone < READ_SIZE))
		return;
	u->unacked -= gone;
	lane_say_window(&u->web->shim.lane, u->x->id, gone);
}

void upstream_flush(struct upstream *u)
{
	while (!u->connecting && !u->write_dead && u->out_at < u->out.n) {
		ssize_t n = send(u->watch.fd, u->out.p + u->out_at, u->out.n - u->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) /* it does not read any more; it may have answered before */
			u->write_dead = true;
		u->out_at += (size_t)MAX(n, 0);
	}
	if (u->write_dead || u->out_at == u->out.n) {
		buf_clear(&u->out);
		u->out_at = 0;
		if (u->end_after_out)
			shutdown(u->watch.fd, SHUT_WR);
	} else if (u->out_at >= READ_SIZE) {
		buf_consume(&u->out, u->out_at);
		u->out_at = 0;
	}
	give_back(u);
	want(u);
}

void upstream_send(struct upstream *u, struct str bytes, size_t of_window)
{
	if (!u->write_dead)
		buf_add_str(&u->out, bytes);
	u->unacked += of_window;
}

void upstream_keep(struct upstream *u)
{
	upstream_list_remove(&u->web->busy, u);
	upstream_list_push(&u->web->idle, u);
	u->idle_since_us = poller_now_us();
	u->reused = true;
	u->unacked = 0;
	u->state = UPSTREAM_HEAD;
	if (u->in.cap > 2 * READ_SIZE)
		buf_done(&u->in);
	want(u);
	if (!u->web->idle_over.at_us)
		poller_timer(&u->web->shim.poller, &u->web->idle_over, IDLE_MAX_US);
}

void upstreams_idle_over(struct web *w)
{
	uint64_t now = poller_now_us();
	struct upstream *u;

	while ((u = upstream_list_first(&w->idle)) && now - u->idle_since_us >= IDLE_MAX_US)
		upstream_close(u);
	if (u)
		poller_timer(&w->shim.poller, &w->idle_over, u->idle_since_us + IDLE_MAX_US - now);
}

void upstream_release(struct upstream *u)
{
	bool keep = u->keep && u->out.n == 0 && u->in.n == 0 && !u->write_dead && u->x->request_ended;

	u->x->up = NULL;
	u->x = NULL;
	if (keep && u->web->idle.n < IDLE_MAX)
		upstream_keep(u);
	else
		upstream_close(u);
}

/* The connection ended, or failed, at the program's side. */
static void ended(struct upstream *u)
{
	struct exchange *x = u->x;
	bool whole =
		x && ((u->state == UPSTREAM_BODY && u->body.kind == HTTP1_UNTIL_CLOSE) || u->state == UPSTREAM_TUNNEL);
	const char *why = u->state == UPSTREAM_BODY ? "The program closed the connection in the middle of its answer"
						    : "The program closed the connection without an answer";

	u->keep = false;
	if (whole) {
		u->body.done = true;
		exchange_done(x);
		return;
	}
	if (x) {
		x->up = NULL;
		x->retried |= !u->reused;
	}
	u->x = NULL;
	upstream_close(u);
	if (x)
		exchange_lost(x, why);
}

static void bad_answer(struct upstream *u, const char *why)
{
	char text[160];

	snprintf(text, sizeof(text), "The program's answer is no HTTP/1.1: %s", why);
	u->keep = false;
	exchange_failed(u->x, "Web.BadResponse", text);
}

/* False: more bytes are needed, or the exchange is over. */
static bool work_head(struct upstream *u)
{
	struct http1_head h;
	const char *why;
	ssize_t n = http1_response(&h, buf_str(&u->in), &why);

	if (n < 0)
		bad_answer(u, why);
	if (n <= 0)
		return false;
	if (h.status == 101) {
		if (!u->x->upgrade) {
			bad_answer(u, "101 to a request that asked for no upgrade");
			return false;
		}
		exchange_head(u->x, &h);
		u->state = UPSTREAM_TUNNEL;
		u->keep = false;
	} else if (h.status >= 200) {
		http1_body_done(&u->body);
		http1_response_body(&u->body, &h, u->x->to_head);
		u->keep = !h.close && u->body.kind != HTTP1_UNTIL_CLOSE;
		u->state = UPSTREAM_BODY;
		exchange_head(u->x, &h);
	} /* else: 1xx, which is for us only */
	buf_consume(&u->in, (size_t)n);
	return true;
}

static void work_body(struct upstream *u)
{
	struct str in = buf_str(&u->in), piece;
	struct exchange *x = u->x;

	while (in.n && u->x == x && !u->body.done && !is_paused(u)) {
		size_t max = x->pieces ? MIN(x->credit, (uint64_t)FRAME_CHUNK_MAX) : FRAME_CHUNK_MAX;

		if (u->state == UPSTREAM_TUNNEL) {
			piece = str_sub(in, 0, max);
			in = str_sub(in, piece.n, SIZE_MAX);
		} else if (http1_body_next(&u->body, &in, max, &piece) < 0) {
			bad_answer(u, "a malformed body in chunks");
			return;
		}
		if (piece.n)
			exchange_piece(x, piece);
	}
	if (u->x != x)
		return;
	buf_consume(&u->in, u->in.n - in.n);
	if (u->state == UPSTREAM_BODY && u->body.done)
		exchange_done(x);
}

static void work(struct upstream *u)
{
	while (u->x && u->state == UPSTREAM_HEAD && u->in.n && work_head(u))
		;
	if (u->x && u->state != UPSTREAM_HEAD)
		work_body(u);
	if (u->watch.fd >= 0)
		want(u);
}

/* False: it is closed. */
static bool connected(struct upstream *u)
{
	struct exchange *x = u->x;
	int error = 0;
	socklen_t n = sizeof(error);

	getsockopt(u->watch.fd, SOL_SOCKET, SO_ERROR, &error, &n);
	u->connecting = false;
	if (!error) {
		upstream_flush(u);
		return true;
	}
	x->up = NULL;
	u->x = NULL;
	upstream_close(u);
	exchange_refused(x);
	return false;
}

/* Bytes of the answer's body that nobody needs to look at go from socket to socket. False: there are none, the usual
 * way says what there is. */
static bool move_on(struct upstream *u)
{
	struct exchange *x = u->x;
	struct web *w = u->web;
	uint64_t most = u->state == UPSTREAM_TUNNEL ? SIZE_MAX
			: u->state == UPSTREAM_BODY ? http1_body_run(&u->body)
						    : 0;
	ssize_t n;

	most = MIN(most, MIN(x->credit, (uint64_t)FRAME_CHUNK_MAX));
	if (!x->pieces || most < BULK_LEAST ||
	    (w->pipe[0] < 0 && (pipe2(w->pipe, O_CLOEXEC) < 0 || fcntl(w->pipe[1], F_SETPIPE_SZ, PIPE_SIZE) < 0)))
		return false;
	n = splice(u->watch.fd, NULL, w->pipe[1], NULL, most, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	u->bulk = n >= (ssize_t)BULK_LEAST;
	if (n <= 0)
		return false;
	exchange_piped(x, (size_t)n);
	if (u->state == UPSTREAM_BODY) {
		http1_body_skip(&u->body, (uint64_t)n);
		if (u->body.done) {
			exchange_done(x);
			return true;
		}
	}
	want(u);
	return true;
}

static void probe_connected(struct upstream *u)
{
	struct web *w = u->web;
	int error = 0;
	socklen_t n = sizeof(error);

	getsockopt(u->watch.fd, SOL_SOCKET, SO_ERROR, &error, &n);
	u->connecting = false;
	if (error)
		upstream_close(u);
	else
		upstream_keep(u);
	web_probed(w, !error);
}

static void upstream_ready(struct watch *watch, uint32_t events)
{
	struct upstream *u = container_of(watch, struct upstream, watch);
	const int on = 1;
	ssize_t n;

	if (!u->x && u->connecting) {
		probe_connected(u);
		return;
	}
	if (!u->x) { /* an idle one has nothing to say but its end */
		upstream_close(u);
		return;
	}
	if (u->connecting && !connected(u))
		return;
	if (events & EPOLLOUT)
		upstream_flush(u);
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)) || is_paused(u))
		return;
	if (u->bulk && u->in.n == 0 && move_on(u))
		return;
	buf_reserve(&u->in, READ_SIZE);
	n = recv(watch->fd, u->in.p + u->in.n, READ_SIZE, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		ended(u);
		return;
	}
	u->in.n += (size_t)n;
	u->bulk = n == READ_SIZE;
	work(u);
	/* A program that writes an answer in pieces, without TCP_NODELAY, waits for the first to be acknowledged, which
	 * the kernel would put off for 40 ms. */
	if (watch->fd >= 0 && u->x && n < (ssize_t)QUICK_BELOW)
		setsockopt(watch->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
}

void upstream_resume(struct upstream *u)
{
	work(u);
	if (u->watch.fd >= 0 && u->x && !is_paused(u))
		upstream_ready(&u->watch, EPOLLIN);
}

static struct upstream *connect_new(struct web *w, int *error)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(w->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct upstream *u;
	bool connecting;

	connecting = fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0;
	if (fd < 0 || (connecting && errno != EINPROGRESS)) {
		*error = errno;
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	u = xnew(struct upstream);
	u->watch = (struct watch){.fd = fd, .ready = upstream_ready, .free = upstream_free};
	u->web = w;
	u->connecting = connecting;
	upstream_list_push(&w->busy, u);
	if (poller_watch(&w->shim.poller, &u->watch, EPOLLIN | (connecting ? EPOLLOUT : 0)) < 0) {
		*error = errno;
		upstream_close(u);
		return NULL;
	}
	return u;
}

struct upstream *upstream_get(struct web *w, int *error)
{
	uint64_t now = poller_now_us();
	struct upstream *u;

	while ((u = upstream_list_last(&w->idle))) {
		if (now - u->idle_since_us > IDLE_MAX_US) {
			upstream_close(u);
			continue;
		}
		upstream_list_remove(&w->idle, u);
		upstream_list_push(&w->busy, u);
		return u;
	}
	return connect_new(w, error);
}

/* A socket spliced to a stream. Towards the stream the socket is read when the stream asks for bytes, so nothing is
 * kept here; towards the socket what it does not take is kept, and is no more than the stream's window, because only
 * what was written is given back. Whatever ends one of the two ends the other. */
#include "link/splice.h"

#include "base/buf.h"
#include "base/mem.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

struct splice {
	int sock;
	struct watch *watch;
	struct h2_stream *stream;
	struct buf in; /* for the socket, which did not take it yet */
	bool reading;  /* the socket is watched for bytes: the stream has asked */
	bool shut;     /* the stream has ended: so is the socket's writing side, when all is written */
	bool sent_end; /* the socket has ended */
	void (*over)(void *arg);
	void *arg;
	unsigned busy;
	bool dead;
};

static void leave(struct splice *p)
{
	if (--p->busy == 0 && p->dead)
		free(p);
}

static void set_watch(struct splice *p)
{
	watch_set(p->watch, (p->reading ? WATCH_READ : 0) | (p->in.n ? WATCH_WRITE : 0));
}

static void end_all(struct splice *p)
{
	if (p->dead)
		return;
	p->watch = watch_free(p->watch);
	if (p->stream)
		h2_drop(steal(&p->stream), H2_CANCEL);
	p->over(p->arg);
}

/* False: the socket is of no use any more. */
static bool write_some(struct splice *p, struct str s)
{
	size_t at = 0;

	while (at < s.n) {
		ssize_t n = send(p->sock, s.p + at, s.n - at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return false;
		if (n < 0)
			break;
		at += (size_t)n;
	}
	if (p->stream)
		h2_consumed(p->stream, at);
	if (p->in.n)
		buf_consume(&p->in, at);
	else
		buf_add_str(&p->in, str_sub(s, at, SIZE_MAX));
	if (p->shut && !p->in.n)
		shutdown(p->sock, SHUT_WR);
	set_watch(p);
	return true;
}

static void on_sock(void *arg, int events)
{
	struct splice *p = arg;

	p->busy++;
	if ((events & WATCH_WRITE) && p->in.n && (!write_some(p, buf_str(&p->in)) || (!p->stream && !p->in.n)))
		end_all(p);
	if (!p->dead && p->stream && (events & ~WATCH_WRITE)) {
		p->reading = false;
		set_watch(p);
		h2_wake(p->stream);
	}
	leave(p);
}

static size_t on_pull(void *arg, struct h2_stream *s, char *to, size_t room)
{
	struct splice *p = arg;
	ssize_t n;

	if (p->sent_end)
		return 0;
	do
		n = recv(p->sock, to, room, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return (size_t)n;
	if (n < 0 && errno == EAGAIN) {
		p->reading = true;
		set_watch(p);
		return 0;
	}
	p->sent_end = true;
	h2_end(s);
	return 0;
}

static void on_data(void *arg, struct h2_stream *s, struct str bytes)
{
	struct splice *p = arg;

	p->busy++;
	if (p->in.n)
		buf_add_str(&p->in, bytes);
	else if (!write_some(p, bytes))
		end_all(p);
	leave(p);
}

static void on_end(void *arg, struct h2_stream *s)
{
	struct splice *p = arg;

	p->shut = true;
	if (!p->in.n)
		shutdown(p->sock, SHUT_WR);
}

static void on_head(void *arg, struct h2_stream *s, unsigned status, const struct kv *headers, size_t n)
{
	struct splice *p = arg;

	p->busy++;
	if (status != 200)
		end_all(p);
	leave(p);
}

static void on_closed(void *arg, struct h2_stream *s, uint32_t code)
{
	struct splice *p = arg;

	p->stream = NULL;
	if (code == H2_NO_ERROR && p->in.n)
		return; /* what came before has still to be written */
	p->busy++;
	end_all(p);
	leave(p);
}

const struct h2_stream_handler splice_stream = {
	.head = on_head,
	.data = on_data,
	.end = on_end,
	.closed = on_closed,
	.pull = on_pull,
};

struct splice *splice_new(struct loop *l, int sock, void (*over)(void *arg), void *arg)
{
	struct splice *p = xnew(struct splice);

	*p = (struct splice){.sock = sock, .over = over, .arg = arg};
	p->watch = watch_new(l, sock, 0, on_sock, p);
	if (!p->watch)
		__builtin_trap(); /* no socket: a broken caller */
	return p;
}

void splice_begin(struct splice *p, struct h2_stream *s)
{
	p->stream = s;
	h2_wake(s);
}

struct splice *splice_free(struct splice *p)
{
	if (!p || p->dead)
		return NULL;
	p->dead = true;
	p->watch = watch_free(p->watch);
	if (p->stream)
		h2_drop(steal(&p->stream), H2_CANCEL);
	close(p->sock);
	buf_done(&p->in);
	p->busy++;
	leave(p);
	return NULL;
}

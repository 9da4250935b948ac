/* HTTP/2 (nghttp2) over TLS (net/tls.h) on the loop.
 *
 * A connection owns its socket, its TLS and HTTP/2 sessions and its streams. What a turn of the loop makes (frames that
 * answer what was read, streams that were woken) is only marked; a hook before the loop sleeps turns it into frames,
 * frames into records of up to 16 KiB and those into one send. `pull` writes straight into the plaintext of the record,
 * behind the room for the frame's header: nghttp2 is asked not to copy, and says the header when the length is known.
 *
 * Handlers run inside nghttp2's callbacks and may free the connection. `over` then stops all that is under way, and
 * `busy` keeps the memory until the outermost call into this file has returned. nghttp2 may not be entered from its own
 * callbacks to read or send, so the goodbye of h2_free is sent by that outermost call too.
 *
 * May fail: everything the peer or the network does. That ends in `down`, once. */
#include "net/h2.h"

#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"
#include "net/tcp.h"
#include "sys/clock.h"

#include <assert.h>
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <unistd.h>

#define FRAME_HEAD        9
#define DATA_MAX          (TLS_RECORD_MAX - FRAME_HEAD) /* a full frame is a full record */
#define OUT_MAX           ((size_t)64 << 10)            /* ciphertext that waits for the socket */
#define ROUNDS_MAX        16                            /* of OUT_MAX sent, of TLS_FILL_MAX / 4 read, in a turn */
#define READS_MAX         4
#define HEADERS_MAX       64
#define HEADERS_SIZE_MAX  (16u << 10)
#define WHY_MAX           200
#define STREAM_WINDOW     ((8u << 20) + (64u << 10))
#define CONNECTION_WINDOW (64u << 20)
#define STREAMS_MAX       100000
#define HANDSHAKE_MS      10000
#define PING_MS           3000
#define DEAD_MS           10000
#define RTT_FRESH_MS      30000 /* a busy connection is asked so often, so that its round trip is not yesterday's */
/* What a peer may have us keep or do: answers to its pings and settings that wait to be sent, settings in a frame,
 * streams it opens and resets (a burst, and then each second). */
#define ACKS_MAX          1000
#define SETTINGS_MAX      32
#define RESETS_BURST      10000
#define RESETS_PER_SECOND 1000

struct h2_stream {
	struct list_link on_connection, on_woken;
	struct h2 *c;
	int32_t id;
	const struct h2_stream_handler *handler; /* NULL: a request that nobody took yet */
	void *arg;
	size_t unconsumed;
	uint32_t reset_code;
	bool deferred; /* nghttp2 asks for nothing until it is resumed */
	bool ending, responded, headed, reset;
	bool gone; /* `closed` is under way */
};

DEFINE_LIST(stream_list, struct h2_stream, on_connection)
DEFINE_LIST(woken_list, struct h2_stream, on_woken)

/* Headers of the one block that can be under way. Offsets, because the text moves as it grows. */
struct head {
	struct buf text;
	struct {
		uint32_t k, kn, v, vn;
	} at[HEADERS_MAX];
	size_t n;
};

struct h2 {
	struct loop *loop;
	struct h2_conf conf;
	const struct h2_handler *handler;
	void *arg;
	int fd;
	struct watch *watch;
	struct timer *timer;
	struct loop_hook *hook;
	struct tls *tls;
	nghttp2_session *session; /* from the end of the TLS handshake on */
	struct stream_list streams;
	struct woken_list woken;
	struct woken_list given_up; /* requests that were reset before they went out */
	struct head head;
	char *plain; /* 2 records; plain_n bytes wait to become one */
	size_t plain_n;
	char *in;  /* a record */
	char *why; /* what will end it, known before its end */
	char *bye; /* what the peer is told in the end */
	uint64_t last_in_ms, last_ping_ms, ping_us, flight_us;
	uint32_t rtt_us;
	char address[TCP_ADDRESS_SIZE];
	unsigned busy;
	bool secured, up;
	bool dirty;   /* there may be something to send */
	bool paused;  /* nghttp2 has more, OUT_MAX is reached */
	bool reading; /* h2_read is under way */
	bool over;    /* nothing works any more */
	bool broken;  /* and nothing can be sent */
	bool down_said, dead;
};

static void h2_read(struct h2 *c);

/* The end of a connection */

static void goodbye(struct h2 *c);

static void h2_leave(struct h2 *c)
{
	if (--c->busy > 0 || !c->over)
		return;
	if (c->fd >= 0) {
		if (!c->broken && c->up)
			goodbye(c);
		c->watch = watch_free(c->watch);
		close(steal_fd(&c->fd));
	}
	if (!c->dead)
		return;
	nghttp2_session_del(c->session);
	tls_free(c->tls);
	buf_done(&c->head.text);
	free(c->plain);
	free(c->in);
	free(c->why);
	free(c->bye);
	free(c);
}

static void stream_close(struct h2_stream *s, uint32_t code)
{
	struct h2 *c = s->c;

	s->gone = true;
	stream_list_remove(&c->streams, s);
	if (woken_list_linked(s))
		woken_list_remove(s->on_woken.owner, s);
	if (s->handler && s->handler->closed)
		s->handler->closed(s->arg, s, code);
	free(s);
}

/* Called with busy held; every stream learns it first. */
static void h2_over(struct h2 *c)
{
	struct h2_stream *s;

	c->over = true;
	c->timer = timer_free(c->timer);
	c->hook = loop_hook_free(c->hook);
	watch_set(c->watch, 0);
	while ((s = stream_list_first(&c->streams)))
		stream_close(s, H2_LOST);
}

static void h2_down(struct h2 *c, const char *reason)
{
	if (c->over)
		return;
	if (!c->why)
		c->why = xstrdup(reason);
	h2_over(c);
	if (c->dead || c->down_said)
		return;
	c->down_said = true;
	if (c->handler->down)
		c->handler->down(c->arg, c, c->why);
}

static void h2_lost(struct h2 *c, const char *reason)
{
	c->broken = true;
	h2_down(c, reason);
}

/* Sending */

static void mark(struct h2 *c)
{
	if (c->dirty)
		return;
	c->dirty = true;
	loop_again(c->loop); /* whoever marks may be a hook that runs after this one's */
}

/* The kernel may know why nothing can be sent only after the peer's last words were read. */
static void send_failed(struct h2 *c)
{
	_cleanup_(freep) char *why = xstrdup(tls_error(c->tls));

	if (!c->reading)
		h2_read(c);
	h2_lost(c, why);
}

static bool plain_seal(struct h2 *c, size_t n)
{
	if (tls_write(c->tls, c->plain, n) < 0)
		return false;
	c->plain_n -= n;
	if (c->plain_n)
		memmove(c->plain, c->plain + n, c->plain_n);
	return true;
}

/* Leaves less than a record in the buffer: a whole frame has room behind it. */
static bool plain_add(struct h2 *c, const void *p, size_t n)
{
	const char *at = p;

	while (n > 0) {
		size_t some = MIN(n, (size_t)2 * TLS_RECORD_MAX - c->plain_n);

		memcpy(c->plain + c->plain_n, at, some);
		c->plain_n += some;
		at += some;
		n -= some;
		while (c->plain_n >= TLS_RECORD_MAX)
			if (!plain_seal(c, TLS_RECORD_MAX))
				return false;
	}
	return true;
}

static bool out_full(const struct h2 *c)
{
	return tls_unsent(c->tls) + c->plain_n >= OUT_MAX;
}

static ssize_t on_pull(nghttp2_session *session, int32_t id, uint8_t *unused, size_t room, uint32_t *flags,
		       nghttp2_data_source *source, void *arg)
{
	struct h2 *c = arg;
	struct h2_stream *s = source->ptr;
	char *to = c->plain + c->plain_n + FRAME_HEAD;
	size_t n = 0, some = 0;

	if (c->over || out_full(c)) {
		c->paused = true;
		return NGHTTP2_ERR_PAUSE;
	}
	if (s->reset)
		return NGHTTP2_ERR_DEFERRED;
	/* Before it is asked: it may wake itself from inside. One that ends is asked until it has no more, so that its
	 * end goes with its last bytes. */
	s->deferred = true;
	do {
		some = s->handler->pull ? s->handler->pull(s->arg, s, to + n, room - n) : 0;
		if (c->over)
			return NGHTTP2_ERR_PAUSE;
		assert(some <= room - n);
		n += some;
	} while (some > 0 && n < room && s->ending && !s->reset);
	if (s->reset || (n == 0 && !s->ending))
		return NGHTTP2_ERR_DEFERRED;
	s->deferred = false;
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (some == 0)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

/* The frame whose bytes on_pull has just put in place. */
static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t n,
			nghttp2_data_source *source, void *arg)
{
	struct h2 *c = arg;

	memcpy(c->plain + c->plain_n, head, FRAME_HEAD);
	c->plain_n += FRAME_HEAD + n;
	if (c->plain_n >= TLS_RECORD_MAX && !plain_seal(c, TLS_RECORD_MAX))
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	return 0;
}

/* Frames into records, until there are no more or OUT_MAX is reached. False: the connection is over. */
static bool h2_gather(struct h2 *c)
{
	c->paused = false;
	while (!c->paused) {
		const uint8_t *p;
		ssize_t n = nghttp2_session_mem_send(c->session, &p);

		if (c->over)
			return false;
		if (n < 0 || (n > 0 && !plain_add(c, p, (size_t)n))) {
			h2_lost(c, n < 0 && n != NGHTTP2_ERR_CALLBACK_FAILURE ? nghttp2_strerror((int)n)
									      : tls_error(c->tls));
			return false;
		}
		if (n == 0)
			break;
		if (out_full(c))
			c->paused = true;
	}
	if (c->plain_n && !plain_seal(c, c->plain_n)) {
		h2_lost(c, tls_error(c->tls));
		return false;
	}
	return true;
}

static void resume_woken(struct h2 *c)
{
	struct h2_stream *s;

	while ((s = woken_list_pop(&c->woken))) {
		if (!s->deferred)
			continue;
		s->deferred = false;
		nghttp2_session_resume_data(c->session, s->id);
	}
}

/* nghttp2 would keep a request that waits for its turn, and say that it is closed when that comes. */
static void close_given_up(struct h2 *c)
{
	struct h2_stream *s;

	while ((s = woken_list_pop(&c->given_up)))
		stream_close(s, s->reset_code);
}

static void h2_flush(struct h2 *c)
{
	c->dirty = false;
	close_given_up(c);
	if (c->over)
		return;
	resume_woken(c);
	for (unsigned i = 0; i < ROUNDS_MAX; i++) {
		int r = tls_flush(c->tls);

		if (r < 0) {
			send_failed(c);
			return;
		}
		if (r == 0)
			break;
		if (i > 0 && !c->paused) {
			watch_set(c->watch, WATCH_READ);
			return;
		}
		if (!h2_gather(c))
			return;
	}
	/* The socket is full, or others have their turn: it goes on when it can be written. */
	watch_set(c->watch, WATCH_READ | WATCH_WRITE);
}

/* nghttp2 has said all it wants to: after a GOAWAY of either side. */
static void h2_settle(struct h2 *c)
{
	if (c->over || !c->session || nghttp2_session_want_read(c->session))
		return;
	h2_flush(c);
	h2_lost(c, "the other side does not keep to HTTP/2");
}

/* A GOAWAY made by hand: nghttp2 may be in any state. All that stands before it are whole frames. */
static void goodbye(struct h2 *c)
{
	size_t why_n = c->bye ? strlen(c->bye) : 0;
	uint32_t last = (uint32_t)nghttp2_session_get_last_proc_stream_id(c->session);
	uint8_t frame[FRAME_HEAD + 8 + WHY_MAX] = {
		0,
		0,
		(uint8_t)(8 + why_n),
		NGHTTP2_GOAWAY,
		0,
		0,
		0,
		0,
		0, /* header; of stream 0 */
		(uint8_t)(last >> 24),
		(uint8_t)(last >> 16),
		(uint8_t)(last >> 8),
		(uint8_t)last,
		0,
		0,
		0,
		c->down_said ? H2_PROTOCOL_ERROR : H2_NO_ERROR,
	};

	memcpy(frame + FRAME_HEAD + 8, c->bye ? c->bye : "", why_n);
	if (!plain_add(c, frame, FRAME_HEAD + 8 + why_n) || !plain_seal(c, c->plain_n))
		return;
	tls_bye(c->tls);
	tls_flush(c->tls);
}

/* What nghttp2 tells */

static struct h2_stream *stream_new(struct h2 *c, const struct h2_stream_handler *h, void *arg)
{
	struct h2_stream *s = xnew(struct h2_stream);

	*s = (struct h2_stream){.c = c, .handler = h, .arg = arg};
	stream_list_push(&c->streams, s);
	return s;
}

static int going_on(const struct h2 *c)
{
	return c->over ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2 *c = arg;
	struct h2_stream *s;

	c->head.n = 0;
	buf_clear(&c->head.text);
	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	s = stream_new(c, NULL, NULL);
	s->id = frame->hd.stream_id;
	nghttp2_session_set_stream_user_data(session, s->id, s);
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
		     const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
	struct h2 *c = arg;
	struct head *h = &c->head;

	if (h->n == HEADERS_MAX || h->text.n + name_n + value_n > HEADERS_SIZE_MAX)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* the stream's end, not the connection's */
	h->at[h->n].k = (uint32_t)h->text.n;
	h->at[h->n].kn = (uint32_t)name_n;
	buf_add(&h->text, name, name_n);
	h->at[h->n].v = (uint32_t)h->text.n;
	h->at[h->n].vn = (uint32_t)value_n;
	buf_add(&h->text, value, value_n);
	h->n++;
	return 0;
}

/* The headers without those of HTTP/2's own, which are looked for. */
static size_t head_take(const struct head *h, struct kv ret[static HEADERS_MAX], struct str *method, struct str *path,
			unsigned *status)
{
	const char *text = buf_cstr(&h->text);
	size_t n = 0;

	*method = *path = STR("");
	*status = 0;
	for (size_t i = 0; i < h->n; i++) {
		struct kv kv = {str_n(text + h->at[i].k, h->at[i].kn), str_n(text + h->at[i].v, h->at[i].vn)};
		uint64_t code;

		if (str_eqz(kv.k, ":method"))
			*method = kv.v;
		else if (str_eqz(kv.k, ":path"))
			*path = kv.v;
		else if (str_eqz(kv.k, ":status"))
			*status = str_to_u64(kv.v, &code) && code < 1000 ? (unsigned)code : 0;
		else if (!str_starts(kv.k, STR(":")))
			ret[n++] = kv;
	}
	return n;
}

static void on_head(struct h2 *c, struct h2_stream *s)
{
	struct kv headers[HEADERS_MAX];
	struct str method, path;
	unsigned status;
	size_t n = head_take(&c->head, headers, &method, &path, &status);

	if (s->headed)
		return; /* trailers, which nobody here has a use for */
	if (c->conf.client) {
		if (status < 200)
			return; /* not the answer yet */
		s->headed = true;
		if (s->handler->head)
			s->handler->head(s->arg, s, status, headers, n);
		return;
	}
	s->headed = true;
	if (c->handler->request)
		c->handler->request(c->arg, c, s, method, path, headers, n);
	if (!c->over && !s->handler && !s->reset)
		h2_reset(s, H2_REFUSED_STREAM);
}

static void on_pong(struct h2 *c, const uint8_t *opaque)
{
	uint64_t now = clock_mono_us(), sent;
	uint32_t took;

	memcpy(&sent, opaque, sizeof(sent));
	if (sent != c->ping_us || sent == 0)
		return;
	took = (uint32_t)MIN(now - sent, (uint64_t)UINT32_MAX / 8);
	/* The first replaces the handshake's, which holds the peer's arithmetic too. */
	c->rtt_us = c->flight_us ? took : (uint32_t)(((uint64_t)c->rtt_us * 7 + took) / 8);
	c->rtt_us = MAX(c->rtt_us, 1u);
	c->flight_us = 0;
	c->ping_us = 0;
}

static void ping(struct h2 *c)
{
	uint8_t opaque[8];

	c->ping_us = clock_mono_us();
	c->last_ping_ms = loop_now_ms(c->loop);
	memcpy(opaque, &c->ping_us, sizeof(opaque));
	nghttp2_submit_ping(c->session, NGHTTP2_FLAG_NONE, opaque);
	mark(c);
}

/* Text of the peer: what is not plain ASCII is not repeated. */
static char *clean_text(struct str s)
{
	char *t = str_dup(str_sub(s, 0, WHY_MAX));

	for (char *p = t; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	return t;
}

static void on_goaway(struct h2 *c, const nghttp2_goaway *g)
{
	_cleanup_(freep) char *said = clean_text(str_n(g->opaque_data, g->opaque_data_len));

	free(c->why);
	if (g->error_code != NGHTTP2_NO_ERROR)
		c->why = xasprintf("ended by the other side: %s%s%s", nghttp2_http2_strerror(g->error_code),
				   *said ? ": " : "", said);
	else
		c->why = *said ? xasprintf("ended by the other side: %s", said) : xstrdup("ended by the other side");
}

static void on_settings(struct h2 *c)
{
	if (c->up)
		return;
	c->up = true;
	timer_set(c->timer, c->conf.ping_ms);
	ping(c);
	if (c->handler->up)
		c->handler->up(c->arg, c);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2 *c = arg;
	struct h2_stream *s =
		frame->hd.stream_id ? nghttp2_session_get_stream_user_data(session, frame->hd.stream_id) : NULL;
	bool ack = frame->hd.flags & NGHTTP2_FLAG_ACK;

	if (frame->hd.type == NGHTTP2_SETTINGS && !ack)
		on_settings(c);
	else if (frame->hd.type == NGHTTP2_PING && ack)
		on_pong(c, frame->ping.opaque_data);
	else if (frame->hd.type == NGHTTP2_GOAWAY)
		on_goaway(c, &frame->goaway);
	else if (frame->hd.type == NGHTTP2_HEADERS && s && !s->reset)
		on_head(c, s);
	if (c->over || !s || s->reset)
		return going_on(c);
	if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
	    (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) && s->handler && s->handler->end)
		s->handler->end(s->arg, s);
	return going_on(c);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
	struct h2 *c = arg;
	struct h2_stream *s = nghttp2_session_get_stream_user_data(session, id);

	if (!s || s->reset || !s->handler || !s->handler->data) {
		nghttp2_session_consume(session, id, n);
		return 0;
	}
	s->unconsumed += n;
	s->handler->data(s->arg, s, str_n(p, n));
	return going_on(c);
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
	struct h2 *c = arg;
	struct h2_stream *s = nghttp2_session_get_stream_user_data(session, id);

	if (!s)
		return 0;
	/* The connection's window would shrink for ever by what nobody will give back. */
	if (s->unconsumed)
		nghttp2_session_consume_connection(session, s->unconsumed);
	nghttp2_session_set_stream_user_data(session, id, NULL);
	stream_close(s, code);
	return going_on(c);
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error, void *arg)
{
	struct h2 *c = arg;

	if (!c->why && frame->hd.stream_id == 0)
		c->why = xasprintf("the other side does not keep to HTTP/2: %s", nghttp2_strerror(error));
	return 0;
}

static ssize_t data_length(nghttp2_session *session, uint8_t type, int32_t id, int32_t connection_left,
			   int32_t stream_left, uint32_t frame_max, void *arg)
{
	return DATA_MAX; /* nghttp2 cuts it to what the windows leave */
}

/* A connection's beginning */

static nghttp2_session *session_new(struct h2 *c)
{
	nghttp2_session_callbacks *cb;
	nghttp2_option *o;
	nghttp2_session *session;
	int r;

	if (nghttp2_session_callbacks_new(&cb) != 0 || nghttp2_option_new(&o) != 0)
		abort(); /* out of memory */
	nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
	nghttp2_session_callbacks_set_data_source_read_length_callback(cb, data_length);
	nghttp2_option_set_no_auto_window_update(o, 1);
	nghttp2_option_set_no_closed_streams(o, 1);
	nghttp2_option_set_max_outbound_ack(o, ACKS_MAX);
	nghttp2_option_set_max_settings(o, SETTINGS_MAX);
	nghttp2_option_set_stream_reset_rate_limit(o, RESETS_BURST, RESETS_PER_SECOND);
	if (c->conf.client)
		r = nghttp2_session_client_new2(&session, cb, c, o);
	else
		r = nghttp2_session_server_new2(&session, cb, c, o);
	if (r != 0)
		abort();
	nghttp2_option_del(o);
	nghttp2_session_callbacks_del(cb);
	return session;
}

static void h2_secured(struct h2 *c)
{
	nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, c->conf.stream_window},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEADERS_SIZE_MAX},
		{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, c->conf.client ? 0 : c->conf.streams_max},
		{NGHTTP2_SETTINGS_ENABLE_PUSH, 0}, /* a client's only */
	};

	c->secured = true;
	c->session = session_new(c);
	c->plain = xmalloc((size_t)2 * TLS_RECORD_MAX);
	c->in = xmalloc(TLS_RECORD_MAX);
	if (nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, c->conf.client ? 4 : 3) != 0 ||
	    nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0,
						  (int32_t)c->conf.connection_window) != 0)
		abort();
	h2_flush(c); /* a goodbye in `up` must not come before the preface */
}

static void h2_handshake(struct h2 *c)
{
	int r = tls_handshake(c->tls), out;

	if (!c->rtt_us && c->flight_us)
		c->rtt_us = (uint32_t)MAX(MIN(clock_mono_us() - c->flight_us, (uint64_t)UINT32_MAX / 8), (uint64_t)1);
	if (tls_unsent(c->tls) > 0 && !c->flight_us)
		c->flight_us = clock_mono_us();
	if (r > 0) {
		h2_secured(c);
		return;
	}
	out = tls_flush(c->tls);
	if (r < 0)
		h2_lost(c, tls_error(c->tls));
	else if (out < 0)
		send_failed(c);
	else
		watch_set(c->watch, out == 0 ? WATCH_READ | WATCH_WRITE : WATCH_READ);
}

/* Events */

static void h2_records(struct h2 *c)
{
	ssize_t n;

	while (!c->over && (n = tls_read(c->tls, c->in, TLS_RECORD_MAX)) != 0) {
		ssize_t r;

		if (n < 0) {
			h2_lost(c, tls_error(c->tls));
			return;
		}
		r = nghttp2_session_mem_recv(c->session, (const uint8_t *)c->in, (size_t)n);
		if (r < 0) {
			_cleanup_(freep) char *why =
				xasprintf("the other side does not keep to HTTP/2: %s", nghttp2_strerror((int)r));

			h2_down(c, why);
			return;
		}
	}
}

static void h2_read(struct h2 *c)
{
	c->reading = true;
	for (unsigned i = 0; i < READS_MAX && !c->over; i++) {
		ssize_t n = tls_fill(c->tls);

		if (n < 0)
			h2_lost(c, tls_error(c->tls));
		if (n <= 0)
			break;
		c->last_in_ms = loop_now_ms(c->loop);
		if (!c->secured)
			h2_handshake(c);
		if (c->secured)
			h2_records(c);
		if ((size_t)n < TLS_FILL_MAX)
			break;
	}
	if (!c->over && c->session && nghttp2_session_want_write(c->session))
		mark(c);
	h2_settle(c);
	c->reading = false;
}

static void h2_write(struct h2 *c)
{
	if (!c->secured) {
		h2_handshake(c);
		return;
	}
	h2_flush(c);
	h2_settle(c);
}

static void h2_on_fd(void *arg, int events)
{
	struct h2 *c = arg;

	c->busy++;
	if (events & WATCH_READ)
		h2_read(c);
	if ((events & WATCH_WRITE) && !c->over)
		h2_write(c);
	h2_leave(c);
}

static void h2_on_hook(void *arg)
{
	struct h2 *c = arg;

	if (!c->dirty)
		return;
	c->busy++;
	c->dirty = false;
	h2_write(c);
	h2_leave(c);
}

static void h2_keepalive(struct h2 *c)
{
	uint64_t now = loop_now_ms(c->loop), idle;

	/* This process may have been away itself: what came meanwhile is looked at first. */
	if (now - c->last_in_ms >= c->conf.dead_ms)
		h2_read(c);
	if (c->over)
		return;
	idle = now - c->last_in_ms;
	if (idle >= c->conf.dead_ms) {
		_cleanup_(freep) char *why = xasprintf("no sign of life for %g s", c->conf.dead_ms / 1000.0);

		h2_lost(c, why);
		return;
	}
	if (now - c->last_ping_ms >= (idle >= c->conf.ping_ms ? c->conf.ping_ms : RTT_FRESH_MS))
		ping(c);
	timer_set(c->timer, idle < c->conf.ping_ms ? c->conf.ping_ms - idle
						   : MIN(c->conf.dead_ms - idle, (uint64_t)c->conf.ping_ms));
}

static void h2_on_timer(void *arg)
{
	struct h2 *c = arg;

	c->busy++;
	if (c->up) {
		h2_keepalive(c);
	} else {
		_cleanup_(freep) char *why = xasprintf("no %s within %g s", c->secured ? "HTTP/2" : "TLS handshake",
						       c->conf.handshake_ms / 1000.0);

		h2_lost(c, why);
	}
	h2_leave(c);
}

#define DEFAULT(field, value) (c->conf.field = c->conf.field ? c->conf.field : (value))

struct h2 *h2_new(struct loop *l, int fd, const struct h2_conf *conf, const struct h2_handler *h, void *arg)
{
	struct h2 *c = xnew(struct h2);

	*c = (struct h2){.loop = l, .conf = *conf, .handler = h, .arg = arg, .fd = fd};
	DEFAULT(stream_window, STREAM_WINDOW);
	DEFAULT(connection_window, CONNECTION_WINDOW);
	DEFAULT(streams_max, STREAMS_MAX);
	DEFAULT(handshake_ms, HANDSHAKE_MS);
	DEFAULT(ping_ms, PING_MS);
	DEFAULT(dead_ms, DEAD_MS);
	tcp_peer_address(fd, c->address);
	/* Twice: a peer that lives but reads nothing is not the kernel's to judge so soon. */
	tcp_tune(fd, c->conf.dead_ms * 2);
	c->tls = tls_new(conf->tls, fd);
	c->watch = watch_new(l, fd, WATCH_READ, h2_on_fd, c);
	if (!c->watch)
		__builtin_trap(); /* no socket: a broken caller */
	c->timer = timer_new(l, h2_on_timer, c);
	timer_set(c->timer, c->conf.handshake_ms);
	c->hook = loop_hook_new(l, h2_on_hook, c);
	c->last_in_ms = loop_now_ms(l);
	mark(c);
	return c;
}

struct h2 *h2_close(struct h2 *c, const char *why)
{
	if (!c || c->dead)
		return NULL;
	c->busy++;
	c->dead = true;
	if (why && !c->over)
		c->bye = clean_text(str_from(why));
	if (!c->over)
		h2_over(c);
	h2_leave(c);
	return NULL;
}

struct h2 *h2_free(struct h2 *c)
{
	return h2_close(c, NULL);
}

bool h2_is_up(const struct h2 *c)
{
	return c && c->up && !c->over;
}

const char *h2_peer_fingerprint(const struct h2 *c)
{
	return tls_fingerprint(c->tls);
}

const char *h2_peer_address(const struct h2 *c)
{
	return c->address;
}

uint32_t h2_rtt_us(const struct h2 *c)
{
	return c->rtt_us;
}

/* Streams */

static nghttp2_nv nv(struct str k, struct str v)
{
	return (nghttp2_nv){(uint8_t *)k.p, (uint8_t *)v.p, k.n, v.n, NGHTTP2_NV_FLAG_NONE};
}

/* Adds the headers to those there are; false: one is none, or there are too many. */
static bool nv_add(nghttp2_nv *nva, size_t *n, const struct kv *headers, size_t n_headers)
{
	if (n_headers > HEADERS_MAX - *n)
		return false;
	for (size_t i = 0; i < n_headers; i++) {
		struct kv h = headers[i];

		if (str_starts(h.k, STR(":")) || !nghttp2_check_header_name((const uint8_t *)h.k.p, h.k.n) ||
		    !nghttp2_check_header_value((const uint8_t *)h.v.p, h.v.n))
			return false;
		nva[(*n)++] = nv(h.k, h.v);
	}
	return true;
}

struct h2_stream *h2_request(struct h2 *c, const char *method, const char *path, const struct kv *headers,
			     size_t n_headers, const struct h2_stream_handler *h, void *arg)
{
	nghttp2_nv nva[HEADERS_MAX] = {
		nv(STR(":method"), str_from(method)),
		nv(STR(":scheme"), STR("https")),
		nv(STR(":authority"), STR("wick")),
		nv(STR(":path"), str_from(path)),
	};
	nghttp2_data_provider provider = {.read_callback = on_pull};
	struct h2_stream *s;
	size_t n = 4;
	int32_t id;

	if (!h2_is_up(c) || !c->conf.client || !nghttp2_session_check_request_allowed(c->session) ||
	    !nghttp2_check_method((const uint8_t *)method, strlen(method)) || path[0] != '/' ||
	    !nghttp2_check_path((const uint8_t *)path, strlen(path)) || !nv_add(nva, &n, headers, n_headers))
		return NULL;
	s = stream_new(c, h, arg);
	provider.source.ptr = s;
	id = nghttp2_submit_request(c->session, NULL, nva, n, &provider, s);
	if (id < 0) {
		stream_list_remove(&c->streams, s);
		free(s);
		return NULL;
	}
	s->id = id;
	mark(c);
	return s;
}

void h2_accept(struct h2_stream *s, const struct h2_stream_handler *h, void *arg)
{
	s->handler = h;
	s->arg = arg;
}

void h2_respond(struct h2_stream *s, unsigned status, const struct kv *headers, size_t n_headers,
		const struct h2_stream_handler *h, void *arg)
{
	nghttp2_data_provider provider = {.source.ptr = s, .read_callback = on_pull};
	char code[16];
	nghttp2_nv nva[HEADERS_MAX] = {
		nv(STR(":status"), str_n(code, (size_t)snprintf(code, sizeof(code), "%03u", status))),
	};
	size_t n = 1;

	h2_accept(s, h, arg);
	if (s->c->over || s->reset || s->gone)
		return;
	assert(!s->responded && !s->c->conf.client && status >= 200 && status <= 599);
	s->responded = true;
	if (!nv_add(nva, &n, headers, n_headers) ||
	    nghttp2_submit_response(s->c->session, s->id, nva, n, &provider) != 0)
		h2_reset(s, H2_INTERNAL_ERROR);
	mark(s->c);
}

void h2_wake(struct h2_stream *s)
{
	/* One that is not deferred will be asked anyway. */
	if (s->c->over || s->gone || !s->deferred || woken_list_linked(s))
		return;
	woken_list_push(&s->c->woken, s);
	mark(s->c);
}

void h2_end(struct h2_stream *s)
{
	s->ending = true;
	h2_wake(s);
}

void h2_reset(struct h2_stream *s, uint32_t code)
{
	if (s->c->over || s->reset || s->gone)
		return;
	s->reset = true;
	s->reset_code = code;
	if (!nghttp2_session_find_stream(s->c->session, s->id)) {
		nghttp2_session_set_stream_user_data(s->c->session, s->id, NULL);
		if (woken_list_linked(s))
			woken_list_remove(&s->c->woken, s);
		woken_list_push(&s->c->given_up, s);
	}
	nghttp2_submit_rst_stream(s->c->session, NGHTTP2_FLAG_NONE, s->id, code);
	mark(s->c);
}

void h2_consumed(struct h2_stream *s, size_t n)
{
	assert(n <= s->unconsumed);
	if (s->c->over || s->gone)
		return;
	s->unconsumed -= n;
	nghttp2_session_consume(s->c->session, s->id, n);
	if (nghttp2_session_want_write(s->c->session))
		mark(s->c);
}

struct h2 *h2_of(const struct h2_stream *s)
{
	return s->c;
}

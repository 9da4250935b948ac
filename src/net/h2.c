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
#include "net/h2_parts.h"

#include "base/mem.h"
#include "sys/clock.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define OUT_MAX           ((size_t)64 << 10) /* ciphertext that waits for the socket */
#define ROUNDS_MAX        16                 /* of OUT_MAX, sent in a turn of the loop */
#define READS_MAX         4                  /* of TLS_FILL_MAX, read in one */
#define STREAM_WINDOW     ((8u << 20) + (64u << 10))
#define CONNECTION_WINDOW (64u << 20)
#define STREAMS_MAX       100000
#define HANDSHAKE_MS      10000
#define PING_MS           3000
#define DEAD_MS           10000
#define RTT_FRESH_MS      30000 /* a busy connection is asked so often, so that its round trip is not yesterday's */

static void h2_read(struct h2 *c);
static void goodbye(struct h2 *c);

/* The end of a connection */

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

/* Called with busy held; every stream learns it first. */
static void h2_over(struct h2 *c)
{
	struct h2_stream *s;

	c->over = true;
	c->timer = timer_free(c->timer);
	c->hook = loop_hook_free(c->hook);
	watch_set(c->watch, 0);
	while ((s = stream_list_first(&c->streams)))
		h2_stream_close(s, H2_LOST);
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

void h2_mark(struct h2 *c)
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

bool h2_seal(struct h2 *c, size_t n)
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
			if (!h2_seal(c, TLS_RECORD_MAX))
				return false;
	}
	return true;
}

bool h2_out_full(const struct h2 *c)
{
	return tls_unsent(c->tls) + c->plain_n >= OUT_MAX;
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
		if (h2_out_full(c))
			c->paused = true;
	}
	if (c->plain_n && !h2_seal(c, c->plain_n)) {
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
		h2_stream_close(s, s->reset_code);
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
	if (!plain_add(c, frame, FRAME_HEAD + 8 + why_n) || !h2_seal(c, c->plain_n))
		return;
	tls_bye(c->tls);
	tls_flush(c->tls);
}

void h2_ping(struct h2 *c)
{
	uint8_t opaque[8];

	c->ping_us = clock_mono_us();
	c->last_ping_ms = loop_now_ms(c->loop);
	memcpy(opaque, &c->ping_us, sizeof(opaque));
	nghttp2_submit_ping(c->session, NGHTTP2_FLAG_NONE, opaque);
	h2_mark(c);
}

char *h2_clean_text(struct str s)
{
	char *t = str_dup(str_sub(s, 0, WHY_MAX));

	for (char *p = t; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	return t;
}

/* A connection's beginning */

static void h2_secured(struct h2 *c)
{
	nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, c->conf.stream_window},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEADERS_SIZE_MAX},
		{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, c->conf.client ? 0 : c->conf.streams_max},
		{NGHTTP2_SETTINGS_ENABLE_PUSH, 0}, /* a client's only */
	};

	c->secured = true;
	c->session = h2_session_new(c);
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
		h2_mark(c);
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
		h2_ping(c);
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
	c->conf.stream_window = MIN(c->conf.stream_window, (uint32_t)INT32_MAX); /* HTTP/2's own bound */
	c->conf.connection_window = MIN(c->conf.connection_window, (uint32_t)INT32_MAX);
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
	h2_mark(c);
	return c;
}

struct h2 *h2_close(struct h2 *c, const char *why)
{
	if (!c || c->dead)
		return NULL;
	c->busy++;
	c->dead = true;
	if (why && !c->over)
		c->bye = h2_clean_text(str_from(why));
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

/* What nghttp2 tells of a connection's frames, and what it asks: headers, data and ends of streams go to their
 * handlers, settings, pings and goodbyes to the connection; bytes to send are pulled from the stream's owner straight
 * into the plaintext of the next record. Runs within nghttp2's calls, made by h2.c: after each handler the connection
 * may be over, and then all that is under way stops. Owns nothing. */
#include "net/h2_parts.h"

#include "base/mem.h"
#include "sys/clock.h"

#include <assert.h>

/* What a peer may have us keep or do: answers to its pings and settings that wait to be sent, settings in a frame,
 * streams it opens and resets (a burst, and then each second). */
#define ACKS_MAX          1000
#define SETTINGS_MAX      32
#define RESETS_BURST      10000
#define RESETS_PER_SECOND 1000
/* Of a round trip: farther than any local network. */
#define FAR_US 5000

static ssize_t on_pull(nghttp2_session *session, int32_t id, uint8_t *unused, size_t room, uint32_t *flags,
		       nghttp2_data_source *source, void *arg)
{
	struct h2 *c = arg;
	struct h2_stream *s = source->ptr;
	char *to = c->plain + c->plain_n + FRAME_HEAD;
	size_t n = 0, some = 0;

	if (c->over || h2_out_full(c)) {
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

nghttp2_data_provider h2_provider(struct h2_stream *s)
{
	return (nghttp2_data_provider){.source.ptr = s, .read_callback = on_pull};
}

/* The frame whose bytes on_pull has just put in place. */
static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t n,
			nghttp2_data_source *source, void *arg)
{
	struct h2 *c = arg;

	memcpy(c->plain + c->plain_n, head, FRAME_HEAD);
	c->plain_n += FRAME_HEAD + n;
	if (c->plain_n >= TLS_RECORD_MAX && !h2_seal(c, TLS_RECORD_MAX))
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	return 0;
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
	s = h2_stream_new(c, NULL, NULL);
	s->id = frame->hd.stream_id;
	nghttp2_session_set_stream_user_data(session, s->id, s);
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
		     const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
	struct h2 *c = arg;
	struct h2_head *h = &c->head;

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
static size_t head_take(const struct h2_head *h, struct kv ret[static HEADERS_MAX], struct str *method,
			struct str *path, unsigned *status)
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
	if (c->flight_us && c->rtt_us >= FAR_US)
		tcp_far(c->fd);
	c->flight_us = 0;
	c->ping_us = 0;
}

static void on_goaway(struct h2 *c, const nghttp2_goaway *g)
{
	_cleanup_(freep) char *said = h2_clean_text(str_n(g->opaque_data, g->opaque_data_len));

	free(c->why);
	if (g->error_code != NGHTTP2_NO_ERROR)
		c->why = xasprintf("ended by the other side: %s%s%s", nghttp2_http2_strerror(g->error_code),
				   *said ? ": " : "", said);
	else
		c->why = *said ? xasprintf("ended by the other side: %s", said) : xstrdup("ended by the other side");
	/* Requests that wait for their turn would wait for ever. */
	for (struct h2_stream *s = stream_list_first(&c->streams); s; s = stream_list_next(s))
		if (!nghttp2_session_find_stream(c->session, s->id))
			h2_reset(s, H2_REFUSED_STREAM);
}

static void on_settings(struct h2 *c)
{
	if (c->up)
		return;
	c->up = true;
	timer_set(c->timer, c->conf.ping_ms);
	h2_ping(c);
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
	h2_stream_close(s, code);
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

nghttp2_session *h2_session_new(struct h2 *c)
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

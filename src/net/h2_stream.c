/* Streams, as their owners use them. Everything here only marks or submits: frames are made by h2.c's hook, and no
 * handler is called from within. */
#include "net/h2_parts.h"

#include "base/mem.h"

#include <assert.h>
#include <stdio.h>

struct h2_stream *h2_stream_new(struct h2 *c, const struct h2_stream_handler *h, void *arg)
{
	struct h2_stream *s = xnew(struct h2_stream);

	*s = (struct h2_stream){.c = c, .handler = h, .arg = arg};
	stream_list_push(&c->streams, s);
	return s;
}

void h2_stream_close(struct h2_stream *s, uint32_t code)
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
	nghttp2_data_provider provider;
	struct h2_stream *s;
	size_t n = 4;
	int32_t id;

	if (!h2_is_up(c) || !c->conf.client || !nghttp2_session_check_request_allowed(c->session) ||
	    !nghttp2_check_method((const uint8_t *)method, strlen(method)) || path[0] != '/' ||
	    !nghttp2_check_path((const uint8_t *)path, strlen(path)) || !nv_add(nva, &n, headers, n_headers))
		return NULL;
	s = h2_stream_new(c, h, arg);
	provider = h2_provider(s);
	id = nghttp2_submit_request(c->session, NULL, nva, n, &provider, s);
	if (id < 0) {
		stream_list_remove(&c->streams, s);
		free(s);
		return NULL;
	}
	s->id = id;
	h2_mark(c);
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
	nghttp2_data_provider provider = h2_provider(s);
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
	h2_mark(s->c);
}

void h2_wake(struct h2_stream *s)
{
	/* One that is not deferred will be asked anyway. */
	if (s->c->over || s->gone || !s->deferred || woken_list_linked(s))
		return;
	woken_list_push(&s->c->woken, s);
	h2_mark(s->c);
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
	h2_mark(s->c);
}

void h2_drop(struct h2_stream *s, uint32_t code)
{
	static const struct h2_stream_handler nobody;

	s->handler = &nobody;
	h2_reset(s, code);
}

void h2_consumed(struct h2_stream *s, size_t n)
{
	assert(n <= s->unconsumed);
	if (s->c->over || s->gone)
		return;
	s->unconsumed -= n;
	nghttp2_session_consume(s->c->session, s->id, n);
	if (nghttp2_session_want_write(s->c->session))
		h2_mark(s->c);
}

struct h2 *h2_of(const struct h2_stream *s)
{
	return s->c;
}

/* One exchange: the request's head as the program gets it, its body as it comes, the answer as it comes back. Windows:
 * CHUNKs to the gate spend `credit`; CHUNKs from it are given back as the program's socket takes them. Every exchange
 * ends in one RESULT or ERROR, whatever becomes of the program. */
#include "runtime/web/web.h"

#include "base/id.h"
#include "wire/json.h"

#include <stdio.h>
#include <string.h>

static void exchange_free(struct exchange *x)
{
	buf_done(&x->head);
	buf_done(&x->answer);
	free(x);
}

/* ---- the request ---- */

struct request_headers {
	struct str connection;
	bool host, te, has_length, upgrade;
	uint64_t length;
};

/* What decides how the others are read. False: the length is none, or there are two. */
static bool survey(const struct frame *f, struct request_headers *ret)
{
	struct http1_header h;
	struct str line;
	uint16_t key;

	*ret = (struct request_headers){.connection = STR("")};
	for (size_t at = 0; frame_meta_next(f, &at, &key, &line);) {
		if (key != FRAME_KEY_HEADER || !http1_header_line(line, &h))
			continue;
		if (str_ieq(h.name, STR("connection")))
			ret->connection = h.value;
		ret->host |= str_ieq(h.name, STR("host"));
		ret->te |= str_ieq(h.name, STR("transfer-encoding"));
		if (str_ieq(h.name, STR("content-length"))) {
			if (ret->has_length || !str_to_u64(h.value, &ret->length))
				return false;
			ret->has_length = true;
		}
		ret->upgrade |= str_ieq(h.name, STR("upgrade"));
	}
	ret->upgrade &= http1_list_has(ret->connection, STR("upgrade"));
	return true;
}

static void add_headers(struct exchange *x, const struct frame *f, const struct request_headers *r)
{
	struct http1_header h;
	struct str line;
	uint16_t key;

	for (size_t at = 0; frame_meta_next(f, &at, &key, &line);) {
		bool upgrade;

		if (key != FRAME_KEY_HEADER || !http1_header_line(line, &h))
			continue;
		upgrade = r->upgrade && str_ieq(h.name, STR("upgrade"));
		if ((http1_hop_by_hop(h.name, r->connection) && !upgrade) || str_ieq(h.name, STR("expect")) ||
		    (r->te && str_ieq(h.name, STR("content-length"))))
			continue;
		buf_printf(&x->head, "%.*s: %.*s\r\n", STR_ARG(h.name), STR_ARG(h.value));
	}
	if (r->upgrade)
		buf_adds(&x->head, "Connection: Upgrade\r\n");
	if (!r->host)
		buf_printf(&x->head, "Host: 127.0.0.1:%u\r\n", x->web->port);
}

static bool http_request(struct exchange *x, const struct frame *f, struct str method)
{
	static const struct str idempotent[] = {{"GET", 3}, {"HEAD", 4}, {"OPTIONS", 7}, {"PUT", 3}, {"DELETE", 6}};
	struct request_headers r;
	struct str target = STR("");

	frame_meta_get(f, FRAME_KEY_TARGET, &target);
	if (!http1_is_method(method) || !http1_is_target(target) || !survey(f, &r))
		return false;
	x->length_left = r.length;
	x->http = x->pieces = true;
	x->to_head = str_eq(method, STR("HEAD"));
	for (size_t i = 0; i < ARRAY_SIZE(idempotent); i++)
		x->idempotent |= str_eq(method, idempotent[i]);
	x->upgrade = r.upgrade;
	x->framing = r.te           ? FRAMING_CHUNKED
		     : r.has_length ? FRAMING_LENGTH
		     : r.upgrade    ? FRAMING_NONE
				    : FRAMING_UNKNOWN;
	buf_printf(&x->head, "%.*s %.*s HTTP/1.1\r\n", STR_ARG(method), STR_ARG(target));
	add_headers(x, f, &r);
	return true;
}

static void add_meta_header(struct exchange *x, const char *name, const struct frame *f, enum frame_key key)
{
	struct buf line = BUF_NULL;
	struct http1_header h;
	struct str v;

	if (!frame_meta_get(f, (uint16_t)key, &v))
		return;
	buf_printf(&line, "%s: %.*s", name, STR_ARG(v));
	if (http1_header_line(buf_str(&line), &h))
		buf_printf(&x->head, "%s\r\n", line.p);
	buf_done(&line);
}

static void event_request(struct exchange *x, const struct frame *f)
{
	char id[UUID_TEXT_SIZE];
	uint64_t v;

	uuid_format(f->id, id);
	x->pieces = frame_meta_u64(f, FRAME_KEY_STREAM, &v) && v;
	x->framing = FRAMING_LENGTH;
	x->request_ended = true;
	buf_printf(&x->head,
		   "POST / HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Type: application/json\r\n"
		   "Content-Length: %zu\r\nX-Amzn-RequestId: %s\r\n",
		   x->web->port, f->body.n, id);
	add_meta_header(x, "X-Amzn-Trace-Id", f, FRAME_KEY_TRACE);
	add_meta_header(x, "X-Amz-Client-Context", f, FRAME_KEY_CLIENT_CONTEXT);
	buf_adds(&x->head, "\r\n");
	buf_add_str(&x->head, f->body);
}

struct exchange *exchange_new(struct web *w, const struct frame *f)
{
	struct exchange *x = xnew(struct exchange);
	struct str method;

	memcpy(x->id, f->id, sizeof(x->id));
	x->web = w;
	x->credit = FRAME_WINDOW;
	if (!frame_meta_get(f, FRAME_KEY_METHOD, &method)) {
		event_request(x, f);
	} else if (!http_request(x, f, method)) {
		shim_error(&w->shim, f->id, "Web.BadRequest",
			   "The method, the target or the length of the request is malformed");
		exchange_free(x);
		return NULL;
	}
	map_put(&w->exchanges, str_n(x->id, sizeof(x->id)), x);
	return x;
}

struct exchange *exchange_new_probe(struct web *w)
{
	struct exchange *x = xnew(struct exchange);

	x->web = w;
	x->probe = true;
	x->framing = FRAMING_NONE;
	x->request_ended = true;
	buf_printf(&x->head, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUser-Agent: wick\r\n", w->ready_path, w->port);
	return x;
}

/* The head goes out as soon as it is known how the body is framed. */
static void send_head(struct exchange *x)
{
	if (x->head_sent || !x->up || x->framing == FRAMING_UNKNOWN)
		return;
	x->head_sent = true;
	upstream_send(x->up, buf_str(&x->head), 0);
	if (x->http || x->probe)
		upstream_send(x->up,
			      x->framing == FRAMING_CHUNKED ? STR("Transfer-Encoding: chunked\r\n\r\n") : STR("\r\n"),
			      0);
}

void exchange_begin(struct exchange *x)
{
	struct web *w = x->web;
	struct upstream *u;
	int error;

	u = upstream_get(w, &error);
	if (!u) {
		exchange_refused(x);
		return;
	}
	x->up = u;
	u->x = x;
	u->keep = false;
	send_head(x);
	upstream_flush(u);
}

/* What follows on the connection would be taken for another request. */
static void bad_length(struct exchange *x)
{
	x->up->keep = false;
	exchange_failed(x, "Web.BadRequest", "The body of the request is not as long as its Content-Length says");
}

void exchange_chunk(struct exchange *x, struct str piece)
{
	struct upstream *u = x->up;
	char line[32];

	if (!u || !piece.n)
		return;
	if (x->framing == FRAMING_UNKNOWN)
		x->framing = FRAMING_CHUNKED;
	if (u->state != UPSTREAM_TUNNEL && x->framing == FRAMING_LENGTH) {
		if (piece.n > x->length_left) {
			bad_length(x);
			return;
		}
		x->length_left -= piece.n;
	}
	send_head(x);
	if (x->framing == FRAMING_CHUNKED && u->state != UPSTREAM_TUNNEL) {
		snprintf(line, sizeof(line), "%zx\r\n", piece.n);
		upstream_send(u, str_from(line), 0);
		upstream_send(u, piece, piece.n);
		upstream_send(u, STR("\r\n"), 0);
	} else {
		upstream_send(u, piece, piece.n);
	}
	upstream_flush(u);
}

void exchange_end_of_request(struct exchange *x)
{
	struct upstream *u = x->up;

	if (!u)
		return;
	if (u->state == UPSTREAM_TUNNEL) {
		u->end_after_out = true;
		upstream_flush(u);
		return;
	}
	if (x->request_ended)
		return;
	if (x->framing == FRAMING_LENGTH && x->length_left) {
		bad_length(x);
		return;
	}
	x->request_ended = true;
	if (x->framing == FRAMING_UNKNOWN) {
		x->framing = FRAMING_NONE;
		if (!x->idempotent)
			buf_adds(&x->head, "Content-Length: 0\r\n");
	}
	send_head(x);
	if (x->framing == FRAMING_CHUNKED)
		upstream_send(u, STR("0\r\n\r\n"), 0);
	upstream_flush(u);
}

void exchange_cancel(struct exchange *x)
{
	if (x->up)
		x->up->keep = false;
	exchange_failed(x, "Web.Cancelled", "Nobody waited for the answer any more");
}

void exchange_window(struct exchange *x, uint64_t more)
{
	x->credit += MIN(more, (uint64_t)FRAME_WINDOW);
	if (x->up)
		upstream_resume(x->up);
}

/* ---- the answer ---- */

bool exchange_is_held(const struct exchange *x)
{
	return x->pieces && (x->credit == 0 || lane_is_full(&x->web->shim.lane));
}

void exchange_head(struct exchange *x, const struct http1_head *h)
{
	struct str connection = http1_get(h, "connection");
	struct buf meta = BUF_NULL, line = BUF_NULL;

	x->status = h->status;
	x->responded = true;
	if (!x->pieces)
		return;
	frame_meta_add_u64(&meta, FRAME_KEY_STATUS, h->status);
	for (size_t i = 0; i < h->n_headers; i++) {
		const struct http1_header *f = &h->headers[i];
		bool upgrade =
			h->status == 101 && (str_ieq(f->name, STR("upgrade")) || str_ieq(f->name, STR("connection")));

		if (http1_hop_by_hop(f->name, connection) && !upgrade)
			continue;
		buf_clear(&line);
		buf_printf(&line, "%.*s: %.*s", STR_ARG(f->name), STR_ARG(f->value));
		frame_meta_add(&meta, FRAME_KEY_HEADER, buf_str(&line));
	}
	lane_say(&x->web->shim.lane, FRAME_HEAD, x->id, &meta, STR_NULL);
	buf_done(&meta);
	buf_done(&line);
}

void exchange_piece(struct exchange *x, struct str piece)
{
	char text[128];

	if (x->probe)
		return;
	if (x->pieces) {
		x->credit -= piece.n;
		lane_say(&x->web->shim.lane, FRAME_CHUNK, x->id, NULL, piece);
		return;
	}
	if (piece.n <= SHIM_ANSWER_MAX - x->answer.n) {
		buf_add_str(&x->answer, piece);
		return;
	}
	snprintf(text, sizeof(text), "Response payload size exceeded maximum allowed payload size (%u bytes).",
		 SHIM_ANSWER_MAX);
	x->up->keep = false;
	exchange_failed(x, "Function.ResponseSizeTooLarge", text);
}

void exchange_piped(struct exchange *x, size_t n)
{
	x->credit -= n;
	lane_say_piped(&x->web->shim.lane, x->id, x->web->pipe[0], n);
}

/* It takes nothing from its upstream any more. */
static void let_go(struct exchange *x)
{
	struct upstream *u = x->up;

	if (u)
		upstream_release(u);
}

/* The answer to an event. */
static void event_done(struct exchange *x)
{
	struct shim *s = &x->web->shim;
	struct str answer = buf_str(&x->answer);

	if (x->status >= 400) {
		shim_error(s, x->id, "Web.ErrorStatus", "POST / was answered %u: %.*s", x->status,
			   STR_ARG(str_sub(answer, 0, 1024)));
	} else if (answer.n == 0) {
		shim_result(s, x->id, STR("null"));
	} else if (json_check(answer)) {
		shim_result(s, x->id, answer);
	} else {
		struct buf text = BUF_NULL;

		json_write_string(&text, answer);
		shim_result(s, x->id, buf_str(&text));
		buf_done(&text);
	}
}

void exchange_done(struct exchange *x)
{
	struct web *w = x->web;

	let_go(x);
	if (x->probe) {
		bool ok = x->status < 500;

		exchange_free(x);
		web_probed(w, ok);
		return;
	}
	if (x->pieces)
		shim_result(&w->shim, x->id, STR_NULL);
	else
		event_done(x);
	web_exchange_over(w, x);
	exchange_free(x);
}

void exchange_failed(struct exchange *x, const char *type, const char *why)
{
	struct web *w = x->web;

	let_go(x);
	if (x->probe) {
		exchange_free(x);
		web_probed(w, false);
		return;
	}
	shim_error(&w->shim, x->id, type, "%s", why);
	web_exchange_over(w, x);
	exchange_free(x);
}

/* How long a failure waits for the news that the program has ended: its connections are closed a little before. */
#define VERDICT_US (20 * 1000)

static void fail_later(struct exchange *x, const char *type, const char *why)
{
	struct web *w = x->web;

	x->up = NULL;
	x->failed_type = type;
	x->failed_why = why;
	exchange_list_push(&w->failed, x);
	if (w->over)
		web_end_if_over(w);
	else if (!w->verdict.at_us)
		poller_timer(&w->shim.poller, &w->verdict, VERDICT_US);
}

void exchange_verdict(struct web *w)
{
	struct exchange *x;

	while ((x = exchange_list_first(&w->failed)))
		exchange_failed(x, x->failed_type, x->failed_why);
}

void exchange_refused(struct exchange *x)
{
	if (x->probe)
		exchange_failed(x, "", "");
	else
		fail_later(x, "Web.ConnectionRefused", "The program does not take connections on its port any more");
}

void exchange_lost(struct exchange *x, const char *why)
{
	/* A kept connection may be closed by the program at the moment it is used again. */
	bool again = !x->responded && !x->retried && !x->probe && x->idempotent && x->request_ended &&
		     x->framing == FRAMING_NONE;

	if (again) {
		x->retried = true;
		x->head_sent = false;
		exchange_begin(x);
	} else if (x->probe) {
		exchange_failed(x, "", "");
	} else {
		fail_later(x, "Web.ConnectionLost", why);
	}
}

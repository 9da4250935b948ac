/* HTTP of the Lambda Runtime API (AWS Lambda Developer Guide, "Using the Lambda runtime API for custom runtimes" and
 * "Response streaming with custom runtimes"). Any number of connections, one request at a time on each. Requests are
 * not trusted: what is malformed gets 400 and a closed connection, what is out of turn 400 or 403 by AWS's rule, and
 * bodies are held to 6 MiB unless they stream, when one window of the lane is all that is held. */
#include "runtime/provided/runtime_api.h"

#include "runtime/provided/provided.h"
#include "wire/digest.h"
#include "wire/json.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE   (64u << 10)
#define PREFIX      "/2018-06-01/runtime/"
#define PRELUDE_MAX (64u << 10)
#define INTEGRATION "application/vnd.awslambda.http-integration-response"

static void work(struct api_conn *c);

/* ---- connections ---- */

static void conn_free(struct watch *w)
{
	struct api_conn *c = container_of(w, struct api_conn, watch);

	http1_body_done(&c->body);
	buf_done(&c->in);
	buf_done(&c->out);
	buf_done(&c->payload);
	buf_done(&c->error_type);
	buf_done(&c->reply);
	free(c);
}

static void conn_close(struct api_conn *c)
{
	struct provided *p = c->p;
	struct invocation *inv = steal(&c->inv), *fetched = steal(&c->fetched);

	if (c->watch.fd < 0)
		return;
	if (api_waiting_list_linked(c))
		api_waiting_list_remove(&p->api.waiting, c);
	api_conn_list_remove(&p->api.conns, c);
	poller_close(&p->shim.poller, &c->watch);
	poller_change(&p->shim.poller, &p->api.listener, EPOLLIN); /* there may have been no descriptor left */
	if (fetched)
		provided_unfetched(p, fetched);
	if (inv)
		provided_fault(p, inv, "Runtime.TruncatedResponse",
			       "The connection of the runtime was closed before its answer was whole");
}

/* Reading is left to the kernel's buffer while what was read cannot go on. */
static bool is_paused(const struct api_conn *c)
{
	const struct invocation *inv = c->inv;

	if (c->in.n >= READ_SIZE && c->state != API_BODY)
		return true;
	if (c->state != API_BODY || (c->mode != API_PIECES && c->mode != API_PRELUDE) || !inv || inv->cancelled)
		return false;
	return inv->credit == 0 || lane_is_full(&c->p->shim.lane);
}

static void want(struct api_conn *c)
{
	poller_change(&c->p->shim.poller, &c->watch, (is_paused(c) ? 0 : EPOLLIN) | (c->out.n ? EPOLLOUT : 0));
}

/* False: the connection is gone. */
static bool flush(struct api_conn *c)
{
	while (c->out_at < c->out.n) {
		ssize_t n = send(c->watch.fd, c->out.p + c->out_at, c->out.n - c->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n < 0) {
			conn_close(c);
			return false;
		}
		c->out_at += (size_t)n;
	}
	if (!c->out.n)
		return true;
	buf_clear(&c->out);
	if (c->out.cap > READ_SIZE)
		buf_done(&c->out);
	c->out_at = 0;
	if (c->fetched)
		buf_done(&steal(&c->fetched)->event);
	if (c->closing) {
		/* What it still writes is not read: the answer must not be lost to a reset. */
		shutdown(c->watch.fd, SHUT_WR);
		c->mode = API_DROP;
	}
	return true;
}

static void reply(struct api_conn *c, unsigned status, struct str body)
{
	buf_printf(&c->out, "HTTP/1.1 %u %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n%s\r\n", status,
		   http1_reason(status), body.n, c->closing ? "Connection: close\r\n" : "");
	buf_add_str(&c->out, body);
}

/* What the request in hand will be answered when its body is read. */
static void answer_later(struct api_conn *c, unsigned status, const char *type, const char *message)
{
	c->status = status;
	buf_clear(&c->reply);
	if (type)
		lane_error_body(&c->reply, type, str_from(message));
	else
		buf_adds(&c->reply, "{\"status\":\"OK\"}");
}

static void refuse(struct api_conn *c, unsigned status, const char *type, const char *message)
{
	c->call = API_REFUSED;
	c->mode = API_DROP;
	answer_later(c, status, type, message);
}

/* ---- next ---- */

static void hand_out(struct api_conn *c, struct invocation *inv)
{
	buf_printf(&c->out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%sContent-Length: %zu\r\n\r\n",
		   buf_cstr(&inv->head), inv->event.n);
	buf_add_str(&c->out, buf_str(&inv->event));
	c->fetched = inv;
	c->state = API_HEAD;
}

static void ask_next(struct api_conn *c)
{
	struct invocation *inv;

	if (provided_busy(c->p)) {
		answer_later(c, 403, "InvalidStateTransition",
			     "State transition from Running to Ready failed for runtime. Error: State transition is "
			     "not allowed: the invocation in hand has no answer yet");
		reply(c, c->status, buf_str(&c->reply));
		return;
	}
	inv = provided_next(c->p);
	if (inv) {
		hand_out(c, inv);
		return;
	}
	c->state = API_WAITING;
	api_waiting_list_push(&c->p->api.waiting, c);
}

bool runtime_api_deliver(struct runtime_api *api)
{
	struct provided *p = api->p;
	bool any = false;

	while (invocation_list_first(&p->queued) && api_waiting_list_first(&api->waiting)) {
		/* Last in, first out: its caches are warm. */
		struct api_conn *c = api_waiting_list_last(&api->waiting);

		api_waiting_list_remove(&api->waiting, c);
		hand_out(c, provided_next(p));
		any = true;
		if (flush(c))
			work(c);
	}
	return any;
}

/* ---- answers ---- */

static void too_large(struct api_conn *c)
{
	char text[160];

	snprintf(text, sizeof(text), "Response payload size exceeded maximum allowed payload size (%u bytes).",
		 SHIM_ANSWER_MAX);
	provided_fault(c->p, steal(&c->inv), "Function.ResponseSizeTooLarge", text);
	snprintf(text, sizeof(text), "Exceeded maximum allowed payload size (%u bytes).", SHIM_ANSWER_MAX);
	refuse(c, 413, "RequestEntityTooLarge", text);
	buf_done(&c->payload);
}

static void bad_prelude(struct api_conn *c, const char *why)
{
	provided_fault(c->p, steal(&c->inv), "Runtime.InvalidResponse", why);
	refuse(c, 400, "InvalidResponse", why);
}

static bool add_field(struct buf *meta, const char *name, struct str value)
{
	struct buf line = BUF_NULL;
	struct http1_header h;
	bool ok;

	buf_printf(&line, "%s: %.*s", name, STR_ARG(value));
	ok = http1_header_line(buf_str(&line), &h) && str_eq(h.name, str_from(name));
	if (ok)
		frame_meta_add(meta, FRAME_KEY_HEADER, buf_str(&line));
	buf_done(&line);
	return ok;
}

static bool add_text_field(struct buf *meta, const char *name, const json_t *value)
{
	return json_is_string(value) && add_field(meta, name, json_str_value(value));
}

/* {"statusCode": 200, "headers": {...}, "multiValueHeaders": {NAME: [...]}, "cookies": [...]} */
static bool prelude_meta(struct buf *meta, struct str text)
{
	_cleanup_json_ json_t *doc = json_parse(text, NULL);
	int64_t status = json_get_int(doc, "statusCode", 200);
	json_t *headers = json_get_object(doc, "headers"), *cookies = json_get_array(doc, "cookies"), *v;
	json_t *multi = json_get_object(doc, "multiValueHeaders"), *values;
	const char *name;
	size_t i;

	if (!json_is_object(doc) || status < 200 || status > 999)
		return false;
	frame_meta_add_u64(meta, FRAME_KEY_STATUS, (uint64_t)status);
	json_object_foreach(headers, name, v)
	{
		if (!add_text_field(meta, name, v))
			return false;
	}
	json_object_foreach(multi, name, values)
	{
		json_array_foreach(values, i, v)
		{
			if (!add_text_field(meta, name, v))
				return false;
		}
	}
	json_array_foreach(cookies, i, v)
	{
		if (!add_text_field(meta, "Set-Cookie", v))
			return false;
	}
	return true;
}

static void say_head(struct api_conn *c, const struct buf *meta)
{
	if (!c->inv->cancelled)
		lane_say(&c->p->shim.lane, FRAME_HEAD, c->inv->id, meta, STR_NULL);
}

static void take_prelude(struct api_conn *c, struct str piece)
{
	static const char end[8];
	struct buf meta = BUF_NULL;
	struct str all;
	ssize_t at;

	buf_add_str(&c->payload, piece);
	all = buf_str(&c->payload);
	at = str_find(all, str_n(end, sizeof(end)));
	if (at < 0) {
		if (all.n > PRELUDE_MAX)
			bad_prelude(c, "The streamed answer has no end of its head (8 NUL bytes) in 64 KiB");
		return;
	}
	if (prelude_meta(&meta, str_sub(all, 0, (size_t)at))) {
		say_head(c, &meta);
		c->mode = API_PIECES;
		provided_piece(c->p, c->inv, str_sub(all, (size_t)at + sizeof(end), SIZE_MAX));
		buf_done(&c->payload);
	} else {
		bad_prelude(c, "The head of the streamed answer is not {statusCode, headers, cookies}");
	}
	buf_done(&meta);
}

static void take_piece(struct api_conn *c, struct str piece)
{
	switch (c->mode) {
	case API_WHOLE:
		buf_add_str(&c->payload, piece);
		if (c->payload.n <= SHIM_ANSWER_MAX)
			break;
		if (c->inv)
			too_large(c);
		else
			refuse(c, 413, "RequestEntityTooLarge", "Exceeded maximum allowed payload size");
		break;
	case API_PRELUDE:
		take_prelude(c, piece);
		break;
	case API_PIECES:
		provided_piece(c->p, c->inv, piece);
		break;
	case API_DROP:
		break;
	}
}

static void finish_stream(struct api_conn *c, struct invocation *inv)
{
	struct str type = http1_trailer(&c->body, "Lambda-Runtime-Function-Error-Type");
	struct str coded = http1_trailer(&c->body, "Lambda-Runtime-Function-Error-Body");
	struct buf body = BUF_NULL;

	if (c->mode == API_PRELUDE) {
		provided_fault(c->p, inv, "Runtime.InvalidResponse",
			       "The streamed answer ended before its head did (8 NUL bytes)");
	} else if (type.n || coded.n) {
		if (!base64_decode(&body, coded))
			buf_add_str(&body, coded);
		provided_error(c->p, inv, type, buf_str(&body));
	} else {
		provided_result(c->p, inv, STR_NULL);
	}
	buf_done(&body);
}

/* The body is whole. */
static void finish(struct api_conn *c)
{
	struct invocation *inv = steal(&c->inv);
	enum api_call call = c->call;

	c->state = API_HEAD;
	if (call == API_NEXT)
		ask_next(c);
	else
		reply(c, c->status, buf_str(&c->reply));
	if (call == API_INIT_ERROR)
		provided_init_error(c->p, buf_str(&c->error_type), buf_str(&c->payload));
	else if (call == API_ERROR && inv)
		provided_error(c->p, inv, buf_str(&c->error_type), buf_str(&c->payload));
	else if (call == API_RESPONSE && inv && c->mode == API_WHOLE)
		provided_result(c->p, inv, buf_str(&c->payload));
	else if (call == API_RESPONSE && inv)
		finish_stream(c, inv);
	buf_done(&c->payload);
	http1_body_done(&c->body);
}

/* ---- requests ---- */

static void begin_answer(struct api_conn *c, const struct http1_head *h, struct str id)
{
	struct str mode = http1_get(h, "Lambda-Runtime-Function-Response-Mode"), type = http1_get(h, "Content-Type");
	struct invocation *inv = provided_find(c->p, id);

	if (!invocation_list_first(&c->p->open)) {
		refuse(c, 403, "InvalidStateTransition",
		       "State transition from Ready to InvocationResponse failed for runtime. Error: State transition "
		       "is not allowed: no invocation is in hand, or it was answered before");
		return;
	}
	if (!inv || inv->state != INVOCATION_OPEN) {
		refuse(c, 400, "InvalidRequestID", "Invalid request ID");
		return;
	}
	inv->state = INVOCATION_ANSWERING;
	inv->conn = c;
	c->inv = inv;
	answer_later(c, 202, NULL, NULL);
	if (c->call == API_RESPONSE && inv->stream && str_ieq(mode, STR("streaming"))) {
		struct buf meta = BUF_NULL;

		c->mode = str_istarts(type, STR(INTEGRATION)) ? API_PRELUDE : API_PIECES;
		if (c->mode == API_PIECES) {
			frame_meta_add_u64(&meta, FRAME_KEY_STATUS, 200);
			if (type.n)
				add_field(&meta, "Content-Type", type);
			say_head(c, &meta);
		}
		buf_done(&meta);
	} else if (h->has_length && h->length > SHIM_ANSWER_MAX) {
		too_large(c);
	}
}

static void begin_invocation(struct api_conn *c, const struct http1_head *h, struct str path)
{
	struct str id, what;

	str_cut(path, '/', &id, &what);
	if (str_eq(what, STR("response")))
		c->call = API_RESPONSE;
	else if (str_eq(what, STR("error")))
		c->call = API_ERROR;
	else
		refuse(c, 404, "NotFound",
		       "The Runtime API has invocation/next, invocation/ID/response, "
		       "invocation/ID/error and init/error");
	if (c->call != API_REFUSED && !str_eq(h->method, STR("POST")))
		refuse(c, 405, "MethodNotAllowed", "Only POST");
	if (c->call != API_REFUSED)
		begin_answer(c, h, id);
}

static void begin(struct api_conn *c, const struct http1_head *h)
{
	struct str path = h->target;

	c->call = API_NEXT;
	c->mode = API_WHOLE;
	c->closing = h->close;
	buf_clear(&c->payload);
	buf_clear(&c->error_type);
	answer_later(c, 202, NULL, NULL);
	if (str_starts(path, STR(PREFIX)))
		path = str_sub(path, sizeof(PREFIX) - 1, SIZE_MAX);
	else
		path = STR("unknown/unknown");
	if (str_eq(path, STR("invocation/next"))) {
		c->mode = API_DROP;
		if (!str_eq(h->method, STR("GET")))
			refuse(c, 405, "MethodNotAllowed", "Only GET");
	} else if (str_eq(path, STR("init/error"))) {
		c->call = API_INIT_ERROR;
		if (c->p->shim.ready || c->p->init_error)
			refuse(c, 403, "InvalidStateTransition",
			       "State transition from Ready to InitError failed for runtime. Error: State transition "
			       "is not allowed");
	} else {
		begin_invocation(c, h,
				 str_starts(path, STR("invocation/")) ? str_sub(path, 11, SIZE_MAX) : STR("x/unknown"));
	}
	if (c->call == API_ERROR || c->call == API_INIT_ERROR)
		buf_add_str(&c->error_type, str_sub(http1_get(h, "Lambda-Runtime-Function-Error-Type"), 0, 256));
	http1_request_body(&c->body, h);
	if (h->expect_continue && !c->body.done && c->call == API_REFUSED)
		c->closing = c->body.done = true; /* its body will not come */
	else if (h->expect_continue && !c->body.done)
		buf_adds(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
	c->state = API_BODY;
}

/* A message that is none: its sender is told, and what it was to answer ends here. */
static void malformed(struct api_conn *c, const char *why)
{
	struct invocation *inv = steal(&c->inv);
	char text[160];

	if (inv) {
		snprintf(text, sizeof(text), "The runtime's answer is no HTTP: %s", why);
		provided_fault(c->p, inv, "Runtime.InvalidResponse", text);
	}
	c->closing = true;
	c->state = API_HEAD;
	answer_later(c, 400, "InvalidRequest", why);
	reply(c, 400, buf_str(&c->reply));
	flush(c);
}

/* True: the body is whole. */
static bool work_body(struct api_conn *c)
{
	struct str in = buf_str(&c->in), piece;
	bool bad = false;

	while (!c->body.done && in.n && !is_paused(c) && !bad) {
		size_t max = FRAME_CHUNK_MAX;

		if (c->inv && c->mode == API_PIECES && !c->inv->cancelled)
			max = MIN((uint64_t)max, c->inv->credit);
		bad = http1_body_next(&c->body, &in, max, &piece) < 0;
		if (!bad && piece.n)
			take_piece(c, piece);
	}
	buf_consume(&c->in, c->in.n - in.n);
	if (bad)
		malformed(c, "a malformed body in chunks");
	return !bad && c->body.done;
}

static void work(struct api_conn *c)
{
	struct http1_head h;
	const char *why;

	while (c->watch.fd >= 0 && c->out.n == 0) {
		if (c->state == API_HEAD && !c->closing) {
			ssize_t n = c->in.n ? http1_request(&h, buf_str(&c->in), &why) : 0;

			if (n < 0) {
				malformed(c, why);
				continue;
			}
			if (n == 0)
				break;
			begin(c, &h);
			buf_consume(&c->in, (size_t)n);
			flush(c);
		} else if (c->state == API_BODY) {
			if (!work_body(c))
				break;
			finish(c);
			flush(c);
		} else {
			if (c->closing && c->state == API_HEAD)
				buf_clear(&c->in);
			break;
		}
	}
	if (c->watch.fd >= 0)
		want(c);
}

static void conn_ready(struct watch *w, uint32_t events)
{
	struct api_conn *c = container_of(w, struct api_conn, watch);
	const int on = 1;
	ssize_t n;

	if ((events & EPOLLOUT) && !flush(c))
		return;
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		buf_reserve(&c->in, READ_SIZE);
		n = recv(w->fd, c->in.p + c->in.n, READ_SIZE, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			conn_close(c);
			return;
		}
		c->in.n += (size_t)MAX(n, 0);
	}
	work(c);
	/* A client that writes a request in pieces, without TCP_NODELAY, waits for the first to be acknowledged, which
	 * the kernel would put off for 40 ms. */
	if (w->fd >= 0 && (c->state == API_BODY || (c->state == API_HEAD && c->in.n)))
		setsockopt(w->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
}

void runtime_api_resume(struct api_conn *c)
{
	/* As if there were something to read: an end that came meanwhile is seen at once. */
	work(c);
	if (c->watch.fd >= 0 && !is_paused(c))
		conn_ready(&c->watch, EPOLLIN);
}

void runtime_api_resume_all(struct runtime_api *api)
{
	struct api_conn *c, *next;

	for (c = api_conn_list_first(&api->conns); c; c = next) {
		next = api_conn_list_next(c);
		runtime_api_resume(c);
	}
}

static void listener_ready(struct watch *w, uint32_t events)
{
	struct runtime_api *api = container_of(w, struct runtime_api, listener);
	int fd, on = 1;

	while ((fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct api_conn *c = xnew(struct api_conn);

		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		c->watch = (struct watch){.fd = fd, .ready = conn_ready, .free = conn_free};
		c->p = api->p;
		api_conn_list_push(&api->conns, c);
		if (poller_watch(&api->p->shim.poller, &c->watch, EPOLLIN) < 0)
			conn_close(c);
	}
	if (errno == EMFILE || errno == ENFILE)
		poller_change(&api->p->shim.poller, w, 0);
}

void runtime_api_settle(struct runtime_api *api)
{
	listener_ready(&api->listener, EPOLLIN);
	runtime_api_resume_all(api);
}

int runtime_api_open(struct runtime_api *api, struct provided *p, const char *address)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	struct str host, port_text;
	char host_text[64];
	int fd, on = 1;
	uint64_t port;

	if (!str_cut(str_from(address), ':', &host, &port_text) || !str_to_u64(port_text, &port) || port > 65535)
		return -EINVAL;
	snprintf(host_text, sizeof(host_text), "%.*s", STR_ARG(host));
	if (inet_pton(AF_INET, host_text, &to.sin_addr) != 1)
		return -EINVAL;
	to.sin_port = htons((uint16_t)port);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0 || listen(fd, SOMAXCONN) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	*api = (struct runtime_api){.listener = {.fd = fd, .ready = listener_ready}, .p = p};
	return poller_watch(&p->shim.poller, &api->listener, EPOLLIN);
}

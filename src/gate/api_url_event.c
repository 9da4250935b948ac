/* A function behind a URL that takes events: the request becomes an event of format 2.0, the answer is read as one, or,
 * with InvokeMode RESPONSE_STREAM, goes out as it comes. Keeps nothing. */
#include "gate/api_url.h"

#include "model/url_event.h"

static bool is_forwarded(struct str name)
{
	return str_ieq(name, STR("x-forwarded-for")) || str_ieq(name, STR("x-forwarded-proto"));
}

/* As the client sent them, but for what this hop adds. A proxy before the gate has ended TLS there and says so. */
static const struct kv *headers_of(struct req *r, size_t *n)
{
	struct kv *h = arena_new_n(&r->arena, struct kv, r->n_headers + 2);
	struct str by = req_header(r, "x-forwarded-for"), proto = req_header(r, "x-forwarded-proto");

	*n = 0;
	for (size_t i = 0; i < r->n_headers; i++)
		if (!is_forwarded(r->headers[i].name))
			h[(*n)++] = (struct kv){r->headers[i].name, r->headers[i].value};
	if (by.n)
		by = str_from(arena_printf(&r->arena, "%.*s, %.*s", STR_ARG(by), STR_ARG(r->peer)));
	h[(*n)++] = (struct kv){STR("x-forwarded-for"), by.n ? by : r->peer};
	h[(*n)++] = (struct kv){STR("x-forwarded-proto"), proto.n ? proto : STR("http")};
	return h;
}

static void write_event(struct req *r, struct buf *b)
{
	const struct url_call *c = url_call(r);
	struct url_request q = {
		.method = r->method,
		.path = c->rest,
		.query = r->query,
		.protocol = STR("HTTP/1.1"),
		.host = req_header(r, "host"),
		.peer = r->peer,
		.request_id = str_n(r->id_text, 36),
		.api_id = c->name,
		.account = str_from(r->g->conf.s.account),
		.body = buf_str(&r->body),
		.now_ms = r->now_ms,
	};
	ssize_t colon = str_chr(q.host, ':', 0);

	q.headers = headers_of(r, &q.n_headers);
	if (colon >= 0)
		q.host = str_sub(q.host, 0, (size_t)colon);
	if (r->who.kind != PRINCIPAL_ANONYMOUS) {
		q.iam_key = r->who.access_key;
		q.iam_arn = r->who.arn;
	}
	url_event_write(b, &q);
}

static void answer(struct req *r)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	struct invocation *inv = r->inv;
	struct url_answer an;

	if (inv->error_kind) {
		url_bad_answer(r, NULL);
		return;
	}
	if (url_answer_read(&an, buf_str(&inv->result), &r->arena, &err) < 0) {
		buf_done(&an.body);
		url_bad_answer(r, err.msg);
		return;
	}
	for (size_t i = 0; i < an.n_headers; i++)
		req_set_header(r, arena_dup(&r->arena, an.headers[i].k), an.headers[i].v);
	req_reply_bytes(r, an.status, NULL, &an.body);
	url_add_cors(r);
}

/* ---- RESPONSE_STREAM ---- */

static bool begin(struct req *r, const struct frame *head, struct buf *out)
{
	bool typed = false;

	r->status = 200;
	if (head && !url_head(r, head))
		return false;
	if (r->status == 101)
		return false;
	for (size_t i = 0; i < r->n_reply_headers; i++)
		typed |= str_ieq(r->reply_headers[i].name, STR("content-type"));
	if (!typed)
		req_set_header(r, "Content-Type", STR("application/octet-stream"));
	url_add_cors(r);
	return true;
}

/* Of a function that streamed nothing: what it answered, as it is. */
static void whole_answer(struct req *r)
{
	if (r->inv->error_kind) {
		url_bad_answer(r, NULL);
		return;
	}
	req_reply_bytes(r, 200, "application/json", &r->inv->result);
	url_add_cors(r);
}

static const struct stream_ops response_stream = {.begin = begin};

enum step_result url_run_event(struct req *r)
{
	struct buf event = BUF_NULL;

	write_event(r, &event);
	buf_done(&r->body);
	r->body = event;
	if (!url_prepare(r, buf_str(&r->body)))
		return STEP_MORE;
	r->inv->answer = answer;
	if (url_call(r)->conf.mode == URL_STREAM) {
		stream_new(r->inv, &response_stream, STR_NULL);
		r->inv->answer = whole_answer;
	}
	return STEP_MORE;
}

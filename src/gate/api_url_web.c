/* A web function behind its URL: a program that listens on a port. The request goes to it as it came, method, path
 * behind the function's name, headers and a body of any length as it comes, and the answer comes back the same way; an
 * answer 101 makes the connection a tunnel (WebSocket). Keeps nothing. */
#include "gate/api_url.h"

#include "model/url_event.h"

static bool has_token(struct str list, struct str token)
{
	struct str one;

	while (list.n) {
		str_cut(list, ',', &one, &list);
		if (str_ieq(str_trim(one), token))
			return true;
	}
	return false;
}

static bool wants_upgrade(const struct req *r)
{
	return req_header(r, "upgrade").n && has_token(req_header(r, "connection"), STR("upgrade")) &&
	       str_eq(r->method, STR("GET")) && r->body_ended;
}

/* Of this connection, not of the request (RFC 9110, 7.6.1); and what is said anew below. That the body comes in chunks
 * is kept: the program is told so in its own connection. */
static bool is_dropped(const struct req *r, struct str name)
{
	static const char *const names[] = {
		"connection", "keep-alive",      "proxy-authorization", "proxy-connection", "te", "trailer", "upgrade",
		"expect",     "x-forwarded-for", "x-forwarded-prefix",  "x-amzn-trace-id",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_ieq(name, str_from(names[i])))
			return true;
	if (r->who.kind != PRINCIPAL_ANONYMOUS && str_ieq(name, STR("authorization")))
		return true;
	return has_token(req_header(r, "connection"), name) && !str_ieq(name, STR("transfer-encoding")) &&
	       !str_ieq(name, STR("content-length")) && !str_ieq(name, STR("host"));
}

static void add_header(struct buf *meta, struct str name, struct str value)
{
	struct buf line = BUF_NULL;

	buf_add_str(&line, name);
	buf_adds(&line, ": ");
	buf_add_str(&line, value);
	frame_meta_add(meta, FRAME_KEY_HEADER, buf_str(&line));
	buf_done(&line);
}

static void add_forwarded(struct req *r, struct buf *meta)
{
	struct str by = req_header(r, "x-forwarded-for");
	struct buf b = BUF_NULL;

	if (by.n)
		buf_printf(&b, "%.*s, ", STR_ARG(by));
	buf_add_str(&b, r->peer);
	add_header(meta, STR("X-Forwarded-For"), buf_str(&b));
	buf_done(&b);
	/* A proxy before the gate has ended TLS there and says so. */
	if (!req_header(r, "x-forwarded-proto").n)
		add_header(meta, STR("X-Forwarded-Proto"), STR("http"));
	if (!req_header(r, "x-forwarded-host").n && req_header(r, "host").n)
		add_header(meta, STR("X-Forwarded-Host"), req_header(r, "host"));
	add_header(meta, STR("X-Forwarded-Prefix"), url_call(r)->prefix);
	add_header(meta, STR("X-Amzn-Trace-Id"), r->inv->trace);
	add_header(meta, STR("X-Amzn-RequestId"), str_n(r->id_text, 36));
}

static struct str write_meta(struct req *r, bool upgrade)
{
	const struct url_call *c = url_call(r);
	_cleanup_(buf_done) struct buf meta = BUF_NULL, target = BUF_NULL;

	frame_meta_add(&meta, FRAME_KEY_METHOD, r->method);
	buf_add_str(&target, c->rest);
	if (r->query.n) {
		buf_addc(&target, '?');
		buf_add_str(&target, r->query);
	}
	frame_meta_add(&meta, FRAME_KEY_TARGET, buf_str(&target));
	for (size_t i = 0; i < r->n_headers; i++)
		if (!is_dropped(r, r->headers[i].name))
			add_header(&meta, r->headers[i].name, r->headers[i].value);
	if (upgrade) {
		add_header(&meta, STR("Connection"), STR("Upgrade"));
		add_header(&meta, STR("Upgrade"), req_header(r, "upgrade"));
	}
	add_forwarded(r, &meta);
	return arena_str(&r->arena, buf_str(&meta));
}

static bool begin(struct req *r, const struct frame *head, struct buf *out)
{
	if (!head || !url_head(r, head))
		return false;
	if (r->status == 101 && !wants_upgrade(r))
		return false;
	url_add_cors(r);
	return true;
}

/* The run is over and no answer has begun. */
static void answer(struct req *r)
{
	url_bad_answer(r, r->inv->error_kind ? NULL : "the program gave none");
}

/* RFC 9110, 9.2.2. */
static bool is_idempotent(struct str method)
{
	static const char *const methods[] = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"};

	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (str_eqz(method, methods[i]))
			return true;
	return false;
}

static const struct stream_ops exchange = {.begin = begin, .http = true};

enum step_result url_run_web(struct req *r)
{
	bool upgrade;

	if (!url_prepare(r, STR_NULL))
		return STEP_MORE;
	upgrade = r->ex && wants_upgrade(r);
	r->inv->answer = answer;
	stream_new(r->inv, &exchange, write_meta(r, upgrade));
	stream_body(r->inv->stream, buf_str(&r->body), upgrade, is_idempotent(r->method));
	return STEP_MORE;
}

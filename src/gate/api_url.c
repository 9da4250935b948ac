/* Function URLs: which function a path means, who may, cross-origin requests, refusals. Source: AWS Lambda Developer
 * Guide, "Lambda function URLs"; the Fetch standard for CORS. Keeps nothing; configurations are the store's.
 *
 * A URL with AuthType NONE is open to everyone by its configuration alone: on AWS the function's policy must say so a
 * second time, which tools there add unasked. */
#include "gate/api_url.h"

#include "gate/fn.h"
#include "gate/reply.h"
#include "model/limits.h"
#include "model/url_event.h"

#define PREFIX    "/f/"
#define INVOKE    "lambda:InvokeFunctionUrl"
#define BODY_MAX  6291456
#define AGE_BYTES 16

static req_fn preflight;

enum { OPEN_EVENT, OPEN_WEB, IAM_EVENT, IAM_WEB, PREFLIGHT };

/* A signature covers the whole body, so a signed one is gathered before it is believed. */
static const struct operation operations[] = {
	[OPEN_EVENT] = {"InvokeFunctionUrl", NULL, NULL, NULL, REQ_BODY_BUFFER, BODY_MAX, url_run_event, true},
	[OPEN_WEB] = {"InvokeFunctionUrl", NULL, NULL, NULL, REQ_BODY_STREAM, 0, url_run_web, true},
	[IAM_EVENT] = {"InvokeFunctionUrl", INVOKE, NULL, NULL, REQ_BODY_BUFFER, BODY_MAX, url_run_event, true},
	[IAM_WEB] = {"InvokeFunctionUrl", INVOKE, NULL, NULL, REQ_BODY_BUFFER, BODY_MAX, url_run_web, true},
	[PREFLIGHT] = {"PreflightFunctionUrl", NULL, NULL, NULL, REQ_BODY_NONE, 0, preflight, false},
};

/* ---- which function ---- */

bool url_is(struct str path)
{
	return str_starts(path, STR(PREFIX));
}

static struct str *keep_list(struct arena *a, const struct str *list, size_t n)
{
	struct str *kept = arena_new_n(a, struct str, n + 1);

	for (size_t i = 0; i < n; i++)
		kept[i] = arena_str(a, list[i]);
	return kept;
}

/* A configuration may be changed while the request is under way. */
static void keep_cors(struct arena *a, struct url_cors *c)
{
	c->origins = keep_list(a, c->origins, c->n_origins);
	c->methods = keep_list(a, c->methods, c->n_methods);
	c->headers = keep_list(a, c->headers, c->n_headers);
	c->expose = keep_list(a, c->expose, c->n_expose);
}

bool url_open(struct req *r)
{
	struct url_call *c = arena_new(&r->arena, struct url_call);
	struct str path = str_sub(r->path, strlen(PREFIX), SIZE_MAX), segment, rest;
	_cleanup_(buf_done) struct buf decoded = BUF_NULL;
	const struct url_conf *conf;
	struct fn *fn;

	r->api_state = c;
	str_cut(path, '/', &segment, &rest);
	c->prefix = str_n(r->path.p, strlen(PREFIX) + segment.n);
	c->rest = segment.n < path.n ? str_sub(path, segment.n, SIZE_MAX) : STR("/");
	if (!uri_decode(&decoded, segment, false)) {
		req_fail(r, FAIL_INVALID_URI);
		return false;
	}
	segment = arena_str(&r->arena, buf_str(&decoded));
	str_cut(segment, ':', &c->name, &c->qualifier);
	fn = c->name.n ? fn_find(r->g, c->name, c->qualifier) : NULL;
	conf = fn ? fn_url(fn, c->qualifier) : NULL;
	if (!conf) {
		req_fail(r, FAIL_NOT_FOUND);
		return false;
	}
	c->conf = *conf;
	if (conf->cors.on)
		keep_cors(&r->arena, &c->conf.cors);
	c->version = arena_str(&r->arena, fn->def.version);
	c->web = fn->opt.kind == RUNTIME_WEB;
	r->resource = str_from(arena_printf(&r->arena, "arn:aws:lambda:%s:%s:function:%.*s%s%.*s", r->g->conf.s.region,
					    r->g->conf.s.account, STR_ARG(c->name), c->qualifier.n ? ":" : "",
					    STR_ARG(c->qualifier)));
	return true;
}

bool url_is_signed(const struct req *r)
{
	return url_call(r)->conf.auth == URL_AUTH_IAM;
}

bool url_prepare(struct req *r, struct str event)
{
	const struct url_call *c = url_call(r);
	struct str trace;

	if (!invocation_next_trace(r, c->name, &trace) || !invocation_prepare(r, c->name, c->version, event))
		return false;
	r->inv->trace = trace;
	return true;
}

static bool is_preflight(const struct req *r)
{
	return url_call(r)->conf.cors.on && str_eq(r->method, STR("OPTIONS")) && req_header(r, "origin").n &&
	       req_header(r, "access-control-request-method").n;
}

static const struct operation *route(struct req *r)
{
	const struct url_call *c = url_call(r);

	if (is_preflight(r))
		return &operations[PREFLIGHT];
	if (url_is_signed(r))
		return &operations[c->web ? IAM_WEB : IAM_EVENT];
	return &operations[c->web ? OPEN_WEB : OPEN_EVENT];
}

/* ---- CORS ---- */

static bool is_in(struct str s, const struct str *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_eqz(list[i], "*") || str_ieq(list[i], s))
			return true;
	return false;
}

static bool is_any(const struct str *list, size_t n)
{
	return is_in(STR("*"), list, n);
}

static void set_list(struct req *r, const char *name, const struct str *list, size_t n)
{
	struct buf b = BUF_NULL;

	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_addc(&b, ',');
		buf_add_str(&b, list[i]);
	}
	if (n)
		req_set_header(r, name, buf_str(&b));
	buf_done(&b);
}

/* The origin may: says so. False: it may not, nothing is said. */
static bool allow_origin(struct req *r)
{
	const struct url_cors *c = &url_call(r)->conf.cors;
	struct str origin = req_header(r, "origin");

	if (!origin.n || !is_in(origin, c->origins, c->n_origins))
		return false;
	if (is_any(c->origins, c->n_origins) && !c->credentials) {
		req_set_header(r, "Access-Control-Allow-Origin", STR("*"));
	} else {
		req_set_header(r, "Access-Control-Allow-Origin", origin);
		req_set_header(r, "Vary", STR("Origin"));
	}
	if (c->credentials)
		req_set_header(r, "Access-Control-Allow-Credentials", STR("true"));
	return true;
}

void url_add_cors(struct req *r)
{
	static const char *const own[] = {
		"Access-Control-Allow-Origin",  "Access-Control-Allow-Credentials", "Access-Control-Expose-Headers",
		"Access-Control-Allow-Methods", "Access-Control-Allow-Headers",     "Access-Control-Max-Age",
	};
	const struct url_cors *c = &url_call(r)->conf.cors;

	if (!c->on)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		while (reply_take_header(r, own[i]).p)
			;
	if (allow_origin(r))
		set_list(r, "Access-Control-Expose-Headers", c->expose, c->n_expose);
}

static enum step_result preflight(struct req *r)
{
	const struct url_cors *c = &url_call(r)->conf.cors;
	struct str method = req_header(r, "access-control-request-method");
	struct str wanted = req_header(r, "access-control-request-headers");

	if (!is_in(method, c->methods, c->n_methods) || !allow_origin(r))
		return req_reply_empty(r, 200);
	if (is_any(c->methods, c->n_methods))
		req_set_header(r, "Access-Control-Allow-Methods", method);
	else
		set_list(r, "Access-Control-Allow-Methods", c->methods, c->n_methods);
	if (wanted.n && is_any(c->headers, c->n_headers))
		req_set_header(r, "Access-Control-Allow-Headers", wanted);
	else
		set_list(r, "Access-Control-Allow-Headers", c->headers, c->n_headers);
	if (c->max_age)
		req_set_headerf(r, "Access-Control-Max-Age", "%u", c->max_age);
	return req_reply_empty(r, 200);
}

/* ---- answers ---- */

/* What concerns one connection, and what the gate says itself. */
static bool is_dropped(struct str name, bool tunnel)
{
	static const char *const names[] = {"connection", "keep-alive",        "proxy-authenticate",
					    "trailer",    "transfer-encoding", "proxy-connection"};

	if (str_ieq(name, STR("upgrade")))
		return !tunnel;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_ieq(name, str_from(names[i])))
			return true;
	return false;
}

bool url_head(struct req *r, const struct frame *head)
{
	uint64_t status = 200;
	struct str line, name, value;
	uint16_t key;

	frame_meta_u64(head, FRAME_KEY_STATUS, &status);
	if (status > 999 || (status < 200 && status != 101))
		return false;
	r->status = (unsigned)status;
	for (size_t at = 0; frame_meta_next(head, &at, &key, &line);) {
		if (key != FRAME_KEY_HEADER || !str_cut(line, ':', &name, &value))
			continue;
		name = str_trim(name);
		value = str_trim(value);
		if (url_header_ok(name, value) && !is_dropped(name, status == 101))
			req_set_header(r, arena_dup(&r->arena, name), value);
	}
	return true;
}

static void reply_message(struct req *r, unsigned status, struct str message)
{
	json_t *j = json_object();

	json_set_str(j, "Message", message);
	req_reply_json(r, status, j);
}

void url_bad_answer(struct req *r, const char *why)
{
	if (why)
		invocation_logf(r->inv, "%s The function's answer cannot be sent to the client: %s", r->id_text, why);
	if (r->inv->error_type[0])
		req_set_header(r, "x-amzn-ErrorType", str_from(r->inv->error_type));
	reply_message(r, 502, STR("Internal Server Error"));
	url_add_cors(r);
}

static void render_fail(struct req *r)
{
	const struct fail_info *info = fail_info(r->fail);
	struct str message = r->fail_message.n ? r->fail_message : str_from(info->message);

	req_set_header(r, "x-amzn-ErrorType", str_from(info->lambda_type));
	if (info->status == 429 || r->fail == FAIL_NO_NODE)
		req_set_header(r, "Retry-After", STR("1"));
	if (r->fail == FAIL_MISSING_AUTH || r->fail == FAIL_ACCESS_DENIED)
		message = STR("Forbidden");
	else if (r->fail == FAIL_NOT_FOUND)
		message = STR("Not Found");
	reply_message(r, info->status, message);
	if (r->api_state && r->fail != FAIL_NOT_FOUND)
		url_add_cors(r);
}

const struct api api_url = {
	.name = "url",
	.service = "lambda",
	.route = route,
	.render_fail = render_fail,
};

/* Invoke and InvokeWithResponseStream: what a caller asks of a run, checked before anything is queued. A synchronous
 * one goes on through queue, place and dispatch as r->inv; an asynchronous one is a durable event before its 202.
 * Source: AWS Lambda API Reference, "Invoke", "InvokeWithResponseStream". Keeps no state. */
#include "gate/api_lambda.h"

#include "gate/fn.h"
#include "gate/jobs.h"
#include "gate/reply.h"
#include "gate/stream.h"
#include "model/event.h"
#include "wire/eventstream.h"

#define EVENT_PAYLOAD (64u << 10) /* of an answer that is there whole */

enum invocation_type { TYPE_REQUEST_RESPONSE, TYPE_EVENT, TYPE_DRY_RUN };

static bool read_type(struct req *r, enum invocation_type *ret)
{
	static const char *const names[] = {"RequestResponse", "Event", "DryRun"};
	struct str type = req_header(r, "x-amz-invocation-type");
	struct violations v = {0};

	*ret = TYPE_REQUEST_RESPONSE;
	if (!type.n)
		return true;
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		if (str_eqz(type, names[i])) {
			*ret = (enum invocation_type)i;
			return true;
		}
	}
	violations_add(&v, type, "invocationType",
		       "Member must satisfy enum value set: [Event, DryRun, RequestResponse]");
	return !violations_refuse(r, &v);
}

static bool read_log_type(struct req *r, bool *tail)
{
	struct str type = req_header(r, "x-amz-log-type");
	struct violations v = {0};

	*tail = str_eqz(type, "Tail");
	if (!type.n || *tail || str_eqz(type, "None"))
		return true;
	violations_add(&v, type, "logType", "Member must satisfy enum value set: [None, Tail]");
	return !violations_refuse(r, &v);
}

static bool read_client_context(struct req *r, struct str *ret)
{
	struct str text = req_header(r, "x-amz-client-context");
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	*ret = STR_NULL;
	if (!text.n)
		return true;
	if (text.n > LIMIT_CLIENT_CONTEXT) {
		req_failf(r, FAIL_MALFORMED_JSON, "The client context is longer than %d bytes.", LIMIT_CLIENT_CONTEXT);
		return false;
	}
	if (!base64_decode(&b, text) || !json_check(buf_str(&b))) {
		req_failf(r, FAIL_MALFORMED_JSON, "Client context must be a valid Base64-encoded JSON object.");
		return false;
	}
	*ret = arena_str(&r->arena, buf_str(&b));
	return true;
}

static bool check_payload(struct req *r)
{
	if (r->body.n == 0 || json_check(buf_str(&r->body)))
		return true;
	/* The tree is built only to say where it is broken; large documents are told without. */
	if (r->body.n <= 65536) {
		_cleanup_(err_done) struct err err = ERR_NULL;
		_cleanup_json_ json_t *j = json_parse(buf_str(&r->body), &err);

		if (!j) {
			req_failf(r, FAIL_MALFORMED_JSON, "Could not parse request body into json: %s", err.msg);
			return false;
		}
	}
	req_failf(r, FAIL_MALFORMED_JSON,
		  "Could not parse request body into json: it is not a JSON document in UTF-8.");
	return false;
}

static enum step_result event_stored(struct req *r)
{
	if (r->store_result != 0)
		return req_fail_errno(r, r->store_result);
	jobs_kick(r->g->jobs);
	return req_reply_empty(r, 202);
}

/* NAME or NAME:QUALIFIER, as events say it. */
static struct str target_text(struct req *r)
{
	const struct lambda_target *t = lambda_target(r);

	if (!t->qualifier.n)
		return t->name;
	return str_from(arena_printf(&r->arena, "%.*s:%.*s", STR_ARG(t->name), STR_ARG(t->qualifier)));
}

static enum step_result put_event(struct req *r)
{
	struct event e = {
		.id = str_n(r->id_text, 36),
		.function = target_text(r),
		.payload = r->body.n ? buf_str(&r->body) : STR("{}"),
		.source = STR("invoke"),
		.state = EVENT_QUEUED,
		.created_ms = r->now_ms,
		.due_ms = r->now_ms,
	};
	struct store_txn *t;

	if (r->body.n > LIMIT_PAYLOAD_ASYNC)
		return req_failf(r, FAIL_TOO_LARGE,
				 "%zu byte payload is too large for the Event invocation type (limit %llu "
				 "bytes)",
				 r->body.n, LIMIT_PAYLOAD_ASYNC);
	if (!invocation_next_trace(r, lambda_target(r)->name, &e.trace))
		return STEP_MORE;
	t = store_begin(r->g->store);
	store_put_event(t, &e);
	return req_commit(r, t, event_stored);
}

static enum step_result run_now(struct req *r, bool tail, struct str client_context)
{
	struct str trace;

	if (!invocation_next_trace(r, lambda_target(r)->name, &trace) ||
	    !invocation_prepare(r, lambda_target(r)->name, lambda_target(r)->qualifier, buf_str(&r->body)))
		return STEP_MORE;
	r->inv->want_log_tail = tail;
	r->inv->trace = trace;
	r->inv->client_context = client_context;
	return STEP_MORE;
}

enum step_result lambda_invoke(struct req *r)
{
	enum invocation_type type;
	struct str client_context;
	bool tail;

	if (!fn_find(r->g, lambda_target(r)->name, lambda_target(r)->qualifier))
		return lambda_not_found(r);
	if (!read_type(r, &type) || !read_log_type(r, &tail) || !read_client_context(r, &client_context) ||
	    !check_payload(r))
		return STEP_MORE;
	switch (type) {
	case TYPE_REQUEST_RESPONSE:
		return run_now(r, tail, client_context);
	case TYPE_EVENT:
		return put_event(r);
	case TYPE_DRY_RUN:
		return req_reply_empty(r, 204);
	}
	return req_fail(r, FAIL_INTERNAL);
}

/* The old form of an asynchronous invocation. */
enum step_result lambda_invoke_async(struct req *r)
{
	if (!fn_find(r->g, lambda_target(r)->name, lambda_target(r)->qualifier))
		return lambda_not_found(r);
	return check_payload(r) ? put_event(r) : STEP_MORE;
}

/* ---- with a response stream ---- */

static void add_payload(struct buf *out, struct str piece)
{
	eventstream_add_event(out, STR("PayloadChunk"), STR("application/octet-stream"), piece);
}

/* What a function that answers for HTTP gave as status and headers comes before its body as a JSON document and eight
 * NUL bytes, as AWS hands it on. A content type alone is none of that. */
static void add_head(struct buf *out, const struct frame *head)
{
	_cleanup_json_ json_t *j = json_object(), *cookies = json_array();
	json_t *headers = json_object();
	_cleanup_(buf_done) struct buf text = BUF_NULL;
	uint64_t status = 200;
	struct str line, name, value;
	bool more = false;
	uint16_t key;

	frame_meta_u64(head, FRAME_KEY_STATUS, &status);
	json_object_set_new(j, "statusCode", json_integer((json_int_t)status));
	json_object_set_new(j, "headers", headers);
	for (size_t at = 0; frame_meta_next(head, &at, &key, &line);) {
		if (key != FRAME_KEY_HEADER || !str_cut(line, ':', &name, &value))
			continue;
		more |= !str_ieq(name, STR("content-type"));
		if (str_ieq(name, STR("set-cookie"))) {
			json_array_append_new(cookies, json_str(str_trim(value)));
		} else {
			_cleanup_(freep) char *member = str_dup(name);

			json_set_str(headers, member, str_trim(value));
		}
	}
	if (json_array_size(cookies))
		json_object_set(j, "cookies", cookies);
	if (!more && status == 200)
		return;
	json_write(&text, j);
	buf_add(&text, "\0\0\0\0\0\0\0\0", 8);
	add_payload(out, buf_str(&text));
}

static bool stream_begin(struct req *r, const struct frame *head, struct buf *out)
{
	r->status = 200;
	req_set_header(r, "Content-Type", STR("application/vnd.amazon.eventstream"));
	reply_add_version(r);
	if (head)
		add_head(out, head);
	return true;
}

/* Errors of the function are told in the last event, also those in the middle. */
static bool stream_finish(struct req *r, struct buf *out)
{
	const struct invocation *inv = r->inv;
	_cleanup_json_ json_t *j = json_object();
	_cleanup_(buf_done) struct buf text = BUF_NULL;

	if (inv->error_kind) {
		json_object_set_new(j, "ErrorCode", json_string(inv->error_kind));
		json_set_str(j, "ErrorDetails", buf_str(&inv->result));
	}
	if (inv->want_log_tail) {
		reply_log_result(inv, &text);
		json_set_str(j, "LogResult", buf_str(&text));
		buf_clear(&text);
	}
	json_write(&text, j);
	eventstream_add_event(out, STR("InvokeComplete"), STR("application/json"), buf_str(&text));
	return true;
}

/* Of a run that streamed nothing. */
static void stream_answer(struct req *r)
{
	struct invocation *inv = r->inv;
	struct str rest = buf_str(&inv->result);
	struct buf out = BUF_NULL;

	stream_begin(r, NULL, &out);
	for (; rest.n && !inv->error_kind; rest = str_sub(rest, EVENT_PAYLOAD, SIZE_MAX))
		add_payload(&out, str_sub(rest, 0, EVENT_PAYLOAD));
	stream_finish(r, &out);
	req_reply_bytes(r, 200, NULL, &out);
}

static const struct stream_ops response_stream = {
	.begin = stream_begin,
	.wrap = add_payload,
	.finish = stream_finish,
};

enum step_result lambda_invoke_stream(struct req *r)
{
	enum invocation_type type;
	struct str client_context;
	bool tail;

	if (!fn_find(r->g, lambda_target(r)->name, lambda_target(r)->qualifier))
		return lambda_not_found(r);
	if (!read_type(r, &type) || !read_log_type(r, &tail) || !read_client_context(r, &client_context) ||
	    !check_payload(r))
		return STEP_MORE;
	if (type == TYPE_DRY_RUN)
		return req_reply_empty(r, 204);
	if (type == TYPE_EVENT)
		return req_failf(r, FAIL_INVALID_ARGUMENT,
				 "InvokeWithResponseStream does not support the Event invocation type.");
	run_now(r, tail, client_context);
	if (r->inv) {
		stream_new(r->inv, &response_stream, STR_NULL);
		r->inv->answer = stream_answer;
	}
	return STEP_MORE;
}

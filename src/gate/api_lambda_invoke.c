/* Invoke: what a caller asks of a run, checked before anything is queued. A synchronous one goes on through queue,
 * place and dispatch as r->inv; an asynchronous one is a durable event before its 202. Source: AWS Lambda API
 * Reference, "Invoke". Keeps no state. */
#include "gate/api_lambda.h"

#include "gate/invoke.h"
#include "gate/jobs.h"
#include "gate/logs.h"
#include "model/event.h"
#include "model/trace.h"
#include "sys/clock.h"

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

/* The trace that the run goes by; false when the function has caused itself too often. */
static bool next_trace(struct req *r, struct str *ret)
{
	uint8_t random[32];
	uint32_t rounds;

	random_id(random);
	random_id(random + 16);
	*ret = str_from(trace_next(&r->arena, req_header(r, "x-amzn-trace-id"), r->resource, random, r->now_ms / 1000,
				   &rounds));
	if (rounds <= EVENT_MAX_ROUNDS)
		return true;
	logs_add(r->g->logs, lambda_target(r)->name, clock_wall_ms(), r->id_text,
		 STR("Stopped: the function has caused itself 16 times in a row (recursive loop detection)."));
	req_fail(r, FAIL_RECURSION);
	return false;
}

static enum step_result event_stored(struct req *r)
{
	if (r->store_result != 0)
		return req_fail_errno(r, r->store_result);
	jobs_kick(r->g->jobs);
	return req_reply_empty(r, 202);
}

static enum step_result put_event(struct req *r)
{
	struct event e = {
		.id = str_n(r->id_text, 36),
		.function = lambda_target(r)->name,
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
	if (!next_trace(r, &e.trace))
		return STEP_MORE;
	t = store_begin(r->g->store);
	store_put_event(t, &e);
	return req_commit(r, t, event_stored);
}

static enum step_result run_now(struct req *r, bool tail, struct str client_context)
{
	struct str trace;

	if (!next_trace(r, &trace) ||
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

	if (!lambda_only_latest(r))
		return STEP_MORE;
	if (!functions_get(r->g, lambda_target(r)->name))
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
	if (!functions_get(r->g, lambda_target(r)->name))
		return lambda_not_found(r);
	return check_payload(r) ? put_event(r) : STEP_MORE;
}

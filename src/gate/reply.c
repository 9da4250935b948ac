/* The reply step: gives what the request came to to the connection, if somebody still listens. An invocation's answer
 * is rendered here as Invoke's, unless its api renders it (inv->answer) or it streams and has begun already. */
#include "gate/reply.h"

#include "gate/api.h"
#include "gate/flow.h"
#include "gate/fn.h"
#include "gate/stream.h"
#include "model/limits.h"

static void add_usage_headers(struct req *r)
{
	const struct usage *u = &r->inv->usage;
	const struct {
		const char *name;
		uint64_t value;
	} rows[] = {
		{"wick-queue-us", u->queue_us}, {"wick-start-us", u->start_us},   {"wick-init-us", u->init_us},
		{"wick-run-us", u->run_us},     {"wick-billed-ms", u->billed_ms},
	};
	uint64_t box_us = r->inv->box_us;
	char cost[PRICE_TEXT_SIZE];
	struct buf b = BUF_NULL;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		buf_clear(&b);
		buf_add_u64(&b, rows[i].value);
		req_set_header(r, rows[i].name, buf_str(&b));
	}
	if (box_us)
		req_set_headerf(r, "wick-box-us", "%llu", (unsigned long long)box_us);
	buf_done(&b);
	price_format_usd(u->cost_picousd, cost);
	req_set_header(r, "wick-cost-usd", str_from(cost));
}

struct str reply_take_header(struct req *r, const char *name)
{
	for (size_t i = 0; i < r->n_reply_headers; i++) {
		struct http_header h = r->reply_headers[i];

		if (!str_ieq(h.name, str_from(name)))
			continue;
		memmove(&r->reply_headers[i], &r->reply_headers[i + 1],
			(--r->n_reply_headers - i) * sizeof(r->reply_headers[i]));
		return h.value;
	}
	return STR_NULL;
}

void reply_log_result(const struct invocation *inv, struct buf *b)
{
	struct str tail = buf_str(&inv->log_tail);

	if (tail.n > LIMIT_LOG_TAIL)
		tail = str_sub(tail, tail.n - LIMIT_LOG_TAIL, LIMIT_LOG_TAIL);
	base64_encode(b, tail.p, tail.n);
}

void reply_add_version(struct req *r)
{
	req_set_header(r, "X-Amz-Executed-Version", r->inv->fn->def.version);
	if (r->inv->trace.n)
		req_set_header(r, "X-Amzn-Trace-Id", r->inv->trace);
}

static void answer(struct req *r)
{
	struct invocation *inv = r->inv;

	if (inv->want_log_tail) {
		struct buf b = BUF_NULL;

		reply_log_result(inv, &b);
		req_set_header(r, "X-Amz-Log-Result", buf_str(&b));
		buf_done(&b);
	}
	if (inv->error_kind)
		req_set_header(r, "X-Amz-Function-Error", str_from(inv->error_kind));
	reply_add_version(r);
	req_reply_bytes(r, 200, "application/json", &inv->result);
}

void reply_send(struct req *r)
{
	if (r->api == &api_s3) {
		req_set_header(r, "x-amz-request-id", str_n(r->id_text, 36));
		req_set_header(r, "x-amz-id-2", str_n(r->id_text, 36));
	} else {
		req_set_header(r, "x-amzn-RequestId", str_n(r->id_text, 36));
	}
	r->replied = true;
	http_reply(r->ex, r->status, r->reply_headers, r->n_reply_headers, &r->reply_body);
	r->reply_body = (struct http_body){0};
}

enum step_result reply_step(struct req *r)
{
	struct invocation *inv = r->inv;

	if (inv && inv->stream && stream_over(inv->stream))
		return STEP_DONE;
	if (!r->ex)
		return STEP_DONE;
	if (r->fail) {
		r->api->render_fail(r);
	} else if (inv) {
		if (inv->answer)
			inv->answer(r);
		else
			answer(r);
		/* Behind a URL stands anybody. */
		if (inv->state == INVOCATION_OVER && r->api != &api_url)
			add_usage_headers(r);
	}
	reply_send(r);
	return STEP_DONE;
}

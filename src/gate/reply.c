/* The reply step: gives what the request came to to the connection, if somebody still listens. */
#include "gate/api.h"
#include "gate/flow.h"
#include "gate/invoke.h"

static void add_invocation_headers(struct req *r)
{
	const struct usage *u = &r->inv->usage;
	const struct {
		const char *name;
		uint64_t value;
	} rows[] = {
		{"wick-queue-us", u->queue_us}, {"wick-start-us", u->start_us},   {"wick-init-us", u->init_us},
		{"wick-run-us", u->run_us},     {"wick-billed-ms", u->billed_ms},
	};
	char cost[PRICE_TEXT_SIZE];
	struct buf b = BUF_NULL;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		buf_clear(&b);
		buf_add_u64(&b, rows[i].value);
		req_set_header(r, rows[i].name, buf_str(&b));
	}
	buf_done(&b);
	price_format_usd(u->cost_picousd, cost);
	req_set_header(r, "wick-cost-usd", str_from(cost));
}

enum step_result reply_step(struct req *r)
{
	if (!r->ex)
		return STEP_DONE;
	if (r->fail)
		r->api->render_fail(r);
	if (r->inv && !r->fail && r->inv->state == INVOCATION_OVER)
		add_invocation_headers(r);
	if (r->api == &api_s3) {
		req_set_header(r, "x-amz-request-id", str_n(r->id_text, 36));
		req_set_header(r, "x-amz-id-2", str_n(r->id_text, 36));
	} else {
		req_set_header(r, "x-amzn-RequestId", str_n(r->id_text, 36));
	}
	r->replied = true;
	http_reply(r->ex, r->status, r->reply_headers, r->n_reply_headers, &r->reply_body);
	r->reply_body = (struct http_body){0};
	return STEP_DONE;
}

/* The reply step: gives what the request came to to the connection, if somebody still listens. */
#include "gate/api.h"
#include "gate/flow.h"
#include "gate/invoke.h"

static void add_invocation_headers(struct req *r)
{
	const struct usage *u = &r->inv->usage;
	char cost[PRICE_TEXT_SIZE];

	req_set_headerf(r, "wick-queue-us", "%llu", (unsigned long long)u->queue_us);
	req_set_headerf(r, "wick-start-us", "%llu", (unsigned long long)u->start_us);
	req_set_headerf(r, "wick-init-us", "%llu", (unsigned long long)u->init_us);
	req_set_headerf(r, "wick-run-us", "%llu", (unsigned long long)u->run_us);
	req_set_headerf(r, "wick-billed-ms", "%llu", (unsigned long long)u->billed_ms);
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

/* The flow of a request, and the place to start reading:
 *
 *   auth -> route -> body -> admit -> store -> queue -> place -> dispatch -> meter -> reply
 *
 * A control call or an object does its work in `store` and passes queue, place and dispatch untouched; an invocation
 * is prepared in `store` and does its work in those three. A step returns MORE, WAIT or DONE; only the loop below
 * calls steps, and no step calls another. A step that waited is called again when req_continue() says so, hence every
 * step looks at the request to see where it stands. A refusal (req_fail) in any step leads straight to `meter`.
 *
 * The request is owned by this loop: it is freed when the flow is over, the exchange is over and nothing it started
 * is pending. */
#include "gate/flow.h"

#include "gate/dispatch.h"
#include "gate/gate.h"
#include "gate/stream.h"

#include <assert.h>

static const struct {
	const char *name;
	req_fn *fn;
} steps[REQ_STEPS] = {
	[REQ_AUTH] = {"auth", auth_step},             /* who asks */
	[REQ_ROUTE] = {"route", route_step},          /* what for */
	[REQ_BODY] = {"body", body_step},             /* gather it, unless the operation streams it */
	[REQ_ADMIT] = {"admit", admit_step},          /* may they */
	[REQ_STORE] = {"store", store_step},          /* the operation itself */
	[REQ_QUEUE] = {"queue", queue_step},          /* an invocation waits for a worker */
	[REQ_PLACE] = {"place", place_step},          /* which worker, or start one */
	[REQ_DISPATCH] = {"dispatch", dispatch_step}, /* the run itself */
	[REQ_METER] = {"meter", meter_step},          /* what it used and cost */
	[REQ_REPLY] = {"reply", reply_step},
};

static bool flow_over(const struct req *r)
{
	return r->step >= REQ_STEPS || r->cut;
}

static void maybe_free(struct req *r)
{
	void (*on_done)(struct req *, void *) = r->on_done;

	if (r->running || r->ex || r->pending || !flow_over(r))
		return;
	r->on_done = NULL;
	if (on_done)
		on_done(r, r->on_done_arg);
	req_free(r);
}

void req_continue(struct req *r)
{
	assert(r->magic == REQ_MAGIC);
	if (r->running) {
		r->again = true;
		return;
	}
	r->running = true;
	while (!flow_over(r)) {
		enum step_result res = steps[r->step].fn(r);

		if (res == STEP_WAIT && !r->again)
			break;
		r->again = false;
		if (res == STEP_DONE)
			r->step = REQ_STEPS;
		else if (res == STEP_MORE && r->fail && r->step < REQ_METER)
			r->step = REQ_METER;
		else if (res == STEP_MORE)
			r->step++;
	}
	r->running = false;
	maybe_free(r);
}

void req_start_at(struct req *r, enum req_step step)
{
	r->step = step;
	req_continue(r);
}

/* What the request says of itself are views into the exchange, which goes. */
static void keep_words(struct req *r)
{
	struct str *words[] = {&r->method, &r->path, &r->query, &r->peer};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		*words[i] = arena_str(&r->arena, *words[i]);
	r->headers = NULL;
	r->n_headers = 0;
}

void req_exchange_over(struct req *r, bool sent)
{
	bool queued = r->inv && !r->replied && dispatch_cancel_queued(r->inv);

	r->ex = NULL;
	if (r->inv && r->inv->stream && !queued) {
		/* It runs, or has run, and is metered to its end. */
		r->gone = !r->replied;
		stream_client_gone(r->inv->stream, sent);
	} else if (!r->replied) {
		/* The client left before it had an answer. A body that will never be whole ends the request; so does a
		 * place in the queue. What already runs is run and metered, as on AWS. */
		r->gone = true;
		r->cut = !r->body_ended || queued;
	}
	if (r->pending || r->running || !flow_over(r))
		keep_words(r);
	maybe_free(r);
}

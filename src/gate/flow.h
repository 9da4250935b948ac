/* The flow of a request: the table of steps and the loop that calls them. */
#pragma once

#include "gate/req.h"

enum req_step {
	REQ_AUTH,
	REQ_ROUTE,
	REQ_BODY,
	REQ_ADMIT,
	REQ_STORE,
	REQ_QUEUE,
	REQ_PLACE,
	REQ_DISPATCH,
	REQ_METER,
	REQ_REPLY,
	REQ_STEPS,
};

/* Something a waiting step waits for has happened. */
void req_continue(struct req *r);

/* The steps, each in the file of its name. */
req_fn auth_step, route_step, body_step, admit_step, store_step, queue_step, place_step, dispatch_step, meter_step,
	reply_step;

/* A request that no client sent (an event of the queue) starts with r->inv prepared at the queue. */
struct req *req_new(struct gate *g, struct http_exchange *ex);
void req_start_at(struct req *r, enum req_step step);
/* The exchange is over; frees the request now or when what it started has come back. */
void req_exchange_over(struct req *r, bool sent);

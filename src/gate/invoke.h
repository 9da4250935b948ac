/* An invocation: what queue, place, dispatch and meter know of a run. Made by the api (Invoke) or by jobs.c; owned by
 * its request. */
#pragma once

#include "gate/req.h"
#include "link/lane.h"
#include "model/usage.h"

struct fn;
struct worker;

enum invocation_state { INVOCATION_QUEUED, INVOCATION_RUNNING, INVOCATION_OVER };

struct invocation {
	struct req *r;
	struct fn *fn;
	enum invocation_state state;
	struct str event; /* JSON; lives in the request */
	struct str trace, client_context;
	bool want_log_tail; /* LogType=Tail: the last 4 KiB */
	struct buf log_tail;
	unsigned tries; /* 1 + times a worker died without reading it */

	/* Outcome */
	struct buf result; /* payload of the answer or of the error */
	enum usage_status status;
	const char *error_kind; /* "Unhandled": X-Amz-Function-Error; NULL: success */
	struct usage usage;
};

/* Prepares r->inv for a function (run() of Invoke, or jobs.c): event is borrowed. False after req_fail: no such
 * function, or it is not active. */
bool invocation_prepare(struct req *r, struct str function, struct str event);

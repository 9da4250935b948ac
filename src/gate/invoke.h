/* An invocation: what queue, place, dispatch and meter know of a run. Made by the api (Invoke) or by jobs.c; owned by
 * its request. */
#pragma once

#include "base/list.h"
#include "gate/req.h"
#include "link/lane.h"
#include "model/usage.h"

struct fn;
struct stream;
struct worker;

enum invocation_state { INVOCATION_NEW, INVOCATION_QUEUED, INVOCATION_PLACED, INVOCATION_RUNNING, INVOCATION_OVER };

struct invocation {
	struct req *r;
	struct fn *fn;
	enum invocation_state state;
	struct list_link on_queue;
	struct list_link on_worker; /* in worker->runs */
	struct worker *worker;      /* PLACED, RUNNING */
	struct str event;           /* JSON; lives in the request */
	struct str qualified_arn;   /* as it was named; n == 0: without a qualifier */
	struct str trace, client_context;
	bool want_log_tail; /* LogType=Tail: the last 4 KiB */
	bool cold;          /* its worker was started for it */
	struct buf log_tail;
	struct stream *stream;         /* its answer is taken as it comes (stream.h); NULL: whole */
	void (*answer)(struct req *r); /* renders the outcome into the reply; NULL: as Invoke does */
	unsigned tries;                /* workers that died without reading it */
	unsigned failed_starts;        /* of workers for it, by no fault of the function */
	uint64_t failed_start_us;      /* the last of them */
	uint64_t queued_us, placed_us, run_began_us, run_ended_us; /* monotonic */

	uint64_t box_us; /* of a cold start: beside usage's start and init */

	/* Outcome */
	struct buf result;      /* payload of the answer or of the error */
	const char *error_kind; /* "Unhandled": X-Amz-Function-Error; NULL: success */
	char error_type[96];    /* "Runtime.ExitError": in the REPORT line and in `wick events` */
	struct str words;       /* the last its worker printed, when that is gone; in the request's arena */
	struct usage usage;
};

DEFINE_LIST(invocation_list, struct invocation, on_queue)
DEFINE_LIST(run_list, struct invocation, on_worker)

/* Prepares r->inv for a function (run() of an api, or jobs.c): event is borrowed, and must live as long as r.
 * qualifier: a version or an alias; n == 0: $LATEST. False after req_fail: no such function, version or alias. */
bool invocation_prepare(struct req *r, struct str function, struct str qualifier, struct str event);
/* The trace that a run of function (r->resource) goes by. False after req_fail: it has caused itself too often. */
bool invocation_next_trace(struct req *r, struct str function, struct str *ret);
/* Takes it from its queue or worker, without an outcome: the gate closes. */
void invocation_abandon(struct invocation *inv);
struct invocation *invocation_free(struct invocation *inv);

/* A line of the function's log under this invocation's request id, and of its tail. */
void invocation_log(struct invocation *inv, struct str line);
void invocation_logf(struct invocation *inv, const char *fmt, ...) _printf_(2, 3);
/* The outcome is known: takes result over. The flow goes on when the request is continued. */
void invocation_over(struct invocation *inv, enum usage_status status, const char *error_type, struct str result);
/* As invocation_over with AWS's error document {"errorType","errorMessage"}; "RequestId: <id> Error: " goes before the
 * message. */
void invocation_error(struct invocation *inv, enum usage_status status, const char *error_type, const char *fmt, ...)
	_printf_(4, 5);

/* wick.h: functions in C.
 *
 *	#include <wick.h>
 *
 *	void wick_handler(wick_invocation *in)
 *	{
 *		size_t n;
 *		const char *event = wick_event(in, &n);
 *
 *		wick_answer(in, event, n);
 *	}
 *
 * Two ways to run it. As a shared object: `cc -shared -fPIC -o hello.so hello.c`, Handler "hello.so" (or
 * "hello.so:symbol"); nothing is linked to it, Wick's native runtime brings these functions. Or as a program of its
 *own, `cc -o hello hello.c -lwick`, with a main that ends in `return wick_run(wick_handler);`, Handler "hello".
 *
 * A handler is called for one invocation at a time; where the function's tag wick:concurrency says more, for so many at
 * once, each on a thread of its own. An invocation may be used until its handler returns, by the thread that got it. A
 * handler that returns without an answer answers null. What is written to stdout and stderr is the function's log. */
#ifndef WICK_H
#define WICK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wick_invocation wick_invocation;
typedef void wick_handler_fn(wick_invocation *in);

/* The event: JSON, followed by a NUL that n (may be NULL) does not count. */
const char *wick_event(const wick_invocation *in, size_t *n);
const char *wick_request_id(const wick_invocation *in);
const char *wick_function_arn(const wick_invocation *in);
const char *wick_trace_id(const wick_invocation *in);       /* X-Amzn-Trace-Id; "" when there is none */
const char *wick_client_context(const wick_invocation *in); /* JSON; "" when there is none */
int64_t wick_deadline_ms(const wick_invocation *in);        /* Unix time at which the run is ended */
int64_t wick_remaining_ms(const wick_invocation *in);
/* Nobody waits for the answer any more. */
bool wick_cancelled(wick_invocation *in);

/* Answers, once: JSON of up to 6 MiB. 0, or -1 with errno: EALREADY, EMSGSIZE (the caller gets an error). */
int wick_answer(wick_invocation *in, const void *json, size_t n);
int wick_answer_text(wick_invocation *in, const char *json);
/* {"errorMessage": message, "errorType": type} */
int wick_error(wick_invocation *in, const char *type, const char *message);

/* Answers in pieces of any size and bytes. A caller that takes a stream (a function URL with RESPONSE_STREAM,
 * InvokeWithResponseStream) has them as they are written, and wick_write waits while it is slow; for others they are
 * gathered up to 6 MiB. The handler's return is the end of the stream; wick_error may end it instead. -1 with errno:
 * ECANCELED (nobody waits any more), EMSGSIZE, EALREADY. */
int wick_write(wick_invocation *in, const void *p, size_t n);
/* Before the first wick_write, for callers over HTTP: headers are "Name: value", the last is NULL. */
int wick_head(wick_invocation *in, int status, const char *const headers[]);
bool wick_streams(const wick_invocation *in); /* the caller takes a stream */

/* For a program of its own: says that it is initialised and serves invocations; comes back only when there is no Wick
 * around it (returns 1, said on stderr). A shared object may export `int wick_init(void)`, which is called once before;
 * not 0 is a failed start. */
int wick_run(wick_handler_fn *handler);
/* The start failed: ends the process. */
void wick_init_error(const char *type, const char *message) __attribute__((noreturn));

/* What a shared object exports. */
void wick_handler(wick_invocation *in);
int wick_init(void);

#ifdef __cplusplus
}
#endif
#endif

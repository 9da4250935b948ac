/* Invocations: preparing one, its log lines, its outcome. Owned by the request it belongs to; holds a reference on its
 * function. */
#include "gate/invoke.h"

#include "base/id.h"
#include "base/mem.h"
#include "gate/fn.h"
#include "gate/logs.h"
#include "gate/queue.h"
#include "gate/stream.h"
#include "model/event.h"
#include "model/limits.h"
#include "model/trace.h"
#include "sys/clock.h"

#include <stdio.h>

bool invocation_prepare(struct req *r, struct str function, struct str qualifier, struct str event)
{
	struct fn *fn = fn_find(r->g, function, qualifier);
	struct invocation *inv;

	if (!fn) {
		req_failf(r, FAIL_NOT_FOUND, "Function not found: arn:aws:lambda:%s:%s:function:%.*s%s%.*s",
			  r->g->conf.s.region, r->g->conf.s.account, STR_ARG(function), qualifier.n ? ":" : "",
			  STR_ARG(qualifier));
		return false;
	}
	inv = xnew(struct invocation);
	inv->r = r;
	inv->fn = fn_ref(fn);
	inv->event = event.n ? event : STR("{}");
	if (qualifier.n)
		inv->qualified_arn =
			str_from(arena_printf(&r->arena, "%.*s:%.*s", STR_ARG(fn->def.arn), STR_ARG(qualifier)));
	r->inv = inv;
	return true;
}

bool invocation_next_trace(struct req *r, struct str function, struct str *ret)
{
	uint8_t random[32];
	uint32_t rounds;

	random_id(random);
	random_id(random + 16);
	*ret = str_from(trace_next(&r->arena, req_header(r, "x-amzn-trace-id"), r->resource, random, r->now_ms / 1000,
				   &rounds));
	if (rounds <= EVENT_MAX_ROUNDS)
		return true;
	logs_add(r->g->logs, function, clock_wall_ms(), r->id_text,
		 STR("Stopped: the function has caused itself 16 times in a row (recursive loop detection)."));
	req_fail(r, FAIL_RECURSION);
	return false;
}

void invocation_abandon(struct invocation *inv)
{
	queue_remove(inv);
	if (inv->worker)
		worker_forget(inv->worker, inv);
	inv->state = INVOCATION_OVER;
}

struct invocation *invocation_free(struct invocation *inv)
{
	if (!inv)
		return NULL;
	stream_free(inv->stream);
	buf_done(&inv->log_tail);
	buf_done(&inv->result);
	fn_unref(inv->fn);
	free(inv);
	return NULL;
}

void invocation_log(struct invocation *inv, struct str line)
{
	logs_add(inv->r->g->logs, inv->fn->def.name, clock_wall_ms(), inv->r->id_text, line);
	if (!inv->want_log_tail)
		return;
	buf_add_str(&inv->log_tail, line);
	buf_addc(&inv->log_tail, '\n');
	if (inv->log_tail.n > 4 * LIMIT_LOG_TAIL)
		buf_consume(&inv->log_tail, inv->log_tail.n - LIMIT_LOG_TAIL);
}

void invocation_logf(struct invocation *inv, const char *fmt, ...)
{
	struct buf b = BUF_NULL;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	invocation_log(inv, buf_str(&b));
	buf_done(&b);
}

void invocation_over(struct invocation *inv, enum usage_status status, const char *error_type, struct str result)
{
	inv->state = INVOCATION_OVER;
	inv->worker = NULL;
	inv->usage.status = status;
	inv->error_kind = status == USAGE_OK ? NULL : "Unhandled";
	snprintf(inv->error_type, sizeof(inv->error_type), "%s", error_type ? error_type : "");
	buf_clear(&inv->result);
	buf_add_str(&inv->result, result);
}

void invocation_error(struct invocation *inv, enum usage_status status, const char *error_type, const char *fmt, ...)
{
	struct buf message = BUF_NULL, doc = BUF_NULL;
	va_list ap;

	buf_printf(&message, "RequestId: %s Error: ", inv->r->id_text);
	va_start(ap, fmt);
	buf_vprintf(&message, fmt, ap);
	va_end(ap);
	buf_adds(&doc, "{\"errorType\":");
	json_write_string(&doc, str_from(error_type));
	buf_adds(&doc, ",\"errorMessage\":");
	json_write_string(&doc, buf_str(&message));
	buf_addc(&doc, '}');
	invocation_over(inv, status, error_type, buf_str(&doc));
	buf_done(&message);
	buf_done(&doc);
}

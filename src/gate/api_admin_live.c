/* What goes on now, under /_wick/: why one invocation waits (or how it ended), and everything at a glance, for
 * `wick why` and `wick top`. Reads what others own; keeps nothing. */
#include "gate/api_admin_live.h"

#include "base/id.h"
#include "gate/crash.h"
#include "gate/fn.h"
#include "gate/meter.h"
#include "gate/nodes.h"
#include "gate/queue.h"
#include "gate/recent.h"
#include "gate/stats.h"
#include "sys/clock.h"

#include <stdio.h>

static void set_u64(json_t *j, const char *name, uint64_t v)
{
	json_object_set_new(j, name, json_integer((json_int_t)MIN(v, (uint64_t)INT64_MAX)));
}

static void set_text(json_t *j, const char *name, struct buf *text /* emptied */)
{
	json_set_str(j, name, buf_str(text));
	buf_done(text);
}

/* Frozen workers are idle ones, told apart. */
static json_t *workers_json(const unsigned n[static WORKER_STATES], unsigned frozen)
{
	json_t *j = json_object();

	for (unsigned s = 0; s < WORKER_STATES; s++)
		set_u64(j, worker_state_name((enum worker_state)s), s == WORKER_IDLE ? n[s] - frozen : n[s]);
	set_u64(j, "frozen", frozen);
	return j;
}

static void count_workers(const struct fn *fn, unsigned n[static WORKER_STATES], unsigned *frozen)
{
	*frozen = 0;
	for (unsigned s = 0; s < WORKER_STATES; s++)
		n[s] = (unsigned)fn->workers[s].n;
	for (const struct worker *w = worker_list_first(&fn->workers[WORKER_IDLE]); w; w = worker_list_next(w))
		*frozen += w->frozen;
}

/* ---- why ---- */

static json_t *why_new(struct req *r, const struct fn *fn)
{
	unsigned n[WORKER_STATES], frozen;
	json_t *j = json_object();

	json_set_str(j, "id", r->args[0]);
	if (!fn)
		return j;
	json_set_str(j, "function", fn->def.name);
	json_set_str(j, "version", fn->def.version);
	count_workers(fn, n, &frozen);
	json_object_set_new(j, "workers", workers_json(n, frozen));
	return j;
}

static void set_state(json_t *j, const char *state, uint64_t since_us, const char *reason)
{
	json_object_set_new(j, "state", json_string(state));
	set_u64(j, "since_ms", since_us ? (clock_mono_us() - since_us) / 1000 : 0);
	json_object_set_new(j, "reason", json_string(reason));
}

static unsigned position(const struct invocation *inv)
{
	const struct invocation *at = invocation_list_first(&inv->fn->queue);
	unsigned n = 1;

	for (; at && at != inv; at = invocation_list_next(at))
		n++;
	return n;
}

/* What a function that cannot start fails with. */
static void add_crash(struct buf *text, const struct fn *fn)
{
	const struct crash *c = fn->crash;

	if (!c)
		return;
	buf_printf(text, " The last start failed with %s: ", c->type);
	buf_add_str(text, buf_str(&c->message));
	if (c->words.n)
		buf_printf(text, "\nIts last words:\n%s", c->words.p);
}

static json_t *why_waiting(struct req *r, const struct invocation *inv)
{
	json_t *j = why_new(r, inv->fn);
	struct buf text = BUF_NULL;
	struct place_view v;
	enum wait_reason reason = queue_why(inv->fn, &v);

	set_state(j, reason == WAIT_STARTING ? "starting" : "queued", inv->queued_us, wait_reason_name(reason));
	wait_text(&text, reason, &v);
	if (reason == WAIT_NO_PLACE || reason == WAIT_NO_NODE) {
		buf_addc(&text, ' ');
		nodes_why(inv->fn->g, inv->fn, &text);
	}
	add_crash(&text, inv->fn);
	set_text(j, "text", &text);
	set_u64(j, "position", position(inv));
	return j;
}

static json_t *why_running(struct req *r, const struct invocation *inv)
{
	json_t *j = why_new(r, inv->fn);
	struct buf text = BUF_NULL;

	set_state(j, "running", inv->run_began_us, "");
	buf_printf(&text, "Worker %s has it in hand, with %zu other%s; it may take %u s.", inv->worker->id_text,
		   inv->worker->runs.n - 1, inv->worker->runs.n == 2 ? "" : "s", inv->fn->def.timeout_s);
	nodes_where(inv->worker, &text);
	set_text(j, "text", &text);
	set_u64(j, "position", 0);
	return j;
}

static void add_ms(struct buf *b, const char *name, uint64_t us)
{
	if (us)
		buf_printf(b, "%s %llu.%02llu ms, ", name, (unsigned long long)(us / 1000),
			   (unsigned long long)(us % 1000 / 10));
}

static json_t *why_ended(struct req *r, const struct recent_entry *e)
{
	json_t *j = why_new(r, NULL);
	struct buf text = BUF_NULL;

	json_set_str(j, "function", str_from(e->function));
	json_set_str(j, "version", str_from(e->version));
	json_object_set_new(j, "state", json_string("done"));
	set_u64(j, "since_ms", (uint64_t)MAX(clock_wall_ms() - e->at_ms, (int64_t)0));
	json_object_set_new(j, "reason", json_string(e->outcome));
	set_u64(j, "position", 0);
	if (e->ran) {
		add_ms(&text, "queue", e->queue_us);
		add_ms(&text, "start", e->start_us);
		add_ms(&text, "box", e->box_us);
		add_ms(&text, "init", e->init_us);
		add_ms(&text, "run", MAX(e->run_us, (uint64_t)10));
	}
	buf_adds(&text, e->outcome);
	if (e->text)
		buf_printf(&text, ": %s", e->text);
	if (e->words) {
		buf_printf(&text, "\nIts worker's last words:\n%s", e->words);
		json_set_str(j, "last_words", str_from(e->words));
	}
	set_text(j, "text", &text);
	return j;
}

/* An asynchronous event that no gate has in hand now. */
static json_t *why_event(struct req *r, const struct event *e)
{
	json_t *j = why_new(r, NULL);
	struct buf text = BUF_NULL;
	int64_t now = clock_wall_ms();
	bool failed = e->state == EVENT_FAILED;

	json_set_str(j, "function", e->function);
	json_object_set_new(j, "state", json_string(failed ? "done" : "queued"));
	set_u64(j, "since_ms", (uint64_t)MAX(now - e->created_ms, (int64_t)0));
	json_object_set_new(j, "reason", json_string(failed ? "failed-event" : "event"));
	set_u64(j, "position", 0);
	if (failed)
		buf_printf(&text, "The event has failed %u times and is kept.", e->attempts);
	else if (e->due_ms > now)
		buf_printf(&text, "The event was tried %u time%s; the next try is in %lld ms.", e->attempts,
			   e->attempts == 1 ? "" : "s", (long long)(e->due_ms - now));
	else
		buf_adds(&text, "The event is due and waits behind others.");
	if (e->reason.n)
		buf_printf(&text, " Last: %.*s", STR_ARG(e->reason));
	set_text(j, "text", &text);
	return j;
}

enum step_result live_why(struct req *r)
{
	const struct recent_entry *ended;
	struct event *event = NULL;
	const struct req *live;
	uint8_t id[16];
	json_t *j;

	if (!uuid_parse(r->args[0], id))
		return req_failf(r, FAIL_INVALID_ARGUMENT, "%.*s is no request id.",
				 STR_ARG(str_sub(r->args[0], 0, 64)));
	live = req_find(r->g, id);
	if (live && live->inv && live->inv->state <= INVOCATION_QUEUED)
		return req_reply_json(r, 200, why_waiting(r, live->inv));
	if (live && live->inv && live->inv->worker)
		return req_reply_json(r, 200, why_running(r, live->inv));
	ended = recent_find(r->g->recent, id);
	if (store_get_event(store_reader(r->g->store), &r->arena, r->args[0], &event) == 0 &&
	    (!ended || event->state == EVENT_QUEUED))
		return req_reply_json(r, 200, why_event(r, event));
	if (ended)
		return req_reply_json(r, 200, why_ended(r, ended));
	j = why_new(r, NULL);
	json_object_set_new(j, "state", json_string("unknown"));
	json_object_set_new(j, "text", json_string("No invocation of this id waits, runs or has ended lately."));
	return req_reply_json(r, 200, j);
}

/* ---- top ---- */

struct top {
	json_t *functions;
	uint64_t now_us;
	unsigned queued;
};

static json_t *fn_json(const struct fn *fn, uint64_t now_us)
{
	static const struct stats none;
	const struct stats *s = fn->stats ? fn->stats : &none;
	const struct invocation *head = invocation_list_first(&fn->queue);
	unsigned n[WORKER_STATES], frozen;
	enum wait_reason reason = WAIT_NONE;
	struct buf text = BUF_NULL;
	json_t *j = json_object();
	struct place_view v;

	if (head) {
		reason = queue_why(fn, &v);
		wait_text(&text, reason, &v);
	} else if (fn->crash && fn->crash->n > 1) {
		reason = WAIT_CRASH_LOOPING;
		queue_view(fn, &v);
		wait_text(&text, reason, &v);
		buf_printf(&text, " The last start failed with %s.", fn->crash->type);
	}
	json_set_str(j, "name", fn->def.name);
	json_set_str(j, "version", fn->def.version);
	set_u64(j, "queued", fn->queue.n);
	set_u64(j, "oldest_wait_ms", head ? (now_us - head->queued_us) / 1000 : 0);
	json_object_set_new(j, "reason", json_string(wait_reason_name(reason)));
	set_text(j, "text", &text);
	count_workers(fn, n, &frozen);
	for (unsigned i = 0; i < WORKER_STATES; i++)
		set_u64(j, worker_state_name((enum worker_state)i), i == WORKER_IDLE ? n[i] - frozen : n[i]);
	set_u64(j, "frozen", frozen);
	set_u64(j, "running", fn->running);
	set_u64(j, "provisioned", fn->provisioned);
	set_u64(j, "memory_mb", (fn->live * (fn->memory_kib ? fn->memory_kib : fn->def.memory_mb << 10)) >> 10);
	set_u64(j, "invocations", s->invocations);
	set_u64(j, "errors", s->errors);
	json_object_set_new(j, "per_s", json_real(stats_per_s(s, now_us)));
	set_u64(j, "p50_us", stats_percentile_us(s, 50));
	set_u64(j, "p90_us", stats_percentile_us(s, 90));
	set_u64(j, "p99_us", stats_percentile_us(s, 99));
	set_u64(j, "cold", s->cold);
	return j;
}

/* A version that is in memory and has done nothing lately is not looked at. */
static void add_fn(void *arg, struct fn *fn)
{
	struct top *t = arg;

	if (!fn->queue.n && !fn->stats && !fn->live && !fn->workers[WORKER_ENDING].n)
		return;
	t->queued += (unsigned)fn->queue.n;
	json_array_append_new(t->functions, fn_json(fn, t->now_us));
}

enum step_result live_top(struct req *r)
{
	struct gate *g = r->g;
	const struct pool_sums *sums = pool_sums(g);
	struct meter_totals totals = meter_totals(g);
	struct top t = {.functions = json_array(), .now_us = clock_mono_us()};
	json_t *j = json_object(), *all = json_object();

	fns_each(g, add_fn, &t);
	set_u64(j, "at_ms", (uint64_t)clock_wall_ms());
	set_u64(j, "uptime_ms", (t.now_us - totals.began_us) / 1000);
	json_object_set_new(j, "nodes", nodes_json(g));
	set_u64(all, "invocations", totals.invocations);
	set_u64(all, "errors", totals.errors);
	set_u64(all, "queued", t.queued);
	set_u64(all, "running", sums->running);
	json_object_set_new(all, "workers", workers_json(sums->workers, sums->frozen));
	json_object_set_new(j, "totals", all);
	json_object_set_new(j, "functions", t.functions);
	return req_reply_json(r, 200, j);
}

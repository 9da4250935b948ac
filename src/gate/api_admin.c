/* Wick's own API under /_wick/: health, metrics, bill, invocations, events, logs, functions, code, settings (see
 * docs/api-wick.md); nodes and tokens are in api_admin_nodes.c. Everything but health is the root key's. Long reads run
 * on the pool; a log is streamed as the client takes it. Owns the streams of logs, each until its connection is over.
 */
#include "gate/api.h"
#include "gate/api_admin_live.h"
#include "gate/api_admin_nodes.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/time.h"
#include "gate/flow.h"
#include "gate/fn.h"
#include "gate/functions.h"
#include "gate/jobs.h"
#include "gate/layers.h"
#include "gate/logs.h"
#include "gate/match.h"
#include "gate/meter.h"
#include "gate/nodes.h"
#include "sys/clock.h"

#include <stdio.h>

#define PAGE_DEFAULT   100
#define PAGE_MAX       1000
#define EVENTS_MAX     200
#define PAYLOAD_SHOWN  4096
#define LOG_CHUNK      65536
#define HEARTBEAT_MS   15000
#define FOLLOW_TICK_MS 1000

/* ---- parameters ---- */

/* Unix milliseconds or ISO 8601. False after req_fail. */
static bool read_time(struct req *r, const char *name, int64_t dflt, int64_t *ret)
{
	struct str s = req_param(r, name);

	*ret = dflt;
	if (!s.n || str_to_i64(s, ret) || time_parse_iso8601(s, ret))
		return true;
	req_failf(r, FAIL_INVALID_ARGUMENT,
		  "%s=%.*s is no time: expected Unix milliseconds or ISO 8601, as 2026-01-31T12:00:00Z.", name,
		  STR_ARG(str_sub(s, 0, 64)));
	return false;
}

static bool read_max(struct req *r, uint32_t most, uint32_t *ret)
{
	struct str s = req_param(r, "max");
	uint64_t n = PAGE_DEFAULT;

	if (s.n && (!str_to_u64(s, &n) || n < 1 || n > most)) {
		req_failf(r, FAIL_INVALID_ARGUMENT, "max=%.*s is not a number from 1 to %d.",
			  STR_ARG(str_sub(s, 0, 64)), PAGE_MAX);
		return false;
	}
	*ret = (uint32_t)n;
	return true;
}

static void set_time(json_t *j, const char *name, int64_t ms)
{
	char text[TIME_ISO8601_SIZE];

	time_iso8601_ms(ms, text);
	json_object_set_new(j, name, json_string(text));
}

static void set_u64(json_t *j, const char *name, uint64_t v)
{
	json_object_set_new(j, name, json_integer((json_int_t)MIN(v, (uint64_t)INT64_MAX)));
}

static void set_cost(json_t *j, uint64_t picodollars)
{
	char text[PRICE_TEXT_SIZE];

	price_format_usd(picodollars, text);
	set_u64(j, "cost_picousd", picodollars);
	json_object_set_new(j, "cost_usd", json_string(text));
}

/* ---- health, metrics, settings ---- */

static enum step_result get_health(struct req *r)
{
	bool node = nodes_any_up(r->g);
	const char *status = r->g->draining ? "draining" : node ? "ok" : "no node";

	return req_reply_json(r, node && !r->g->draining ? 200 : 503,
			      json_pack("{s:s,s:s,s:b}", "status", status, "version", WICK_VERSION, "node", (int)node));
}

static enum step_result get_metrics(struct req *r)
{
	struct buf b = BUF_NULL;

	meter_metrics(r->g, &b);
	return req_reply_bytes(r, 200, "text/plain; version=0.0.4; charset=utf-8", &b);
}

static enum step_result get_settings(struct req *r)
{
	json_t *j = json_object();

	for (size_t i = 0; i < settings_count; i++) {
		_cleanup_(buf_done) struct buf b = BUF_NULL;

		setting_format(&settings_table[i], &r->g->conf.s, &b);
		json_set_str(j, settings_table[i].name, buf_str(&b));
	}
	return req_reply_json(r, 200, j);
}

/* ---- bill ---- */

struct bill {
	struct arena arena; /* of the sums, filled on the pool */
	int64_t from, to;
	struct usage_sum *sums;
	size_t n;
	int result;
};

static void sum_usage(void *arg, struct store_reader *rd)
{
	struct bill *b = arg;

	b->result = store_sum_usage(rd, &b->arena, b->from, b->to, &b->sums, &b->n);
}

/* GB-seconds with six decimals, by integers. */
static void set_gb_seconds(json_t *j, uint64_t mb_ms)
{
	unsigned __int128 micro = (unsigned __int128)mb_ms * 1000 / 1024;
	char text[48];

	snprintf(text, sizeof(text), "%llu.%06llu", (unsigned long long)(micro / 1000000),
		 (unsigned long long)(micro % 1000000));
	json_object_set_new(j, "gb_seconds", json_string(text));
}

static json_t *sum_json(const struct usage_sum *s)
{
	json_t *j = json_object();

	if (s->function.p)
		json_set_str(j, "function", s->function);
	set_u64(j, "invocations", s->invocations);
	set_u64(j, "errors", s->errors);
	set_u64(j, "billed_ms", s->billed_ms);
	set_u64(j, "mb_ms", s->mb_ms);
	set_gb_seconds(j, s->mb_ms);
	set_u64(j, "device_slice_ms", s->device_slice_ms);
	set_cost(j, s->cost_picousd);
	return j;
}

static void add_sum(struct usage_sum *to, const struct usage_sum *one)
{
	to->invocations += one->invocations;
	to->errors += one->errors;
	to->billed_ms += one->billed_ms;
	to->mb_ms += one->mb_ms;
	to->device_slice_ms += one->device_slice_ms;
	to->cost_picousd += one->cost_picousd;
}

/* The runs that held a device, by its model; takes sums apart. */
static json_t *devices_json(struct usage_sum *sums, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++) {
		struct usage_sum *first = &sums[i];
		json_t *j;

		if (!first->device.n)
			continue;
		/* Those of the same model behind it go into it. */
		for (size_t k = i + 1; k < n; k++)
			if (str_eq(sums[k].device, first->device)) {
				add_sum(first, &sums[k]);
				sums[k].device = STR_NULL;
			}
		first->function = STR_NULL;
		j = sum_json(first);
		json_set_str(j, "device", first->device);
		json_array_append_new(list, j);
	}
	return list;
}

static json_t *bill_line(struct arena *a, const struct usage_sum *sums, size_t n, struct str function)
{
	struct usage_sum *copy = arena_new_n(a, struct usage_sum, n + 1), all = {.function = function};
	json_t *j;

	for (size_t i = 0; i < n; i++) {
		copy[i] = sums[i];
		add_sum(&all, &sums[i]);
	}
	j = sum_json(&all);
	json_object_set_new(j, "devices", devices_json(copy, n));
	return j;
}

static enum step_result bill_summed(struct req *r)
{
	struct bill *b = r->api_state;
	struct str wanted = req_param(r, "function");
	struct usage_sum *kept;
	size_t n = 0;
	json_t *j, *list;

	if (b->result != 0) {
		arena_done(&b->arena);
		return req_fail_errno(r, b->result);
	}
	kept = arena_new_n(&b->arena, struct usage_sum, b->n + 1);
	for (size_t i = 0; i < b->n; i++)
		if (!wanted.n || str_eq(wanted, b->sums[i].function))
			kept[n++] = b->sums[i];
	list = json_array();
	/* They come by function, one for each device. */
	for (size_t i = 0, k; i < n; i = k) {
		for (k = i + 1; k < n && str_eq(kept[k].function, kept[i].function);)
			k++;
		json_array_append_new(list, bill_line(&b->arena, &kept[i], k - i, kept[i].function));
	}
	j = json_object();
	set_time(j, "from", b->from);
	set_time(j, "to", b->to);
	json_object_set_new(j, "functions", list);
	json_object_set_new(j, "total", bill_line(&b->arena, kept, n, STR_NULL));
	arena_done(&b->arena);
	return req_reply_json(r, 200, j);
}

static void flushed(void *arg)
{
	struct req *r = arg;

	r->pending--;
	req_continue(r);
}

/* What ran until now is stored before it is read: a bill is never behind the answer that somebody holds. */
static enum step_result after_flush(struct req *r, req_fn *next)
{
	r->pending++;
	r->run = next;
	meter_flush(r->g, flushed, r);
	return STEP_WAIT;
}

static enum step_result read_bill(struct req *r)
{
	return req_read_async(r, sum_usage, r->api_state, bill_summed);
}

static enum step_result get_bill(struct req *r)
{
	struct bill *b = arena_new(&r->arena, struct bill);

	/* Until the end of now's millisecond, which may be that of a run whose answer is out. */
	if (!read_time(r, "from", 0, &b->from) || !read_time(r, "to", r->now_ms + 1000, &b->to))
		return STEP_MORE;
	if (b->from > b->to)
		return req_failf(r, FAIL_INVALID_ARGUMENT, "from is later than to.");
	r->api_state = b;
	return after_flush(r, read_bill);
}

/* ---- invocations ---- */

static const char *status_name(enum usage_status s)
{
	switch (s) {
	case USAGE_OK:
		return "ok";
	case USAGE_FUNCTION_ERROR:
		return "error";
	case USAGE_TIMEOUT:
		return "timeout";
	case USAGE_INIT_ERROR:
		return "init error";
	case USAGE_EXITED:
		return "exited";
	case USAGE_KILLED:
		return "killed";
	case USAGE_OUT_OF_MEMORY:
		return "out of memory";
	}
	return "unknown";
}

static json_t *usage_json(const struct usage *u)
{
	json_t *j = json_object();

	json_set_str(j, "request_id", u->request_id);
	json_set_str(j, "function", u->function);
	json_set_str(j, "version", u->version);
	set_time(j, "at", u->at_ms);
	json_object_set_new(j, "at_ms", json_integer(u->at_ms));
	json_object_set_new(j, "status", json_string(status_name(u->status)));
	set_u64(j, "queue_us", u->queue_us);
	set_u64(j, "start_us", u->start_us);
	set_u64(j, "init_us", u->init_us);
	set_u64(j, "run_us", u->run_us);
	set_u64(j, "billed_ms", u->billed_ms);
	set_u64(j, "memory_mb", u->memory_mb);
	set_u64(j, "max_memory_mb", u->max_memory_mb);
	set_u64(j, "device_slice_ms", u->device_slice_ms);
	if (u->device.n) {
		json_set_str(j, "device", u->device);
		set_u64(j, "slots", u->slots);
		json_set_str(j, "rung", u->rung);
	}
	set_cost(j, u->cost_picousd);
	return j;
}

static enum step_result list_invocations(struct req *r)
{
	struct usage *u = NULL;
	size_t n = 0;
	int64_t before;
	uint32_t max;
	json_t *j, *list;
	int res;

	if (!read_time(r, "before", INT64_MAX, &before) || !read_max(r, PAGE_MAX, &max))
		return STEP_MORE;
	res = store_list_usage(store_reader(r->g->store), &r->arena, req_param(r, "function"), before, max, &u, &n);
	if (res != 0)
		return req_fail_errno(r, res);
	j = json_object();
	list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, usage_json(&u[i]));
	json_object_set_new(j, "invocations", list);
	json_object_set_new(j, "next_before", n == max ? json_integer(u[n - 1].at_ms) : json_null());
	return req_reply_json(r, 200, j);
}

static enum step_result get_invocations(struct req *r)
{
	return after_flush(r, list_invocations);
}

/* ---- events ---- */

static json_t *event_json(struct req *r, const struct event *e)
{
	json_t *j = json_object();

	json_set_str(j, "id", e->id);
	json_set_str(j, "function", e->function);
	json_object_set_new(j, "state", json_string(e->state == EVENT_FAILED ? "failed" : "queued"));
	json_object_set_new(j, "running", json_boolean(jobs_running(r->g->jobs, e->id)));
	set_u64(j, "attempts", e->attempts);
	set_time(j, "created", e->created_ms);
	set_time(j, "due", e->due_ms);
	json_set_str(j, "source", e->source);
	json_set_str(j, "reason", e->reason);
	set_u64(j, "payload_size", e->payload.n);
	json_set_str(j, "payload", str_sub(e->payload, 0, PAYLOAD_SHOWN));
	return j;
}

/* Payloads are read with the events, so the pages are short and their memory goes with the answer. */
struct event_page {
	struct arena arena;
	struct str function;
	enum event_state state;
	uint32_t max;
	struct event *events;
	size_t n;
	int result;
};

static void read_events(void *arg, struct store_reader *rd)
{
	struct event_page *p = arg;

	p->result = store_list_events(rd, &p->arena, p->state, p->function, p->max, &p->events, &p->n);
}

static enum step_result events_read(struct req *r)
{
	struct event_page *p = r->api_state;
	json_t *list = json_array();

	for (size_t i = 0; p->result == 0 && i < p->n; i++)
		json_array_append_new(list, event_json(r, &p->events[i]));
	arena_done(&p->arena);
	if (p->result != 0) {
		json_decref(list);
		return req_fail_errno(r, p->result);
	}
	return req_reply_json(r, 200, json_pack("{s:o}", "events", list));
}

static enum step_result get_events(struct req *r)
{
	struct event_page *p = arena_new(&r->arena, struct event_page);
	struct str state = req_param(r, "state");

	if (state.n && !str_eqz(state, "failed") && !str_eqz(state, "queued"))
		return req_failf(r, FAIL_INVALID_ARGUMENT, "state is 'failed' or 'queued'.");
	if (!read_max(r, EVENTS_MAX, &p->max))
		return STEP_MORE;
	p->state = str_eqz(state, "failed") ? EVENT_FAILED : EVENT_QUEUED;
	p->function = req_param(r, "function");
	r->api_state = p;
	return req_read_async(r, read_events, p, events_read);
}

struct redrive {
	struct str id, function;
	size_t n;
	int result;
};

static void count_failed(void *arg, struct store_reader *rd)
{
	struct redrive *d = arg;
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	struct event *e;

	if (d->id.n) {
		d->result = store_get_event(rd, &a, d->id, &e);
		d->n = d->result == 0 && e->state == EVENT_FAILED;
	} else {
		d->result = store_list_events(rd, &a, EVENT_FAILED, d->function, EVENTS_MAX, &e, &d->n);
	}
}

static enum step_result redriven(struct req *r)
{
	const struct redrive *d = r->api_state;

	if (r->store_result != 0)
		return req_fail_errno(r, r->store_result);
	jobs_kick(r->g->jobs);
	return req_reply_json(
		r, 200, json_pack("{s:I,s:b}", "redriven", (json_int_t)d->n, "and_more", (int)(d->n == EVENTS_MAX)));
}

static enum step_result redrive_counted(struct req *r)
{
	const struct redrive *d = r->api_state;
	struct store_txn *t;

	if (d->result == STORE_E_MISSING || (d->result == 0 && d->id.n && !d->n))
		return req_failf(r, FAIL_NOT_FOUND, "There is no failed event %.*s.", STR_ARG(d->id));
	if (d->result != 0)
		return req_fail_errno(r, d->result);
	t = store_begin(r->g->store);
	store_redrive_events(t, d->id, d->function, r->now_ms);
	return req_commit(r, t, redriven);
}

static enum step_result post_redrive(struct req *r)
{
	struct redrive *d = arena_new(&r->arena, struct redrive);
	_cleanup_(err_done) struct err err = ERR_NULL;
	_cleanup_json_ json_t *j = r->body.n ? json_parse(buf_str(&r->body), &err) : json_object();

	if (!j || !json_is_object(j))
		return req_failf(r, FAIL_MALFORMED_JSON, "Could not parse request body into json: %s",
				 err.msg ? err.msg : "it is not an object");
	if (json_opt_str(j, "id", &d->id, &err) || json_opt_str(j, "function", &d->function, &err))
		return req_failf(r, FAIL_INVALID_ARGUMENT, "%s", err.msg);
	d->id = arena_str(&r->arena, d->id);
	d->function = arena_str(&r->arena, d->function);
	r->api_state = d;
	return req_read_async(r, count_failed, d, redrive_counted);
}

/* ---- logs ---- */

struct log_stream {
	struct gate *g;
	struct http_exchange *ex;
	char *function;
	int64_t since_ms;
	char position[64];
	bool follow, tell_position, told;
	struct buf out;
	struct logs_watch *watch;
	struct timer *tick;
	uint64_t quiet_since_ms; /* of the loop's clock */
};

static void add_record(struct buf *b, struct str line)
{
	struct str at, id, text;

	str_cut(line, '\t', &at, &line);
	str_cut(line, '\t', &id, &text);
	buf_printf(b, "{\"at\":%.*s,\"id\":", STR_ARG(at));
	json_write_string(b, id);
	buf_adds(b, ",\"text\":");
	json_write_string(b, text);
	buf_adds(b, "}\n");
}

/* Reads on; false when the log cannot be read. */
static bool stream_fill(struct log_stream *s)
{
	_cleanup_(buf_done) struct buf raw = BUF_NULL;
	struct str rest, line;

	buf_clear(&s->out);
	if (logs_read(s->g->conf.s.data, str_from(s->function), s->since_ms, s->position, LOG_CHUNK, &raw,
		      s->position) < 0)
		return false;
	for (rest = buf_str(&raw); rest.n;) {
		str_cut(rest, '\n', &line, &rest);
		add_record(&s->out, line);
	}
	return true;
}

/* The end of what is there: a follower waits, with a blank line now and then so that both sides know of each other. */
static ssize_t stream_at_end(struct log_stream *s)
{
	uint64_t now = loop_now_ms(s->g->loop);

	if (s->follow && !s->g->draining) {
		if (now - s->quiet_since_ms < HEARTBEAT_MS)
			return 0;
		buf_addc(&s->out, '\n');
		return 1;
	}
	if (!s->tell_position || s->told)
		return HTTP_PULL_END;
	s->told = true;
	buf_adds(&s->out, "{\"position\":");
	json_write_string(&s->out, str_from(s->position));
	buf_adds(&s->out, "}\n");
	return 1;
}

static ssize_t stream_pull(void *arg, uint8_t *p, size_t cap)
{
	struct log_stream *s = arg;
	size_t n;

	if (s->out.n == 0 && !s->told && !stream_fill(s))
		return HTTP_PULL_ERROR;
	if (s->out.n == 0) {
		ssize_t res = stream_at_end(s);

		if (res <= 0)
			return res;
	}
	n = MIN(cap, s->out.n);
	memcpy(p, s->out.p, n);
	buf_consume(&s->out, n);
	s->quiet_since_ms = loop_now_ms(s->g->loop);
	return (ssize_t)n;
}

static void stream_wake(void *arg)
{
	struct log_stream *s = arg;

	http_exchange_resume(s->ex);
}

static void stream_tick(void *arg)
{
	struct log_stream *s = arg;

	if (s->g->draining || loop_now_ms(s->g->loop) - s->quiet_since_ms >= HEARTBEAT_MS)
		http_exchange_resume(s->ex);
}

static void stream_free(void *arg)
{
	struct log_stream *s = arg;

	logs_watch_free(s->watch);
	timer_free(s->tick);
	buf_done(&s->out);
	free(s->function);
	free(s);
}

static bool check_function_name(struct req *r)
{
	struct function_ref ref;

	if (function_ref_parse(r->args[0], &ref) && str_eq(ref.name, r->args[0]))
		return true;
	req_failf(r, FAIL_INVALID_ARGUMENT, "'%.*s' is no function's name.", STR_ARG(str_sub(r->args[0], 0, 64)));
	return false;
}

static enum step_result get_logs(struct req *r)
{
	struct str position = req_param(r, "position");
	struct log_stream *s;
	int64_t since;

	if (!check_function_name(r) || !read_time(r, "since", 0, &since))
		return STEP_MORE;
	if (position.n >= sizeof(s->position))
		return req_failf(r, FAIL_INVALID_ARGUMENT, "position is not one that an earlier answer gave.");
	s = xnew(struct log_stream);
	*s = (struct log_stream){
		.g = r->g,
		.ex = r->ex,
		.function = str_dup(r->args[0]),
		.since_ms = since,
		.follow = str_eqz(req_param(r, "follow"), "1"),
		.tell_position = position.p != NULL,
		.quiet_since_ms = loop_now_ms(r->g->loop),
	};
	if (position.n)
		memcpy(s->position, position.p, position.n);
	if (s->follow && r->ex) {
		s->watch = logs_watch(r->g->logs, r->args[0], stream_wake, s);
		s->tick = timer_new(r->g->loop, stream_tick, s);
		timer_repeat(s->tick, FOLLOW_TICK_MS);
	}
	logs_flush(r->g->logs);
	r->status = 200;
	req_set_header(r, "Content-Type", STR("application/x-ndjson"));
	r->reply_body = (struct http_body){
		.kind = HTTP_BODY_PULL,
		.length = HTTP_LENGTH_UNKNOWN,
		.pull = stream_pull,
		.pull_free = stream_free,
		.pull_arg = s,
	};
	return STEP_MORE;
}

static enum step_result delete_logs(struct req *r)
{
	if (!check_function_name(r))
		return STEP_MORE;
	logs_remove(r->g->logs, r->args[0]);
	return req_reply_empty(r, 204);
}

/* ---- functions ---- */

static void remember(void *arg, const struct function_activity *a)
{
	struct map *by_name = arg;
	struct function_activity *sum = map_get(by_name, a->name);

	if (!sum) {
		sum = xnew(struct function_activity);
		map_put(by_name, a->name, sum);
	}
	sum->queued += a->queued;
	sum->starting += a->starting;
	sum->idle += a->idle;
	sum->busy += a->busy;
}

static json_t *summary(const struct function *f, const struct function_activity *a)
{
	json_t *j = json_object();

	json_set_str(j, "name", f->name);
	json_set_str(j, "runtime", f->runtime);
	json_set_str(j, "handler", f->handler);
	json_object_set_new(j, "state", json_string(function_state_name(f->state)));
	set_u64(j, "memory_mb", f->memory_mb);
	set_u64(j, "timeout_s", f->timeout_s);
	set_u64(j, "code_size", f->code_size);
	set_time(j, "modified", f->modified_ms);
	set_u64(j, "queued", a ? a->queued : 0);
	json_object_set_new(j, "workers",
			    json_pack("{s:i,s:i,s:i}", "starting", a ? (int)a->starting : 0, "idle",
				      a ? (int)a->idle : 0, "busy", a ? (int)a->busy : 0));
	return j;
}

static json_t *summaries(struct req *r, const struct str *docs, size_t n, struct str *last)
{
	json_t *list = json_array();
	struct map activity = MAP_NULL;
	struct str name;
	void *a;

	functions_each(r->g, remember, &activity);
	for (size_t i = 0; i < n; i++) {
		_cleanup_json_ json_t *doc = json_parse(docs[i], NULL);
		struct function f;

		if (!doc || function_from_json(&f, doc, &r->arena, NULL) < 0)
			continue;
		*last = arena_str(&r->arena, f.name);
		json_array_append_new(list, summary(&f, map_get(&activity, f.name)));
	}
	for (size_t i = 0; map_next(&activity, &i, &name, &a);)
		free(a);
	map_done(&activity);
	return list;
}

static enum step_result get_functions(struct req *r)
{
	struct str *docs = NULL, last = STR_NULL;
	size_t n = 0;
	bool truncated = false;
	uint32_t max;
	json_t *j;
	int res;

	if (!read_max(r, PAGE_MAX, &max))
		return STEP_MORE;
	res = store_list_functions(store_reader(r->g->store), &r->arena, req_param(r, "after"), max, &docs, &n,
				   &truncated);
	if (res != 0)
		return req_fail_errno(r, res);
	j = json_object();
	json_object_set_new(j, "functions", summaries(r, docs, n, &last));
	json_object_set_new(j, "next_after", truncated ? json_str(last) : json_null());
	return req_reply_json(r, 200, j);
}

/* ---- code ---- */

static bool same_sha(struct str base64, struct str hex)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	uint8_t bytes[SHA256_SIZE];

	return hex_decode(hex, bytes, sizeof(bytes)) && base64_decode(&b, base64) &&
	       str_eq(buf_str(&b), str_n(bytes, sizeof(bytes)));
}

static enum step_result reply_zip(struct req *r, struct str blob, uint64_t size)
{
	int fd = blob_open_fd(r->g->blobs, blob);

	if (fd < 0)
		return req_fail_errno(r, fd);
	r->status = 200;
	req_set_header(r, "Content-Type", STR("application/zip"));
	req_set_headerf(r, "Content-Disposition", "attachment; filename=\"%.*s.zip\"", STR_ARG(r->args[0]));
	r->reply_body = (struct http_body){.kind = HTTP_BODY_FD, .fd = fd, .length = size};
	return STEP_MORE;
}

static enum step_result get_code(struct req *r)
{
	const struct fn *fn = check_function_name(r) ? fn_get(r->g, r->args[0], req_param(r, "version")) : NULL;

	if (r->fail)
		return STEP_MORE;
	if (!fn || !same_sha(fn->def.code_sha256, r->args[1]))
		return req_failf(r, FAIL_NOT_FOUND, "%.*s has no such code now.", STR_ARG(r->args[0]));
	return reply_zip(r, fn->def.code_blob, fn->def.code_size);
}

static enum step_result get_layer(struct req *r)
{
	const char *arn = arena_printf(&r->arena, "arn:aws:lambda:%s:%s:layer:%.*s:%.*s", r->g->conf.s.region,
				       r->g->conf.s.account, STR_ARG(r->args[0]), STR_ARG(r->args[1]));
	struct layer l;

	if (!layer_get(r->g, &r->arena, str_from(arn), &l))
		return req_failf(r, FAIL_NOT_FOUND, "There is no layer version %s.", arn);
	return reply_zip(r, l.blob, l.size);
}

/* ---- the table ---- */

static const struct operation operations[] = {
	{"Health", NULL, "GET", "/_wick/health", REQ_BODY_NONE, 0, get_health},
	{"Metrics", "wick:GetMetrics", "GET", "/_wick/metrics", REQ_BODY_NONE, 0, get_metrics},
	{"Settings", "wick:GetSettings", "GET", "/_wick/settings", REQ_BODY_NONE, 0, get_settings},
	{"Bill", "wick:GetBill", "GET", "/_wick/bill", REQ_BODY_NONE, 0, get_bill},
	{"Invocations", "wick:ListInvocations", "GET", "/_wick/invocations", REQ_BODY_NONE, 0, get_invocations},
	{"Events", "wick:ListEvents", "GET", "/_wick/events", REQ_BODY_NONE, 0, get_events},
	{"Redrive", "wick:RedriveEvents", "POST", "/_wick/events/redrive", REQ_BODY_BUFFER, 65536, post_redrive},
	{"Logs", "wick:GetLogs", "GET", "/_wick/logs/{}", REQ_BODY_NONE, 0, get_logs},
	{"RemoveLogs", "wick:RemoveLogs", "DELETE", "/_wick/logs/{}", REQ_BODY_NONE, 0, delete_logs},
	{"Functions", "wick:ListFunctions", "GET", "/_wick/functions", REQ_BODY_NONE, 0, get_functions},
	{"Why", "wick:GetWhy", "GET", "/_wick/why/{}", REQ_BODY_NONE, 0, live_why},
	{"Top", "wick:GetTop", "GET", "/_wick/top", REQ_BODY_NONE, 0, live_top},
	{"Place", "wick:ListNodes", "GET", "/_wick/place/{}", REQ_BODY_NONE, 0, admin_get_place},
	{"Nodes", "wick:ListNodes", "GET", "/_wick/nodes", REQ_BODY_NONE, 0, admin_get_nodes},
	{"ChangeNode", "wick:ChangeNode", "POST", "/_wick/nodes/{}", REQ_BODY_BUFFER, 65536, admin_post_node},
	{"RemoveNode", "wick:RemoveNode", "DELETE", "/_wick/nodes/{}", REQ_BODY_NONE, 0, admin_delete_node},
	{"MakeToken", "wick:MakeToken", "POST", "/_wick/tokens", REQ_BODY_BUFFER, 65536, admin_post_token},
	{"Tokens", "wick:ListTokens", "GET", "/_wick/tokens", REQ_BODY_NONE, 0, admin_get_tokens},
	{"RevokeToken", "wick:RevokeToken", "DELETE", "/_wick/tokens/{}", REQ_BODY_NONE, 0, admin_delete_token},
	{"Code", "wick:GetCode", "GET", "/_wick/code/{}/{}", REQ_BODY_NONE, 0, get_code},
	{"Layer", "wick:GetCode", "GET", "/_wick/layers/{}/{}", REQ_BODY_NONE, 0, get_layer},
};

static const struct operation *route(struct req *r)
{
	bool known;
	const struct operation *op =
		match_operation(operations, ARRAY_SIZE(operations), r->method, r->path, &r->arena, r->args, &known);

	if (!op)
		req_fail(r, known ? FAIL_METHOD_NOT_ALLOWED : FAIL_UNKNOWN_OPERATION);
	r->resource = STR("*");
	return op;
}

static void render_fail(struct req *r)
{
	const struct fail_info *info = fail_info(r->fail);
	json_t *j = json_object();

	if (info->status == 429 || info->status == 503)
		req_set_header(r, "Retry-After", STR("1"));
	json_object_set_new(j, "error", json_string(info->lambda_type));
	json_set_str(j, "message", r->fail_message.n ? r->fail_message : str_from(info->message));
	req_reply_json(r, info->status, j);
}

const struct api api_admin = {
	.name = "admin",
	.service = "wick",
	.route = route,
	.render_fail = render_fail,
};

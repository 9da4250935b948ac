/* The meter step: prices a finished run, writes its END and REPORT lines, gathers its usage for the store and counts.
 * Owns the open usage transaction: rows go to the store in groups (FLUSH_MS or FLUSH_ROWS), so a crash of the machine
 * loses at most the last group. Prices come after the fact (model/price.h); limits were checked before. */
#include "gate/meter.h"

#include "base/mem.h"
#include "gate/fn.h"
#include "gate/flow.h"
#include "gate/nodes.h"
#include "gate/reap.h"
#include "gate/recent.h"
#include "gate/stats.h"
#include "model/device.h"
#include "model/limits.h"
#include "sys/clock.h"
#include "sys/log.h"

#define FLUSH_MS   200
#define FLUSH_ROWS 1000

struct meter {
	struct gate *g;
	struct store_txn *txn;
	unsigned rows;
	struct timer *timer;
	uint64_t began_us;
	uint64_t requests, failed_requests, invocations, errors, lost_rows;
	uint64_t run_us, billed_ms;
};

struct meter *meter_new(struct gate *g)
{
	struct meter *m = xnew(struct meter);

	m->g = g;
	m->began_us = clock_mono_us();
	return m;
}

struct flush {
	struct meter *m;
	unsigned rows;
	void (*done)(void *arg);
	void *arg;
};

static void flushed(void *arg, int result, unsigned op)
{
	struct flush *f = arg;

	if (result != 0) {
		f->m->lost_rows += f->rows;
		log_error("usage of %u invocations could not be stored (%d)", f->rows, result);
	}
	if (f->done)
		f->done(f->arg);
	free(f);
}

void meter_flush(struct gate *g, void (*done)(void *arg), void *arg)
{
	struct meter *m = g->meter;
	struct flush *f = xnew(struct flush);
	struct store_txn *t = m->txn ? steal(&m->txn) : store_begin(g->store);

	*f = (struct flush){.m = m, .rows = m->rows, .done = done, .arg = arg};
	m->rows = 0;
	store_commit(t, flushed, f);
}

static void tick(void *arg)
{
	struct meter *m = arg;

	if (m->txn)
		meter_flush(m->g, NULL, NULL);
}

static void gather(struct meter *m, const struct usage *u)
{
	if (!m->timer)
		m->timer = timer_new(m->g->loop, tick, m);
	if (!m->txn) {
		m->txn = store_begin(m->g->store);
		timer_set(m->timer, FLUSH_MS);
	}
	store_add_usage(m->txn, u);
	if (++m->rows >= FLUSH_ROWS)
		meter_flush(m->g, NULL, NULL);
}

struct meter *meter_free(struct meter *m)
{
	if (!m)
		return NULL;
	timer_free(m->timer);
	if (m->txn)
		store_txn_drop(m->txn);
	free(m);
	return NULL;
}

/* ---- one run ---- */

static void price(struct invocation *inv)
{
	struct usage *u = &inv->usage;
	const struct function *def = &inv->fn->def;

	u->request_id = str_n(inv->r->id_text, 36);
	u->function = def->name;
	u->version = def->version;
	u->at_ms = clock_wall_ms();
	u->memory_mb = def->memory_mb;
	u->billed_ms = price_billed_ms(u->run_us, u->init_us);
	if (u->device.n)
		u->device_slice_ms = price_slice_ms(u->slots, u->billed_ms);
	u->cost_picousd = price_cost(&inv->r->g->prices, u->memory_mb, u->billed_ms, u->device_slice_ms,
				     price_slice_second(&inv->r->g->prices, u->device, u->device_kind));
}

static const char *report_status(enum usage_status s)
{
	switch (s) {
	case USAGE_OK:
	case USAGE_FUNCTION_ERROR:
		return NULL;
	case USAGE_TIMEOUT:
		return "timeout";
	case USAGE_INIT_ERROR:
	case USAGE_EXITED:
	case USAGE_KILLED:
	case USAGE_OUT_OF_MEMORY:
		return "error";
	}
	return NULL;
}

/* Milliseconds with two decimals, as AWS writes them. */
static void add_ms(struct buf *b, const char *name, uint64_t us)
{
	buf_adds(b, name);
	buf_add_u64(b, us / 1000);
	buf_addc(b, '.');
	buf_addc(b, (char)('0' + us % 1000 / 100));
	buf_addc(b, (char)('0' + us % 100 / 10));
	buf_adds(b, " ms");
}

static void add_number(struct buf *b, const char *name, uint64_t v, const char *unit)
{
	buf_adds(b, name);
	buf_add_u64(b, v);
	buf_adds(b, unit);
}

static void report(struct invocation *inv)
{
	const struct usage *u = &inv->usage;
	const char *status = report_status(u->status);
	struct buf b = BUF_NULL;
	char cost[PRICE_TEXT_SIZE];

	buf_adds(&b, "END RequestId: ");
	buf_adds(&b, inv->r->id_text);
	invocation_log(inv, buf_str(&b));
	buf_clear(&b);
	price_format_usd(u->cost_picousd, cost);
	buf_adds(&b, "REPORT RequestId: ");
	buf_adds(&b, inv->r->id_text);
	add_ms(&b, "\tDuration: ", u->run_us);
	add_number(&b, "\tBilled Duration: ", u->billed_ms, " ms");
	add_number(&b, "\tMemory Size: ", u->memory_mb, " MB");
	add_number(&b, "\tMax Memory Used: ", u->max_memory_mb, " MB");
	if (u->init_us) {
		add_ms(&b, "\tInit Duration: ", u->init_us);
		add_ms(&b, "\tQueue Duration: ", u->queue_us);
		add_ms(&b, "\tStart Duration: ", u->start_us);
		add_ms(&b, "\tBox Duration: ", inv->box_us);
	}
	if (u->device.n) {
		buf_printf(&b, "\tDevice: %.*s %u/%d", STR_ARG(u->device), u->slots, DEVICE_SLOTS);
		add_number(&b, "\tDevice Time: ", u->device_slice_ms, " slice-ms");
	}
	if (status)
		buf_printf(&b, "\tStatus: %s", status);
	if (status && inv->error_type[0] && u->status != USAGE_TIMEOUT)
		buf_printf(&b, "\tError Type: %s", inv->error_type);
	buf_adds(&b, "\tCost: ");
	buf_adds(&b, cost);
	buf_adds(&b, " USD");
	invocation_log(inv, buf_str(&b));
	buf_done(&b);
}

static void count(const struct invocation *inv)
{
	const struct usage *u = &inv->usage;
	struct fn *fn = inv->fn;

	if (!fn->stats)
		fn->stats = xnew(struct stats);
	stats_add(fn->stats, inv->run_ended_us ? inv->run_ended_us : clock_mono_us(), u->run_us, u->status != USAGE_OK,
		  u->start_us > 0);
	recent_add(inv->r->g->recent, inv);
}

enum step_result meter_step(struct req *r)
{
	struct meter *m = r->g->meter;
	struct invocation *inv = r->inv;

	m->requests++;
	if (r->fail) {
		m->failed_requests += fail_info(r->fail)->status >= 500;
		if (inv)
			recent_add(r->g->recent, inv);
		return STEP_MORE;
	}
	/* Whatever changes something may leave a dead blob. */
	if (!str_eq(r->method, STR("GET")) && !str_eq(r->method, STR("HEAD")))
		reap_kick(r->g);
	if (!inv)
		return STEP_MORE;
	price(inv);
	report(inv);
	gather(m, &inv->usage);
	count(inv);
	m->invocations++;
	m->errors += inv->usage.status != USAGE_OK;
	m->run_us += inv->usage.run_us;
	m->billed_ms += inv->usage.billed_ms;
	reap_kick(r->g);
	return STEP_MORE;
}

/* ---- counters ---- */

struct meter_totals meter_totals(const struct gate *g)
{
	const struct meter *m = g->meter;

	return (struct meter_totals){m->began_us, m->invocations, m->errors};
}

void meter_metrics(struct gate *g, struct buf *b)
{
	const struct pool_sums *sums = pool_sums(g);
	const struct meter *m = g->meter;
	const struct {
		const char *name, *type, *help;
		uint64_t value;
	} rows[] = {
		{"wick_requests_total", "counter", "Requests answered.", m->requests},
		{"wick_requests_failed_total", "counter", "Requests answered with a 5xx status.", m->failed_requests},
		{"wick_invocations_total", "counter", "Runs of functions.", m->invocations},
		{"wick_invocation_errors_total", "counter", "Runs that ended in an error.", m->errors},
		{"wick_run_microseconds_total", "counter", "Time that functions ran.", m->run_us},
		{"wick_billed_milliseconds_total", "counter", "Time billed.", m->billed_ms},
		{"wick_usage_rows_lost_total", "counter", "Usage rows that could not be stored.", m->lost_rows},
		{"wick_workers", "gauge", "Workers of all states.", pool_workers(g)},
		{"wick_workers_active", "gauge", "Workers that run or start.",
		 sums->workers[WORKER_WAITING] + sums->workers[WORKER_INIT] + sums->workers[WORKER_BUSY]},
		{"wick_workers_frozen", "gauge", "Idle workers that get no CPU.", sums->frozen},
		{"wick_invocations_running", "gauge", "Invocations that workers have in hand.", sums->running},
		{"wick_worker_memory_megabytes", "gauge", "Memory that workers are reckoned with.",
		 sums->memory_kib >> 10},
		{"wick_node_up", "gauge", "Whether a node is connected.", nodes_any_up(g)},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", rows[i].name, rows[i].help, rows[i].name,
			   rows[i].type, rows[i].name, (unsigned long long)rows[i].value);
}

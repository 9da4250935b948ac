/* What a run is priced at, what its REPORT line says and what the store has of it: with a device and without. */
#include "gate/meter.h"

#include "gate/fn.h"
#include "gate/flow.h"
#include "gate/logs.h"
#include "gate/recent.h"
#include "gate/stats.h"
#include "store/store_fixture.h"

#define ID "6b2e9a54-8c3e-4a63-9d3a-0f2f1f3f7a10"

struct world {
	struct fixture f;
	struct gate g;
	struct fn fn;
	struct req r;
	struct invocation inv;
};

static int set_up(void **state)
{
	struct world *w = xnew(struct world);
	struct gate *g = &w->g;

	fixture_open(&w->f, false);
	g->loop = w->f.loop;
	g->store = w->f.store;
	g->conf.s.data = w->f.dir;
	g->conf.s.log_max_bytes = 1 << 20;
	g->prices = PRICE_BOOK_DEFAULT;
	assert_int_equal(price_parse_slices(&g->prices, STR("NVIDIA H200=0.0001,gpu=0.00005"), NULL), 0);
	g->logs = logs_open(g, NULL);
	g->meter = meter_new(g);
	g->recent = recent_new();
	w->fn = (struct fn){.g = g, .def = {.name = STR("train"), .version = STR("$LATEST"), .memory_mb = 1024}};
	w->r = (struct req){.g = g, .id_text = ID, .method = STR("GET"), .inv = &w->inv};
	w->inv = (struct invocation){.r = &w->r, .fn = &w->fn, .want_log_tail = true};
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	buf_done(&w->inv.log_tail);
	free(w->fn.stats);
	meter_free(w->g.meter);
	recent_free(w->g.recent);
	logs_close(w->g.logs);
	fixture_close(&w->f);
	free(w);
	return 0;
}

static void expect(struct world *w, const char *report)
{
	if (!strstr(buf_cstr(&w->inv.log_tail), report))
		fail_msg("no '%s' in:\n%s", report, buf_cstr(&w->inv.log_tail));
}

static struct usage *stored(struct world *w)
{
	struct usage *u;
	size_t n;

	meter_flush(&w->g, fixture_stop, &w->f);
	loop_run(w->f.loop);
	assert_int_equal(store_list_usage(store_reader(w->g.store), &w->f.arena, STR("train"), INT64_MAX, 9, &u, &n),
			 0);
	assert_int_equal(n, 1);
	return u;
}

static void with_device(void **state)
{
	struct world *w = *state;
	struct usage *u = &w->inv.usage;

	u->run_us = 1499001; /* billed 1500 ms */
	u->device = STR("NVIDIA H200");
	u->device_kind = STR("gpu");
	u->rung = STR("mps");
	u->slots = 3;
	assert_int_equal(meter_step(&w->r), STEP_MORE);
	/* 1.5 GB-seconds, 4.5 slot-seconds, a request. */
	assert_int_equal(u->cost_picousd, 25000050 + 450000000 + 200000);
	expect(w, "\tDevice: NVIDIA H200 3/8\tDevice Time: 4500 slice-ms\tCost: 0.00047520005 USD\n");
	u = stored(w);
	assert_str(u->device, "NVIDIA H200");
	assert_str(u->rung, "mps");
	assert_int_equal(u->slots, 3);
	assert_int_equal(u->device_slice_ms, 4500);
}

/* Of a model that has no price of its own; two whole ones. */
static void by_kind(void **state)
{
	struct world *w = *state;
	struct usage *u = &w->inv.usage;

	u->run_us = 1000000;
	u->device = STR("NVIDIA A10");
	u->device_kind = STR("gpu");
	u->slots = 16;
	u->status = USAGE_TIMEOUT;
	assert_int_equal(meter_step(&w->r), STEP_MORE);
	assert_int_equal(u->cost_picousd, 16666700 + 16ull * 50000000 + 200000);
	expect(w, "\tDevice: NVIDIA A10 16/8\tDevice Time: 16000 slice-ms\tStatus: timeout\tCost: ");
}

static void without(void **state)
{
	struct world *w = *state;
	struct usage *u = &w->inv.usage;

	u->run_us = 1000000;
	u->slots = 8; /* of nothing */
	assert_int_equal(meter_step(&w->r), STEP_MORE);
	assert_int_equal(u->cost_picousd, 16666700 + 200000);
	expect(w, "\tMax Memory Used: 0 MB\tCost: 0.0000168667 USD\n");
	assert_null(strstr(buf_cstr(&w->inv.log_tail), "Device"));
	assert_int_equal(stored(w)->device_slice_ms, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(with_device, set_up, tear_down),
		cmocka_unit_test_setup_teardown(by_kind, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

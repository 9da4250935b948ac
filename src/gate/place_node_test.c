/* Placement by tables: each criterion decides where those before it are equal and never where they are not; and the
 * words for why there is no place, now or ever. */
#include "gate/place_index.h"
#include "gate/place_why.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define GPU(mb, ...) ((struct device){.id = STR("g"), .kind = STR("gpu"), .memory_mb = (mb), __VA_ARGS__})
#define PART(k, ...)                                                                                                   \
	((struct slice_wish){.kinds = {STR("gpu")}, .n_kinds = 1, .sliced = true, .slots = (k), __VA_ARGS__})
#define WHOLE(n, ...)                                                                                                  \
	((struct slice_wish){.kinds = {STR("gpu")},                                                                    \
			     .n_kinds = 1,                                                                             \
			     .sliced = true,                                                                           \
			     .slots = DEVICE_SLOTS,                                                                    \
			     .whole = (n),                                                                             \
			     __VA_ARGS__})

static struct device_mig two[] = {{STR("M0"), STR("1g"), 1, 10000}, {STR("M1"), STR("3g"), 4, 40000}};

/* A node of a row: up to 4 equal devices, of which so many slots are taken each by role 1. */
struct made {
	struct place_node n;
	struct device device;
	uint32_t taken[4];
	uint64_t taken_mb; /* of each; 0: its share */
	bool code;
	struct slice_book books[4];
};

static struct made make(struct place_node n, struct device d, size_t devices, uint32_t t0, uint32_t t1)
{
	struct made m = {.n = n, .device = d, .taken = {t0, t1}};

	m.n.up = true;
	m.n.memory_mb = m.n.memory_mb ? m.n.memory_mb : 32000;
	m.n.memory_free_mb = m.n.memory_free_mb ? m.n.memory_free_mb : m.n.memory_mb;
	m.n.n_devices = devices;
	return m;
}

static void settle(struct made *m)
{
	m->n.devices = m->books;
	for (size_t i = 0; i < m->n.n_devices; i++) {
		struct slice_wish w = PART(m->taken[i], .memory_mb = m->taken_mb);
		struct slice_lease l;

		slice_book_init(&m->books[i], &m->device, false);
		if (m->taken[i])
			assert_int_equal(slice_book_take(&m->books[i], &w, 1, &l), SLICE_FITS);
	}
}

/* The better of the two, whichever has the lower number. */
static void expect_better(const char *name, struct slice_wish s, struct made good, struct made bad)
{
	for (int swapped = 0; swapped < 2; swapped++) {
		_cleanup_(bits_done) struct bits code = BITS_NULL;
		struct place_wish w = {.device = &s, .role = 1, .memory_mb = 500, .code = &code};
		struct place_index *ix = place_index_new();
		struct place_choice c;

		settle(&good);
		settle(&bad);
		if (good.code)
			bits_set(&code, (size_t)swapped);
		if (bad.code)
			bits_set(&code, (size_t)!swapped);
		place_index_update(ix, (size_t)swapped, &good.n);
		place_index_update(ix, (size_t)!swapped, &bad.n);
		if (!place_index_find(ix, &w, &c) || c.node != (size_t)swapped)
			fail_msg("%s: the other one", name);
		place_index_free(ix);
	}
}

static struct made with_code(struct made m)
{
	m.code = true;
	return m;
}

static struct made holding(struct made m, uint64_t mb)
{
	m.taken_mb = mb;
	return m;
}

#define NODE(...) ((struct place_node){__VA_ARGS__})

static void criteria(void **state)
{
	struct device cpu = {.id = STR("cpu"), .kind = STR("cpu")};
	struct slice_wish gpu_cpu = PART(2), cpu_gpu = gpu_cpu, anywhere = {.slots = 8, .whole = 1}, heavy = PART(2);

	gpu_cpu.kinds[gpu_cpu.n_kinds++] = STR("cpu");
	cpu_gpu.kinds[0] = STR("cpu");
	cpu_gpu.kinds[cpu_gpu.n_kinds++] = STR("gpu");
	heavy.memory_mb = 50000;

	expect_better("kind before cost", gpu_cpu, make(NODE(.cost_hour = 9), GPU(80000), 1, 0, 0),
		      make(NODE(), cpu, 1, 0, 0));
	expect_better("the other order", cpu_gpu, make(NODE(.cost_hour = 9), cpu, 1, 0, 0),
		      make(NODE(), GPU(80000), 1, 0, 0));
	expect_better("spill-over", gpu_cpu, make(NODE(), cpu, 1, 0, 0), make(NODE(), GPU(80000), 1, 7, 0));
	expect_better("cost before fit", PART(2), make(NODE(.cost_hour = 1), GPU(80000), 1, 0, 0),
		      make(NODE(.cost_hour = 2), GPU(80000), 1, 6, 0));
	expect_better("rented when the own is full", PART(2), make(NODE(.cost_hour = 5), GPU(80000), 1, 0, 0),
		      make(NODE(), GPU(80000), 1, 7, 0));
	expect_better("tighter fit before code", PART(2), make(NODE(), GPU(80000), 1, 5, 0),
		      with_code(make(NODE(), GPU(80000), 1, 4, 0)));
	expect_better("spread", PART(2, .spread = true), make(NODE(), GPU(80000), 1, 4, 0),
		      make(NODE(), GPU(80000), 1, 5, 0));
	expect_better("less memory left before code", PART(1), holding(make(NODE(), GPU(80000), 1, 4, 0), 50000),
		      with_code(make(NODE(), GPU(80000), 1, 4, 0)));
	expect_better("memory that is there", heavy, make(NODE(), GPU(80000), 1, 3, 0),
		      make(NODE(), GPU(49999), 1, 5, 0));
	expect_better("whole: the node with fewer", WHOLE(1), make(NODE(), GPU(80000), 2, 1, 0),
		      with_code(make(NODE(), GPU(80000), 2, 0, 0)));
	expect_better("whole: two of one node", WHOLE(2), make(NODE(), GPU(80000), 4, 0, 0),
		      make(NODE(), GPU(80000), 2, 1, 0));
	expect_better("code before near", PART(2), with_code(make(NODE(.rtt_us = 300000), GPU(80000), 1, 0, 0)),
		      make(NODE(), GPU(80000), 1, 0, 0));
	expect_better("near before memory", PART(2), make(NODE(.memory_mb = 1000), GPU(80000), 1, 0, 0),
		      make(NODE(.rtt_us = 2000, .memory_mb = 60000), GPU(80000), 1, 0, 0));
	expect_better("memory", PART(2), make(NODE(.rtt_us = 1999), GPU(80000), 1, 0, 0),
		      make(NODE(.memory_free_mb = 16000), GPU(80000), 1, 0, 0));
	expect_better("worker's memory", PART(2), make(NODE(.cost_hour = 1), GPU(80000), 1, 0, 0),
		      make(NODE(.memory_free_mb = 499), GPU(80000), 1, 0, 0));
	expect_better("anywhere: near before code", anywhere, make(NODE(.rtt_us = 100), cpu, 0, 0, 0),
		      with_code(make(NODE(.rtt_us = 5000), cpu, 0, 0, 0)));
	expect_better("anywhere: cost before near", anywhere, make(NODE(.rtt_us = 100000), cpu, 0, 0, 0),
		      make(NODE(.cost_hour = 1), cpu, 0, 0, 0));
	expect_better("the smallest instance", PART(1),
		      make(NODE(.cost_hour = 0), GPU(80000, .mig_mode = true, .mig = two, .n_mig = 1), 1, 0, 0),
		      make(NODE(), GPU(80000), 1, 6, 0));
	/* wick:device=gpu,cpu without a slice: the CPU gives none, so it needs no CPU device to be described. */
	gpu_cpu.sliced = false;
	gpu_cpu.slots = 8;
	gpu_cpu.whole = 1;
	expect_better("CPU without a slice", gpu_cpu, make(NODE(), cpu, 0, 0, 0),
		      make(NODE(.cost_hour = 1), cpu, 1, 0, 0));
}

static void classes(void **state)
{
	unsigned before = 0;

	assert_int_equal(place_near_class(0), 0);
	assert_int_equal(place_near_class(1999), 0);
	assert_int_equal(place_near_class(2000), 1);
	assert_int_equal(place_near_class(199999), 3);
	assert_int_equal(place_near_class(UINT64_MAX), 4);
	for (uint64_t mb = 0; mb < 5000; mb++) {
		unsigned c = place_memory_class(mb);

		assert_true(c == before || c > before);
		before = c;
	}
	assert_int_equal(place_memory_class(1024), place_memory_class(1279));
	assert_int_not_equal(place_memory_class(1279), place_memory_class(1280));
	assert_int_equal(place_memory_class(UINT64_MAX), PLACE_MEMORY_CLASSES - 1);
}

/* ---- words ---- */

static struct str edge = STR("edge");

/* Four nodes: two GPUs of which 6/8 are taken, a cut card, a CPU at the edge, and one that is drained. */
struct fleet {
	struct made m[4];
	const struct place_node *nodes[5]; /* with a number that is not used */
};

static void fleet_open(struct fleet *f)
{
	struct device cpu = {.id = STR("cpu"), .kind = STR("cpu")};

	f->m[0] = make(NODE(.memory_mb = 4000), GPU(80000), 2, 6, 6);
	f->m[1] = make(NODE(.memory_mb = 8000), GPU(80000, .mig_mode = true, .mig = two, .n_mig = 2), 1, 0, 0);
	f->m[2] = make(NODE(.labels = &edge, .n_labels = 1), cpu, 1, 0, 0);
	f->m[3] = make(NODE(.drained = true), GPU(24000), 1, 0, 0);
	f->nodes[2] = NULL;
	for (size_t i = 0; i < 4; i++) {
		settle(&f->m[i]);
		f->nodes[i < 2 ? i : i + 1] = &f->m[i].n;
	}
}

static void expect_why(const struct fleet *f, struct slice_wish s, uint64_t role, uint64_t memory_mb,
		       enum place_reason nearest, const char *text)
{
	struct place_wish w = {.device = &s, .role = role, .memory_mb = memory_mb};
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	struct place_why why;

	place_why(f->nodes, 5, &w, &why);
	place_why_text(&b, &why, &w);
	assert_string_equal(buf_cstr(&b), text);
	assert_string_equal(place_reason_name(place_why_nearest(&why, &w)), place_reason_name(nearest));
}

static void why_not_now(void **state)
{
	struct fleet f;
	struct slice_wish both = PART(5);

	both.kinds[both.n_kinds++] = STR("cpu");
	fleet_open(&f);
	expect_why(&f, PART(5), 1, 100, PLACE_NO_SLOTS,
		   "gpu: the largest free part of any is 2/8, 5/8 are asked for (1 node); the node is drained (1 "
		   "node); no MIG "
		   "instance has more than 4/8, 5/8 are asked for (1 node); there is none (1 node).");
	expect_why(
		&f, both, 1, 100, PLACE_FITS,
		"gpu: the largest free part of any is 2/8, 5/8 are asked for (1 node); the node is drained (1 node); "
		"no MIG "
		"instance has more than 4/8, 5/8 are asked for (1 node); there is none (1 node). cpu: there is none (3 "
		"nodes); there is a place (1 node).");
	expect_why(&f, WHOLE(2), 1, 100, PLACE_NO_SLOTS,
		   "gpu: no node has more than 0 whole devices free, 2 asked for (1 node); no node has more than 1 "
		   "that are "
		   "whole, 2 are asked for (2 nodes); there is none (1 node).");
	expect_why(&f, PART(1, .labels = {STR("edge")}, .n_labels = 1), 1, 100, PLACE_NO_DEVICE,
		   "gpu: there is none (1 node); the label is not there of edge (3 nodes).");
	expect_why(&f, PART(1, .labels = {STR("attic")}, .n_labels = 1), 1, 100, PLACE_NO_LABEL,
		   "gpu: no node has the label attic (4 nodes).");
	expect_why(&f, PART(2, .memory_mb = 30000), 2, 100, PLACE_FITS,
		   "gpu: functions of another role have a part of it, and the node does not let roles share (1 node); "
		   "none has "
		   "more than 24000 MiB, 30000 MiB are asked for (1 node); there is none (1 node); there is a place (1 "
		   "node).");
	expect_why(&f, PART(2, .memory_mb = 60000), 1, 100, PLACE_NO_DEVICE_MEMORY,
		   "gpu: the most memory that is free on any is 20000 MiB, 60000 MiB are asked for (1 node); none has "
		   "more than "
		   "40000 MiB, 60000 MiB are asked for (2 nodes); there is none (1 node).");
	f.m[0].n.memory_free_mb = 1000;
	f.m[1].n.up = false;
	f.m[3].n.drained = false;
	f.m[3].n.failing = true;
	expect_why(&f, PART(1), 1, 3000, PLACE_NO_MEMORY,
		   "gpu: the most memory that a node has free for workers is 1000 MiB, 3000 MiB are asked for (1 "
		   "node); starts "
		   "have failed on the node, which backs off (1 node); the node is down (1 node); there is none (1 "
		   "node).");
	f.m[0].device.trouble = STR("fell off the bus");
	expect_why(&f, PART(1), 1, 5000, PLACE_FAILING,
		   "gpu: starts have failed on the node, which backs off (1 node); the node is down (1 node); no node "
		   "has for "
		   "workers more than 4000 MiB, 5000 MiB are asked for (1 node); there is none (1 node).");
	expect_why(&f, PART(1), 1, 100, PLACE_TROUBLE,
		   "gpu: the device is not well: fell off the bus (1 node); starts have failed on the node, which "
		   "backs off (1 node); "
		   "the node is "
		   "down (1 node); there is none (1 node).");
	expect_why(&f, (struct slice_wish){.slots = 8, .whole = 1}, 1, 30000, PLACE_FITS,
		   "any node: starts have failed on the node, which backs off (1 node); no node has for workers more "
		   "than 8000 "
		   "MiB, 30000 MiB are asked for (2 nodes); there is a place (1 node).");
}

static void why_never(void **state)
{
	struct slice_wish fpga = PART(1), mixed = PART(1, .memory_mb = 90000);
	struct fleet f;

	fpga.kinds[0] = STR("fpga");
	mixed.kinds[mixed.n_kinds++] = STR("fpga");
	const struct {
		struct slice_wish s;
		uint64_t memory_mb;
		const char *text; /* NULL: possible */
	} rows[] = {
		{PART(8), 100, NULL}, /* taken now, but there is one */
		{WHOLE(2), 100, NULL},
		{PART(1, .memory_mb = 80000), 100, NULL},
		{PART(1), 30000, NULL}, /* the one that is drained */
		{WHOLE(3), 100, "wick:slice 3 devices: no node has more than 2 gpu."},
		{WHOLE(2, .memory_mb = 80001), 100, "wick:device-memory 80001 MiB: no gpu has more than 80000 MiB."},
		{PART(1, .memory_mb = 90000), 100, "wick:device-memory 90000 MiB: no gpu has more than 80000 MiB."},
		{PART(1), 40000, "MemorySize 40000 MiB: no node with such a gpu has more than 32000 MiB for workers."},
		{{.slots = 8, .whole = 1}, 40000, "MemorySize 40000 MiB: no node has more than 32000 MiB for workers."},
		{fpga, 100, "wick:device fpga: no node has one; there are gpu, cpu."},
		{mixed, 100,
		 "wick:device-memory 90000 MiB: no gpu has more than 80000 MiB; wick:device fpga: no node has one."},
		{PART(1, .labels = {STR("attic")}, .n_labels = 1), 100,
		 "wick:place: no node has the label attic; the labels are edge."},
		{PART(1, .labels = {STR("edge")}, .n_labels = 1), 100,
		 "wick:device gpu: no node has one, of the nodes that have the labels; there are gpu, cpu."},
	};

	fleet_open(&f);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct place_wish w = {.device = &rows[i].s, .role = 2, .memory_mb = rows[i].memory_mb};
		_cleanup_(err_done) struct err err = ERR_NULL;
		int r = place_node_possible(f.nodes, 5, &w, &err);

		assert_int_equal(r, rows[i].text ? -1 : 0);
		if (rows[i].text)
			assert_string_equal(err.msg, rows[i].text);
	}
	struct place_wish w = {.device = &rows[0].s};
	_cleanup_(err_done) struct err err = ERR_NULL;

	assert_int_equal(place_node_possible(NULL, 0, &w, &err), -1);
	assert_string_equal(err.msg, "There is no node.");
}

/* Of cut cards: what the largest instance has. */
static void cut_cards(void **state)
{
	struct made m = make(NODE(), GPU(80000, .mig_mode = true, .mig = two, .n_mig = 2), 2, 0, 0);
	const struct place_node *nodes[] = {&m.n};
	static const char *const texts[] = {
		"wick:slice 5/8: no MIG instance of any gpu has more than 4/8.",
		"wick:device-memory 50000 MiB: no gpu has more than 40000 MiB.",
		"wick:slice 2 devices: no node has more than 0 gpu.",
	};
	struct slice_wish wishes[] = {PART(5), PART(1, .memory_mb = 50000), WHOLE(2)};

	settle(&m);
	for (size_t i = 0; i < ARRAY_SIZE(wishes); i++) {
		struct place_wish w = {.device = &wishes[i], .role = 1};
		_cleanup_(err_done) struct err err = ERR_NULL;

		assert_int_equal(place_node_possible(nodes, 1, &w, &err), -1);
		assert_string_equal(err.msg, texts[i]);
	}
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(criteria),  cmocka_unit_test(classes),   cmocka_unit_test(why_not_now),
		cmocka_unit_test(why_never), cmocka_unit_test(cut_cards),
	};

	return cmocka_run_group_tests(all, NULL, NULL);
}

/* Slices: texts, what fits where and why not, MIG instances, roles, and that a book is never over or below what there
 * is however it is used. */
#include "model/slice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define GPU(...)      ((struct device){.id = STR("GPU-1"), .kind = STR("gpu"), .model = STR("NVIDIA H200"), __VA_ARGS__})
#define PART(k, ...)  ((struct slice_wish){.sliced = true, .slots = (k), __VA_ARGS__})
#define WHOLE(n, ...) ((struct slice_wish){.sliced = true, .slots = DEVICE_SLOTS, .whole = (n), __VA_ARGS__})

static void texts(void **state)
{
	static const struct {
		const char *text;
		uint32_t slots, whole; /* slots 0: refused */
	} rows[] = {
		{"1/8", 1, 0},
		{"8/8", 8, 0},
		{"1/4", 2, 0},
		{"3/4", 6, 0},
		{"1/2", 4, 0},
		{"2/2", 8, 0},
		{"1", 8, 1},
		{"64", 8, 64},
		{"65", 0, 0},
		{"0", 0, 0},
		{"0/8", 0, 0},
		{"9/8", 0, 0},
		{"1/3", 0, 0},
		{"1/1", 0, 0},
		{"1/0", 0, 0},
		{"", 0, 0},
		{"/", 0, 0},
		{"/8", 0, 0},
		{"1/", 0, 0},
		{"-1", 0, 0},
		{"1/8/8", 0, 0},
		{"1 / 8", 0, 0},
		{"99999999999999999999", 0, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct slice_wish w = {0};
		bool ok = slice_parse(str_from(rows[i].text), &w.slots, &w.whole);

		if (ok != (rows[i].slots != 0) || w.slots != rows[i].slots || w.whole != rows[i].whole)
			fail_msg("%s: %u %u", rows[i].text, w.slots, w.whole);
	}
	assert_true(slice_name_is_valid(STR("zone:eu-1/rack_2.b")));
	assert_false(slice_name_is_valid(STR("")));
	assert_false(slice_name_is_valid(STR("a b")));
	assert_false(slice_name_is_valid(STR("0123456789012345678901234567890123456789012345678901234567890123")));
}

static void expect_text(enum slice_fit fit, const struct slice_book *b, struct slice_wish w, const char *text)
{
	_cleanup_(buf_done) struct buf out = BUF_NULL;

	assert_int_equal(slice_book_can_take(b, &w, 1), fit);
	slice_fit_text(&out, fit, b, &w);
	assert_string_equal(buf_cstr(&out), text);
}

static void shares(void **state)
{
	struct device d = GPU(.memory_mb = 143771, .mps = true);
	struct slice_wish w = PART(3);
	struct slice_lease a, c;
	struct slice_book b;

	slice_book_init(&b, &d, false);
	expect_text(SLICE_FITS, &b, w, "GPU-1 (NVIDIA H200) has room.");
	assert_int_equal(slice_book_take(&b, &w, 1, &a), SLICE_FITS);
	assert_true(str_eqz(a.device, "GPU-1") && a.slots == 3 && a.rung == RUNG_MPS && !a.mig.n && a.role == 1);
	assert_int_equal(a.memory_mb, 143771ull * 3 / 8);
	expect_text(SLICE_NO_SLOTS, &b, PART(6), "GPU-1 (NVIDIA H200) has 5/8 free, 6/8 asked for.");
	expect_text(SLICE_NO_SLOTS, &b, WHOLE(1), "GPU-1 (NVIDIA H200) has 5/8 free, 1 device asked for.");
	expect_text(SLICE_NO_MEMORY, &b, PART(1, .memory_mb = 100000),
		    "GPU-1 (NVIDIA H200) has 89857 of 143771 MiB free, 100000 MiB are asked for.");
	expect_text(SLICE_TOO_MUCH_MEMORY, &b, PART(1, .memory_mb = 200000),
		    "GPU-1 (NVIDIA H200) has 143771 MiB, 200000 MiB are asked for.");
	w = PART(1, .memory_mb = 89857);
	assert_int_equal(slice_book_take(&b, &w, 1, &c), SLICE_FITS);
	assert_int_equal(slice_book_free_memory_mb(&b), 0);
	assert_int_equal(slice_book_free_slots(&b), 4);
	assert_int_equal(slice_book_can_take(&b, &PART(1), 1), SLICE_NO_MEMORY);
	assert_true(slice_book_give_back(&b, &a));
	assert_false(slice_book_give_back(&b, &a));
	assert_true(slice_book_give_back(&b, &c));
	assert_int_equal(slice_book_free_slots(&b), 8);
	assert_int_equal(slice_book_free_memory_mb(&b), 143771);
	w = WHOLE(1, .memory_mb = 10);
	assert_int_equal(slice_book_take(&b, &w, 2, &a), SLICE_FITS);
	assert_int_equal(a.rung, RUNG_WHOLE);
	assert_int_equal(a.memory_mb, 143771); /* nobody else can have the rest */
	d.trouble = STR("fell off the bus");
	expect_text(SLICE_TROUBLE, &b, PART(1), "GPU-1 (NVIDIA H200) is not well: fell off the bus.");
}

static void eighths_fill_a_device(void **state)
{
	/* Whatever the remainder of memory / 8: shares by slots fill the device. */
	for (uint64_t mb = 8000; mb < 8016; mb++) {
		struct device d = GPU(.memory_mb = mb);
		struct slice_lease l[8];
		struct slice_book b;

		slice_book_init(&b, &d, false);
		assert_int_equal(slice_book_take(&b, &PART(5), 1, &l[0]), SLICE_FITS);
		for (int i = 1; i < 4; i++)
			assert_int_equal(slice_book_take(&b, &PART(1), 1, &l[i]), SLICE_FITS);
		assert_int_equal(slice_book_can_take(&b, &PART(1), 1), SLICE_NO_SLOTS);
	}
}

static void no_memory_account(void **state)
{
	struct device fpga = {.id = STR("fpga-0"), .kind = STR("fpga"), .model = STR("")};
	struct device cpu = {.id = STR("cpu"), .kind = STR("cpu"), .memory_mb = 64000};
	struct slice_wish w = PART(4, .memory_mb = 1000000);
	struct slice_lease l;
	struct slice_book b;

	slice_book_init(&b, &fpga, false);
	assert_int_equal(slice_book_take(&b, &w, 1, &l), SLICE_FITS);
	assert_int_equal(l.memory_mb, 1000000); /* a limit to watch, but no account */
	assert_int_equal(l.rung, RUNG_WATCHED);
	assert_int_equal(slice_book_take(&b, &w, 1, &l), SLICE_FITS);
	assert_int_equal(slice_book_can_take(&b, &w, 1), SLICE_NO_SLOTS);

	/* The CPU's slices are held by boxes: any role, no memory of its own. */
	slice_book_init(&b, &cpu, false);
	assert_int_equal(slice_book_take(&b, &w, 1, &l), SLICE_FITS);
	assert_int_equal(l.memory_mb, 0);
	assert_int_equal(l.rung, RUNG_NONE);
	assert_int_equal(slice_book_take(&b, &w, 2, &l), SLICE_FITS);
	assert_false(slice_wish_takes(&(struct slice_wish){.slots = 8}, STR("cpu")));
	assert_true(slice_wish_takes(&w, STR("cpu")));
	assert_true(slice_wish_takes(&(struct slice_wish){.slots = 8}, STR("gpu")));
}

static void roles(void **state)
{
	for (int mps = 0; mps < 2; mps++) {
		struct device d = GPU(.memory_mb = 8000, .mps = mps);
		struct slice_lease a, c;
		struct slice_book b;

		slice_book_init(&b, &d, false);
		assert_int_equal(slice_book_take(&b, &PART(2), 7, &a), SLICE_FITS);
		assert_int_equal(slice_book_can_take(&b, &PART(2), 7), SLICE_FITS);
		assert_int_equal(slice_book_can_take(&b, &PART(2), 8), SLICE_ROLE);
		b.share_roles = true;
		assert_int_equal(slice_book_take(&b, &PART(2), 8, &c), SLICE_FITS);
		/* The setting was withdrawn while both are there: nobody comes until one is left. */
		b.share_roles = false;
		assert_int_equal(slice_book_can_take(&b, &PART(2), 7), SLICE_ROLE);
		assert_true(slice_book_give_back(&b, &a));
		assert_int_equal(slice_book_can_take(&b, &PART(2), 7), SLICE_ROLE);
		assert_int_equal(slice_book_can_take(&b, &PART(2), 8), SLICE_FITS);
		assert_true(slice_book_give_back(&b, &c));
		assert_int_equal(slice_book_can_take(&b, &PART(2), 7), SLICE_FITS);
	}
}

static struct device_mig instances[] = {
	{STR("MIG-b"), STR("3g.71gb"), 4, 71000},
	{STR("MIG-a"), STR("1g.18gb"), 1, 17000},
	{STR("MIG-c"), STR("1g.35gb"), 2, 35000},
	{STR("MIG-d"), STR("1g.18gb"), 1, 16000},
};

static void mig(void **state)
{
	struct device d = GPU(.memory_mb = 143771, .mig_mode = true, .mig = instances, .n_mig = 4);
	struct slice_lease l[4], more;
	struct slice_book b;

	slice_book_init(&b, &d, false);
	assert_int_equal(slice_book_free_slots(&b), 8);
	assert_int_equal(slice_book_largest_slots(&b), 4);
	assert_int_equal(slice_book_take(&b, &PART(1), 1, &l[0]), SLICE_FITS);
	assert_true(str_eqz(l[0].mig, "MIG-d") && l[0].memory_mb == 16000 && l[0].rung == RUNG_MIG);
	/* Memory makes it the larger one; another role is no matter, the hardware separates. */
	assert_int_equal(slice_book_take(&b, &PART(1, .memory_mb = 20000), 2, &l[1]), SLICE_FITS);
	assert_true(str_eqz(l[1].mig, "MIG-c") && l[1].slots == 2);
	assert_int_equal(slice_book_take(&b, &PART(2), 3, &l[2]), SLICE_FITS);
	assert_true(str_eqz(l[2].mig, "MIG-b") && l[2].slots == 4);
	expect_text(SLICE_NO_SLOTS, &b, PART(2), "GPU-1 (NVIDIA H200) has 1/8 free, 2/8 asked for.");
	expect_text(SLICE_TOO_LARGE, &b, PART(5),
		    "GPU-1 (NVIDIA H200) has no MIG instance above 4/8, 5/8 are asked for.");
	expect_text(SLICE_TOO_LARGE, &b, WHOLE(2),
		    "GPU-1 (NVIDIA H200) is cut into MIG instances, 2 whole devices are asked for.");
	expect_text(SLICE_TOO_MUCH_MEMORY, &b, PART(1, .memory_mb = 80000),
		    "GPU-1 (NVIDIA H200) has no MIG instance above 71000 MiB, 80000 MiB are asked for.");
	assert_int_equal(slice_book_take(&b, &PART(1), 1, &l[3]), SLICE_FITS);
	assert_int_equal(slice_book_take(&b, &PART(1), 1, &more), SLICE_NO_SLOTS);
	for (int i = 0; i < 4; i++)
		assert_true(slice_book_give_back(&b, &l[i]));
	assert_false(slice_book_give_back(&b, &l[2]));
	assert_int_equal(slice_book_free_slots(&b), 8);

	/* In MIG mode without an instance there is nothing to have. */
	d.n_mig = 0;
	slice_book_init(&b, &d, false);
	assert_int_equal(slice_book_can_take(&b, &PART(1), 1), SLICE_TOO_LARGE);
}

static void leases_that_were_given_before(void **state)
{
	struct device d = GPU(.memory_mb = 80000), other = GPU(.memory_mb = 80000), cut = d;
	struct slice_lease l, bad;
	struct slice_book b, c;

	other.id = STR("GPU-2");
	cut.mig_mode = true;
	cut.mig = instances;
	cut.n_mig = 4;
	slice_book_init(&b, &d, false);
	assert_int_equal(slice_book_take(&b, &PART(5), 1, &l), SLICE_FITS);
	slice_book_init(&c, &d, false);
	assert_true(slice_book_hold(&c, &l));
	assert_int_equal(slice_book_free_slots(&c), 3);
	assert_int_equal(slice_book_free_memory_mb(&c), 30000);
	assert_false(slice_book_hold(&c, &l)); /* 5/8 are not left */
	bad = l;
	bad.slots = 3;
	bad.memory_mb = 30001;
	assert_false(slice_book_hold(&c, &bad));
	bad.slots = 0;
	assert_false(slice_book_hold(&c, &bad));
	bad.slots = 9;
	assert_false(slice_book_hold(&b, &bad));
	assert_int_equal(slice_book_free_slots(&c), 3);
	slice_book_init(&c, &other, false);
	assert_false(slice_book_hold(&c, &l));
	slice_book_init(&c, &cut, false);
	assert_false(slice_book_hold(&c, &l)); /* the card was cut meanwhile */
	assert_int_equal(slice_book_take(&c, &PART(4), 1, &l), SLICE_FITS);
	assert_false(slice_book_hold(&c, &l)); /* the instance is taken */
	assert_true(slice_book_give_back(&c, &l));
	assert_true(slice_book_hold(&c, &l));
	l.mig = STR("MIG-x");
	assert_false(slice_book_hold(&c, &l));
}

/* Any use leaves the sums right: they are compared with what the leases that are out say. */
static void random_use(void **state)
{
	static const uint64_t memory[] = {0, 8000, 143771};
	unsigned seed = 1;

	for (int round = 0; round < 600; round++) {
		struct device d =
			GPU(.memory_mb = memory[round % 3], .mig_mode = round % 4 == 3, .mig = instances, .n_mig = 4);
		struct slice_lease out[DEVICE_SLOTS];
		struct slice_book b;
		size_t n = 0;

		slice_book_init(&b, &d, round % 5 == 0);
		for (int step = 0; step < 60; step++) {
			struct slice_wish w = PART(1 + (uint32_t)rand_r(&seed) % 8);
			uint64_t mb = 0, before = slice_book_free_slots(&b);
			uint32_t slots = 0;

			if (rand_r(&seed) % 2)
				w.memory_mb = (uint64_t)rand_r(&seed) % 20000;
			if (n && rand_r(&seed) % 3 == 0) {
				size_t i = (size_t)rand_r(&seed) % n;

				assert_true(slice_book_give_back(&b, &out[i]));
				out[i] = out[--n];
			} else if (slice_book_take(&b, &w, 1 + (uint64_t)rand_r(&seed) % 2, &out[n]) == SLICE_FITS) {
				n++;
			} else {
				assert_int_equal(slice_book_free_slots(&b), before);
			}
			for (size_t i = 0; i < n; i++) {
				slots += out[i].slots;
				mb += out[i].memory_mb;
				assert_true(b.share_roles || d.mig_mode || out[i].role == out[0].role);
			}
			assert_int_equal(b.n_holds, n);
			assert_int_equal(slice_book_free_slots(&b), DEVICE_SLOTS - slots);
			if (d.mig_mode || d.memory_mb)
				assert_int_equal(slice_book_free_memory_mb(&b),
						 (d.mig_mode ? 139000 : d.memory_mb) - mb);
		}
	}
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(texts),
		cmocka_unit_test(shares),
		cmocka_unit_test(eighths_fill_a_device),
		cmocka_unit_test(no_memory_account),
		cmocka_unit_test(roles),
		cmocka_unit_test(mig),
		cmocka_unit_test(leases_that_were_given_before),
		cmocka_unit_test(random_use),
	};

	return cmocka_run_group_tests(all, NULL, NULL);
}

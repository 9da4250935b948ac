/* Rates and percentiles of runs. */
#include "gate/stats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void spreads(void **state)
{
	struct stats s = {0};

	assert_int_equal(stats_percentile_us(&s, 50), 0);
	for (unsigned i = 1; i <= 1000; i++)
		stats_add(&s, 5000000, i * 100, i % 10 == 0, i == 1);
	assert_int_equal(s.invocations, 1000);
	assert_int_equal(s.errors, 100);
	assert_int_equal(s.cold, 1);
	assert_in_range(stats_percentile_us(&s, 50), 44500, 55500);
	assert_in_range(stats_percentile_us(&s, 90), 80000, 100000);
	assert_in_range(stats_percentile_us(&s, 99), 88000, 110000);
}

static void every_value_has_a_bucket_near_it(void **state)
{
	for (uint64_t us = 1; us < 1800000000; us += us / 7 + 1) {
		struct stats s = {0};
		uint64_t got;

		stats_add(&s, 1000000, us, false, false);
		got = stats_percentile_us(&s, 99);
		assert_in_range(got, us - us / 8, us + us / 8);
	}
}

static void the_past_fades(void **state)
{
	struct stats s = {0};

	for (unsigned i = 0; i < 100000; i++)
		stats_add(&s, 1000000, 1000, false, false);
	for (unsigned i = 0; i < 60000; i++)
		stats_add(&s, 1000000, 64000, false, false);
	assert_in_range(stats_percentile_us(&s, 50), 57000, 73000);
}

static void rates(void **state)
{
	struct stats s = {0};

	assert_true(stats_per_s(&s, 100000000) == 0);
	for (unsigned second = 100; second < 105; second++)
		for (unsigned i = 0; i < 20; i++)
			stats_add(&s, second * 1000000ull + i, 1000, false, false);
	assert_true(stats_per_s(&s, 105000000) == 10); /* 100 runs in ten seconds */
	assert_true(stats_per_s(&s, 104500000) == 8);  /* the second under way is not counted */
	assert_true(stats_per_s(&s, 112000000) == 6);  /* two of the five have gone by */
	assert_true(stats_per_s(&s, 120000000) == 0);
	stats_add(&s, 500000000, 1000, false, false);
	assert_true(stats_per_s(&s, 501000000) == 0.1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spreads),
		cmocka_unit_test(every_value_has_a_bucket_near_it),
		cmocka_unit_test(the_past_fades),
		cmocka_unit_test(rates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

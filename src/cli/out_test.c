/* Money, sizes and times as people read them. */
#include "cli/out.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

static void money(void **state)
{
	char b[OUT_TEXT];

	assert_string_equal(out_usd(0, b), "$0.00");
	assert_string_equal(out_usd(372918, b), "$0.000000373");
	assert_string_equal(out_usd(1500000000000, b), "$1.50");
	assert_string_equal(out_usd(12000000000000, b), "$12.00");
}

static void amounts(void **state)
{
	char b[OUT_TEXT];

	assert_string_equal(out_bytes(0, b), "0 B");
	assert_string_equal(out_bytes(1023, b), "1023 B");
	assert_string_equal(out_bytes(1536, b), "1.5 KiB");
	assert_string_equal(out_bytes((uint64_t)5 << 30, b), "5.0 GiB");
	assert_string_equal(out_us(1250, b), "1.25 ms");
	assert_string_equal(out_us(12000000, b), "12.0 s");
}

static void times(void **state)
{
	const int64_t now = 1769860800000; /* 2026-01-31T12:00:00Z */
	int64_t t;

	setenv("TZ", "UTC", 1);
	tzset();
	assert_true(out_parse_since(STR("10m"), now, &t));
	assert_int_equal(t, now - 600000);
	assert_true(out_parse_since(STR("3d"), now, &t));
	assert_int_equal(t, now - 3 * 86400000);
	assert_true(out_parse_since(STR("2026-01-31"), now, &t));
	assert_int_equal(t, now - 12 * 3600000);
	assert_true(out_parse_since(STR("2026-01-31T12:00"), now, &t));
	assert_int_equal(t, now);
	assert_true(out_parse_since(STR("2026-01-31T12:00:00Z"), now, &t));
	assert_int_equal(t, now);
	assert_false(out_parse_since(STR(""), now, &t));
	assert_false(out_parse_since(STR("m"), now, &t));
	assert_false(out_parse_since(STR("soon"), now, &t));
	assert_false(out_parse_since(STR("-5m"), now, &t));
	assert_false(out_parse_since(STR("99999999999999999999d"), now, &t));
}

static void durations(void **state)
{
	static const struct {
		const char *text;
		uint64_t s; /* 0: refused */
	} cases[] = {
		{"90s", 90},
		{"10m", 600},
		{"1h", 3600},
		{"366d", 31622400},
		{"1w", 604800},
		{"367d", 0},
		{"0s", 0},
		{"60", 0},
		{"h", 0},
		{"", 0},
		{"-1h", 0},
		{"1.5h", 0},
		{"99999999999999999999s", 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t s = 0;

		assert_int_equal(out_parse_duration(str_from(cases[i].text), &s), cases[i].s > 0);
		if (cases[i].s)
			assert_int_equal(s, cases[i].s);
	}
}

static void cells(void **state)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	struct grid g = {.head = "NAME\t>N"};
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	assert_string_equal(out_cell(&a, STR("a\tb\x1b")), "a b\\x1b");
	assert_string_equal(out_cell(&a, STR_NULL), "-");
	grid_add(&g, "long\t1");
	grid_add(&g, "x\t22");
	grid_text(&g, &b, -1);
	assert_string_equal(buf_cstr(&b), "NAME   N\nlong   1\nx     22\n");
	grid_done(&g);
}

static void clean(void **state)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	out_clean(&b, STR("a\tb\033[31mc\r\x7f"));
	assert_string_equal(buf_cstr(&b), "a\tb\\x1b[31mc \\x7f");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(money),     cmocka_unit_test(amounts), cmocka_unit_test(times),
		cmocka_unit_test(durations), cmocka_unit_test(cells),   cmocka_unit_test(clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

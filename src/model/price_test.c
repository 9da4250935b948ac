/* Prices: AWS's own examples, rounding, overflow, amounts as text. */
#include "model/price.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void cost(void **state)
{
	struct price_book book = PRICE_BOOK_DEFAULT;

	assert_int_equal(price_cost(&book, 1024, 1000, 0), 16666700 + 200000);
	assert_int_equal(price_cost(&book, 128, 1, 0), 2084 + 200000); /* 2083.3375 rounded up */
	assert_int_equal(price_cost(&book, 128, 0, 0), 200000);
	book.slice_second = 1000;
	assert_int_equal(price_cost(&book, 128, 0, 1), 200001);
	assert_int_equal(price_cost(&book, 128, 0, 1001), 200000 + 1001);
	assert_true(price_cost(&book, UINT32_MAX, UINT64_MAX, 0) == UINT64_MAX);
	assert_true(price_cost(&book, 1, UINT64_MAX, 0) == UINT64_MAX);
}

static void billed(void **state)
{
	assert_int_equal(price_billed_ms(0, 0), 0);
	assert_int_equal(price_billed_ms(1, 0), 1);
	assert_int_equal(price_billed_ms(1000, 0), 1);
	assert_int_equal(price_billed_ms(1001, 0), 2);
	assert_int_equal(price_billed_ms(600, 600), 2);
	assert_int_equal(price_billed_ms(UINT64_MAX, UINT64_MAX), 36893488147419104ull);
}

static void text(void **state)
{
	static const struct {
		const char *text;
		uint64_t pico;
		const char *back; /* NULL: refused */
	} cases[] = {
		{"0", 0, "0.00"},
		{"0.0000166667", 16666700, "0.0000166667"},
		{"0.0000002", 200000, "0.0000002"},
		{"0.000000000001", 1, "0.000000000001"},
		{"12.5", 12500000000000, "12.50"},
		{"12", 12000000000000, "12.00"},
		{"18446744.073709551615", UINT64_MAX, "18446744.073709551615"},
		{"18446744.073709551616", 0, NULL},
		{"99999999999", 0, NULL},
		{"0.0000000000001", 0, NULL},
		{"", 0, NULL},
		{".5", 0, NULL},
		{"5.", 0, NULL},
		{"-1", 0, NULL},
		{"1e3", 0, NULL},
		{"1,5", 0, NULL},
		{"1.2.3", 0, NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t v = 0;
		char out[PRICE_TEXT_SIZE];

		assert_int_equal(price_parse_usd(str_from(cases[i].text), &v), cases[i].back != NULL);
		assert_true(v == cases[i].pico);
		if (!cases[i].back)
			continue;
		price_format_usd(v, out);
		assert_string_equal(out, cases[i].back);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cost),
		cmocka_unit_test(billed),
		cmocka_unit_test(text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

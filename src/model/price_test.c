/* Prices: AWS's own examples, devices, rounding, overflow, amounts and price lists as text. */
#include "model/price.h"

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void cost(void **state)
{
	static const struct {
		uint32_t memory_mb;
		uint64_t billed_ms, slice_ms, slice_second, want;
	} cases[] = {
		{1024, 1000, 0, 0, 16666700 + 200000},
		{128, 1, 0, 0, 2084 + 200000}, /* 2083.3375 rounded up */
		{128, 0, 0, 0, 200000},
		/* Devices: each part of a cost is rounded up by itself. */
		{128, 0, 1, 1000, 200001},
		{128, 0, 1001, 1000, 200000 + 1001},
		{128, 1, 1, 1, 2084 + 1 + 200000},
		{128, 0, 1000, 0, 200000},
		/* 3/8 of a card at $0.0001 a slot-second for 1.5 s; the whole card for an hour is $2.88. */
		{0, 1500, 4500, 100000000, 450000000 + 200000},
		{0, 3600000, 28800000, 100000000, 2880000000000 + 200000},
		{UINT32_MAX, UINT64_MAX, 0, 0, UINT64_MAX},
		{1, UINT64_MAX, 0, 0, UINT64_MAX},
		{1, 1, UINT64_MAX, UINT64_MAX, UINT64_MAX},
		{1, 1, UINT64_MAX, 1000, UINT64_MAX},
	};
	const struct price_book book = PRICE_BOOK_DEFAULT;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_true(price_cost(&book, cases[i].memory_mb, cases[i].billed_ms, cases[i].slice_ms,
				       cases[i].slice_second) == cases[i].want);
}

static void slice_time(void **state)
{
	assert_int_equal(price_slice_ms(0, 100), 0);
	assert_int_equal(price_slice_ms(3, 100), 300);
	assert_int_equal(price_slice_ms(16, 7), 112); /* two whole devices */
	assert_true(price_slice_ms(8, UINT64_MAX / 8 + 1) == UINT64_MAX);
	assert_true(price_slice_ms(8, UINT64_MAX / 8) == UINT64_MAX - 7);
}

static void slice_prices(void **state)
{
	static const struct {
		const char *model, *kind;
		uint64_t pico;
	} cases[] = {
		{"NVIDIA H200", "gpu", 100000000},
		{"nvidia h200", "gpu", 100000000},
		{"NVIDIA A10", "gpu", 50000000},
		{"Alveo U250", "fpga", 0},
		{"", "gpu", 50000000},
		{"", "", 0},
		{"a=b", "", 1},
		{"gpu", "", 50000000},
	};
	struct price_book book = PRICE_BOOK_DEFAULT;

	assert_int_equal(price_slice_second(&book, STR("NVIDIA H200"), STR("gpu")), 0);
	assert_int_equal(price_parse_slices(&book, STR(" NVIDIA H200 = 0.0001,gpu=0.00005, a=b=0.000000000001"), NULL),
			 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(price_slice_second(&book, str_from(cases[i].model), str_from(cases[i].kind)),
				 cases[i].pico);
	assert_int_equal(price_parse_slices(&book, STR(" "), NULL), 0);
	assert_int_equal(book.n_slices, 0);
}

static void bad_slice_prices(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"NVIDIA H200", "'NVIDIA H200' is not MODEL=USD"},
		{"=0.1", "'=0.1' is not MODEL=USD"},
		{"gpu=0.1,", "'' is not MODEL=USD"},
		{",", "'' is not MODEL=USD"},
		{"gpu=", "gpu: '' is no amount in USD"},
		{"gpu=-1", "gpu: '-1' is no amount in USD"},
		{"gpu=0.1,GPU=0.2", "GPU stands twice"},
	};
	_cleanup_(buf_done) struct buf many = BUF_NULL;
	struct price_book book = PRICE_BOOK_DEFAULT;
	struct err err = ERR_NULL;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(price_parse_slices(&book, str_from(cases[i].text), &err), -1);
		assert_string_equal(err.msg, cases[i].message);
		err_done(&err);
	}
	for (int i = 0; i <= PRICE_SLICES_MAX; i++)
		buf_printf(&many, "%sm%d=1", i ? "," : "", i);
	assert_int_equal(price_parse_slices(&book, buf_str(&many), &err), -1);
	assert_string_equal(err.msg, "more than 64 prices");
	err_done(&err);
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
		cmocka_unit_test(cost),         cmocka_unit_test(slice_time),
		cmocka_unit_test(slice_prices), cmocka_unit_test(bad_slice_prices),
		cmocka_unit_test(billed),       cmocka_unit_test(text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

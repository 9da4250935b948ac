/* Strings: comparing, cutting, numbers, hexadecimal. */
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void test_compare(void **state)
{
	assert_true(str_eq(STR(""), STR_NULL));
	assert_true(str_ieq(STR("Content-TYPE"), STR("content-type")));
	assert_false(str_ieq(STR("a["), STR("a{")));
	assert_true(str_cmp(STR("a"), STR("b")) < 0 && str_cmp(STR("a"), STR("a-")) < 0);
	assert_true(str_cmp(STR("\x7f"), STR("\xc3\xbc")) < 0 && str_cmp(STR("x"), STR("x")) == 0);
	assert_true(str_starts(STR("abc"), STR("ab")) && str_ends(STR("abc"), STR("bc")));
	assert_true(str_starts(STR("a"), STR("")) && !str_starts(STR("a"), STR("ab")));
	assert_true(str_istarts(STR("X-Amz-Date"), STR("x-amz-")));
	assert_true(str_eq_secret(STR("abc"), STR("abc")) && !str_eq_secret(STR("abc"), STR("abd")));
	assert_false(str_eq_secret(STR("abc"), STR("ab")));
}

static void test_cut(void **state)
{
	struct str head, tail, s = STR("a=b=c");

	assert_true(str_cut(s, '=', &head, &tail));
	assert_true(str_eqz(head, "a") && str_eqz(tail, "b=c"));
	assert_true(str_cut(s, '=', &head, &s) && str_eqz(s, "b=c"));
	assert_false(str_cut(STR("abc"), '=', &head, &tail));
	assert_true(str_eqz(head, "abc") && tail.n == 0);
	assert_false(str_cut(STR_NULL, '=', &head, &tail));
	assert_int_equal(head.n + tail.n, 0);
	assert_true(str_eqz(str_trim(STR(" \t a b\t ")), "a b"));
	assert_int_equal(str_trim(STR(" \t")).n, 0);
	assert_true(str_eqz(str_sub(STR("abc"), 1, 100), "bc"));
	assert_int_equal(str_sub(STR("abc"), 9, 1).n + str_sub(STR_NULL, 0, 1).n, 0);
	assert_int_equal(str_find(STR("hello"), STR("lo")), 3);
	assert_int_equal(str_find(STR("hello"), STR("ol")), -1);
	assert_int_equal(str_find(STR("hello"), STR("")), 0);
	assert_int_equal(str_chr(STR("hello"), 'l', 3), 3);
	assert_int_equal(str_chr(STR("hello"), 'l', 4), -1);
}

static void test_numbers(void **state)
{
	static const char *const bad[] = {"", " 1", "1 ", "+1", "0x1", "18446744073709551616", "1.0"};
	uint64_t u;
	int64_t i;

	assert_true(str_to_u64(STR("18446744073709551615"), &u) && u == UINT64_MAX);
	for (size_t b = 0; b < ARRAY_SIZE(bad); b++)
		assert_false(str_to_u64(str_from(bad[b]), &u));
	assert_true(str_to_i64(STR("-9223372036854775807"), &i) && i == -INT64_MAX);
	assert_false(str_to_i64(STR("--1"), &i) || str_to_i64(STR("-"), &i));
	assert_false(str_to_i64(STR("9223372036854775808"), &i));
}

static void test_hex(void **state)
{
	uint8_t bytes[3];
	char text[7];

	hex_encode((const uint8_t[]){0, 0xab, 0xff}, 3, text);
	assert_string_equal(text, "00abff");
	assert_true(hex_decode(STR("00ABff"), bytes, 3) && bytes[1] == 0xab);
	assert_false(hex_decode(STR("00ABf"), bytes, 3) || hex_decode(STR("00ABfg"), bytes, 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_hex),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

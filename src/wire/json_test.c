/* JSON: what is accepted and refused, at the edges of depth, encoding and numbers. */
#include "wire/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void parse_and_check(void **state)
{
	static const struct {
		struct str text;
		bool parse, check;
	} cases[] = {
		{STR("{}"), true, true},
		{STR("[]"), true, true},
		{STR(" [ 1 , [ ] , { \"a\" : null } ] "), true, true},
		{STR("\"x\\u0000y\""), true, true},
		{STR("{\"a\":{\"b\":[1,2,{\"c\":false}]},\"d\":-1.5e+3}"), true, true},
		{STR("0"), true, true},
		{STR("-0"), true, true},
		{STR("123456789012345678901234567890"), false, true},
		{STR(""), false, false},
		{STR(" "), false, false},
		{STR("{"), false, false},
		{STR("["), false, false},
		{STR("[1"), false, false},
		{STR("[1,"), false, false},
		{STR("[1,]"), false, false},
		{STR("[,1]"), false, false},
		{STR("{\"a\"}"), false, false},
		{STR("{\"a\":}"), false, false},
		{STR("{\"a\":1,}"), false, false},
		{STR("{a:1}"), false, false},
		{STR("[1}"), false, false},
		{STR("{\"a\":1]"), false, false},
		{STR("1 2"), false, false},
		{STR("01"), false, false},
		{STR("1."), false, false},
		{STR("-"), false, false},
		{STR("1e"), false, false},
		{STR("tru"), false, false},
		{STR("nullx"), false, false},
		{STR("\"\\x\""), false, false},
		{STR("\"\\u12g4\""), false, false},
		{STR("\"a\nb\""), false, false},
		{STR("\"abc"), false, false},
		{STR("\"\xff\""), false, false},
		{STR("\"\xc0\x80\""), false, false},
		{STR("\"\xed\xa0\x80\""), false, false},
		{STR("\"\xf0\x9f\x98\x80\""), true, true},
		{STR("2\0"), false, false},
		{STR("{}\0x"), false, false},
		{STR("]"), false, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_json_ json_t *j = json_parse(cases[i].text, NULL);

		if ((j != NULL) != cases[i].parse || json_check(cases[i].text) != cases[i].check)
			fail_msg("case %zu: %.*s", i, STR_ARG(cases[i].text));
	}
}

static void depth(void **state)
{
	for (size_t n = JSON_DEPTH_MAX - 1; n <= JSON_DEPTH_MAX + 1; n++) {
		_cleanup_(buf_done) struct buf b = BUF_NULL;
		_cleanup_(err_done) struct err err = ERR_NULL;
		_cleanup_json_ json_t *j = NULL;

		for (size_t i = 0; i < n; i++)
			buf_addc(&b, '[');
		for (size_t i = 0; i < n; i++)
			buf_addc(&b, ']');
		j = json_parse(buf_str(&b), &err);
		assert_int_equal(j != NULL, n <= JSON_DEPTH_MAX);
		assert_int_equal(json_check(buf_str(&b)), n <= JSON_DEPTH_MAX);
		if (!j)
			assert_non_null(strstr(err.msg, "64 levels"));
	}
}

static void strings(void **state)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	_cleanup_json_ json_t *o = json_object();

	json_write_string(&b, STR("a\"\\\n\x01\xff\xc3\xa4\0z"));
	assert_string_equal(buf_cstr(&b), "\"a\\\"\\\\\\n\\u0001\xef\xbf\xbd\xc3\xa4\\u0000z\"");
	assert_true(json_check(buf_str(&b)));
	json_set_str(o, "k", STR("\xff\0x"));
	assert_true(str_eq(json_get_str(o, "k", STR_NULL), STR("\xef\xbf\xbd\0x")));
	buf_clear(&b);
	json_write(&b, o);
	assert_string_equal(buf_cstr(&b), "{\"k\":\"\xef\xbf\xbd\\u0000x\"}");
	buf_clear(&b);
	json_write_pretty(&b, o);
	assert_string_equal(buf_cstr(&b), "{\n  \"k\": \"\xef\xbf\xbd\\u0000x\"\n}");
}

static void members(void **state)
{
	_cleanup_json_ json_t *o =
		json_parse(STR("{\"s\":\"x\",\"i\":5,\"b\":true,\"n\":null,\"a\":[],\"o\":{}}"), NULL);
	_cleanup_(err_done) struct err err = ERR_NULL;
	struct str s = STR("old");
	int64_t i = 7;

	assert_true(str_eqz(json_get_str(o, "s", STR("d")), "x"));
	assert_true(str_eqz(json_get_str(o, "i", STR("d")), "d"));
	assert_int_equal(json_get_int(o, "i", 1), 5);
	assert_int_equal(json_get_int(o, "s", 1), 1);
	assert_true(json_get_bool(o, "b", false));
	assert_non_null(json_get_array(o, "a"));
	assert_null(json_get_array(o, "o"));
	assert_non_null(json_get_object(o, "o"));
	assert_int_equal(json_opt_str(o, "n", &s, NULL), 0);
	assert_true(str_eqz(s, "old"));
	assert_int_equal(json_need_str(o, "n", &s, &err), -1);
	assert_string_equal(err.msg, "n is missing");
	assert_int_equal(json_opt_int(o, "i", 6, 9, &i, NULL), -1);
	assert_int_equal(json_opt_int(o, "i", 5, 9, &i, NULL), 0);
	assert_int_equal(i, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse_and_check),
		cmocka_unit_test(depth),
		cmocka_unit_test(strings),
		cmocka_unit_test(members),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

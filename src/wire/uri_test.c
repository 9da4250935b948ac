/* Percent-encoding both ways and queries as clients write them. */
#include "wire/uri.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void test_encode(void **state)
{
	struct buf b = BUF_NULL;

	uri_encode(&b, STR("aZ09-._~ /+%\xc3\xbc\0"), false);
	assert_string_equal(b.p, "aZ09-._~%20%2F%2B%25%C3%BC%00");
	buf_clear(&b);
	uri_encode(&b, STR("/a b/"), true);
	assert_string_equal(b.p, "/a%20b/");
	buf_done(&b);
	uri_encode(&b, STR(""), true);
	assert_string_equal(b.p, "");
	buf_done(&b);
}

static void test_decode(void **state)
{
	static const char *const bad[] = {"%", "%2", "a%", "%g0", "%0g", "%%20"};
	struct buf b = BUF_NULL;

	assert_true(uri_decode(&b, STR("a%20b+c%c3%BC"), false));
	assert_string_equal(b.p, "a b+c\xc3\xbc");
	buf_clear(&b);
	assert_true(uri_decode(&b, STR("a+b%2B"), true));
	assert_string_equal(b.p, "a b+");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(uri_decode(&b, str_from(bad[i]), false));
	buf_done(&b);
}

static void test_query(void **state)
{
	struct arena a = ARENA_NULL;
	struct uri_param *p;
	size_t n;

	assert_int_equal(uri_parse_query(&a, STR("acl&&prefix=a%2Fb+c&x==y&acl=&"), 8, &p, &n), 0);
	assert_int_equal(n, 4);
	assert_true(str_eqz(p[0].name, "acl") && !p[0].has_value && p[0].value.n == 0);
	assert_true(str_eqz(p[1].value, "a/b c") && p[1].has_value);
	assert_true(str_eqz(uri_param_get(p, n, "x"), "=y"));
	assert_true(p[3].has_value && p[3].value.n == 0);
	assert_true(uri_param_has(p, n, "acl") && !uri_param_has(p, n, "ac"));
	assert_non_null(uri_param_get(p, n, "acl").p);
	assert_null(uri_param_get(p, n, "none").p);
	assert_int_equal(uri_parse_query(&a, STR(""), 0, &p, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(uri_parse_query(&a, STR_NULL, 8, &p, &n), 0);
	assert_int_equal(uri_parse_query(&a, STR("a&b&c"), 2, &p, &n), -1);
	assert_int_equal(uri_parse_query(&a, STR("a=%zz"), 2, &p, &n), -1);
	assert_int_equal(uri_parse_query(&a, STR("%=1"), 2, &p, &n), -1);
	arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_encode),
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_query),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

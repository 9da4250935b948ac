/* Buffers: growth, the NUL after them, consuming and stealing. */
#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void test_add(void **state)
{
	struct buf b = BUF_NULL;

	assert_string_equal(buf_cstr(&b), "");
	assert_int_equal(buf_str(&b).n, 0);
	buf_add(&b, NULL, 0);
	assert_string_equal(b.p, "");
	buf_adds(&b, "ab");
	buf_addc(&b, 'c');
	buf_add_str(&b, STR("de"));
	buf_printf(&b, "%03d", 7);
	assert_string_equal(b.p, "abcde007");
	assert_int_equal(b.n, 8);
	for (int i = 0; i < 10000; i++)
		buf_printf(&b, "%d,", i);
	assert_int_equal(strlen(b.p), b.n);
	buf_clear(&b);
	assert_string_equal(b.p, "");
	buf_done(&b);
	buf_done(&b);
}

static void test_consume(void **state)
{
	struct buf b = BUF_NULL;

	buf_consume(&b, 3);
	buf_adds(&b, "hello");
	buf_consume(&b, 2);
	assert_string_equal(b.p, "llo");
	buf_consume(&b, 100);
	assert_string_equal(b.p, "");
	buf_done(&b);
}

static void test_steal(void **state)
{
	struct buf b = BUF_NULL;
	char *s = buf_steal(&b);

	assert_string_equal(s, "");
	free(s);
	buf_adds(&b, "x");
	s = buf_steal(&b);
	assert_string_equal(s, "x");
	assert_null(b.p);
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add),
		cmocka_unit_test(test_consume),
		cmocka_unit_test(test_steal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

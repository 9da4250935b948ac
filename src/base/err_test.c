/* Errors for people: context is put before, the code is kept. */
#include "base/err.h"

#include <errno.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void test_set_and_wrap(void **state)
{
	struct err e = ERR_NULL;

	assert_int_equal(err_set(&e, ENOENT, "open %s", "f"), -1);
	assert_string_equal(e.msg, "open f: No such file or directory");
	assert_int_equal(err_wrap(&e, "deploy %s", "thumb"), -1);
	assert_string_equal(e.msg, "deploy thumb: open f: No such file or directory");
	assert_int_equal(e.code, ENOENT);
	err_set(&e, 0, "again after %s", e.msg);
	assert_string_equal(e.msg, "again after deploy thumb: open f: No such file or directory");
	err_done(&e);
	err_wrap(&e, "alone");
	assert_string_equal(e.msg, "alone: unknown error");
	err_done(&e);
	assert_null(e.msg);
	assert_int_equal(err_set(NULL, 1, "x"), -1);
	assert_int_equal(err_wrap(NULL, "x"), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_set_and_wrap)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Diffs of texts, and the stages of answers and reports. */
#include "cli/diff.h"

#include "base/mem.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

static void check(const char *before, const char *after, const char *want)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	assert_int_equal(diff_lines(&b, str_from(before), str_from(after), false), *want != '\0');
	assert_string_equal(buf_cstr(&b), want);
}

static void small(void **state)
{
	check("", "", "");
	check("a\nb\n", "a\nb\n", "");
	check("a\n", "", "- a\n");
	check("", "a\n", "+ a\n");
	check("a\nb\nc\n", "a\nx\nc\n", "  a\n- b\n+ x\n  c\n");
	check("a\nb\nc\nd\n", "b\nc\nx\nd\n", "- a\n  b\n  c\n+ x\n  d\n");
	check("1\n2\n3\n4\n5\n6\nx\n", "1\n2\n3\n4\n5\n6\ny\n", "  ...\n  4\n  5\n  6\n- x\n+ y\n");
	check("a\n", "\033[2J\n", "- a\n+ \\x1b[2J\n");
}

static void large(void **state)
{
	_cleanup_(buf_done) struct buf x = BUF_NULL, y = BUF_NULL, b = BUF_NULL;

	for (unsigned i = 0; i < 5000; i++) {
		buf_printf(&x, "%u\n", i);
		buf_printf(&y, "%u\n", i + 1000000);
	}
	assert_true(diff_lines(&b, buf_str(&x), buf_str(&y), false));
	assert_true(b.n > 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small),
		cmocka_unit_test(large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

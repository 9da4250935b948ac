/* Arenas: zeroed pieces, alignment, growth and reuse. */
#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void test_alloc(void **state)
{
	struct arena a = ARENA_NULL;

	for (size_t n = 0; n < 6000; n += 97) {
		uint8_t *p = arena_alloc(&a, n);

		assert_int_equal((uintptr_t)p % 16, 0);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xff, n);
	}
	arena_reset(&a);
	assert_int_equal(*arena_new(&a, uint64_t), 0);
	arena_done(&a);
	assert_null(a.head);
	assert_int_equal(a.total, 0);
}

static void test_strings(void **state)
{
	struct arena a = ARENA_NULL;
	struct str s;

	assert_string_equal(arena_dup(&a, STR("abc")), "abc");
	assert_string_equal(arena_dup(&a, STR_NULL), "");
	s = arena_str(&a, STR("a\0b"));
	assert_true(str_eq(s, STR("a\0b")) && s.p[3] == '\0');
	assert_string_equal(arena_printf(&a, "%d-%s", 7, "x"), "7-x");
	arena_done(&a);
}

static void test_large_keeps_room(void **state)
{
	struct arena a = ARENA_NULL;
	char *first = arena_alloc(&a, 16), *large = arena_alloc(&a, 100000), *after = arena_alloc(&a, 16);

	memset(large, 1, 100000);
	assert_int_equal(first[15] + after[15], 0);
	arena_reset(&a);
	arena_reset(&a);
	assert_true(a.total < 100000);
	arena_done(&a);
	arena_reset(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alloc),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_large_keeps_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

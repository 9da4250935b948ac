/* Bits: sets that grow, the first from a place on at the edges of words, sets that meet. */
#include "base/bits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void growing(void **state)
{
	_cleanup_(bits_done) struct bits b = BITS_NULL;

	assert_false(bits_test(&b, 0));
	bits_clear(&b, 1000);
	bits_set(&b, 63);
	bits_set(&b, 64);
	bits_set(&b, 1000);
	assert_true(bits_test(&b, 63) && bits_test(&b, 64) && bits_test(&b, 1000));
	assert_false(bits_test(&b, 62) || bits_test(&b, 65) || bits_test(&b, 999) || bits_test(&b, 100000));
	bits_clear(&b, 64);
	assert_false(bits_test(&b, 64));
	assert_int_equal(words_next(b.w, b.n, 0), 63);
	assert_int_equal(words_next(b.w, b.n, 63), 63);
	assert_int_equal(words_next(b.w, b.n, 64), 1000);
	assert_true(words_next(b.w, b.n, 1001) == SIZE_MAX);
	assert_true(words_next(b.w, b.n, b.n * 64) == SIZE_MAX);
	assert_true(words_next(NULL, 0, 0) == SIZE_MAX);
}

static void meeting(void **state)
{
	uint64_t a[3] = {0}, b[3] = {0};

	words_set(a, 5);
	words_set(a, 130);
	words_set(b, 6);
	assert_false(words_meet(a, b, 3));
	words_set(b, 130);
	assert_true(words_meet(a, b, 3));
	assert_false(words_meet(a, b, 2));
	words_and(a, b, 3);
	assert_int_equal(words_next(a, 3, 0), 130);
}

int main(void)
{
	const struct CMUnitTest all[] = {cmocka_unit_test(growing), cmocka_unit_test(meeting)};

	return cmocka_run_group_tests(all, NULL, NULL);
}

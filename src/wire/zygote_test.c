/* Packets there and back, cut short, and broken in each place that is checked. */
#include "wire/zygote.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void test_round_trip(void **state)
{
	const struct zygote_packet p = {.type = ZYGOTE_EXITED,
					.id = {1, 2, 3, [15] = 16},
					.pid = 4711,
					.status = -2,
					.cpu_us = 1ull << 40,
					.text = STR("words")};
	struct zygote_packet q;
	struct buf b = BUF_NULL;

	zygote_encode(&b, &p);
	assert_int_equal(b.n, ZYGOTE_HEADER_SIZE + 5);
	assert_true(zygote_decode(&q, buf_str(&b)));
	assert_int_equal(q.type, ZYGOTE_EXITED);
	assert_memory_equal(q.id, p.id, 16);
	assert_true(q.pid == 4711 && q.status == -2 && q.cpu_us == 1ull << 40 && str_eqz(q.text, "words"));
	for (size_t n = 0; n < ZYGOTE_HEADER_SIZE; n++)
		assert_false(zygote_decode(&q, str_n(b.p, n)));
	assert_true(zygote_decode(&q, str_n(b.p, ZYGOTE_HEADER_SIZE)) && q.text.n == 0);
	buf_done(&b);
}

static void test_broken(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
	} cases[] = {{0, 0}, {0, 6}, {1, 1}, {3, 1}, {12, 1}, {15, 1}};
	const struct zygote_packet p = {.type = ZYGOTE_FORK};
	struct zygote_packet q;
	struct buf b = BUF_NULL;

	zygote_encode(&b, &p);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char saved = b.p[cases[i].at];

		b.p[cases[i].at] = (char)cases[i].value;
		assert_false(zygote_decode(&q, buf_str(&b)));
		b.p[cases[i].at] = saved;
	}
	buf_reserve(&b, ZYGOTE_TEXT_MAX + 1);
	memset(b.p + b.n, 'x', ZYGOTE_TEXT_MAX + 1);
	assert_true(zygote_decode(&q, str_n(b.p, ZYGOTE_HEADER_SIZE + ZYGOTE_TEXT_MAX)));
	assert_false(zygote_decode(&q, str_n(b.p, ZYGOTE_HEADER_SIZE + ZYGOTE_TEXT_MAX + 1)));
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_broken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

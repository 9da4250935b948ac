/* Traces: lenient reading, counting rounds, forgetting when there are too many functions. */
#include "model/trace.h"

#include "model/backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define ROOT "1-5759e988-bd862e3fe1be46a994272793"

static const uint8_t random_bytes[TRACE_RANDOM_SIZE] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
							11, 12, 13, 14, 15, 16, 17, 18, 19, 20};

static void parse(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"", ""},
		{"Root=" ROOT ";Parent=53995c3f42cd8ad8;Sampled=1", "Root=" ROOT ";Parent=53995c3f42cd8ad8;Sampled=1"},
		{"Sampled=0; root=" ROOT ";Self=1", "Root=" ROOT ";Sampled=0"},
		{"Root=x;Parent=y;Sampled=?;Lineage=z:1", ""},
		{"Root=" ROOT ";Lineage=0000000a:3|bad|0000000b:1|0000000a:2",
		 "Root=" ROOT ";Lineage=0000000a:3|0000000b:1"},
		{"Lineage=0000000a:99999999999999999999", ""},
		{"Lineage=0000000a:9999999999", "Lineage=0000000a:4294967294"},
		{";;=;Root", ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(arena_done) struct arena a = ARENA_NULL;
		struct trace t;

		trace_parse(str_from(cases[i].in), &t);
		assert_string_equal(trace_format(&a, &t), cases[i].out);
	}
}

static void next(void **state)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	struct str f = STR("arn:f"), g = STR("arn:g");
	uint32_t rounds;
	char *t = trace_next(&a, STR(""), f, random_bytes, 0x5759e988, &rounds);

	assert_int_equal(rounds, 1);
	assert_non_null(
		strstr(t, "Root=1-5759e988-0102030405060708090a0b0c;Parent=0d0e0f1011121314;Sampled=0;Lineage="));
	for (uint32_t i = 2; i <= 17; i++) {
		t = trace_next(&a, str_from(t), g, random_bytes, 0, &rounds);
		assert_int_equal(rounds, i - 1);
		t = trace_next(&a, str_from(t), f, random_bytes, 0, &rounds);
		assert_int_equal(rounds, i);
		assert_non_null(strstr(t, "Root=1-5759e988-"));
	}
	/* A hundred other functions do not make it forget the one that goes round. */
	for (int i = 0; i < 100; i++)
		t = trace_next(&a, str_from(t), str_from(arena_printf(&a, "arn:%d", i)), random_bytes, 0, &rounds);
	trace_next(&a, str_from(t), f, random_bytes, 0, &rounds);
	assert_int_equal(rounds, 18);
}

static void backoff(void **state)
{
	assert_int_equal(backoff_ms(1, 60000), 60000);
	assert_int_equal(backoff_ms(2, 60000), 120000);
	assert_int_equal(backoff_ms(1000000, 60000), 6 * 3600 * 1000);
	assert_int_equal(backoff_ms(UINT32_MAX, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse),
		cmocka_unit_test(next),
		cmocka_unit_test(backoff),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

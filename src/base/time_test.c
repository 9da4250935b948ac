/* Times: each spelling there and back, the edges of the calendar, and what is no time. */
#include "base/time.h"

#include <time.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define NOON INT64_C(1769860800)

static void test_spellings(void **state)
{
	char iso[TIME_ISO8601_SIZE], lambda[TIME_LAMBDA_SIZE], http[TIME_HTTP_SIZE], amz[TIME_AMZ_SIZE];

	time_iso8601_ms(NOON * 1000 + 7, iso);
	assert_string_equal(iso, "2026-01-31T12:00:00.007Z");
	time_iso8601_ms(-1, iso);
	assert_string_equal(iso, "1969-12-31T23:59:59.999Z");
	time_iso8601_ms(INT64_MAX, iso);
	assert_string_equal(iso, "9999-12-31T23:59:59.999Z");
	time_iso8601_ms(INT64_MIN, iso);
	assert_string_equal(iso, "0000-01-01T00:00:00.000Z");
	time_lambda(NOON * 1000, lambda);
	assert_string_equal(lambda, "2026-01-31T12:00:00.000+0000");
	time_http(NOON, http);
	assert_string_equal(http, "Sat, 31 Jan 2026 12:00:00 GMT");
	time_amz(NOON, amz);
	assert_string_equal(amz, "20260131T120000Z");
}

/* Against libc, over four centuries and back again. */
static void test_calendar(void **state)
{
	for (int64_t s = -6000000000; s < 8000000000; s += 86400 * 13 + 12345) {
		char mine[TIME_AMZ_SIZE], theirs[32], http[TIME_HTTP_SIZE];
		time_t t = (time_t)s;
		struct tm tm;
		int64_t back;

		gmtime_r(&t, &tm);
		strftime(theirs, sizeof(theirs), "%Y%m%dT%H%M%SZ", &tm);
		time_amz(s, mine);
		assert_string_equal(mine, theirs);
		assert_true(time_parse_amz(str_from(mine), &back) && back == s);
		strftime(theirs, sizeof(theirs), "%a, %d %b %Y %H:%M:%S GMT", &tm);
		time_http(s, http);
		assert_string_equal(http, theirs);
		assert_true(time_parse_http(str_from(http), &back) && back == s);
	}
}

static void test_http(void **state)
{
	static const char *const bad[] = {"",
					  "Sat",
					  "Sat, 31 Jan 2026 12:00:00",
					  "Sat, 31 Jan 2026 12:00:00 GMT ",
					  "Sat, 31 Foo 2026 12:00:00 GMT",
					  "Sat, 30 Feb 2026 12:00:00 GMT",
					  "Sat, 31 Jan 2026 24:00:00 GMT",
					  "Xyz, 31 Jan 2026 12:00:00 GMT",
					  "Sat 31 Jan 2026 12:00:00 GMT",
					  "2026-01-31"};
	int64_t s;

	assert_true(time_parse_http(STR("Saturday, 31-Jan-26 12:00:00 GMT"), &s) && s == NOON);
	assert_true(time_parse_http(STR("Sunday, 06-Nov-94 08:49:37 GMT"), &s) && s == 784111777);
	assert_true(time_parse_http(STR("Sun Nov  6 08:49:37 1994"), &s) && s == 784111777);
	assert_true(time_parse_http(STR("Sat Jan 31 12:00:00 2026"), &s) && s == NOON);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(time_parse_http(str_from(bad[i]), &s));
}

static void test_amz_and_iso(void **state)
{
	static const char *const bad_amz[] = {
		"", "20260131T120000", "20260131 120000Z", "20260229T120000Z", "20261331T120000Z", "20260131T120000Zx"};
	static const char *const bad_iso[] = {"2026-1-31",
					      "2026-01-31T",
					      "2026-01-31T12",
					      "2026-01-31T12:00:0Z",
					      "2026-01-31T12:00:00.Z",
					      "2026-01-31T12:00:00+2",
					      "2026-01-31T12:00:00+24:00",
					      "2026-01-31x"};
	int64_t v;

	for (size_t i = 0; i < ARRAY_SIZE(bad_amz); i++)
		assert_false(time_parse_amz(str_from(bad_amz[i]), &v));
	for (size_t i = 0; i < ARRAY_SIZE(bad_iso); i++)
		assert_false(time_parse_iso8601(str_from(bad_iso[i]), &v));
	assert_true(time_parse_iso8601(STR("2026-01-31T12:00:00.5Z"), &v) && v == NOON * 1000 + 500);
	assert_true(time_parse_iso8601(STR("2026-01-31T12:00:00.1239999"), &v) && v == NOON * 1000 + 123);
	assert_true(time_parse_iso8601(STR("2026-01-31T14:00+02:00"), &v) && v == NOON * 1000);
	assert_true(time_parse_iso8601(STR("2026-01-31T06:30:00-0530"), &v) && v == NOON * 1000);
	assert_true(time_parse_iso8601(STR("2026-01-31"), &v) && v == (NOON - 43200) * 1000);
	assert_true(time_parse_iso8601(STR("2024-02-29T23:59:60Z"), &v) && v == 1709251200000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spellings),
		cmocka_unit_test(test_calendar),
		cmocka_unit_test(test_http),
		cmocka_unit_test(test_amz_and_iso),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

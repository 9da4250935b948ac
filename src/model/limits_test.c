/* Limits at their edges, and that the settings table is sound. */
#include "model/limits.h"

#include "model/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void buckets(void **state)
{
	static const struct {
		const char *name;
		bool ok;
	} cases[] = {
		{"abc", true},
		{"ab", false},
		{"a.b-c9", true},
		{"Abc", false},
		{"-ab", false},
		{"ab-", false},
		{"a..b", false},
		{"1.2.3.4", false},
		{"1.2.3.x", true},
		{"a_b", false},
		{"xn--abc", false},
		{".ab", false},
		{"ab/c", false},
		{"", false},
		{"a-s3alias", false},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", true},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (limit_bucket_name(str_from(cases[i].name)) != cases[i].ok)
			fail_msg("%s", cases[i].name);
	assert_true(limit_key(STR("a\nb")));
	assert_false(limit_key(STR("")));
	assert_false(limit_key(STR("\xff")));
}

static void functions(void **state)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	struct kv good = {STR("AB"), STR("x")}, reserved = {STR("AWS_REGION"), STR("x")}, odd = {STR("1A"), STR("x")};
	struct kv large = {STR("AB"), str_n(arena_alloc(&a, 4096), 4095)}, tag = {STR("aws:x"), STR("")};

	assert_null(limit_function_name(&a, STR("a-B_9")));
	assert_non_null(limit_function_name(&a, STR("a b")));
	assert_non_null(limit_function_name(&a, STR("")));
	assert_null(limit_timeout(&a, 900));
	assert_string_equal(limit_timeout(&a, 901),
			    "1 validation error detected: Value '901' at 'timeout' failed to satisfy constraint: "
			    "Member must have value less than or equal to 900");
	assert_non_null(limit_timeout(&a, 0));
	assert_null(limit_memory(&a, 128));
	assert_non_null(limit_memory(&a, 127));
	assert_non_null(limit_ephemeral(&a, 10241));
	assert_null(limit_text(&a, "description", STR("\xc3\xa4\xc3\xa4"), 2));
	assert_non_null(limit_text(&a, "description", STR("abc"), 2));
	assert_null(limit_env(&a, &good, 1));
	assert_non_null(strstr(limit_env(&a, &reserved, 1), "AWS_REGION"));
	assert_non_null(limit_env(&a, &odd, 1));
	assert_non_null(limit_env(&a, &large, 1));
	assert_null(limit_function_tags(&a, &good, 1));
	assert_non_null(limit_function_tags(&a, &tag, 1));
}

static void settings(void **state)
{
	struct settings s = {0};

	settings_defaults(settings_table, settings_count, &s);
	assert_string_equal(s.listen, "127.0.0.1:9000");
	assert_int_equal(s.retry_delay_ms, 60000);
	assert_int_equal(s.code_cache_bytes, 10 * GIB);
	for (size_t i = 0; i < settings_count; i++)
		assert_true(settings_table[i].flag && settings_table[i].env && settings_table[i].help);
	settings_done(settings_table, settings_count, &s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets),
		cmocka_unit_test(functions),
		cmocka_unit_test(settings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

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
}

static void numbers_and_texts(void **state)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;

	assert_null(limit_number(&a, 900, LIMIT_TIMEOUT_MIN, LIMIT_TIMEOUT_MAX));
	assert_null(limit_number(&a, 1, LIMIT_TIMEOUT_MIN, LIMIT_TIMEOUT_MAX));
	assert_string_equal(limit_number(&a, 901, LIMIT_TIMEOUT_MIN, LIMIT_TIMEOUT_MAX),
			    "Member must have value less than or equal to 900");
	assert_string_equal(limit_number(&a, 127, LIMIT_MEMORY_MIN, LIMIT_MEMORY_MAX),
			    "Member must have value greater than or equal to 128");
	assert_null(limit_text(&a, STR("\xc3\xa4\xc3\xa4"), 2));
	assert_string_equal(limit_text(&a, STR("abc"), 2), "Member must have length less than or equal to 2");
}

static void patterns(void **state)
{
	static const struct {
		const char *(*check)(struct str s);
		const char *text;
		bool ok;
	} cases[] = {
		{limit_pattern_role, "arn:aws:iam::123456789012:role/a", true},
		{limit_pattern_role, "arn:aws-cn:iam::123456789012:role/path/a+b@c", true},
		{limit_pattern_role, "arn:aws:iam::12345678901:role/a", false},
		{limit_pattern_role, "arn:aws:iam::12345678901x:role/a", false},
		{limit_pattern_role, "arn:aws:iam:eu:123456789012:role/a", false},
		{limit_pattern_role, "arn:aws:iam::123456789012:role/", false},
		{limit_pattern_role, "arn:aws:iam::123456789012:role/a b", false},
		{limit_pattern_role, "arn:aws:iam::123456789012:user/a", false},
		{limit_pattern_role, "", false},
		{limit_pattern_handler, "a.b", true},
		{limit_pattern_handler, "a b", false},
		{limit_pattern_handler, "", false},
		{limit_pattern_env_name, "aB_9", true},
		{limit_pattern_env_name, "A", false},
		{limit_pattern_env_name, "1A", false},
		{limit_pattern_env_name, "_A", false},
		{limit_pattern_env_name, "A-B", false},
		{limit_pattern_env_name, "", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (!cases[i].check(str_from(cases[i].text)) != cases[i].ok)
			fail_msg("case %zu: %s", i, cases[i].text);
	assert_non_null(limit_pattern_env_name(str_n("A\0B", 3)));
	assert_true(limit_env_reserved(STR("AWS_REGION")));
	assert_false(limit_env_reserved(STR("AWS_REGION_")));
	assert_false(limit_env_reserved(str_n("AWS_REGION\0", 11)));
}

static void tags(void **state)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	char large[257];

	memset(large, 'x', sizeof(large));
	assert_null(limit_function_tag(&a, str_n(large, 128), str_n(large, 256)));
	assert_non_null(limit_function_tag(&a, str_n(large, 129), STR("")));
	assert_non_null(limit_function_tag(&a, STR("a"), str_n(large, 257)));
	assert_non_null(limit_function_tag(&a, STR(""), STR("")));
	assert_string_equal(limit_function_tag(&a, STR("aws:x"), STR("")),
			    "Tag 'aws:x': keys that begin with aws: are reserved.");
	assert_non_null(limit_function_tag(&a, STR("AWS:x"), STR("")));
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
		cmocka_unit_test(buckets), cmocka_unit_test(numbers_and_texts), cmocka_unit_test(patterns),
		cmocka_unit_test(tags),    cmocka_unit_test(settings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

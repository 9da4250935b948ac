/* Aliases: the stored form comes back, damage is named, weights choose as they say. */
#include "model/alias.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void round_trip(void **state)
{
	const struct alias al = {.name = STR("prod"),
				 .version = STR("3"),
				 .description = STR("what users see"),
				 .revision = STR("r1"),
				 .other = STR("4"),
				 .weight = 0.05,
				 .policy = STR("{}")};
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	_cleanup_json_ json_t *j = alias_to_json(&al), *again = NULL;
	struct alias b;

	assert_int_equal(alias_from_json(&b, j, &a, NULL), 0);
	assert_true(str_eqz(b.name, "prod") && str_eqz(b.version, "3") && str_eqz(b.other, "4"));
	assert_true(str_eqz(b.description, "what users see") && str_eqz(b.revision, "r1"));
	assert_true(b.weight == 0.05 && str_eqz(b.policy, "{}"));
	again = alias_to_json(&b);
	assert_true(json_equal(j, again));
}

static void damaged(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"[]", "an alias is not an object"},
		{"{\"name\":\"a\"}", "version is missing"},
		{"{\"name\":\"a\",\"version\":1}", "version is not a string"},
		{"{\"name\":\"a\",\"version\":\"1\",\"other\":\"2\",\"weight\":1.5}", "weight is not in 0..1"},
		{"{\"name\":\"a\",\"version\":\"1\",\"other\":\"2\",\"weight\":\"x\"}", "weight is not a number"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(arena_done) struct arena a = ARENA_NULL;
		_cleanup_(err_done) struct err err = ERR_NULL;
		_cleanup_json_ json_t *j = json_parse(str_from(cases[i].text), NULL);
		struct alias al;

		assert_int_equal(alias_from_json(&al, j, &a, &err), -1);
		assert_string_equal(err.msg, cases[i].message);
	}
}

static void picks(void **state)
{
	static const struct {
		double weight;
		uint32_t random;
		bool other;
	} cases[] = {
		{0, 0, false},           {0.25, 0, true},           {0.25, (1u << 30) - 1, true},
		{0.25, 1u << 30, false}, {0.25, UINT32_MAX, false}, {1, UINT32_MAX, true},
	};
	struct alias alone = {.version = STR("1"), .other = STR(""), .weight = 1};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct alias al = {.version = STR("1"), .other = STR("2"), .weight = cases[i].weight};

		assert_true(str_eqz(alias_pick(&al, cases[i].random), cases[i].other ? "2" : "1"));
	}
	assert_true(str_eqz(alias_pick(&alone, 0), "1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(damaged),
		cmocka_unit_test(picks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

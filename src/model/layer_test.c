/* Layers: the stored form comes back, damage is named; names and ARNs. */
#include "model/layer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define ARN "arn:aws:lambda:us-east-1:000000000000:layer:"

static void round_trip(void **state)
{
	struct str runtimes[] = {STR("python3.11"), STR("nodejs20.x")}, archs[] = {STR("x86_64")};
	const struct layer_version l = {.name = STR("libs"),
					.arn = STR(ARN "libs:3"),
					.version = 3,
					.description = STR("d"),
					.license = STR("MIT"),
					.runtimes = runtimes,
					.n_runtimes = 2,
					.architectures = archs,
					.n_architectures = 1,
					.sha256 = STR("s"),
					.blob = STR("b"),
					.size = 5,
					.unpacked = 1ull << 33,
					.created_ms = 7};
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	_cleanup_json_ json_t *j = layer_to_json(&l), *again = NULL;
	struct layer_version m;

	assert_int_equal(layer_from_json(&m, j, &a, NULL), 0);
	assert_int_equal(m.version, 3);
	assert_int_equal(m.n_runtimes, 2);
	assert_true(str_eqz(m.runtimes[1], "nodejs20.x"));
	assert_int_equal(m.unpacked, 1ull << 33);
	again = layer_to_json(&m);
	assert_true(json_equal(j, again));
}

static void damaged(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"[]", "a layer version is not an object"},
		{"{}", "name is missing"},
		{"{\"name\":\"a\",\"arn\":\"x\",\"version\":0}", "version is 0, not in 1..9223372036854775807"},
		{"{\"name\":\"a\",\"arn\":\"x\",\"sha256\":\"\",\"blob\":\"\",\"runtimes\":{}}",
		 "runtimes is not an array"},
		{"{\"name\":\"a\",\"arn\":\"x\",\"sha256\":\"\",\"blob\":\"\",\"architectures\":[1]}",
		 "architectures: an element is not a string"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(arena_done) struct arena a = ARENA_NULL;
		_cleanup_(err_done) struct err err = ERR_NULL;
		_cleanup_json_ json_t *j = json_parse(str_from(cases[i].text), NULL);
		struct layer_version l;

		assert_int_equal(layer_from_json(&l, j, &a, &err), -1);
		assert_string_equal(err.msg, cases[i].message);
	}
}

static void names(void **state)
{
	static const struct {
		const char *text, *name; /* NULL: refused */
		uint64_t version;
	} cases[] = {
		{"libs", "libs", 0},
		{ARN "libs", "libs", 0},
		{ARN "libs:12", "libs", 12},
		{ARN "libs:0", NULL, 0},
		{ARN "libs:x", NULL, 0},
		{ARN "libs:1:2", NULL, 0},
		{ARN, NULL, 0},
		{"libs:1", NULL, 0},
		{"", NULL, 0},
		{"a b", NULL, 0},
		{"arn:aws:lambda:us-east-1:000000000000:function:libs:1", NULL, 0},
		{"arn:aws:s3:us-east-1:000000000000:layer:libs:1", NULL, 0},
		{"arn:aws:lambda:us-east-1:00000000000:layer:libs:1", NULL, 0},
		{"arn:", NULL, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct layer_name n = {.version = 0};
		bool ok = layer_name_parse(str_from(cases[i].text), &n);

		if (ok != (cases[i].name != NULL) ||
		    (ok && (!str_eqz(n.name, cases[i].name) || n.version != cases[i].version)))
			fail_msg("%s", cases[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(damaged),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Function URLs' configuration: the stored form comes back, damage is named. */
#include "model/url_conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void round_trip(void **state)
{
	struct str origins[] = {STR("https://a.example"), STR("*")}, methods[] = {STR("GET")};
	struct url_conf u = {.auth = URL_AUTH_IAM,
			     .mode = URL_STREAM,
			     .cors = {.on = true,
				      .credentials = true,
				      .max_age = 86400,
				      .origins = origins,
				      .n_origins = 2,
				      .methods = methods,
				      .n_methods = 1},
			     .created_ms = 5,
			     .modified_ms = 6};
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	_cleanup_json_ json_t *j = url_conf_to_json(&u), *again = NULL;
	struct url_conf v;

	assert_int_equal(url_conf_from_json(&v, j, &a, NULL), 0);
	assert_int_equal(v.auth, URL_AUTH_IAM);
	assert_int_equal(v.mode, URL_STREAM);
	assert_true(v.cors.on && v.cors.credentials);
	assert_int_equal(v.cors.max_age, 86400);
	assert_int_equal(v.cors.n_origins, 2);
	assert_true(str_eqz(v.cors.origins[1], "*"));
	assert_int_equal(v.cors.n_headers, 0);
	assert_int_equal(v.modified_ms, 6);
	again = url_conf_to_json(&v);
	assert_true(json_equal(j, again));
}

static void damaged(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"1", "a URL's configuration is not an object"},
		{"{}", "auth is missing"},
		{"{\"auth\":\"SOME\"}", "auth is unknown"},
		{"{\"auth\":\"NONE\",\"mode\":\"ODD\"}", "mode is unknown"},
		{"{\"auth\":\"NONE\",\"cors\":[]}", "cors is not an object"},
		{"{\"auth\":\"NONE\",\"cors\":{\"max_age\":-1}}", "max_age is -1, not in 0..4294967295"},
		{"{\"auth\":\"NONE\",\"cors\":{\"methods\":{}}}", "methods is not an array"},
		{"{\"auth\":\"NONE\",\"cors\":{\"expose\":[1]}}", "expose: an element is not a string"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(arena_done) struct arena a = ARENA_NULL;
		_cleanup_(err_done) struct err err = ERR_NULL;
		_cleanup_json_ json_t *j = json_parse(str_from(cases[i].text), NULL);
		struct url_conf u;

		assert_int_equal(url_conf_from_json(&u, j, &a, &err), -1);
		assert_string_equal(err.msg, cases[i].message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

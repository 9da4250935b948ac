/* Functions: the stored form comes back as it went in; names in all their forms. */
#include "model/function.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void round_trip(void **state)
{
	struct kv env[] = {{STR("A"), STR("1")}, {STR("B"), STR("")}}, tags[] = {{STR("wick:device"), STR("gpu")}};
	struct str layers[] = {STR("arn:aws:lambda:us-east-1:000000000000:layer:l:1")};
	struct function f = {
		.name = STR("thumb"),
		.version = STR("$LATEST"),
		.arn = STR("arn:aws:lambda:us-east-1:000000000000:function:thumb"),
		.runtime = STR("python3.11"),
		.handler = STR("app.handler"),
		.timeout_s = 900,
		.memory_mb = 10240,
		.ephemeral_mb = 512,
		.env = env,
		.n_env = 2,
		.tags = tags,
		.n_tags = 1,
		.layers = layers,
		.n_layers = 1,
		.code_size = 1ull << 40,
		.code_unpacked = 1ull << 41,
		.change_id = STR("c"),
		.last_version = 12,
		.modified_ms = -5,
		.policy = STR("{\"Version\":\"2012-10-17\"}"),
		.snap_start = STR("PublishedVersions"),
		.state = FUNCTION_FAILED,
	};
	struct function g;
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	_cleanup_json_ json_t *j = function_to_json(&f), *k = NULL;

	assert_int_equal(function_from_json(&g, j, &a, NULL), 0);
	k = function_to_json(&g);
	assert_true(json_equal(j, k));
	assert_int_equal(g.n_env, 2);
	assert_true(str_eqz(g.env[1].k, "B"));
	assert_int_equal(g.code_size, 1ull << 40);
	assert_int_equal(g.state, FUNCTION_FAILED);
	assert_int_equal(g.code_unpacked, 1ull << 41);
	assert_int_equal(g.last_version, 12);
	assert_true(str_eqz(g.snap_start, "PublishedVersions"));
}

static void alike(void **state)
{
	struct kv team[] = {{STR("team"), STR("x")}}, idle[] = {{STR("wick:idle"), STR("5s")}};
	struct function f = {
		.name = STR("f"), .version = STR("$LATEST"), .arn = STR("a"), .handler = STR("app.handler")};
	struct function g = f, h = f, i = f;
	_cleanup_json_ json_t *jf = function_to_json(&f), *jg = NULL, *jh = NULL, *ji = NULL;

	g.version = STR("3");
	g.revision_id = STR("r");
	g.policy = STR("{}");
	g.modified_ms = 9;
	g.last_version = 3;
	g.tags = team;
	g.n_tags = 1;
	jg = function_to_json(&g);
	assert_true(function_docs_alike(jf, jg));
	h.handler = STR("app.other");
	jh = function_to_json(&h);
	assert_false(function_docs_alike(jf, jh));
	i.tags = idle;
	i.n_tags = 1;
	ji = function_to_json(&i);
	assert_false(function_docs_alike(jf, ji));
}

static void damaged(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"[]", "a function is not an object"},
		{"{}", "name is missing"},
		{"{\"name\":\"x\",\"version\":3}", "version is not a string"},
		{"{\"name\":\"x\",\"version\":\"1\",\"arn\":\"a\",\"timeout_s\":0}",
		 "timeout_s is 0, not in 1..4294967295"},
		{"{\"name\":\"x\",\"version\":\"1\",\"arn\":\"a\",\"env\":{\"a\":1}}", "env: a value is not a string"},
		{"{\"name\":\"x\",\"version\":\"1\",\"arn\":\"a\",\"layers\":{}}", "layers is not an array"},
		{"{\"name\":\"x\",\"version\":\"1\",\"arn\":\"a\",\"state\":\"Odd\"}", "state is unknown"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(arena_done) struct arena a = ARENA_NULL;
		_cleanup_(err_done) struct err err = ERR_NULL;
		_cleanup_json_ json_t *j = json_parse(str_from(cases[i].text), NULL);
		struct function f;

		assert_int_equal(function_from_json(&f, j, &a, &err), -1);
		assert_string_equal(err.msg, cases[i].message);
	}
}

#define N64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void refs(void **state)
{
	static const struct {
		const char *text, *name, *qualifier; /* name NULL: refused */
	} cases[] = {
		{"thumb", "thumb", ""},
		{"a-B_9:$LATEST", "a-B_9", "$LATEST"},
		{"thumb:prod", "thumb", "prod"},
		{"000000000000:function:thumb", "thumb", ""},
		{"000000000000:function:thumb:12", "thumb", "12"},
		{"arn:aws:lambda:us-east-1:000000000000:function:thumb", "thumb", ""},
		{"arn:aws-cn:lambda:cn-north-1:000000000000:function:thumb:prod", "thumb", "prod"},
		{"function:prod", "function", "prod"},
		{N64, N64, ""},
		{N64 "a", NULL, NULL},
		{"", NULL, NULL},
		{":", NULL, NULL},
		{"a:", NULL, NULL},
		{"a:b:c", NULL, NULL},
		{"a b", NULL, NULL},
		{"a/b", NULL, NULL},
		{"a:$OLD", NULL, NULL},
		{"00000000000:function:thumb", NULL, NULL},
		{"arn:", NULL, NULL},
		{"arn:aws:lambda", NULL, NULL},
		{"arn:aws:s3:us-east-1:000000000000:function:thumb", NULL, NULL},
		{"arn:aws:lambda:us-east-1:000000000000:layer:thumb", NULL, NULL},
		{"arn:aws:lambda:us-east-1:000000000000:function:", NULL, NULL},
		{"arn:aws:lambda::000000000000:function:x", NULL, NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct function_ref r;
		bool ok = function_ref_parse(str_from(cases[i].text), &r);

		if (ok != (cases[i].name != NULL) ||
		    (ok && (!str_eqz(r.name, cases[i].name) || !str_eqz(r.qualifier, cases[i].qualifier))))
			fail_msg("%s", cases[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(alike),
		cmocka_unit_test(damaged),
		cmocka_unit_test(refs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

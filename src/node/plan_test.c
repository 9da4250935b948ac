/* Start plans by table: what is kept, what is ours, what is refused. */
#include "node/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const struct plan_place place = {
	.task_root = "/data/node/code/abc", .runtime_dir = "/usr/libexec/wick", .tmp = "/data/node/tmp/1"};

static const char *env_of(const struct start_plan *p, const char *name)
{
	const char *found = NULL;
	size_t n = strlen(name);

	for (char **e = p->envp; *e; e++) {
		if (strncmp(*e, name, n) == 0 && (*e)[n] == '=') {
			assert_null(found); /* once */
			found = *e + n + 1;
		}
	}
	return found;
}

static void python(void **state)
{
	const struct function f = {.runtime = STR("python3.12"), .handler = STR("a.b")};
	_cleanup_json_ json_t *env = json_pack("{s:s, s:s, s:s, s:s, s:s}", "A", "1", "EMPTY", "", "HOME", "/elsewhere",
					       "LAMBDA_TASK_ROOT", "/etc", "_HANDLER", "x.y");
	struct arena a = ARENA_NULL;
	struct start_plan p;

	assert_int_equal(plan_make(&p, &f, env, &place, &a, NULL), 0);
	assert_string_equal(p.program, "/usr/libexec/wick/wick-python");
	assert_string_equal(p.argv[0], "wick-python");
	assert_null(p.argv[1]);
	assert_string_equal(p.cwd, place.task_root);
	assert_string_equal(env_of(&p, "A"), "1");
	assert_string_equal(env_of(&p, "EMPTY"), "");
	assert_string_equal(env_of(&p, "HOME"), "/elsewhere");
	assert_string_equal(env_of(&p, "TMPDIR"), place.tmp);
	assert_string_equal(env_of(&p, "LAMBDA_TASK_ROOT"), place.task_root);
	assert_string_equal(env_of(&p, "LAMBDA_RUNTIME_DIR"), place.runtime_dir);
	assert_string_equal(env_of(&p, "_HANDLER"), "a.b");
	assert_string_equal(env_of(&p, "TZ"), ":UTC");
	assert_string_equal(env_of(&p, "LANG"), "C.UTF-8");
	assert_non_null(env_of(&p, "PATH"));
	arena_done(&a);
}

static void no_environment(void **state)
{
	const struct function f = {.runtime = STR("python3.11"), .handler = STR("a.b")};
	struct arena a = ARENA_NULL;
	struct start_plan p;

	assert_int_equal(plan_make(&p, &f, NULL, &place, &a, NULL), 0);
	assert_string_equal(env_of(&p, "HOME"), place.tmp);
	arena_done(&a);
}

static void refused_runtimes(void **state)
{
	static const struct {
		const char *runtime, *says;
	} cases[] = {
		{"nodejs20.x", "Node.js will come"},
		{"provided.al2023", "custom runtimes"},
		{"java21", "Java will come"},
		{"python2.7", "not known"},
		{"", "not known"},
		{"cobol", "python3.x"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct function f = {.runtime = str_from(cases[i].runtime)};
		struct err err = ERR_NULL;

		assert_null(plan_runtime(&f, &err));
		assert_non_null(strstr(err.msg, cases[i].says));
		err_done(&err);
	}
}

static void refused_environments(void **state)
{
	const struct function f = {.runtime = STR("python3.11"), .handler = STR("a.b")};
	json_t *cases[] = {
		json_pack("[]"),
		json_pack("{s:i}", "A", 1),
		json_pack("{s:s}", "A=B", "1"),
		json_pack("{s:s}", "", "1"),
		json_pack("{s:s%}", "A", "x\0y", (size_t)3),
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct arena a = ARENA_NULL;
		struct err err = ERR_NULL;
		struct start_plan p;

		assert_non_null(cases[i]);
		assert_int_equal(plan_make(&p, &f, cases[i], &place, &a, &err), -1);
		assert_non_null(err.msg);
		err_done(&err);
		arena_done(&a);
		json_decref(cases[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(python),
		cmocka_unit_test(no_environment),
		cmocka_unit_test(refused_runtimes),
		cmocka_unit_test(refused_environments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

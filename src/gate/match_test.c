/* Paths against a small table: literals, arguments, slashes at the end, escapes, other methods. */
#include "gate/match.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static const struct operation rows[] = {
	{.name = "List", .method = "GET", .path = "/d/functions/"},
	{.name = "Create", .method = "POST", .path = "/d/functions"},
	{.name = "Get", .method = "GET", .path = "/d/functions/{}"},
	{.name = "Code", .method = "PUT", .path = "/d/functions/{}/code"},
	{.name = "Statement", .method = "DELETE", .path = "/d/functions/{}/policy/{}"},
};

static void table(void **state)
{
	static const struct {
		const char *method, *path, *name, *arg0, *arg1;
		bool known;
	} cases[] = {
		{"GET", "/d/functions", "List", NULL, NULL, true},
		{"GET", "/d/functions/", "List", NULL, NULL, true},
		{"POST", "/d/functions", "Create", NULL, NULL, true},
		{"POST", "/d/functions/", "Create", NULL, NULL, true},
		{"PUT", "/d/functions", NULL, NULL, NULL, true},
		{"GET", "/d/functions/a", "Get", "a", NULL, true},
		{"GET", "/d/functions/a/", "Get", "a", NULL, true},
		{"GET", "/d/functions//", NULL, NULL, NULL, false},
		{"GET", "/d/functions/a%3Ab%2Fc", "Get", "a:b/c", NULL, true},
		{"GET", "/d/functions/a+b", "Get", "a+b", NULL, true},
		{"GET", "/d/functions/a%zz", NULL, NULL, NULL, true},
		{"GET", "/d/functions/a%", NULL, NULL, NULL, true},
		{"PUT", "/d/functions/a/code", "Code", "a", NULL, true},
		{"GET", "/d/functions/a/code", NULL, NULL, NULL, true},
		{"PUT", "/d/functions/a/codes", NULL, NULL, NULL, false},
		{"PUT", "/d/functions/a/code/b", NULL, NULL, NULL, false},
		{"DELETE", "/d/functions/a/policy/s1", "Statement", "a", "s1", true},
		{"DELETE", "/d/functions/a/policy", NULL, NULL, NULL, false},
		{"GET", "", NULL, NULL, NULL, false},
		{"GET", "/", NULL, NULL, NULL, false},
		{"GET", "//", NULL, NULL, NULL, false},
		{"GET", "d/functions", NULL, NULL, NULL, false},
		{"get", "/d/functions", NULL, NULL, NULL, true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(arena_done) struct arena a = ARENA_NULL;
		struct str args[MATCH_ARGS] = {0};
		bool known;
		const struct operation *op = match_operation(rows, ARRAY_SIZE(rows), str_from(cases[i].method),
							     str_from(cases[i].path), &a, args, &known);

		if ((op ? op->name : NULL) != cases[i].name &&
		    (!op || !cases[i].name || strcmp(op->name, cases[i].name) != 0))
			fail_msg("%s %s: %s", cases[i].method, cases[i].path, op ? op->name : "nothing");
		if (known != cases[i].known)
			fail_msg("%s %s: known %d", cases[i].method, cases[i].path, known);
		if (cases[i].arg0)
			assert_true(str_eqz(args[0], cases[i].arg0));
		if (cases[i].arg1)
			assert_true(str_eqz(args[1], cases[i].arg1));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(table)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

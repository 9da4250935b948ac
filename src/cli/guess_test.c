/* What code on disk is found to be. */
#include "cli/guess.h"

#include "base/mem.h"
#include "sys/file.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static const struct {
	const char *file, *text, *runtime, *handler, *command;
	unsigned mode;
} cases[] = {
	{"app.py", "def handler(event, context):\n", "python3.11", "app.handler", NULL, 0644},
	{"lambda_function.py", "async def lambda_handler(e, c):\n", "python3.11", "lambda_function.lambda_handler",
	 NULL, 0644},
	{"tool.py", "handler = lambda e, c: 1\n", "python3.11", "tool.handler", NULL, 0644},
	{"app.py", "handler == 5\ndef handlers(): pass\n", NULL, NULL, NULL, 0644},
	{"index.js", "exports.handler = async (e) => e;\n", "nodejs20.x", "index.handler", NULL, 0644},
	{"index.mjs", "export const handler = async (e) => e;\n", "nodejs20.x", "index.handler", NULL, 0644},
	{"index.mjs", "export async function handler(e) {}\n", "nodejs20.x", "index.handler", NULL, 0644},
	{"app.js", "module.exports = {\n  other,\n  handler,\n};\n", "nodejs20.x", "app.handler", NULL, 0644},
	{"index.mjs", "const handler = 1;\nexport { handler };\n", "nodejs20.x", "index.handler", NULL, 0644},
	{"index.js", "const handlers = {};\n", NULL, NULL, NULL, 0644},
	{"bootstrap", "#!/bin/sh\n", "provided.al2023", "bootstrap", NULL, 0755},
	{"bootstrap", "#!/bin/sh\n", NULL, NULL, NULL, 0644},
	{"hello.so", "x", "native", "hello.so", NULL, 0755},
	{"Procfile", "worker: x\nweb: python3 -m http.server $PORT\n", "web", "web", "python3 -m http.server $PORT",
	 0644},
	{"package.json", "{\"scripts\": {\"start\": \"node server.js\"}}", "web", "web", "node server.js", 0644},
	{"package.json", "{\"scripts\": {}}", NULL, NULL, NULL, 0644},
	{"package.json", "{", NULL, NULL, NULL, 0644},
};

static void assert_text(const char *have, const char *want)
{
	if (want)
		assert_string_equal(have, want);
	else
		assert_null(have);
}

static void folders(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char dir[] = "/tmp/wick-guess-XXXXXX";
		_cleanup_(freep) char *path = NULL;
		_cleanup_(guess_done) struct guess g = {0};
		_cleanup_(err_done) struct err err = ERR_NULL;
		int r;

		assert_non_null(mkdtemp(dir));
		path = xasprintf("%s/%s", dir, cases[i].file);
		assert_int_equal(file_write(path, str_from(cases[i].text), 0644), 0);
		assert_int_equal(chmod(path, cases[i].mode), 0);
		r = guess_code(dir, NULL, &g, &err);
		assert_int_equal(r, cases[i].runtime ? 0 : -1);
		if (r < 0)
			assert_non_null(strstr(err.msg, "no handler found"));
		assert_text(g.runtime, cases[i].runtime);
		assert_text(g.handler, cases[i].handler);
		assert_text(g.command, cases[i].command);
		rm_rf(dir);
	}
}

static void wanted_runtime(void **state)
{
	char dir[] = "/tmp/wick-guess-XXXXXX";
	_cleanup_(freep) char *python = NULL, *node = NULL;
	_cleanup_(guess_done) struct guess g = {0};
	_cleanup_(err_done) struct err err = ERR_NULL;

	assert_non_null(mkdtemp(dir));
	python = xasprintf("%s/app.py", dir);
	node = xasprintf("%s/index.js", dir);
	file_write(python, STR("def handler(e, c): pass\n"), 0644);
	file_write(node, STR("exports.handler = 1\n"), 0644);
	assert_int_equal(guess_code(dir, "nodejs22.x", &g, &err), 0);
	assert_string_equal(g.runtime, "nodejs22.x");
	assert_string_equal(g.handler, "index.handler");
	guess_done(&g);
	assert_int_equal(guess_code(dir, "provided.al2023", &g, &err), -1);
	assert_non_null(strstr(err.msg, "executable file bootstrap"));
	assert_null(strstr(err.msg, "lambda_function.py"));
	rm_rf(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(folders),
		cmocka_unit_test(wanted_runtime),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

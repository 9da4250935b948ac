/* What is learnt of a package: from its sources, from its workers, across lives, and only what the machine has. */
#include "node/learn.h"

#include "base/mem.h"
#include "sys/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define SHA STR("JeFC351/2QJt3OmIJNBARr2BeuNEe73RgwrdCLzuet4=")

static char folder[64];

static int make_folder(void **state)
{
	snprintf(folder, sizeof(folder), "/tmp/wick-learn-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	return rm_rf(folder);
}

static void put(const char *name, const char *text)
{
	_cleanup_(freep) char *path = xasprintf("%s/%s", folder, name);

	assert_int_equal(file_write(path, str_from(text), 0644), 0);
}

/* Debian's libraries for Python that Wick's own demonstration needs: they are there wherever this is built. */
static void test_scan(void **state)
{
	_cleanup_(freep) char *sub = xasprintf("%s/lib", folder), *names = NULL;

	assert_int_equal(mkdir(sub, 0755), 0);
	put("app.py", "import json, os\nfrom PIL import Image\nimport helper, no_such_module_here\n");
	put("helper.py", "def f():\n\timport numpy_is_not_this\n");
	put("lib/deep.py", "import boto3\n");
	put("notes.txt", "import botocore\n");
	names = learn_scan(folder);
	assert_string_equal(names, "PIL,boto3");
	put("boto3.py", "# a module of its own\n");
	free(names);
	names = learn_scan(folder);
	assert_string_equal(names, "PIL");
}

static void test_nothing_to_scan(void **state)
{
	_cleanup_(freep) char *names = learn_scan("/nonexistent"), *none = learn_scan(folder);

	assert_string_equal(names, "");
	assert_string_equal(none, "");
}

static void test_kept(void **state)
{
	_cleanup_(freep) char *path = xasprintf("%s/learnt.json", folder);
	struct loop *loop = loop_new();
	struct learn *l = learn_open(loop, path);
	struct str imports;

	assert_false(learn_get(l, SHA, &imports));
	learn_add(l, SHA, STR(""));
	assert_true(learn_get(l, SHA, &imports));
	assert_int_equal(imports.n, 0);
	learn_add(l, SHA, STR("boto3 ../../etc nonsense_of_a_worker"));
	learn_add(l, SHA, STR("PIL,boto3"));
	learn_free(l);
	l = learn_open(loop, path);
	assert_true(learn_get(l, SHA, &imports));
	assert_true(str_eqz(imports, "PIL,boto3"));
	learn_free(l);
	loop_free(loop);
}

static void test_broken_file(void **state)
{
	static const char *const texts[] = {"", "{", "[1, [2], [\"a\"], [\"a\", 3], null]", "{\"a\": \"b\"}"};
	_cleanup_(freep) char *path = xasprintf("%s/learnt.json", folder);
	struct loop *loop = loop_new();

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct str imports;
		struct learn *l;

		put("learnt.json", texts[i]);
		l = learn_open(loop, path);
		assert_false(learn_get(l, STR("a"), &imports));
		learn_free(l);
	}
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_scan, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_nothing_to_scan, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_kept, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_broken_file, make_folder, remove_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

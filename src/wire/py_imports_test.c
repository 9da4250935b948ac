#include "wire/py_imports.h"

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void add(void *arg, struct str name)
{
	buf_add_str(arg, name);
	buf_addc(arg, ' ');
}

static void expect(const char *source, const char *names)
{
	struct buf b = BUF_NULL;

	py_imports(str_from(source), add, &b);
	assert_string_equal(buf_cstr(&b), names);
	buf_done(&b);
}

static void test_statements(void **state)
{
	expect("import json\n", "json ");
	expect("import numpy.linalg as l, os , PIL.Image\n", "numpy os PIL ");
	expect("from botocore.config import Config\n", "botocore ");
	expect("def f():\n\timport boto3 # late\n", "boto3 ");
	expect("    from a import (b,\n    c)\n", "a ");
	expect("try: import x\nimport\tsys\r\n", "sys ");
}

static void test_others(void **state)
{
	expect("", "");
	expect("import", "");
	expect("import \n", "");
	expect("from . import x\nfrom .y import z\n", "");
	expect("important = 1\nfromage = 2\nimport_x = 3\n", "");
	expect("import 1x, ,\n", "");
	expect("from \n", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_statements), cmocka_unit_test(test_others)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

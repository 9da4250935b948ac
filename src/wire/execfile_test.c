/* Scripts, ELF files of this machine and of others, and what is neither. */
#include "wire/execfile.h"

#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void test_scripts(void **state)
{
	static const struct {
		const char *text, *interpreter;
	} cases[] = {
		{"#!/bin/sh\necho", "/bin/sh"},       {"#! /usr/bin/env python3 -u\n", "/usr/bin/env"},
		{"#!/usr/bin/perl", "/usr/bin/perl"}, {"#!\n", ""},
		{"#!/bin/bash\r\n", "/bin/bash\r"},
	};
	struct execfile x;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		execfile_look(&x, str_from(cases[i].text));
		assert_int_equal(x.kind, EXECFILE_SCRIPT);
		assert_true(str_eqz(x.interpreter, cases[i].interpreter));
	}
}

static void test_others(void **state)
{
	struct execfile x;

	execfile_look(&x, STR(""));
	assert_int_equal(x.kind, EXECFILE_OTHER);
	execfile_look(&x, STR("echo hello\n"));
	assert_int_equal(x.kind, EXECFILE_OTHER);
	execfile_look(&x, STR("\177ELF"));
	assert_int_equal(x.kind, EXECFILE_OTHER);
}

static void test_this_program(void **state)
{
	char head[EXECFILE_HEAD];
	FILE *f = fopen("/proc/self/exe", "re");
	size_t n;
	struct execfile x;

	assert_non_null(f);
	n = fread(head, 1, sizeof(head), f);
	fclose(f);
	execfile_look(&x, str_n(head, n));
	assert_int_equal(x.kind, EXECFILE_ELF);
	assert_true(x.ours);
	assert_string_equal(execfile_machine_name(x.machine), execfile_machine_here());
	assert_true(str_starts(x.interpreter, STR("/lib")));

	head[18] = (char)EM_AARCH64;
	head[19] = 0;
	if (x.machine == EM_AARCH64)
		head[18] = EM_X86_64;
	execfile_look(&x, str_n(head, n));
	assert_int_equal(x.kind, EXECFILE_ELF);
	assert_false(x.ours);
	assert_int_equal(x.interpreter.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scripts),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_this_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

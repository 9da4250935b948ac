/* Tables: every type at its edges, the three sources, suggestions, help. */
#include "base/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

struct conf {
	char *listen, *data, *price;
	uint32_t n;
	uint64_t size, wait;
	bool json;
};

static const struct setting table[] = {
	{.name = "listen",
	 .flag = "--listen",
	 .env = "WICK_LISTEN",
	 .metavar = "ADDR:PORT",
	 .type = SETTING_STRING,
	 .dflt = "127.0.0.1:9000",
	 .offset = offsetof(struct conf, listen),
	 .help = "Where to listen."},
	{.name = "data",
	 .flag = "--data",
	 .env = "WICK_DATA",
	 .metavar = "DIR",
	 .type = SETTING_PATH,
	 .offset = offsetof(struct conf, data),
	 .help = "Folder."},
	{.name = "price",
	 .flag = "--price",
	 .type = SETTING_MONEY,
	 .dflt = "0.5",
	 .offset = offsetof(struct conf, price),
	 .help = "Price."},
	{.name = "n",
	 .flag = "--n",
	 .type = SETTING_U32,
	 .dflt = "5",
	 .min = 1,
	 .max = 900,
	 .offset = offsetof(struct conf, n),
	 .help = "Number."},
	{.name = "size",
	 .flag = "--size",
	 .type = SETTING_BYTES,
	 .dflt = "64m",
	 .offset = offsetof(struct conf, size),
	 .help = "Size."},
	{.name = "wait",
	 .flag = "--wait",
	 .env = "WICK_WAIT",
	 .type = SETTING_DURATION,
	 .dflt = "60s",
	 .min = 1,
	 .max = 3600000,
	 .offset = offsetof(struct conf, wait),
	 .help = "Time."},
	{.name = "json",
	 .flag = "--json",
	 .type = SETTING_BOOL,
	 .offset = offsetof(struct conf, json),
	 .help = "As JSON."},
};
#define N ARRAY_SIZE(table)

static void values(void **state)
{
	static const struct {
		const char *name, *text, *back; /* back NULL: refused, text of the error in message */
		const char *message;
	} cases[] = {
		{"n", "900", "900", NULL},
		{"n", "901", NULL, "f: 901 is not in 1..900"},
		{"n", "0", NULL, "f: 0 is not in 1..900"},
		{"n", "-1", NULL, "f: '-1' is not a whole number"},
		{"n", "", NULL, "f: '' is not a whole number"},
		{"size", "1024", "1k", NULL},
		{"size", "3G", "3g", NULL},
		{"size", "1000", "1000", NULL},
		{"size", "99999999t", NULL, "f: '99999999t' is not a size such as 64m"},
		{"size", "1.5g", NULL, "f: '1.5g' is not a size such as 64m"},
		{"wait", "5", "5s", NULL},
		{"wait", "1500ms", "1500ms", NULL},
		{"wait", "60m", "1h", NULL},
		{"wait", "2h", NULL, "f: 2h is not in 1ms..1h"},
		{"wait", "1w", NULL, "f: '1w' is not a time such as 500ms, 60s or 5m"},
		{"json", "Yes", "true", NULL},
		{"json", "off", "false", NULL},
		{"json", "maybe", NULL, "f: 'maybe' is neither true nor false"},
		{"price", "0.0000166667", "0.0000166667", NULL},
		{"price", "1e3", NULL, "f: '1e3' is not an amount in USD such as 0.0000166667"},
		{"data", "", NULL, "f: a path is needed"},
		{"listen", "", "", NULL},
		{"lisen", "", NULL, "f: there is no setting 'lisen'; did you mean 'listen'?"},
		{"colour", "", NULL, "f: there is no setting 'colour'"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(err_done) struct err err = ERR_NULL;
		struct conf c = {0};
		int r;

		settings_defaults(table, N, &c);
		r = settings_set(table, N, &c, cases[i].name, cases[i].text, "f", &err);
		assert_int_equal(r, cases[i].back ? 0 : -1);
		if (r)
			assert_string_equal(err.msg, cases[i].message);
		for (size_t k = 0; r == 0 && k < N; k++) {
			_cleanup_(buf_done) struct buf b = BUF_NULL;

			if (strcmp(table[k].name, cases[i].name) != 0)
				continue;
			setting_format(&table[k], &c, &b);
			assert_string_equal(buf_cstr(&b), cases[i].back);
		}
		settings_done(table, N, &c);
	}
}

static void sources(void **state)
{
	const char *env[] = {"PATH=/bin", "WICK_WAIT=2s", "WICK_DATA=/e", "odd", NULL};
	const char *given[] = {"run", "--data=/a", "--json", "x", "--n", "7", "-", "--", "--n", NULL};
	char *argv[ARRAY_SIZE(given)];
	_cleanup_(err_done) struct err err = ERR_NULL;
	struct conf c = {0};
	int argc = 9;

	memcpy(argv, given, sizeof(argv));
	settings_defaults(table, N, &c);
	assert_string_equal(c.listen, "127.0.0.1:9000");
	assert_string_equal(c.data, "");
	assert_int_equal(c.size, 64 << 20);
	assert_int_equal(settings_apply_env(table, N, &c, (char *const *)env, &err), 0);
	assert_string_equal(c.data, "/e");
	assert_int_equal(settings_apply_argv(table, N, &c, &argc, argv, &err), 0);
	assert_string_equal(c.data, "/a");
	assert_int_equal(c.wait, 2000);
	assert_int_equal(c.n, 7);
	assert_true(c.json);
	assert_int_equal(argc, 4);
	assert_string_equal(argv[1], "x");
	assert_string_equal(argv[2], "-");
	assert_string_equal(argv[3], "--n");
	settings_done(table, N, &c);
}

static void wrong_flags(void **state)
{
	static const struct {
		const char *argv[2];
		int argc;
		const char *message;
	} cases[] = {
		{{"--lsten=x"}, 1, "unknown option --lsten; did you mean --listen?"},
		{{"--colour"}, 1, "unknown option --colour"},
		{{"-x"}, 1, "unknown option -x"},
		{{"--data"}, 1, "--data needs a value: DIR"},
		{{"--n", "y"}, 2, "--n: 'y' is not a whole number"},
		{{"--no-json=1"}, 1, "--no-json takes no value"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(err_done) struct err err = ERR_NULL;
		struct conf c = {0};
		char *argv[2] = {(char *)cases[i].argv[0], (char *)cases[i].argv[1]};
		int argc = cases[i].argc;

		settings_defaults(table, N, &c);
		assert_int_equal(settings_apply_argv(table, N, &c, &argc, argv, &err), -1);
		assert_string_equal(err.msg, cases[i].message);
		settings_done(table, N, &c);
	}
}

static void help(void **state)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	settings_help(table, 1, &b);
	assert_string_equal(buf_cstr(&b), "  --listen ADDR:PORT\n          Where to listen. Default: 127.0.0.1:9000. "
					  "(WICK_LISTEN)\n");
	buf_clear(&b);
	settings_markdown(table, N, &b);
	assert_non_null(strstr(buf_cstr(&b),
			       "| `listen` | `--listen` | `WICK_LISTEN` | `127.0.0.1:9000` | Where to listen. |"));
	buf_clear(&b);
	settings_roff(table, N, &b);
	assert_non_null(strstr(buf_cstr(&b), ".TP\n.B \\-\\-listen \\fIADDR:PORT\\fR\nWhere to listen."));
	buf_clear(&b);
	text_wrap(&b, "aaa bbb ccc", 2, 9);
	assert_string_equal(buf_cstr(&b), "aaa bbb\n  ccc\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values),
		cmocka_unit_test(sources),
		cmocka_unit_test(wrong_flags),
		cmocka_unit_test(help),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

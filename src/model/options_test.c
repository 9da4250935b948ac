/* Options: every runtime's name, every tag with what it may say and what not, the defaults. */
#include "model/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static int parse(struct function_options *o, const char *runtime, const char *tag, const char *value, struct err *err)
{
	struct kv tags[] = {{STR("team"), STR("x")}, {str_from(tag), str_from(value)}};
	struct function f = {.runtime = str_from(runtime), .handler = STR("app.handler"), .tags = tags};

	f.n_tags = tag ? 2 : 1;
	return function_options_parse(o, &f, err);
}

static void defaults(void **state)
{
	struct function_options o;

	assert_int_equal(parse(&o, "python3.11", NULL, NULL, NULL), 0);
	assert_int_equal(o.kind, RUNTIME_PYTHON);
	assert_int_equal(o.network, NETWORK_GATEWAY);
	assert_int_equal(o.concurrency, 1);
	assert_int_equal(o.idle_ms, -1);
	assert_int_equal(o.port, 8080);
	assert_int_equal(o.ready.n, 0);
	assert_int_equal(parse(&o, "web", NULL, NULL, NULL), 0);
	assert_int_equal(o.concurrency, 100);
	assert_true(str_eqz(o.command, "app.handler"));
	assert_int_equal(parse(&o, "web", "wick:command", "python3 serve.py", NULL), 0);
	assert_true(str_eqz(o.command, "python3 serve.py"));
}

static void runtimes(void **state)
{
	static const struct {
		const char *name;
		int kind; /* -1: refused */
	} cases[] = {
		{"python3.9", RUNTIME_PYTHON},
		{"python3.13", RUNTIME_PYTHON},
		{"nodejs", RUNTIME_NODEJS},
		{"nodejs20.x", RUNTIME_NODEJS},
		{"provided", RUNTIME_PROVIDED},
		{"provided.al2", RUNTIME_PROVIDED},
		{"provided.al2023", RUNTIME_PROVIDED},
		{"native", RUNTIME_NATIVE},
		{"web", RUNTIME_WEB},
		{"python2.7", -1},
		{"python3.", -1},
		{"python3.111", -1},
		{"nodejs20", -1},
		{"nodejs.x", -1},
		{"nodejsab.x", -1},
		{"java21", -1},
		{"", -1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(err_done) struct err err = ERR_NULL;
		struct function_options o;
		int r = parse(&o, cases[i].name, NULL, NULL, &err);

		if ((r < 0) != (cases[i].kind < 0) || (r == 0 && (int)o.kind != cases[i].kind))
			fail_msg("%s", cases[i].name);
		assert_true(r == 0 || strstr(err.msg, "provided.al2023"));
	}
	assert_string_equal(runtime_kind_name(RUNTIME_NATIVE), "native");
}

static void tags(void **state)
{
	static const struct {
		const char *tag, *value, *refusal; /* NULL: taken */
	} cases[] = {
		{"wick:runtime", "web", NULL},
		{"wick:runtime", "ruby", "python, nodejs, provided, native or web"},
		{"wick:network", "none", NULL},
		{"wick:network", "internet", NULL},
		{"wick:network", "lan", "none, gateway or internet"},
		{"wick:concurrency", "1000", NULL},
		{"wick:concurrency", "0", "1 to 1000"},
		{"wick:concurrency", "1001", "1 to 1000"},
		{"wick:concurrency", "", "1 to 1000"},
		{"wick:idle", "0", NULL},
		{"wick:idle", "500ms", NULL},
		{"wick:idle", "1d", NULL},
		{"wick:idle", "2d", "at most 1d"},
		{"wick:idle", "", "at most 1d"},
		{"wick:idle", "soon", "at most 1d"},
		{"wick:idle", "11111111111111111111111111111111111111s", "at most 1d"},
		{"wick:command", " ", "a program"},
		{"wick:port", "1024", NULL},
		{"wick:port", "80", "1024 to 65535"},
		{"wick:port", "9001", "not 9000 or 9001"},
		{"wick:port", "70000", "1024 to 65535"},
		{"wick:ready", "/health?x=1", NULL},
		{"wick:ready", "health", "a path"},
		{"wick:ready", "/a b", "a path"},
		{"wick:device", "cpu", NULL},
		{"wick:device", "gpu, accelerator,fpga-2,cpu", NULL},
		{"wick:device", "", "not a list of names"},
		{"wick:device", "gpu,", "not a list of names"},
		{"wick:device", ",gpu", "not a list of names"},
		{"wick:device", "gpu cpu", "not a list of names"},
		{"wick:device", "gpu,cpu,gpu", "twice"},
		{"wick:device", "a,b,c,d,e", "more than there may be"},
		{"wick:slice", "1/8", NULL},
		{"wick:slice", "64", NULL},
		{"wick:slice", "0", "1/8 to 8/8"},
		{"wick:slice", "65", "1/8 to 8/8"},
		{"wick:slice", "9/8", "1/8 to 8/8"},
		{"wick:slice", "1/3", "1/8 to 8/8"},
		{"wick:slice", "", "1/8 to 8/8"},
		{"wick:device-memory", "1", NULL},
		{"wick:device-memory", "16777216", NULL},
		{"wick:device-memory", "16777217", "MiB"},
		{"wick:device-memory", "0", "MiB"},
		{"wick:device-memory", "4GB", "MiB"},
		{"wick:place", "edge,lab.2", NULL},
		{"wick:place", "edge,,lab", "not a list of names"},
		{"wick:place", "a,b,c,d,e,f,g,h,i", "more than there may be"},
		{"wick:park", "off", NULL},
		{"wick:park", "yes", "on or off"},
		{"wick:spread", "", "on or off"},
		{"wick:concurency", "2", "wick:concurrency, wick:idle"},
		{"wick:", "", "those that begin with wick:"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(err_done) struct err err = ERR_NULL;
		struct function_options o;
		int r = parse(&o, "python3.11", cases[i].tag, cases[i].value, &err);

		if ((r < 0) != (cases[i].refusal != NULL) || (r < 0 && !strstr(err.msg, cases[i].refusal)))
			fail_msg("%s=%s: %s", cases[i].tag, cases[i].value, err.msg ? err.msg : "taken");
		if (r < 0 && !strstr(err.msg, cases[i].tag))
			fail_msg("%s: not named in: %s", cases[i].tag, err.msg);
	}
}

static void values(void **state)
{
	struct kv all[] = {{STR("wick:runtime"), STR("web")},     {STR("wick:network"), STR("internet")},
			   {STR("wick:concurrency"), STR("7")},   {STR("wick:idle"), STR("2m")},
			   {STR("wick:command"), STR("./serve")}, {STR("wick:port"), STR("3000")},
			   {STR("wick:ready"), STR("/up")}};
	struct function f = {.runtime = STR("provided.al2023"), .tags = all, .n_tags = ARRAY_SIZE(all)};
	struct function_options o;

	assert_int_equal(function_options_parse(&o, &f, NULL), 0);
	assert_int_equal(o.kind, RUNTIME_WEB);
	assert_int_equal(o.network, NETWORK_INTERNET);
	assert_int_equal(o.concurrency, 7);
	assert_int_equal(o.idle_ms, 120000);
	assert_true(str_eqz(o.command, "./serve"));
	assert_int_equal(o.port, 3000);
	assert_true(str_eqz(o.ready, "/up"));
	f.n_tags = 1;
	assert_int_equal(function_options_parse(&o, &f, NULL), -1); /* nothing to start */
}

static int parse_tags(struct function_options *o, struct kv *kv, size_t n, struct err *err)
{
	return function_options_parse(o, &(struct function){.runtime = STR("python3.11"), .tags = kv, .n_tags = n},
				      err);
}

static void devices(void **state)
{
	struct kv all[] = {{STR("wick:device"), STR("gpu,cpu")},
			   {STR("wick:slice"), STR("3/4")},
			   {STR("wick:device-memory"), STR("4096")},
			   {STR("wick:place"), STR("edge, lab")},
			   {STR("wick:park"), STR("on")},
			   {STR("wick:spread"), STR("on")}};
	struct kv cpu[] = {{STR("wick:device"), STR("cpu")}, {STR("wick:device-memory"), STR("64")}};
	_cleanup_(err_done) struct err err = ERR_NULL;
	struct function_options o;

	assert_int_equal(parse_tags(&o, all, ARRAY_SIZE(all), NULL), 0);
	assert_int_equal(o.device.n_kinds, 2);
	assert_true(str_eqz(o.device.kinds[0], "gpu") && str_eqz(o.device.kinds[1], "cpu"));
	assert_true(o.device.sliced && o.device.park && o.device.spread);
	assert_int_equal(o.device.slots, 6);
	assert_int_equal(o.device.whole, 0);
	assert_int_equal(o.device.memory_mb, 4096);
	assert_int_equal(o.device.n_labels, 2);
	assert_true(str_eqz(o.device.labels[0], "edge") && str_eqz(o.device.labels[1], "lab"));

	/* A slice without a device is of a GPU, and so is memory. */
	assert_int_equal(parse_tags(&o, all + 1, 1, NULL), 0);
	assert_true(o.device.n_kinds == 1 && str_eqz(o.device.kinds[0], "gpu"));
	assert_int_equal(parse_tags(&o, all + 2, 1, NULL), 0);
	assert_true(o.device.n_kinds == 1 && str_eqz(o.device.kinds[0], "gpu"));
	assert_true(!o.device.sliced && o.device.whole == 1 && o.device.slots == DEVICE_SLOTS);
	/* A place alone is no device. */
	assert_int_equal(parse_tags(&o, all + 3, 1, NULL), 0);
	assert_int_equal(o.device.n_kinds, 0);
	assert_int_equal(parse_tags(&o, NULL, 0, NULL), 0);
	assert_true(!o.device.n_kinds && !o.device.n_labels && !o.device.park && !o.device.spread);

	assert_int_equal(parse_tags(&o, cpu, 1, NULL), 0);
	assert_int_equal(parse_tags(&o, cpu, 2, &err), -1);
	assert_non_null(strstr(err.msg, "wick:device-memory: the CPU has no memory of its own"));
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(defaults), cmocka_unit_test(runtimes), cmocka_unit_test(tags),
		cmocka_unit_test(values),   cmocka_unit_test(devices),
	};

	return cmocka_run_group_tests(all, NULL, NULL);
}

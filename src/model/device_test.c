/* Devices survive their document, wrong documents are named, and what a person declares becomes the devices meant. */
#include "model/device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_round_trip(void **state)
{
	struct str caps[] = {STR("/dev/nvidia-caps/nvidia-cap12")},
		   files[] = {STR("/dev/nvidia0"), STR("/dev/nvidiactl")};
	struct str libraries[] = {STR("/opt/x/lib")}, env[] = {STR("A=1")};
	struct device_mig mig[] = {
		{.uuid = STR("MIG-a"),
		 .profile = STR("1g.18gb"),
		 .slots = 1,
		 .memory_mb = 18000,
		 .files = caps,
		 .n_files = 1},
		{.uuid = STR("MIG-b"), .slots = 7},
	};
	struct device d =
			      {
				      .id = STR("GPU-1"),
				      .kind = STR("gpu"),
				      .model = STR("NVIDIA H200"),
				      .source = DEVICE_NVML,
				      .memory_mb = 143771,
				      .index = 3,
				      .pci = STR("0000:01:00.0"),
				      .driver = STR("550.1"),
				      .capability = STR("9.0"),
				      .mps = true,
				      .mig = mig,
				      .n_mig = 2,
				      .mig_mode = true,
				      .files = files,
				      .n_files = 2,
				      .libraries = libraries,
				      .n_libraries = 1,
				      .env = env,
				      .n_env = 1,
				      .utilisation_percent = 50,
				      .temperature_c = 40,
				      .power_w = 300,
				      .processes = 2,
				      .memory_used_mb = 1000,
				      .lost = true,
				      .trouble = STR("x"),
			      },
		      e;
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	_cleanup_json_ json_t *j = device_to_json(&d), *k = NULL;

	assert_int_equal(device_from_json(&e, j, &a, NULL), 0);
	k = device_to_json(&e);
	assert_true(json_equal(j, k));
	assert_int_equal(e.n_mig, 2);
	assert_true(str_eqz(e.mig[0].files[0], "/dev/nvidia-caps/nvidia-cap12"));
	assert_int_equal(e.mig[1].slots, 7);
	assert_true(device_mig_find(&e, STR("MIG-b")) == &e.mig[1]);
	assert_null(device_mig_find(&e, STR("MIG-c")));
	assert_true(device_equal(&d, &e));
	e.temperature_c = 90;
	assert_true(device_equal(&d, &e));
	e.trouble = STR_NULL;
	assert_false(device_equal(&d, &e));
}

static void test_wrong(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{"[]", "not an object"},
		{"{\"kind\":\"gpu\"}", "id is missing"},
		{"{\"id\":\"\",\"kind\":\"gpu\"}", "id is empty"},
		{"{\"id\":\"a\",\"kind\":\"gpu\",\"source\":\"moon\"}", "moon"},
		{"{\"id\":\"a\",\"kind\":\"gpu\",\"memory_mb\":-1}", "memory_mb"},
		{"{\"id\":\"a\",\"kind\":\"gpu\",\"mps\":1}", "mps is neither"},
		{"{\"id\":\"a\",\"kind\":\"gpu\",\"files\":{}}", "files is not an array"},
		{"{\"id\":\"a\",\"kind\":\"gpu\",\"env\":[1]}", "env: an element"},
		{"{\"id\":\"a\",\"kind\":\"gpu\",\"mig\":[{}]}", "mig: uuid is missing"},
		{"{\"id\":\"a\",\"kind\":\"gpu\",\"mig\":[{\"uuid\":\"m\",\"slots\":9}]}", "slots is more than 8"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(arena_done) struct arena a = ARENA_NULL;
		_cleanup_(err_done) struct err err = ERR_NULL;
		_cleanup_json_ json_t *j = json_parse(str_from(rows[i].text), &err);
		struct device d;

		assert_non_null(j);
		assert_int_equal(device_from_json(&d, j, &a, &err), -1);
		assert_non_null(strstr(err.msg, rows[i].says));
	}
}

static void test_rungs(void **state)
{
	struct device gpu = {.source = DEVICE_NVML}, cpu = {.source = DEVICE_CPU};
	struct device pocl = {.source = DEVICE_OPENCL, .host_memory = true};

	assert_int_equal(device_rung_of(&gpu, 3, true), RUNG_MIG);
	assert_int_equal(device_rung_of(&gpu, 8, false), RUNG_WHOLE);
	assert_int_equal(device_rung_of(&gpu, 7, false), RUNG_WATCHED);
	gpu.mps = true;
	assert_int_equal(device_rung_of(&gpu, 7, false), RUNG_MPS);
	assert_int_equal(device_rung_of(&cpu, 8, false), RUNG_NONE);
	assert_int_equal(device_rung_of(&pocl, 8, false), RUNG_NONE);
	for (unsigned i = 0; i < DEVICE_RUNGS; i++)
		assert_non_null(device_rung_name((enum device_rung)i));
}

static void test_declared(void **state)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	_cleanup_(err_done) struct err err = ERR_NULL;
	struct device *d;
	size_t n;

	if (devices_declared_parse(
		    STR("fpga:2:mem=4096:file=/dev/xdma%_user:file=/dev/a\\%b:lib=/opt/xrt/lib:env=XRT=/o\\:/p; ;"
			"tpu:model=Edge TPU:pci=0000\\:01\\:00.0:id=edge;fpga:mem=1"),
		    &a, &d, &n, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(n, 4);
	assert_true(str_eqz(d[0].id, "fpga-0") && str_eqz(d[1].id, "fpga-1") && str_eqz(d[3].id, "fpga-2"));
	assert_true(str_eqz(d[1].kind, "fpga"));
	assert_int_equal(d[1].memory_mb, 4096);
	assert_true(str_eqz(d[0].files[0], "/dev/xdma0_user") && str_eqz(d[1].files[0], "/dev/xdma1_user"));
	assert_true(str_eqz(d[1].files[1], "/dev/a%b"));
	assert_true(str_eqz(d[1].env[0], "XRT=/o:/p"));
	assert_true(str_eqz(d[1].libraries[0], "/opt/xrt/lib"));
	assert_int_equal(d[1].source, DEVICE_DECLARED);
	assert_true(str_eqz(d[2].id, "edge") && str_eqz(d[2].pci, "0000:01:00.0") && str_eqz(d[2].model, "Edge TPU"));
	assert_int_equal(devices_declared_parse(STR(""), &a, &d, &n, &err), 0);
	assert_int_equal(n, 0);
}

static void test_declared_wrong(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{":2", "no kind"},
		{"a b", "no kind"},
		{"fpga:0", "count"},
		{"fpga:65", "count"},
		{"fpga:2:3", "\"3\" is not NAME=value"},
		{"fpga:mem=4g", "MiB"},
		{"fpga:file=dev/x", "no absolute path"},
		{"fpga:lib=", "no absolute path"},
		{"fpga:env==x", "not NAME=value"},
		{"fpga:size=3", "none of mem"},
		{"fpga:2:id=x", "one device"},
		{"a:id=x;b:id=x", "twice"},
		{"a:64;b:64;c:64;d:64;e", "more than 256"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(arena_done) struct arena a = ARENA_NULL;
		_cleanup_(err_done) struct err err = ERR_NULL;
		struct device *d;
		size_t n;

		assert_int_equal(devices_declared_parse(str_from(rows[i].text), &a, &d, &n, &err), -1);
		if (!strstr(err.msg, rows[i].says))
			fail_msg("%s: %s", rows[i].text, err.msg);
	}
}

static void declared_document(const char *text, size_t count, const char *says)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	_cleanup_(err_done) struct err err = ERR_NULL;
	_cleanup_json_ json_t *j = json_parse(str_from(text), &err);
	struct device *d;
	size_t n = 0;

	assert_non_null(j);
	assert_int_equal(devices_declared_from_json(j, &a, &d, &n, &err), says ? -1 : 0);
	if (says && !strstr(err.msg, says))
		fail_msg("%s: %s", text, err.msg);
	assert_int_equal(n, count);
}

static void test_declared_documents(void **state)
{
	declared_document("[{\"kind\":\"fpga\",\"count\":2,\"files\":[\"/dev/x%\"],\"env\":[\"A=b\"]}]", 2, NULL);
	declared_document("{\"devices\":[{\"kind\":\"fpga\"},{\"kind\":\"fpga\",\"memory_mb\":1}]}", 2, NULL);
	declared_document("{}", 0, "not a list");
	declared_document("[1]", 0, "entry 1: is not a map");
	declared_document("[{\"count\":1}]", 0, "kind is missing");
	declared_document("[{\"kind\":\"a\",\"memory\":1}]", 0, "\"memory\" is no member");
	declared_document("[{\"kind\":\"a\",\"files\":\"/x\"}]", 0, "files is not a list");
	declared_document("[{\"kind\":\"a\",\"count\":1000}]", 0, "count is 1000");
}

/* What another machine may say that is a device's document, and is not believed. */
static void test_check(void **state)
{
	static char long_text[DEVICE_TROUBLE_MAX + 2];
	struct device_mig mig[9];
	struct device good = {.id = STR("GPU-1"), .kind = STR("gpu"), .memory_mb = 1024, .mig = mig}, d;
	_cleanup_(err_done) struct err err = ERR_NULL;

	memset(long_text, 'x', sizeof(long_text) - 1);
	for (size_t i = 0; i < ARRAY_SIZE(mig); i++)
		mig[i] = (struct device_mig){.uuid = str_sub(STR("123456789"), i, 1), .slots = 1};
#define REFUSED(member, value, says)                                                                                   \
	do {                                                                                                           \
		d = good;                                                                                              \
		d.member = value;                                                                                      \
		assert_int_equal(device_check(&d, &err), -1);                                                          \
		assert_non_null(strstr(err.msg, says));                                                                \
	} while (0)
	assert_int_equal(device_check(&good, &err), 0);
	REFUSED(id, str_n(long_text, DEVICE_TEXT_MAX + 1), "id has 128 bytes");
	REFUSED(kind, STR("a,b"), "kind");
	REFUSED(kind, str_n(long_text, 64), "kind has 64");
	REFUSED(model, STR("a\nb"), "model has control");
	REFUSED(trouble, str_from(long_text), "trouble has 512");
	REFUSED(memory_mb, (16ull << 20) + 1, "memory is");
	REFUSED(n_mig, 9, "9 MIG instances");
	mig[1].uuid = mig[0].uuid;
	REFUSED(n_mig, 2, "one uuid");
	mig[1].slots = 0;
	REFUSED(n_mig, 2, "no slots");
	mig[1].uuid = STR("");
	REFUSED(n_mig, 2, "no uuid");
	mig[0].memory_mb = UINT64_MAX;
	REFUSED(n_mig, 1, "memory of a MIG instance");
#undef REFUSED
	/* The most that is believed. */
	d = good;
	d.id = str_n(long_text, DEVICE_TEXT_MAX);
	d.trouble = str_n(long_text, DEVICE_TROUBLE_MAX);
	d.memory_mb = 16ull << 20;
	assert_int_equal(device_check(&d, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_rungs),          cmocka_unit_test(test_declared),
		cmocka_unit_test(test_declared_wrong), cmocka_unit_test(test_declared_documents),
		cmocka_unit_test(test_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

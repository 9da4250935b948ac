/* Gateways as files, addresses and names. */
#include "node/gates.h"

#include "base/mem.h"
#include "sys/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void check_url(const char *url, const char *host, uint16_t port)
{
	char *got = NULL;
	uint16_t n = 0;

	assert_int_equal(gate_url_parse(url, &got, &n, NULL), 0);
	assert_string_equal(got, host);
	assert_int_equal(n, port);
	free(got);
}

static void urls(void **state)
{
	static const char *const bad[] = {"",          ":9001",   "a:",        "a:0",  "a:65536", "a:b",       "a b:1",
					  "[::1:9001", "[]:9001", "[::1]9001", "-a:1", "a:1:2",   "http://a:1"};
	struct err err = ERR_NULL;
	char *host = NULL;
	uint16_t port;

	check_url("example.org:9001", "example.org", 9001);
	check_url("example.org", "example.org", 9001);
	check_url("https://example.org:443/", "example.org", 443);
	check_url("192.0.2.7:1", "192.0.2.7", 1);
	check_url("[2001:db8::7]:9002", "2001:db8::7", 9002);
	check_url("[::1]", "::1", 9001);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(gate_url_parse(bad[i], &host, &port, &err), -1);
		assert_non_null(strstr(err.msg, "HOST:PORT"));
		err_done(&err);
	}
	assert_null(host);
}

static void check_name(const char *host, const char *want)
{
	_cleanup_(freep) char *got = node_name_from(host);

	assert_string_equal(got, want);
	assert_true(node_name_is(str_from(got)));
}

static void names(void **state)
{
	check_name("GPU-1.example.org", "gpu-1");
	check_name("my_box", "my-box");
	check_name("-x-", "x");
	check_name("", "node");
	check_name("___", "node");
	check_name("aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggg",
		   "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg");
	assert_false(node_name_is(STR("a.b")));
	assert_false(node_name_is(STR("A")));
	assert_false(node_name_is(STR("-a")));
	assert_false(node_name_is(STR("")));
}

static void files(void **state)
{
	char folder[] = "/tmp/wick-gates-XXXXXX";
	char url[] = "[::1]:9001", fingerprint[] = "SHA256:x", name[] = "gpu1", token[] = "wickt_secret";
	struct gate_entry e = {.url = url, .fingerprint = fingerprint, .name = name, .token = token};
	_cleanup_(freep) struct gate_entry *all = NULL;
	_cleanup_(freep) char *path = NULL, *other = NULL;
	_cleanup_(buf_done) struct buf text = BUF_NULL;
	struct err err = ERR_NULL;
	struct stat st;
	size_t n = 7;

	assert_non_null(mkdtemp(folder));
	path = xasprintf("%s/%%5B%%3A%%3A1%%5D%%3A9001.json", folder);
	other = xasprintf("%s/x.json", folder);
	assert_int_equal(gates_save(folder, &e, &err), 0);
	name[3] = '2';
	assert_int_equal(gates_save(folder, &e, &err), 0); /* in its place */
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(file_read(path, 4096, &text), 0);
	assert_null(strstr(buf_cstr(&text), "secret"));
	assert_int_equal(gates_load(folder, &all, &n, &err), 0);
	assert_int_equal(n, 1);
	assert_string_equal(all[0].url, "[::1]:9001");
	assert_string_equal(all[0].host, "::1");
	assert_string_equal(all[0].name, "gpu2");
	assert_string_equal(all[0].fingerprint, "SHA256:x");
	assert_null(all[0].token);
	gate_entry_done(&all[0]);
	freep(&all);
	all = NULL;
	assert_int_equal(file_write(other, STR("{\"url\": 1}"), 0600), 0);
	assert_int_equal(gates_load(folder, &all, &n, &err), -1);
	assert_non_null(strstr(err.msg, "x.json"));
	err_done(&err);
	assert_int_equal(rm_rf(folder), 0);
	assert_int_equal(gates_load(folder, &all, &n, &err), 0); /* no folder: none */
	assert_int_equal(n, 0);
}

static void documents(void **state)
{
	static const char *const bad[] = {"",
					  "[]",
					  "{}",
					  "{\"url\":\"\"}",
					  "{\"url\":\"a b\"}",
					  "{\"url\":\"a\",\"name\":\"A\"}",
					  "{\"url\":\"a\",\"ca\":1}",
					  "{\"url\":\"a\\u0000b\"}"};
	struct err err = ERR_NULL;
	struct gate_entry e = {0};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(gate_entry_parse(&e, str_from(bad[i]), &err), -1);
		assert_non_null(err.msg);
		err_done(&err);
	}
	assert_null(e.url);
	assert_int_equal(gate_entry_parse(&e, STR("{\"url\":\"a\",\"more\":[1]}"), &err), 0);
	assert_int_equal(e.port, 9001);
	gate_entry_done(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urls),
		cmocka_unit_test(names),
		cmocka_unit_test(files),
		cmocka_unit_test(documents),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

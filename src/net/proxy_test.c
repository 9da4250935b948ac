/* What is said to and by a proxy. */
#include "net/proxy.h"

#include "base/mem.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

static void test_urls(void **state)
{
	const struct {
		const char *url, *host;
		uint16_t port;
		const char *credentials;
	} good[] = {
		{"http://proxy:3128", "proxy", 3128, NULL},
		{"HTTP://proxy.example/", "proxy.example", 80, NULL},
		{"http://[::1]:3128", "::1", 3128, NULL},
		{"http://[fe80::1%eth0]", "fe80::1%eth0", 80, NULL},
		{"http://u:p@10.0.0.1:8080", "10.0.0.1", 8080, "u:p"},
		{"http://u@proxy", "proxy", 80, "u:"},
		{"http://me%40work:p%3a%25@proxy:1", "proxy", 1, "me@work:p:%"},
		{"http://u:p@ss@proxy:1", "proxy", 1, "u:p@ss"},
	};
	const char *bad[] = {
		"",
		"proxy:3128",
		"https://proxy:3128",
		"http://",
		"http://:3128",
		"http://proxy:0",
		"http://proxy:65536",
		"http://proxy:x",
		"http://proxy:",
		"http://proxy:1/path",
		"http://pro xy:1",
		"http://::1:3128",
		"http://[::1:3128",
		"http://[::1]3128",
		"http://[proxy]:1",
		"http://u:%0d%0aX@proxy:1",
		"http://u:%g0@proxy:1",
		"http://u:%1@proxy:1",
		"http://u%3av:p@proxy:1",
	};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct proxy p;
		const char *why = NULL;

		if (!proxy_parse(str_from(good[i].url), &p, &why))
			fail_msg("%s: %s", good[i].url, why);
		assert_string_equal(p.host, good[i].host);
		assert_int_equal(p.port, good[i].port);
		if (good[i].credentials)
			assert_string_equal(p.credentials, good[i].credentials);
		else
			assert_null(p.credentials);
		proxy_done(&p);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct proxy p;
		const char *why = NULL;

		if (proxy_parse(str_from(bad[i]), &p, &why))
			fail_msg("%s was taken", bad[i]);
		assert_non_null(why);
	}
}

static void expect_request(const char *credentials, const char *host, const char *request)
{
	struct proxy p = {.credentials = (char *)credentials};
	struct buf b = BUF_NULL;

	proxy_connect(&b, &p, host, 9001);
	assert_string_equal(buf_cstr(&b), request);
	buf_done(&b);
}

static void test_request(void **state)
{
	expect_request(NULL, "gate", "CONNECT gate:9001 HTTP/1.1\r\nHost: gate:9001\r\n\r\n");
	expect_request(NULL, "::1", "CONNECT [::1]:9001 HTTP/1.1\r\nHost: [::1]:9001\r\n\r\n");
	/* RFC 7617's example, and its neighbours in length. */
	expect_request("Aladdin:open sesame", "g",
		       "CONNECT g:9001 HTTP/1.1\r\nHost: g:9001\r\n"
		       "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n");
	expect_request("a:bcd", "g",
		       "CONNECT g:9001 HTTP/1.1\r\nHost: g:9001\r\nProxy-Authorization: Basic YTpiY2Q=\r\n\r\n");
	expect_request("a:\xc3\xbc\xff", "g",
		       "CONNECT g:9001 HTTP/1.1\r\nHost: g:9001\r\nProxy-Authorization: Basic YTrDvP8=\r\n\r\n");
	assert_true(proxy_is_host(STR("gate-1.example")) && proxy_is_host(STR("::1")));
	assert_false(proxy_is_host(STR("")) || proxy_is_host(STR("a b")) || proxy_is_host(STR("a\r\nb")));
}

static void test_answers(void **state)
{
	const struct {
		const char *in;
		ssize_t n;
		unsigned status;
		const char *reason;
	} cases[] = {
		{"", 0, 0, NULL},
		{"HTT", 0, 0, NULL},
		{"HTTP/1.1 200 OK\r\n", 0, 0, NULL},
		{"HTTP/1.1 200 OK\r\n\r", 0, 0, NULL},
		{"HTTP/1.1 200 Connection established\r\n\r\nmore", 39, 200, "Connection established"},
		{"HTTP/1.0 407 Who?\r\nProxy-Authenticate: Basic\r\n\r\n", 48, 407, "Who?"},
		{"HTTP/1.1 200\r\n\r\n", 16, 200, ""},
		{"HTTP/1.1 200 \r\n\r\n", 17, 200, ""},
		{"HTTP/1.1 500 a\x1b[2Jb\r\n\r\n", 23, 500, "a"},
		{"hello", -1, 0, NULL},
		{"SSH-2.0-OpenSSH_9.2\r\n", -1, 0, NULL},
		{"HTTP/2.0 200 OK\r\n\r\n", -1, 0, NULL},
		{"HTTP/1.2 200 OK\r\n\r\n", -1, 0, NULL},
		{"HTTP/1.1 099 OK\r\n\r\n", -1, 0, NULL},
		{"HTTP/1.1 600 OK\r\n\r\n", -1, 0, NULL},
		{"HTTP/1.1 2000 OK\r\n\r\n", -1, 0, NULL},
		{"HTTP/1.1 20\r\n\r\n", -1, 0, NULL},
		{"HTTP/1.1\r\n\r\n", -1, 0, NULL},
	};
	_cleanup_(freep) char *text = xmalloc(PROXY_HEAD_MAX + 1);
	unsigned status;
	struct str reason;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		ssize_t n = proxy_answer(str_from(cases[i].in), &status, &reason);

		if (n != cases[i].n)
			fail_msg("case %zu: %zd", i, n);
		if (n <= 0)
			continue;
		assert_int_equal(status, cases[i].status);
		assert_true(str_eqz(reason, cases[i].reason));
	}
	/* A head without end. */
	memset(text, 'x', PROXY_HEAD_MAX);
	memcpy(text, "HTTP/1.1 200 ", 13);
	assert_int_equal(proxy_answer(str_n(text, PROXY_HEAD_MAX - 1), &status, &reason), 0);
	assert_int_equal(proxy_answer(str_n(text, PROXY_HEAD_MAX), &status, &reason), -1);
	memcpy(text + PROXY_HEAD_MAX - 4, "\r\n\r\n", 4);
	assert_int_equal(proxy_answer(str_n(text, PROXY_HEAD_MAX), &status, &reason), PROXY_HEAD_MAX);
	assert_int_equal(reason.n, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Heads that are and heads that are none, by table; bodies in every cut. */
#include "wire/http1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void test_request(void **state)
{
	static const char text[] = "POST /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length:  5 \r\nX-Empty:\r\n\r\nhello";
	struct http1_head h;
	const char *why;
	ssize_t n = http1_request(&h, str_from(text), &why);

	assert_int_equal(n, sizeof(text) - 1 - 5);
	assert_true(str_eqz(h.method, "POST"));
	assert_true(str_eqz(h.target, "/a?b=c"));
	assert_true(str_eqz(http1_get(&h, "HOST"), "x"));
	assert_true(str_eqz(http1_get(&h, "x-empty"), ""));
	assert_null(http1_get(&h, "y").p);
	assert_true(h.has_length && h.length == 5 && !h.close && !h.chunked);
	for (size_t i = 0; i < (size_t)n; i++)
		assert_int_equal(http1_request(&h, str_n(text, i), &why), 0);
	assert_int_equal(http1_request(&h, STR("\r\nGET / HTTP/1.1\r\n\r\n"), &why), 20);
}

static void test_flags(void **state)
{
	struct http1_head h;
	const char *why;

	assert_true(http1_request(&h, STR("GET / HTTP/1.0\r\n\r\n"), &why) > 0 && h.close);
	assert_true(http1_request(&h, STR("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), &why) > 0 && !h.close);
	assert_true(http1_request(&h, STR("GET / HTTP/1.1\r\nConnection: x, Close\r\n\r\n"), &why) > 0 && h.close);
	assert_true(http1_request(&h, STR("GET / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n"), &why) > 0 &&
		    h.chunked);
	assert_true(http1_request(&h, STR("GET / HTTP/1.1\r\nExpect: 100-Continue\r\n\r\n"), &why) > 0 &&
		    h.expect_continue);
}

static void test_bad(void **state)
{
	static const char *const requests[] = {
		"GET /\r\n\r\n",
		"GET  / HTTP/1.1\r\n\r\n",
		"GET / HTTP/2.0\r\n\r\n",
		"GET / HTTP/1.1\n\n",
		"G@T / HTTP/1.1\r\n\r\n",
		"\x16\x03\x01\x02\x00 ",
		"hello\n",
		"GET /\x01 HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1\r\nA b: c\r\n\r\n",
		"GET / HTTP/1.1\r\nA : c\r\n\r\n",
		"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
		"GET / HTTP/1.1\r\nA: \x01\r\n\r\n",
		"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
		"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		"GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
		"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
	};
	static const char *const responses[] = {
		"HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 abc OK\r\n\r\n", "HTTP/3.1 200 OK\r\n\r\n",
		"<html>\r\n\r\n",         "HTTP/1.1 200 OK\n\n",     "HTTP/1.1 099 OK\r\n\r\n",
	};
	struct http1_head h;
	struct buf big = BUF_NULL;
	const char *why;

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		why = NULL;
		assert_int_equal(http1_request(&h, str_from(requests[i]), &why), -1);
		assert_non_null(why);
	}
	for (size_t i = 0; i < ARRAY_SIZE(responses); i++)
		assert_int_equal(http1_response(&h, str_from(responses[i]), &why), -1);
	buf_adds(&big, "GET / HTTP/1.1\r\n");
	for (size_t i = 0; i <= HTTP1_HEADERS_MAX; i++)
		buf_adds(&big, "A: b\r\n");
	buf_adds(&big, "\r\n");
	assert_int_equal(http1_request(&h, buf_str(&big), &why), -1);
	buf_clear(&big);
	buf_adds(&big, "GET / HTTP/1.1\r\nA: ");
	while (big.n < HTTP1_HEAD_MAX)
		buf_addc(&big, 'a');
	assert_int_equal(http1_request(&h, buf_str(&big), &why), -1);
	buf_done(&big);
}

static void test_response(void **state)
{
	struct http1_head h;
	struct http1_body b;
	const char *why;

	assert_int_equal(http1_response(&h, STR("HTTP/1.1 204 \r\n\r\n"), &why), 17);
	assert_int_equal(h.status, 204);
	http1_response_body(&b, &h, false);
	assert_true(b.done);
	assert_int_equal(http1_response(&h, STR("HTTP/1.1 200\r\n\r\n"), &why), 16);
	http1_response_body(&b, &h, false);
	assert_true(!b.done && b.kind == HTTP1_UNTIL_CLOSE);
	http1_response_body(&b, &h, true);
	assert_true(b.done);
	assert_true(http1_response(&h, STR("HTTP/1.1 200 Very OK\r\nContent-Length: 0\r\n\r\n"), &why) > 0);
	http1_response_body(&b, &h, false);
	assert_true(b.done);
}

/* Decodes text as a body in pieces of `step`; -1: malformed. */
static int decode(const char *text, size_t step, struct buf *out, struct buf *trailer)
{
	struct http1_head h = {.chunked = true};
	struct http1_body b;
	struct str rest = str_from(text);
	int r = 0;

	http1_request_body(&b, &h);
	while (rest.n && !b.done && r == 0) {
		struct str piece = str_sub(rest, 0, step), view;
		size_t before = piece.n;

		while (piece.n && !b.done && r == 0) {
			r = http1_body_next(&b, &piece, SIZE_MAX, &view);
			if (r == 0)
				buf_add_str(out, view);
		}
		rest = str_sub(rest, before - piece.n, SIZE_MAX);
	}
	if (r == 0 && !b.done)
		r = 1;
	if (trailer)
		buf_add_str(trailer, http1_trailer(&b, "x-end"));
	http1_body_done(&b);
	return r;
}

static void test_chunks(void **state)
{
	static const char *const good = "5;ext=1\r\nhello\r\nA\r\n, world!!!\r\n0\r\nA: b\r\nX-End: yes\r\n\r\n";
	static const char *const bad[] = {
		"g\r\n", "\r\n", "5\nhello", "3\r\nabcd\r\n", "0\r\nnot a header\r\n\r\n", "1000000000000000000\r\n",
		"-1\r\n"};
	struct buf out = BUF_NULL, trailer = BUF_NULL;

	for (size_t step = 1; step < strlen(good) + 1; step++) {
		buf_clear(&out);
		buf_clear(&trailer);
		assert_int_equal(decode(good, step, &out, &trailer), 0);
		assert_string_equal(out.p, "hello, world!!!");
		assert_string_equal(trailer.p, "yes");
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(decode(bad[i], 3, &out, NULL), -1);
	assert_int_equal(decode("5\r\nhel", 9, &out, NULL), 1);
	buf_done(&out);
	buf_done(&trailer);
}

static void test_runs(void **state)
{
	struct http1_head h = {.chunked = true};
	struct http1_body b;
	struct str in = STR("8\r\n12"), view;

	http1_request_body(&b, &h);
	assert_int_equal(http1_body_run(&b), 0);
	assert_int_equal(http1_body_next(&b, &in, 1, &view), 0);
	assert_int_equal(http1_body_run(&b), 7);
	http1_body_skip(&b, 7); /* taken by another way */
	assert_int_equal(http1_body_run(&b), 0);
	in = STR("\r\n0\r\n\r\n");
	assert_int_equal(http1_body_next(&b, &in, 9, &view), 0);
	assert_true(b.done && in.n == 0);
	http1_body_done(&b);
	h = (struct http1_head){.has_length = true, .length = 5};
	http1_request_body(&b, &h);
	assert_int_equal(http1_body_run(&b), 5);
	http1_body_skip(&b, 5);
	assert_true(b.done && http1_body_run(&b) == 0);
}

static void test_hop_by_hop(void **state)
{
	assert_true(http1_hop_by_hop(STR("Keep-Alive"), STR("")));
	assert_true(http1_hop_by_hop(STR("transfer-encoding"), STR("")));
	assert_true(http1_hop_by_hop(STR("X-Mine"), STR("close, x-mine")));
	assert_false(http1_hop_by_hop(STR("X-Mine"), STR("close")));
	assert_false(http1_hop_by_hop(STR("Content-Length"), STR("")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),  cmocka_unit_test(test_flags),  cmocka_unit_test(test_bad),
		cmocka_unit_test(test_response), cmocka_unit_test(test_chunks), cmocka_unit_test(test_hop_by_hop),
		cmocka_unit_test(test_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The server against raw sockets: well-formed, hostile and half requests. */
#include "net/http_server_fixture.h"

static void test_plain(void **state)
{
	struct app *app = *state;

	expect(state, "GET /hello HTTP/1.1\r\n" END, "200", "\r\n\r\nhello");
	expect(state, "GET /later HTTP/1.1\r\n" END, "200", "\r\n\r\nlater");
	expect(state, "GET /file HTTP/1.1\r\n" END, "206", "Content-Length: 5\r\n\r\n23456");
	expect(state, "GET /empty HTTP/1.1\r\n" END, "204", "\r\n\r\n");
	expect(state, "GET /hello HTTP/1.0\r\n\r\n", "200", "hello");
	assert_int_equal(app->sent, 5);
	assert_int_equal(app->begun, 5);
}

static void test_head(void **state)
{
	struct client c = {.app = *state, .send = STR("HEAD /hello HTTP/1.1\r\n" END)};
	struct str got = talk(&c);

	assert_true(has(got, "Content-Length: 5\r\n"));
	assert_true(str_ends(got, STR("\r\n\r\n")));
	buf_done(&c.got);
	c = (struct client){.app = *state, .send = STR("HEAD /file HTTP/1.1\r\n" END)};
	got = talk(&c);
	assert_true(has(got, "Content-Length: 5\r\n"));
	assert_true(str_ends(got, STR("\r\n\r\n")));
	buf_done(&c.got);
}

static void test_no_content(void **state)
{
	struct client c = {.app = *state,
			   .send = STR("GET /sized HTTP/1.1\r\nHost: h\r\n\r\nGET /empty HTTP/1.1\r\nHost: h\r\n\r\n"
				       "GET /same HTTP/1.1\r\nHost: h\r\n\r\n")};
	struct str got = talk(&c);

	assert_int_equal(count(got, "HTTP/1.1 304 "), 2);
	assert_int_equal(count(got, "HTTP/1.1 204 "), 1);
	assert_int_equal(count(got, "Content-Length: 12345\r\n\r\nHTTP/1.1 204"), 1);
	assert_int_equal(count(got, "Content-Length"), 1);
	assert_int_equal(count(got, "chunked"), 0);
	assert_true(str_ends(got, STR("\r\n\r\n")));
	buf_done(&c.got);
}

static void test_empty_value(void **state)
{
	expect(state, "GET /hello HTTP/1.1\r\n" END, "200", "X-Test: 1\r\nX-Empty:  \r\nX-Last: z\r\n");
	expect(state, "PUT /early HTTP/1.1\r\nContent-Length: 9\r\n" END, "403", "X-Empty:  \r\nX-Last: z\r\n");
}

static void test_headers_raw(void **state)
{
	expect(state, "GET /headers/%41?a=%20b&c HTTP/1.1\r\nA: 1\r\nB: 2\r\nA:  3 \r\n" END, "200",
	       "GET /headers/%41?a=%20b&c 127.0.0.1;A=1;B=2;A=3;Host=h;Connection=close;");
}

static void test_bodies(void **state)
{
	struct app *app = *state;

	expect(state, "POST /echo HTTP/1.1\r\nContent-Length: 5\r\n" END "12345", "200", "\r\n\r\n12345");
	expect(state,
	       "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" END "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
	       "200", "\r\n\r\nabcde");
	expect(state, "POST /echo HTTP/1.1\r\nContent-Length: 0\r\n" END, "200", "Content-Length: 0");
	assert_int_equal(app->body_bytes, 10);
}

static void test_pipeline(void **state)
{
	struct client c = {.app = *state,
			   .send = STR("GET /hello HTTP/1.1\r\nHost: h\r\n\r\n"
				       "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
				       "GET /later HTTP/1.1\r\nHost: h\r\n\r\n"
				       "POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nGET "
				       "GET /pull HTTP/1.1\r\nHost: h\r\n\r\n"
				       "GET /hello HTTP/1.1\r\n" END)};
	struct str got = talk(&c);

	assert_int_equal(count(got, "HTTP/1.1 200 OK"), 5);
	assert_int_equal(count(got, "HTTP/1.1 403 "), 1);
	assert_true(has(got, "\r\n\r\nabcHTTP/1.1 200"));
	assert_true(has(got, "\r\n\r\nlaterHTTP/1.1 403"));
	buf_done(&c.got);
}

static void test_byte_by_byte(void **state)
{
	struct client c = {.app = *state,
			   .one_byte = true,
			   .send = STR("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" END
				       "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")};

	assert_true(has(talk(&c), "\r\n\r\nabcde"));
	buf_done(&c.got);
}

static void test_slow_body(void **state)
{
	struct app *app = *state;
	struct client c = {
		.app = app, .filler = 200000, .send = STR("PUT /slow HTTP/1.1\r\nContent-Length: 200000\r\n" END)};

	assert_true(has(talk(&c), "Content-Length: 200000\r\n"));
	assert_int_equal(app->body_bytes, 200000);
	buf_done(&c.got);
}

static void test_large_body(void **state)
{
	struct app *app = *state;
	struct client c = {.app = app,
			   .filler = (size_t)96 << 20,
			   .send = STR("PUT /drop HTTP/1.1\r\nContent-Length: 100663296\r\n" END)};

	assert_true(has(talk(&c), "HTTP/1.1 200 OK"));
	assert_int_equal(app->body_bytes, 100663296);
	buf_done(&c.got);
}

static void test_pull(void **state)
{
	struct app *app = *state;
	struct client c = {.app = app, .send = STR("GET /fail HTTP/1.1\r\n" END)};

	expect(state, "GET /pull HTTP/1.1\r\n" END, "200", "4\r\nabcd\r\n4\r\nabcd\r\n4\r\nabcd\r\n0\r\n\r\n");
	assert_int_equal(app->freed, 1);
	assert_false(has(talk(&c), "0\r\n\r\n"));
	assert_int_equal(app->freed, 2);
	assert_int_equal(app->sent, 1);
	buf_done(&c.got);
}

static void test_early_reply(void **state)
{
	struct app *app = *state;
	struct client c = {.app = app, .filler = (size_t)20 << 20};

	/* A client that asked first is refused without sending. */
	expect(state, "PUT /early HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 9999999\r\n\r\n",
	       "403", "early");
	expect(state, "PUT /mid HTTP/1.1\r\nContent-Length: 4\r\n" END "body", "403", "mid");
	/* A long rest is not waited for. */
	c.send = STR("PUT /early HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999999\r\n\r\n");
	c.half = true;
	assert_true(has(talk(&c), "HTTP/1.1 403 Forbidden"));
	assert_true(has(buf_str(&c.got), "\r\n\r\nearly"));
	buf_done(&c.got);
	assert_int_equal(app->ended, 0);
}

/* A client that waits for the answer with its body half sent. */
static void test_early_reply_stalled(void **state)
{
	static const char close_early[] = "Connection: close\r\nX-Test: 1\r\n";
	struct app *app = *state;

	expect(state, "PUT /early HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n", "403", close_early);
	expect(state, "PUT /early HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nbody", "403", "\r\n\r\nearly");
	expect(state, "PUT /mid HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nbody", "403", close_early);
	expect(state, "PUT /early HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", "403",
	       "\r\n\r\nearly");
	expect(state, "PUT /mid HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "403",
	       close_early);
	assert_int_equal(app->ended, 0);
}

static void test_refused(void **state)
{
	static const struct {
		const char *send, *status;
	} bad[] = {
		{"POST /echo HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n" END "0\r\n\r\n", "400"},
		{"POST /echo HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n" END "12345", "400"},
		{"POST /echo HTTP/1.1\r\nContent-Length: -1\r\n" END, "400"},
		{"POST /echo HTTP/1.1\r\nContent-Length: +5\r\n" END "12345", "400"},
		{"POST /echo HTTP/1.1\r\nContent-Length: 5, 5\r\n" END "12345", "400"},
		{"POST /echo HTTP/1.1\r\nContent-Length: 0x5\r\n" END "12345", "400"},
		{"POST /echo HTTP/1.1\r\nContent-Length:\r\n" END, "400"},
		{"POST /echo HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n" END, "413"},
		{"POST /echo HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n" END, "413"},
		{"POST /echo HTTP/1.1\r\nTransfer-Encoding: gzip\r\n" END, "501"},
		{"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n" END, "501"},
		{"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" END "zz\r\n", "400"},
		{"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" END "-1\r\n", "400"},
		{"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" END "fffffffffffffffff\r\n", "413"},
		{"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" END "3\r\nabcd\r\n0\r\n\r\n", "400"},
		{"POST /echo HTTP/1.1\r\nContent-Length : 5\r\n" END "12345", "400"},
		{"GET /hello HTTP/1.1\r\nno colon here\r\n" END, "400"},
		{"GET /hello HTTP/1.1\r\nBad Name: 1\r\n" END, "400"},
		{"GET /hello HTTP/1.1\r\nA: \x01\r\n" END, "400"},
		{"GET /hello HTTP/1.1\r\n\r\n", "400"},
		{"G(T /hello HTTP/1.1\r\n" END, "400"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		expect(state, bad[i].send, bad[i].status, "");
}

/* Whatever comes back, the server must stay up and must not hand on what it cannot read one way. */
static void test_garbage(void **state)
{
	static const struct str junk[] = {
		STR("\0\0\0\0\r\n\r\n"),
		STR("GET /hello\0 HTTP/1.1\r\n" END),
		STR("GET /hello HTTP/1.1\r\nA: b\0c\r\n" END),
		STR("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
		STR("GET\r\n\r\n"),
		STR("GET /hello HTTP/9.9\r\n" END),
		STR("GET  HTTP/1.1\r\n" END),
		STR("\r\n\r\n\r\n"),
		STR("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf"),
		STR("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
		STR("GET /hello HTT"),
	};
	struct app *app = *state;

	for (size_t i = 0; i < ARRAY_SIZE(junk); i++) {
		struct client c = {.app = app, .send = junk[i], .drop = true};

		talk(&c);
		buf_done(&c.got);
	}
	expect(state, "GET /hello HTTP/1.1\r\n" END, "200", "hello");
}

static void test_too_large_head(void **state)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	buf_adds(&b, "GET /hello HTTP/1.1\r\nHost: h\r\n");
	for (int i = 0; i < 300; i++)
		buf_printf(&b, "X-%d: %0100d\r\n", i, i);
	buf_adds(&b, "\r\n");
	expect(state, b.p, "431", "");
}

static void test_aborted(void **state)
{
	static const struct str halves[] = {
		STR("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n"),
		STR("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf"),
		STR("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
	};
	struct app *app = *state;
	struct client a = {.app = app,
			   .drop = true,
			   .filler = 100000,
			   .send = STR("PUT /drop HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n")};
	struct client b = {.app = app, .drop = true, .send = STR("GET /later HTTP/1.1\r\n" END)};

	for (size_t i = 0; i < ARRAY_SIZE(halves); i++) {
		struct client c = {.app = app, .half = true, .send = halves[i]};

		assert_int_equal(talk(&c).n, 0); /* closed by the server, with nothing to say */
		buf_done(&c.got);
	}
	assert_int_equal(app->begun, 3);
	assert_int_equal(app->sent, 0);
	talk(&a);
	talk(&b);
	expect(state, "GET /later HTTP/1.1\r\n" END, "200", "later");
}

/* teardown frees the server with an exchange under way, which must be finished. */
static void begun_stops(void *arg)
{
	struct app *app = arg;

	if (app->ended > 0)
		loop_stop(app->loop);
}

static void test_free_under_way(void **state)
{
	struct app *app = *state;
	struct loop_hook *h = loop_hook_new(app->loop, begun_stops, app);
	int fd = connect_to(app->port);

	assert_true(send_all(fd, "GET /never HTTP/1.1\r\nHost: h\r\n\r\n", 32, SIZE_MAX));
	loop_run(app->loop);
	loop_hook_free(h);
	assert_int_equal(http_server_connections(app->server), 1);
	app->server = http_server_free(app->server);
	assert_int_equal(app->finished, 1);
	assert_int_equal(app->sent, 0);
	close(fd);
}

static void finished_stops(void *arg)
{
	struct app *app = arg;

	if (app->finished > 0)
		loop_stop(app->loop);
}

/* A client that leaves while its handler works, and nothing is ever replied. */
static void test_hang_up(void **state)
{
	struct app *app = *state;
	struct client c = {
		.app = app, .no_stop = true, .drop = true, .send = STR("GET /never HTTP/1.1\r\nHost: h\r\n\r\n")};
	struct loop_hook *h = loop_hook_new(app->loop, finished_stops, app);

	talk(&c);
	assert_int_equal(app->ended, 1);
	assert_int_equal(app->finished, 1);
	assert_int_equal(app->sent, 0);
	assert_true(c.over);
	loop_hook_free(h);
	expect(state, "GET /hello HTTP/1.1\r\n" END, "200", "hello");
}

static void on_drained(void *arg)
{
	struct app *app = arg;

	app->drained++;
	assert_int_equal(app->begun, app->finished);
	loop_stop(app->loop);
}

static void begun_drains(void *arg)
{
	struct app *app = arg;

	if (app->ended > 0)
		http_server_drain(app->server, on_drained, app);
}

static void test_drain(void **state)
{
	struct app *app = *state;
	struct client c = {.app = app, .no_stop = true, .send = STR("GET /later HTTP/1.1\r\nHost: h\r\n\r\n")};
	struct loop_hook *h = loop_hook_new(app->loop, begun_drains, app);

	talk(&c);
	assert_int_equal(app->drained, 1);
	loop_hook_free(h);
	assert_int_equal(connect_to(app->port), -1);
	app->server = http_server_free(app->server);
	/* The client's part may end after drained: its connection is closed by now. */
	while (!c.over)
		loop_run(app->loop);
	assert_true(has(buf_str(&c.got), "Connection: close"));
	buf_done(&c.got);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_plain),
		T(test_head),
		T(test_headers_raw),
		T(test_bodies),
		T(test_pipeline),
		T(test_byte_by_byte),
		T(test_slow_body),
		T(test_large_body),
		T(test_pull),
		T(test_early_reply),
		T(test_refused),
		T(test_garbage),
		T(test_too_large_head),
		T(test_aborted),
		T(test_free_under_way),
		T(test_drain),
		T(test_no_content),
		T(test_empty_value),
		T(test_early_reply_stalled),
		T(test_hang_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

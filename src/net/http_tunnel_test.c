/* Connections that are more than request and answer: tunnels, replies while the body comes, further listening sockets.
 */
#include "net/http_server_fixture.h"

static void test_doors(void **state)
{
	struct app *app = *state;
	unsigned public = app->port, ports[2];
	int fds[2] = {listen_more(&ports[0]), listen_more(&ports[1])};
	struct http_door *doors[2] = {http_server_listen(app->server, fds[0]), http_server_listen(app->server, fds[1])};

	for (unsigned i = 0; i < 2; i++) {
		app->port = ports[i];
		expect(state, "GET /later HTTP/1.1\r\n" END, "200", "\r\n\r\nlater");
	}
	assert_null(http_server_unlisten(doors[0]));
	app->port = ports[1];
	expect(state, "GET /headers HTTP/1.1\r\n" END, "200", "GET /headers 127.0.0.1;");
	assert_int_equal(connect_to(ports[0]), -1);
	app->port = public;
	expect(state, "GET /hello HTTP/1.1\r\n" END, "200", "\r\n\r\nhello");
	http_server_unlisten(doors[1]);
}

/* Idle connections through a door fill the door's share; the public port still answers, and so does the door when they
 * are gone. */
static void test_door_is_bounded(void **state)
{
	struct app *app = *state;
	unsigned public = app->port, port;
	struct http_door *d = http_server_listen(app->server, listen_more(&port));
	int idle[60];

	for (size_t i = 0; i < ARRAY_SIZE(idle); i++)
		assert_true((idle[i] = connect_to(port)) >= 0);
	expect(state, "GET /hello HTTP/1.1\r\n" END, "200", "\r\n\r\nhello");
	assert_true(http_server_connections(app->server) <= 33);
	for (size_t i = 0; i < ARRAY_SIZE(idle); i++)
		close(idle[i]);
	app->port = port;
	expect(state, "GET /hello HTTP/1.1\r\n" END, "200", "\r\n\r\nhello");
	app->port = public;
	app->server = http_server_free(app->server); /* before its door */
	http_server_unlisten(d);
}

#define UPGRADE "Host: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"

static void tunnel_case(void **state, const char *more, size_t filler, bool half)
{
	struct app *app = *state;
	_cleanup_(freep) char *send = xasprintf("GET /tunnel HTTP/1.1\r\n" UPGRADE "%s", more);
	struct client c = {.app = app, .send = str_from(send), .filler = filler, .half = half};
	struct str got = talk(&c);
	ssize_t body = str_find(got, STR("\r\n\r\n"));

	assert_true(str_starts(got, STR("HTTP/1.1 101 ")));
	assert_true(has(got, "Upgrade: echo\r\n"));
	assert_false(has(got, "chunked"));
	assert_int_equal(got.n - (size_t)body - 4, strlen(more) + filler);
	assert_true(str_starts(str_sub(got, (size_t)body + 4, SIZE_MAX), str_from(more)));
	buf_done(&c.got);
}

static void test_tunnel(void **state)
{
	struct app *app = *state;

	tunnel_case(state, "hello, bye", 0, false);
	tunnel_case(state, "hello", 0, true);
	tunnel_case(state, "", 200000, true);
	assert_int_equal(app->sent, 3);
	assert_int_equal(app->freed, 3);
	/* It leaves in the middle. */
	struct client c = {.app = app, .send = STR("GET /tunnel HTTP/1.1\r\n" UPGRADE "x"), .drop = true};
	talk(&c);
	while (app->finished < 4) {
		struct timer *t = timer_new(app->loop, (void (*)(void *))loop_stop, app->loop);

		timer_set(t, 1);
		loop_run(app->loop);
		timer_free(t);
	}
	buf_done(&c.got);
}

/* A client that sends its body piece by piece, each only when the last one is back. */
static void lockstep_work(void *arg)
{
	struct client *c = arg;
	int fd = connect_to(c->app->port);
	char got[4096];

	send_all(fd, c->send.p, c->send.n, SIZE_MAX);
	for (int i = 0; i < 5; i++) {
		char piece[32];
		int n = snprintf(piece, sizeof(piece), "7\r\npiece %d\r\n", i);

		send_all(fd, piece, (size_t)n, SIZE_MAX);
		snprintf(piece, sizeof(piece), "piece %d", i);
		while (str_find(buf_str(&c->got), str_from(piece)) < 0) {
			ssize_t r = recv(fd, got, sizeof(got), 0);

			if (r <= 0)
				break;
			buf_add(&c->got, got, (size_t)r);
		}
	}
	send_all(fd, "0\r\n\r\n", 5, SIZE_MAX);
	for (ssize_t r; (r = recv(fd, got, sizeof(got), 0)) > 0;)
		buf_add(&c->got, got, (size_t)r);
	close(fd);
}

static void test_duplex(void **state)
{
	struct app *app = *state;
	struct client c = {.app = app,
			   .send = STR("POST /duplex HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")};
	struct client large = {.app = app,
			       .send = STR("POST /duplex HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n"),
			       .filler = 300000};
	struct client ends = {.app = app,
			      .send = STR("POST /duplex HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\nbye")};
	struct str got;

	loop_work(app->loop, lockstep_work, client_done, &c);
	loop_run(app->loop);
	got = buf_str(&c.got);
	assert_true(str_starts(got, STR("HTTP/1.1 200 OK\r\n")));
	assert_true(has(got, "Connection: close\r\n"));
	assert_true(has(got, "Transfer-Encoding: chunked\r\n"));
	assert_true(has(got, "00000007\r\npiece 4\r\n"));
	assert_true(str_ends(got, STR("0\r\n\r\n")));
	buf_done(&c.got);
	got = talk(&large);
	assert_true(str_starts(got, STR("HTTP/1.1 200 OK\r\n")) && got.n > 300000);
	assert_true(str_ends(got, STR("0\r\n\r\n")));
	buf_done(&large.got);
	/* The answer ends first; the rest of the body is not waited for. */
	got = talk(&ends);
	assert_true(has(got, "00000003\r\nbye\r\n0\r\n\r\n"));
	buf_done(&ends.got);
	assert_int_equal(app->sent, 3);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_doors),
		T(test_tunnel),
		T(test_duplex),
		T(test_door_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The server against raw sockets: well-formed, hostile and half requests. The client runs on a pool thread of the
 * same loop and only records; the test thread judges. */
#include "net/http_server.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

struct app {
	struct loop *loop;
	struct http_server *server;
	unsigned port;
	int begun, ended, finished, sent, freed, drained;
	uint64_t body_bytes;
};

struct one {
	struct app *app;
	struct http_exchange *ex;
	struct buf body;
	struct timer *timer;
	unsigned steps;
	bool paused, tunnel, over;
	enum {
		HELLO,
		ECHO,
		LATER,
		SLOW,
		EARLY,
		MID,
		FILE_BODY,
		PULL,
		PULL_FAIL,
		NEVER,
		HEADERS,
		DROP,
		EMPTY,
		SAME,
		SAME_SIZED,
		TUNNEL,
		DUPLEX
	} kind;
};

static const char *const kinds[] = {"/hello", "/echo", "/later", "/slow",   "/early",   "/mid",
				    "/file",  "/pull", "/fail",  "/never",  "/headers", "/drop",
				    "/empty", "/same", "/sized", "/tunnel", "/duplex"};

static void reply_str(struct one *o, unsigned status, struct str s)
{
	const struct http_header h[] = {
		{STR("X-Test"), STR("1")}, {STR("X-Empty"), STR("")}, {STR("X-Last"), STR("z")}};
	struct http_body b = {.kind = HTTP_BODY_BYTES};

	buf_add_str(&b.bytes, s);
	http_reply(o->ex, status, h, ARRAY_SIZE(h), &b);
}

static void on_step(void *arg)
{
	struct one *o = arg;

	if (o->kind == LATER) {
		reply_str(o, 200, STR("later"));
		return;
	}
	o->paused = false;
	http_exchange_resume(o->ex);
}

static ssize_t pull(void *arg, uint8_t *p, size_t cap)
{
	struct one *o = arg;

	o->steps++;
	if (o->steps > 6)
		return o->kind == PULL_FAIL ? HTTP_PULL_ERROR : HTTP_PULL_END;
	if (o->steps % 2) {
		timer_set(o->timer, 1);
		return 0;
	}
	assert_true(cap >= 4);
	memcpy(p, "abcd", 4);
	return 4;
}

static void pull_free(void *arg)
{
	struct one *o = arg;

	o->app->freed++;
}

static void reply_pull(struct one *o)
{
	struct http_body b = {.kind = HTTP_BODY_PULL,
			      .length = HTTP_LENGTH_UNKNOWN,
			      .pull = pull,
			      .pull_free = pull_free,
			      .pull_arg = o};

	http_reply(o->ex, 200, NULL, 0, &b);
}

/* Echoes, one piece at a time; "bye" ends it. */
static ssize_t tunnel_pull(void *arg, uint8_t *p, size_t cap)
{
	struct one *o = arg;
	size_t n = MIN(o->body.n, cap);

	if (!n)
		return o->over ? HTTP_PULL_END : 0;
	memcpy(p, o->body.p, n);
	o->over |= str_ends(buf_str(&o->body), STR("bye"));
	buf_consume(&o->body, n);
	http_exchange_resume(o->ex);
	return (ssize_t)n;
}

static void reply_tunnel(struct one *o)
{
	const struct http_header h[] = {{STR("Upgrade"), STR("echo")}};
	struct http_body b = {.kind = HTTP_BODY_PULL,
			      .length = HTTP_LENGTH_UNKNOWN,
			      .pull = tunnel_pull,
			      .pull_free = pull_free,
			      .pull_arg = o};

	o->tunnel = true;
	http_reply(o->ex, 101, h, 1, &b);
}

/* The same while the request's body comes. */
static void reply_duplex(struct one *o)
{
	struct http_body b = {.kind = HTTP_BODY_PULL,
			      .length = HTTP_LENGTH_UNKNOWN,
			      .pull = tunnel_pull,
			      .pull_free = pull_free,
			      .pull_arg = o,
			      .duplex = true};

	o->tunnel = true;
	http_reply(o->ex, 200, NULL, 0, &b);
}

static size_t tunnel_take(struct one *o, struct str s)
{
	size_t n = MIN(s.n, (size_t)1000);

	if (o->body.n)
		return 0;
	buf_add(&o->body, s.p, n);
	http_exchange_resume(o->ex);
	return n;
}

static void reply_file(struct one *o)
{
	struct http_body b = {.kind = HTTP_BODY_FD, .offset = 2, .length = 5};

	b.fd = memfd_create("body", MFD_CLOEXEC);
	assert_int_equal(write(b.fd, "0123456789", 10), 10);
	http_reply(o->ex, 206, NULL, 0, &b);
}

static void reply_headers(struct one *o)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	size_t n;
	const struct http_header *h = http_headers(o->ex, &n);

	buf_printf(&b, "%.*s %.*s %.*s;", STR_ARG(http_method(o->ex)), STR_ARG(http_target(o->ex)),
		   STR_ARG(http_peer(o->ex)));
	for (size_t i = 0; i < n; i++)
		buf_printf(&b, "%.*s=%.*s;", STR_ARG(h[i].name), STR_ARG(h[i].value));
	reply_str(o, 200, buf_str(&b));
}

static void *begin(void *arg, struct http_exchange *ex)
{
	struct app *app = arg;
	struct one *o = xnew(struct one);

	*o = (struct one){.app = app, .ex = ex, .timer = timer_new(app->loop, on_step, o)};
	app->begun++;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (str_starts(http_target(ex), str_from(kinds[i])))
			o->kind = (typeof(o->kind))i;
	if (o->kind == EARLY)
		reply_str(o, 403, STR("early"));
	return o;
}

static size_t body(void *x, const uint8_t *p, size_t n)
{
	struct one *o = x;

	if (o->kind == DUPLEX && !o->tunnel)
		reply_duplex(o);
	if (o->tunnel)
		return tunnel_take(o, str_n(p, n));
	if (o->kind == SLOW) {
		if (o->paused)
			return 0;
		n = MIN(n, (size_t)1000);
		o->paused = true;
		timer_set(o->timer, 0);
	}
	if (o->kind == MID) {
		reply_str(o, 403, STR("mid"));
		return n;
	}
	o->app->body_bytes += n;
	if (o->kind != DROP)
		buf_add(&o->body, p, n);
	return n;
}

static void body_end(void *x)
{
	struct one *o = x;

	if (o->tunnel) {
		o->over = true;
		http_exchange_resume(o->ex);
		return;
	}
	o->app->ended++;
	switch (o->kind) {
	case ECHO:
	case SLOW:
		reply_str(o, 200, buf_str(&o->body));
		break;
	case LATER:
		timer_set(o->timer, 1);
		break;
	case FILE_BODY:
		reply_file(o);
		break;
	case PULL:
	case PULL_FAIL:
		reply_pull(o);
		break;
	case NEVER:
		break;
	case HEADERS:
		reply_headers(o);
		break;
	case EMPTY:
		http_reply(o->ex, 204, NULL, 0, NULL);
		break;
	case SAME:
		http_reply(o->ex, 304, NULL, 0, NULL);
		break;
	case SAME_SIZED:
		http_reply(o->ex, 304, NULL, 0, &(struct http_body){.kind = HTTP_BODY_PULL, .length = 12345});
		break;
	case TUNNEL:
		reply_tunnel(o);
		break;
	case DUPLEX: /* no body came */
	case HELLO:
	case DROP:
	case EARLY:
	case MID:
		reply_str(o, 200, STR("hello"));
		break;
	}
}

static void finished(void *x, bool sent)
{
	struct one *o = x;

	o->app->finished++;
	o->app->sent += sent;
	timer_free(o->timer);
	buf_done(&o->body);
	free(o);
}

static int setup(void **state)
{
	const struct http_handler handler = {begin, body, body_end, finished};
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct http_server_conf conf = {
		.listen_fd = fd, .max_connections = 64, .idle_timeout_s = 20, .max_header_bytes = 16384};
	struct app *app = xnew(struct app);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 16), 0);
	getsockname(fd, (struct sockaddr *)&sa, &n);
	app->port = ntohs(sa.sin_port);
	app->loop = loop_new();
	app->server = http_server_new(app->loop, &conf, &handler, app, NULL);
	assert_non_null(app->server);
	*state = app;
	return 0;
}

static int teardown(void **state)
{
	struct app *app = *state;

	http_server_free(app->server);
	assert_int_equal(app->begun, app->finished);
	loop_free(app->loop);
	free(app);
	return 0;
}

static int listen_more(unsigned *port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 256), 0);
	getsockname(fd, (struct sockaddr *)&sa, &n);
	*port = ntohs(sa.sin_port);
	return fd;
}

/* ---- client ---- */

struct client {
	struct app *app;
	struct str send;
	size_t filler;  /* so many bytes more */
	bool one_byte;  /* sent byte by byte */
	bool half;      /* then closes its writing side */
	bool drop;      /* closes without reading */
	bool no_stop;   /* the loop goes on */
	struct buf got; /* all until the server closed */
	bool timed_out, over;
};

static int connect_to(unsigned port)
{
	struct sockaddr_in sa = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval limit = {.tv_sec = 30};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(fd, IPPROTO_TCP, 1, &one, sizeof(one));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool send_all(int fd, const char *p, size_t n, size_t step)
{
	while (n > 0) {
		ssize_t w = send(fd, p, MIN(n, step), MSG_NOSIGNAL);

		if (w <= 0)
			return false;
		p += w;
		n -= (size_t)w;
	}
	return true;
}

static void client_work(void *arg)
{
	static char zeros[65536];
	struct client *c = arg;
	int fd = connect_to(c->app->port);
	ssize_t r = -1;

	if (fd < 0)
		return;
	send_all(fd, c->send.p, c->send.n, c->one_byte ? 1 : SIZE_MAX);
	while (c->filler > 0 && send_all(fd, zeros, MIN(c->filler, sizeof(zeros)), SIZE_MAX))
		c->filler -= MIN(c->filler, sizeof(zeros));
	if (c->half)
		shutdown(fd, SHUT_WR);
	while (!c->drop && (r = recv(fd, buf_reserve(&c->got, 4096), 4096, 0)) > 0)
		c->got.n += (size_t)r;
	c->timed_out = r < 0 && errno == EAGAIN;
	close(fd);
}

static void client_done(void *arg)
{
	struct client *c = arg;

	c->over = true;
	if (!c->no_stop)
		loop_stop(c->app->loop);
}

/* Sends, runs the server, and returns what came until the connection was closed (by the client struct). */
static struct str talk(struct client *c)
{
	loop_work(c->app->loop, client_work, client_done, c);
	loop_run(c->app->loop);
	assert_false(c->timed_out);
	return buf_str(&c->got);
}

static bool has(struct str s, const char *needle)
{
	return str_find(s, str_from(needle)) >= 0;
}

static int count(struct str s, const char *needle)
{
	int n = 0;
	ssize_t i;

	while ((i = str_find(s, str_from(needle))) >= 0) {
		s = str_sub(s, (size_t)i + 1, SIZE_MAX);
		n++;
	}
	return n;
}

/* One conversation whose answer must begin with the given status line's code and contain text. */
static void expect(void **state, const char *send, const char *status, const char *text)
{
	struct client c = {.app = *state, .send = str_from(send)};
	_cleanup_(freep) char *line = xasprintf("HTTP/1.1 %s ", status);
	struct str got = talk(&c);

	if (!str_starts(got, str_from(line)) || !has(got, text))
		fail_msg("sent <%s> wanted %s and <%s>, got <%.*s>", send, status, text, STR_ARG(got));
	buf_done(&c.got);
}

#define END "Host: h\r\nConnection: close\r\n\r\n"

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
		T(test_doors),
		T(test_tunnel),
		T(test_duplex),
		T(test_door_is_bounded),
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

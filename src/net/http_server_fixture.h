/* For the tests of the server: an application whose paths do what a handler can do, and clients with raw sockets. The
 * client runs on a pool thread of the same loop and only records; the test thread judges. */
#pragma once

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

static _unused_ int listen_more(unsigned *port)
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

static _unused_ bool send_all(int fd, const char *p, size_t n, size_t step)
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
static _unused_ struct str talk(struct client *c)
{
	loop_work(c->app->loop, client_work, client_done, c);
	loop_run(c->app->loop);
	assert_false(c->timed_out);
	return buf_str(&c->got);
}

static _unused_ bool has(struct str s, const char *needle)
{
	return str_find(s, str_from(needle)) >= 0;
}

static _unused_ int count(struct str s, const char *needle)
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
static _unused_ void expect(void **state, const char *send, const char *status, const char *text)
{
	struct client c = {.app = *state, .send = str_from(send)};
	_cleanup_(freep) char *line = xasprintf("HTTP/1.1 %s ", status);
	struct str got = talk(&c);

	if (!str_starts(got, str_from(line)) || !has(got, text))
		fail_msg("sent <%s> wanted %s and <%s>, got <%.*s>", send, status, text, STR_ARG(got));
	buf_done(&c.got);
}

#define END "Host: h\r\nConnection: close\r\n\r\n"

/* Dialling: addresses, refusals, deadlines, and a proxy that the test plays. */
#include "net/tcp.h"

#include "base/buf.h"
#include "base/mem.h"
#include "sys/file.h"

#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#define WAIT_MS 20000

struct app {
	struct loop *loop;
	struct tcp_dial *dial;
	struct timer *late;
	int listening, fd; /* fd: what done got */
	unsigned dones;
	char *error;
	bool free_in_done;
	/* The proxy: takes one connection, reads a request, answers. */
	struct watch *watch;
	int accepted;
	struct buf request;
	const char *answer;
	size_t step; /* bytes of the answer at once */
	bool close;  /* after the answer */
};

static void on_late(void *arg)
{
	fail_msg("nothing came of it");
}

static int setup(void **state)
{
	struct app *a = xnew(struct app);
	struct err err = ERR_NULL;

	a->loop = loop_new();
	a->listening = tcp_listen("127.0.0.1:0", &err);
	assert_true(a->listening >= 0);
	a->fd = a->accepted = -1;
	a->step = SIZE_MAX;
	a->late = timer_new(a->loop, on_late, a);
	timer_set(a->late, WAIT_MS);
	*state = a;
	return 0;
}

static int teardown(void **state)
{
	struct app *a = *state;

	tcp_dial_free(a->dial);
	watch_free(a->watch);
	timer_free(a->late);
	if (a->fd >= 0)
		close(a->fd);
	if (a->accepted >= 0)
		close(a->accepted);
	close(a->listening);
	free(a->error);
	buf_done(&a->request);
	loop_free(a->loop);
	free(a);
	return 0;
}

static void done(void *arg, int fd, const char *error)
{
	struct app *a = arg;

	a->dones++;
	a->fd = fd;
	free(a->error);
	a->error = error ? xstrdup(error) : NULL;
	assert_true((fd >= 0) == !error);
	if (a->free_in_done)
		a->dial = tcp_dial_free(a->dial);
	loop_stop(a->loop);
}

static void dial(struct app *a, const char *host, uint16_t port, const char *proxy, unsigned deadline_ms)
{
	a->dial = tcp_dial(a->loop, host, port, proxy, deadline_ms, done, a);
	assert_int_equal(a->dones, 0);
	loop_run(a->loop);
	assert_int_equal(a->dones, 1);
}

static void expect_error(const struct app *a, int code, const char *text)
{
	assert_int_equal(a->fd, -code);
	if (!strstr(a->error, text))
		fail_msg("'%s' does not say '%s'", a->error, text);
}

static void test_dial(void **state)
{
	struct app *a = *state;
	char here[TCP_ADDRESS_SIZE], there[TCP_ADDRESS_SIZE];
	struct addrinfo *found;

	if (getaddrinfo("localhost", NULL, NULL, &found) != 0)
		skip(); /* a machine without /etc/hosts */
	freeaddrinfo(found);
	/* More than one address where the machine has ::1; nobody listens there. */
	dial(a, "localhost", tcp_port(a->listening), NULL, 5000);
	assert_null(a->error);
	a->accepted = tcp_accept(a->listening);
	assert_true(a->accepted >= 0);
	tcp_address(a->fd, here);
	tcp_peer_address(a->accepted, there);
	assert_string_equal(here, there);
	assert_int_equal(strncmp(here, "127.0.0.1:", 10), 0);
	tcp_tune(a->fd, 1000);
	assert_int_equal(tcp_accept(a->listening), -EAGAIN);
}

static void test_refused(void **state)
{
	struct app *a = *state;
	int unused = tcp_listen("127.0.0.1:0", NULL);
	uint16_t port = tcp_port(unused);
	_cleanup_(freep) char *text = xasprintf("connect to 127.0.0.1:%u: Connection refused", port);

	close(unused);
	a->free_in_done = true;
	dial(a, "127.0.0.1", port, NULL, 5000);
	expect_error(a, ECONNREFUSED, text);
}

static void test_bad_hosts(void **state)
{
	struct app *a = *state;
	const struct {
		const char *host;
		uint16_t port;
		const char *proxy, *error;
	} cases[] = {
		{"a b", 1, NULL, "the host or port to connect to is none"},
		{"h\r\nX: y", 1, NULL, "the host or port to connect to is none"},
		{"", 1, NULL, "the host or port to connect to is none"},
		{"h", 0, NULL, "the host or port to connect to is none"},
		{"h", 1, "socks5://p:1", "the URL of the proxy: expected http://"},
		{"h", 1, "http://u:secret%@p:1", "the URL of the proxy: its user or password"},
	};
	char label[65];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		a->dones = 0;
		dial(a, cases[i].host, cases[i].port, cases[i].proxy, 5000);
		expect_error(a, EINVAL, cases[i].error);
		assert_null(strstr(a->error, "secret"));
		a->dial = tcp_dial_free(a->dial);
	}
	/* A label of 64 bytes: known to be nobody's without asking a server. */
	memset(label, 'a', 64);
	label[64] = '\0';
	a->dones = 0;
	dial(a, label, 1, NULL, 15000);
	assert_true(a->fd < 0);
	assert_non_null(strstr(a->error, "the address of aaa"));
	assert_non_null(strstr(a->error, " was not found: "));
}

static void test_cancelled(void **state)
{
	struct app *a = *state;

	/* While the address is looked up, whose job outlives it. */
	a->dial = tcp_dial(a->loop, "localhost", tcp_port(a->listening), NULL, 5000, done, a);
	a->dial = tcp_dial_free(a->dial);
	a->late = timer_free(a->late);
	loop_run(a->loop);
	assert_int_equal(a->dones, 0);
}

/* A listener whose queue is full answers no further connection. */
static void test_deadline(void **state)
{
	struct app *a = *state;
	int fd = socket(AF_INET, SOCK_STREAM, 0), waiting[8];
	struct sockaddr_storage ss = {.ss_family = AF_INET};
	socklen_t n = 16;

	assert_int_equal(bind(fd, (struct sockaddr *)&ss, n), 0);
	assert_int_equal(listen(fd, 0), 0);
	getsockname(fd, (struct sockaddr *)&ss, &n);
	for (size_t i = 0; i < ARRAY_SIZE(waiting); i++) {
		waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		assert_true(connect(waiting[i], (struct sockaddr *)&ss, n) == 0 || errno == EINPROGRESS);
	}
	dial(a, "127.0.0.1", tcp_port(fd), NULL, 100);
	expect_error(a, ETIMEDOUT, "no answer in time");
	for (size_t i = 0; i < ARRAY_SIZE(waiting); i++)
		close(waiting[i]);
	close(fd);
}

/* The proxy */

static void proxy_event(void *arg, int events)
{
	struct app *a = arg;
	char got[4096];
	ssize_t n;

	if (a->accepted < 0) {
		a->accepted = tcp_accept(a->listening);
		assert_true(a->accepted >= 0);
		watch_free(a->watch);
		a->watch = watch_new(a->loop, a->accepted, WATCH_READ, proxy_event, a);
		return;
	}
	n = recv(a->accepted, got, sizeof(got), 0);
	if (n <= 0) {
		watch_set(a->watch, 0);
		return;
	}
	buf_add(&a->request, got, (size_t)n);
	if (!str_ends(buf_str(&a->request), STR("\r\n\r\n")))
		return;
	for (size_t at = 0, end = strlen(a->answer); at < end; at += MIN(a->step, end - at))
		assert_int_equal(write_all(a->accepted, a->answer + at, MIN(a->step, end - at)), 0);
	if (a->close)
		shutdown(a->accepted, SHUT_WR);
}

static void through(struct app *a, const char *credentials, const char *answer, unsigned deadline_ms)
{
	_cleanup_(freep) char *proxy = xasprintf("http://%s127.0.0.1:%u", credentials, tcp_port(a->listening));

	a->answer = answer;
	a->watch = watch_new(a->loop, a->listening, WATCH_READ, proxy_event, a);
	dial(a, "gate.example", 9001, proxy, deadline_ms);
}

static void test_proxy(void **state)
{
	struct app *a = *state;
	char rest[64];

	/* What follows the head is not the proxy's, and stays in the socket. */
	through(a, "me:p%3aw@", "HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nhello", 5000);
	assert_null(a->error);
	assert_string_equal(buf_cstr(&a->request), "CONNECT gate.example:9001 HTTP/1.1\r\nHost: gate.example:9001\r\n"
						   "Proxy-Authorization: Basic bWU6cDp3\r\n\r\n");
	assert_int_equal(recv(a->fd, rest, sizeof(rest), 0), 5);
	assert_memory_equal(rest, "hello", 5);
}

static void test_proxy_in_pieces(void **state)
{
	struct app *a = *state;
	char rest[8];

	a->step = 1;
	through(a, "", "HTTP/1.1 100 Wait\r\n\r\nHTTP/1.0 200 OK\r\n\r\nx", 5000);
	assert_null(a->error);
	assert_int_equal(recv(a->fd, rest, sizeof(rest), 0), 1);
	assert_int_equal(rest[0], 'x');
}

static void refusal(void **state, const char *credentials, const char *answer, int code, const char *text)
{
	struct app *a = *state;

	a->close = true;
	through(a, credentials, answer, 5000);
	expect_error(a, code, text);
	assert_non_null(strstr(a->error, "the proxy 127.0.0.1:"));
	assert_null(strstr(a->error, "secret"));
}

static void test_proxy_wants_password(void **state)
{
	refusal(state, "", "HTTP/1.1 407 Authenticate\r\n\r\n", EACCES, "wants a user and a password (407)");
}

static void test_proxy_refuses_password(void **state)
{
	refusal(state, "me:secret@", "HTTP/1.1 407 Authenticate\r\n\r\n", EACCES, "does not take this user");
}

static void test_proxy_forbids(void **state)
{
	refusal(state, "", "HTTP/1.1 403 Not there\r\nContent-Length: 3\r\n\r\nno\n", ECONNREFUSED,
		"answered 403 Not there when asked for gate.example:9001");
}

static void test_proxy_garbage(void **state)
{
	refusal(state, "", "220 mail.example ESMTP\r\n", EPROTO, "answers no HTTP to CONNECT");
}

static void test_proxy_closes(void **state)
{
	refusal(state, "", "HTTP/1.1 200 OK\r\n", ECONNRESET, "closed the connection instead of answering");
}

static void test_proxy_floods(void **state)
{
	_cleanup_(freep) char *head = xmalloc(20000);

	memset(head, 'x', 20000);
	memcpy(head, "HTTP/1.1 200 OK\r\nX: ", 20);
	head[19999] = '\0';
	refusal(state, "", head, EPROTO, "answers no HTTP to CONNECT");
}

static void test_proxy_is_silent(void **state)
{
	struct app *a = *state;

	through(a, "", "", 100);
	expect_error(a, ETIMEDOUT, "did not answer CONNECT in time");
}

/* Listening */

static void test_listen(void **state)
{
	struct app *a = *state;
	const char *bad[] = {"",         "9001",  "127.0.0.1",  "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:x",
			     "::1:9001", "[::1]", "999.0.0.1:1"};
	char text[TCP_ADDRESS_SIZE];
	struct err err = ERR_NULL;
	_cleanup_(freep) char *taken = xasprintf("127.0.0.1:%u", tcp_port(a->listening));
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (tcp_listen(bad[i], &err) >= 0)
			fail_msg("'%s' was taken", bad[i]);
		assert_non_null(strstr(err.msg, bad[i]));
		err_done(&err);
	}
	assert_int_equal(tcp_listen(taken, &err), -1);
	assert_non_null(strstr(err.msg, "Address already in use"));
	err_done(&err);
	fd = tcp_listen(":0", &err);
	assert_true(fd >= 0);
	/* Both families on one socket; an IPv4 peer is shown as one. */
	dial(a, "127.0.0.1", tcp_port(fd), NULL, 5000);
	assert_null(a->error);
	a->accepted = tcp_accept(fd);
	tcp_peer_address(a->accepted, text);
	assert_int_equal(strncmp(text, "127.0.0.1:", 10), 0);
	close(fd);
	tcp_address(-1, text);
	assert_string_equal(text, "?");
	fd = tcp_listen("[::1]:0", NULL);
	if (fd >= 0) { /* a machine may be without IPv6 */
		tcp_address(fd, text);
		assert_int_equal(strncmp(text, "[::1]:", 6), 0);
		close(fd);
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_dial),
		T(test_refused),
		T(test_bad_hosts),
		T(test_cancelled),
		T(test_deadline),
		T(test_proxy),
		T(test_proxy_in_pieces),
		T(test_proxy_wants_password),
		T(test_proxy_refuses_password),
		T(test_proxy_forbids),
		T(test_proxy_garbage),
		T(test_proxy_closes),
		T(test_proxy_floods),
		T(test_proxy_is_silent),
		T(test_listen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

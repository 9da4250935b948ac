/* The client against our own server in the same process: the client blocks on a pool thread. */
#include "net/http_client.h"

#include "base/mem.h"
#include "net/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

struct one {
	struct http_exchange *ex;
	struct buf body;
};

static void *begin(void *arg, struct http_exchange *ex)
{
	struct one *o = xnew(struct one);

	o->ex = ex;
	return o;
}

static size_t body(void *x, const uint8_t *p, size_t n)
{
	struct one *o = x;

	buf_add(&o->body, p, n);
	return n;
}

/* Echoes method, target and body. */
static void body_end(void *x)
{
	struct one *o = x;
	const struct http_header h[] = {{STR("X-Method"), http_method(o->ex)}, {STR("X-Target"), http_target(o->ex)}};
	struct http_body b = {.kind = HTTP_BODY_BYTES, .bytes = o->body};

	o->body = BUF_NULL;
	http_reply(o->ex, 201, h, 2, &b);
}

static void finished(void *x, bool sent)
{
	struct one *o = x;

	buf_done(&o->body);
	free(o);
}

struct run {
	struct loop *loop;
	struct http_client *client;
	struct http_call call;
	struct http_response resp;
	struct err err;
	int ret;
};

static void work(void *arg)
{
	struct run *r = arg;

	r->ret = http_client_call(r->client, &r->call, &r->resp, &r->err);
}

static void done(void *arg)
{
	struct run *r = arg;

	loop_stop(r->loop);
}

static int run(struct run *r, struct http_call call)
{
	http_response_done(&r->resp);
	r->call = call;
	loop_work(r->loop, work, done, r);
	loop_run(r->loop);
	return r->ret;
}

static bool sink(void *arg, const void *p, size_t n)
{
	buf_add(arg, p, n);
	return true;
}

static int listening(unsigned *port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t n = sizeof(sa);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 16), 0);
	getsockname(fd, (struct sockaddr *)&sa, &n);
	*port = ntohs(sa.sin_port);
	return fd;
}

static void calls(struct run *r, const char *url)
{
	struct buf got = BUF_NULL;
	int fd = memfd_create("body", MFD_CLOEXEC);

	assert_int_equal(run(r, (struct http_call){.method = "GET", .url = url}), 0);
	assert_int_equal(r->resp.status, 201);
	assert_true(str_eqz(http_response_header(&r->resp, "x-target"), "/a/../b%20c?d"));
	assert_int_equal(run(r, (struct http_call){.method = "POST", .url = url, .body = STR("hello")}), 0);
	assert_true(str_eqz(buf_str(&r->resp.body), "hello"));
	assert_int_equal(run(r, (struct http_call){.method = "DELETE", .url = url}), 0);
	assert_true(str_eqz(http_response_header(&r->resp, "X-Method"), "DELETE"));
	assert_int_equal(run(r, (struct http_call){.method = "HEAD", .url = url}), 0);
	assert_int_equal(write(fd, "0123456789", 10), 10);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(run(r, (struct http_call){.method = "PUT",
						   .url = url,
						   .body_fd = fd,
						   .body_length = 10,
						   .sink = sink,
						   .sink_arg = &got}),
			 0);
	assert_true(str_eqz(buf_str(&got), "0123456789"));
	/* A body that is not there, and an answer that is too large. */
	assert_int_equal(run(r, (struct http_call){.method = "PUT", .url = url, .body_fd = fd, .body_length = 10}), -1);
	assert_int_equal(run(r, (struct http_call){.method = "POST", .url = url, .body = STR("hello"), .max_body = 4}),
			 -1);
	close(fd);
	buf_done(&got);
}

static void test_calls(void **state)
{
	const struct http_handler handler = {begin, body, body_end, finished};
	struct http_server_conf conf = {.max_connections = 8, .idle_timeout_s = 20, .max_header_bytes = 16384};
	struct run r = {.loop = loop_new(), .client = http_client_new()};
	_cleanup_(freep) char *url = NULL;
	struct http_server *s;
	unsigned port;

	setenv("http_proxy", "http://127.0.0.1:1", 1); /* not for loopback addresses */
	conf.listen_fd = listening(&port);
	s = http_server_new(r.loop, &conf, &handler, NULL, NULL);
	url = xasprintf("http://127.0.0.1:%u/a/../b%%20c?d", port);
	calls(&r, url);
	http_server_free(s);
	assert_int_equal(run(&r, (struct http_call){.method = "GET", .url = url}), -1);
	free(url);
	url = xasprintf("cannot reach http://127.0.0.1:%u: Connection refused", port);
	assert_string_equal(r.err.msg, url);
	err_done(&r.err);
	http_client_free(r.client);
	loop_free(r.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_calls)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

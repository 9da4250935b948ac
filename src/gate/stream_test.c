/* Streams between a scripted worker (a socket pair) and a client of a real server: windows both ways, and workers that
 * do not keep to them. */
#include "gate/stream.h"

#include "base/mem.h"
#include "gate/gate.h"
#include "gate/worker.h"
#include "sys/fdpass.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define CHUNK ((size_t)FRAME_CHUNK_MAX)

struct fixture {
	struct loop *loop;
	struct http_server *server;
	struct lane *lane;
	int sock, pipe; /* the worker's ends */
	int client;
	struct req r;
	struct worker w;
	struct invocation inv;
	bool over, refused;
	unsigned frames;
};

static const char zeros[FRAME_CHUNK_MAX + 1];

static bool begin(struct req *r, const struct frame *head, struct buf *out)
{
	uint64_t status = 200;

	if (head)
		frame_meta_u64(head, FRAME_KEY_STATUS, &status);
	r->status = (unsigned)status;
	return status >= 100;
}

static const struct stream_ops exchange = {.begin = begin, .http = true}, plain = {.begin = begin};

/* ---- the gate ---- */

static void *on_begin(void *arg, struct http_exchange *ex)
{
	struct fixture *x = arg;

	x->r.ex = ex;
	x->r.body_ended = http_content_length(ex) == 0;
	loop_stop(x->loop);
	return x;
}

static size_t on_body(void *arg, const uint8_t *p, size_t n)
{
	struct fixture *x = arg;

	return x->inv.stream ? stream_take(x->inv.stream, str_n(p, n)) : 0;
}

static void on_body_end(void *arg)
{
	struct fixture *x = arg;

	x->r.body_ended = true;
	if (x->inv.stream)
		stream_body_over(x->inv.stream);
}

static void on_finished(void *arg, bool sent)
{
	struct fixture *x = arg;

	x->r.ex = NULL;
	stream_client_gone(x->inv.stream, sent);
	x->over = true;
}

static void on_frame(void *arg, const struct frame *f)
{
	struct fixture *x = arg;

	x->frames++;
	if (!stream_frame(&x->inv, f))
		x->refused = true;
}

static void on_output(void *arg, struct str bytes)
{
}

static void on_ended(void *arg, enum lane_end how)
{
}

static const struct lane_handler lane_events = {.frame = on_frame, .output = on_output, .ended = on_ended};
static const struct http_handler http_events = {on_begin, on_body, on_body_end, on_finished};

static void turn(struct fixture *x)
{
	loop_soon(x->loop);
	struct timer *t = timer_new(x->loop, (void (*)(void *))loop_stop, x->loop);

	timer_set(t, 1);
	loop_run(x->loop);
	timer_free(t);
}

/* ---- the worker ---- */

static void say(struct fixture *x, enum frame_type type, uint16_t key, uint64_t value, size_t body)
{
	struct buf meta = BUF_NULL;
	uint8_t header[FRAME_HEADER_SIZE];
	unsigned before = x->frames;

	if (key)
		frame_meta_add_u64(&meta, key, value);
	frame_header(header, (uint8_t)type, x->r.id, meta.n, body);
	assert_int_equal(write(x->sock, header, sizeof(header)), sizeof(header));
	if (meta.n)
		assert_int_equal(write(x->sock, meta.p, meta.n), meta.n);
	if (body)
		assert_int_equal(write(x->sock, zeros, body), body);
	buf_done(&meta);
	while (x->frames == before)
		turn(x);
}

/* The frames that came, as text: their types, a window's bytes, a chunk's length. */
static void hear(struct fixture *x, struct buf *said, size_t *bytes)
{
	static char buffer[1 << 20];
	ssize_t n;
	size_t have = 0;

	turn(x);
	while ((n = recv(x->sock, buffer + have, sizeof(buffer) - have, MSG_DONTWAIT)) > 0)
		have += (size_t)n;
	for (size_t at = 0; at < have;) {
		struct frame f;
		uint64_t window = 0;
		int64_t size = frame_size(str_n(buffer + at, have - at));

		assert_true(size > 0 && frame_parse(str_n(buffer + at, (size_t)size), &f));
		frame_meta_u64(&f, FRAME_KEY_WINDOW, &window);
		buf_printf(said, "<%u>", f.type);
		*bytes += f.type == FRAME_WINDOW_MORE ? window : f.body.n;
		at += (size_t)size;
	}
}

/* ---- set-up ---- */

static int setup(void **state)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct http_server_conf conf = {.max_connections = 8, .idle_timeout_s = 20, .max_header_bytes = 16384};
	struct fixture *x = xnew(struct fixture);
	socklen_t n = sizeof(sa);
	int pair[2], ends[2], small = 4096;

	x->loop = loop_new();
	conf.listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(conf.listen_fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	setsockopt(conf.listen_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	assert_int_equal(listen(conf.listen_fd, 8), 0);
	getsockname(conf.listen_fd, (struct sockaddr *)&sa, &n);
	x->server = http_server_new(x->loop, &conf, &http_events, x, NULL);
	x->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(x->client, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	assert_int_equal(connect(x->client, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(unix_pair(pair), 0);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	x->sock = pair[1];
	x->pipe = ends[1];
	assert_int_equal(fcntl(x->sock, F_SETFL, 0), 0);
	x->lane = lane_new(x->loop, pair[0], ends[0], &lane_events, x);
	x->w.lane = x->lane;
	x->inv = (struct invocation){.r = &x->r, .worker = &x->w, .state = INVOCATION_RUNNING};
	x->r.inv = &x->inv;
	memset(x->r.id, 7, sizeof(x->r.id));
	memset(x->r.id_text, 0x78, sizeof(x->r.id_text) - 1);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	if (x->client >= 0)
		close(x->client);
	http_server_free(x->server);
	stream_free(x->inv.stream);
	lane_free(x->lane);
	close(x->sock);
	close(x->pipe);
	loop_free(x->loop);
	arena_done(&x->r.arena);
	free(x);
	return 0;
}

static void request(struct fixture *x, const char *text, const struct stream_ops *ops)
{
	assert_int_equal(send(x->client, text, strlen(text), 0), strlen(text));
	while (!x->r.ex)
		turn(x);
	stream_new(&x->inv, ops, STR_NULL);
	if (ops->http)
		stream_body(x->inv.stream, STR_NULL, false, false);
	stream_run_begins(x->inv.stream);
}

#define GET  "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define POST "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n"

/* ---- cases ---- */

static void pieces_reach_the_client_at_once(void **state)
{
	struct fixture *x = *state;
	char got[4096];
	size_t have = 0;

	request(x, GET, &plain);
	say(x, FRAME_CHUNK, 0, 0, 10);
	while (have < 20 || !memmem(got, have, "\r\n\r\nA\r\n", 7)) {
		ssize_t n = recv(x->client, got + have, sizeof(got) - have, MSG_DONTWAIT);

		if (n > 0)
			have += (size_t)n;
		else
			turn(x);
	}
	assert_memory_equal(got, "HTTP/1.1 200", 12);
	assert_false(x->refused);
}

static void a_client_that_does_not_read_stops_the_worker(void **state)
{
	struct fixture *x = *state;
	_cleanup_(buf_done) struct buf said = BUF_NULL;
	size_t given = 0, sent = 0;

	request(x, GET, &plain);
	while (sent + CHUNK <= FRAME_WINDOW + given) {
		say(x, FRAME_CHUNK, 0, 0, CHUNK);
		sent += CHUNK;
		hear(x, &said, &given);
		assert_true(sent < 8u << 20);
	}
	assert_false(x->refused);
	/* One byte too many. */
	say(x, FRAME_CHUNK, 0, 0, FRAME_WINDOW + given - sent + 1);
	assert_true(x->refused);
}

static void window_comes_back_as_the_client_reads(void **state)
{
	struct fixture *x = *state;
	_cleanup_(buf_done) struct buf said = BUF_NULL;
	static char bytes[65536];
	size_t given = 0, sent = 0;

	request(x, GET, &plain);
	while (sent < 4u << 20) {
		if (sent + CHUNK <= FRAME_WINDOW + given) {
			say(x, FRAME_CHUNK, 0, 0, CHUNK);
			sent += CHUNK;
		}
		while (recv(x->client, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
			;
		hear(x, &said, &given);
	}
	assert_false(x->refused);
}

static void a_client_that_leaves_cancels(void **state)
{
	struct fixture *x = *state;
	_cleanup_(buf_done) struct buf said = BUF_NULL;
	size_t given = 0;

	request(x, GET, &plain);
	for (int i = 0; i < 4; i++)
		say(x, FRAME_CHUNK, 0, 0, CHUNK);
	close(steal_fd(&x->client));
	while (!x->over)
		turn(x);
	hear(x, &said, &given);
	assert_non_null(strstr(buf_cstr(&said), "<10>"));
	/* It goes on to its RESULT: nobody takes what it says, but it may say it. */
	for (int i = 0; i < 20; i++) {
		say(x, FRAME_CHUNK, 0, 0, CHUNK);
		hear(x, &said, &given);
	}
	assert_false(x->refused);
	assert_true(given >= 20 * CHUNK);
}

static void a_body_goes_by_windows(void **state)
{
	struct fixture *x = *state;
	_cleanup_(buf_done) struct buf said = BUF_NULL;
	size_t taken = 0, sent = 0;

	request(x, POST, &exchange);
	while (taken < 1000000) {
		ssize_t n = sent < 1000000 ? send(x->client, zeros, MIN(1000000 - sent, CHUNK), MSG_DONTWAIT) : 0;
		size_t before = taken;

		sent += n > 0 ? (size_t)n : 0;
		hear(x, &said, &taken);
		if (taken > before && taken < 1000000)
			say(x, FRAME_WINDOW_MORE, FRAME_KEY_WINDOW, taken - before, 0);
	}
	while (!strstr(buf_cstr(&said), "<8>"))
		hear(x, &said, &taken);
	assert_int_equal(taken, 1000000);
	assert_false(x->refused);
}

static void a_body_waits_for_its_window(void **state)
{
	struct fixture *x = *state;
	_cleanup_(buf_done) struct buf said = BUF_NULL;
	size_t taken = 0;

	request(x, POST, &exchange);
	for (int i = 0; i < 200; i++) {
		if (send(x->client, zeros, CHUNK, MSG_DONTWAIT) < 0)
			turn(x);
		hear(x, &said, &taken);
	}
	assert_int_equal(taken, FRAME_WINDOW);
	assert_null(strstr(buf_cstr(&said), "<8>"));
}

static void refused(void **state, const struct stream_ops *ops, enum frame_type type, uint16_t key, uint64_t value)
{
	struct fixture *x = *state;

	request(x, GET, ops);
	say(x, type, key, value, 0);
	assert_true(x->refused);
}

static void chunk_before_head(void **state)
{
	refused(state, &exchange, FRAME_CHUNK, 0, 0);
}

static void head_that_is_none(void **state)
{
	refused(state, &exchange, FRAME_HEAD, FRAME_KEY_STATUS, 7);
}

static void end_before_anything(void **state)
{
	refused(state, &exchange, FRAME_END, 0, 0);
}

static void more_window_than_there_is(void **state)
{
	refused(state, &exchange, FRAME_WINDOW_MORE, FRAME_KEY_WINDOW, UINT64_MAX);
}

static void head_twice(void **state)
{
	struct fixture *x = *state;

	request(x, GET, &exchange);
	say(x, FRAME_HEAD, FRAME_KEY_STATUS, 201, 0);
	assert_false(x->refused);
	say(x, FRAME_HEAD, FRAME_KEY_STATUS, 201, 0);
	assert_true(x->refused);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(pieces_reach_the_client_at_once),
		TEST(a_client_that_does_not_read_stops_the_worker),
		TEST(window_comes_back_as_the_client_reads),
		TEST(a_client_that_leaves_cancels),
		TEST(a_body_goes_by_windows),
		TEST(a_body_waits_for_its_window),
		TEST(chunk_before_head),
		TEST(head_that_is_none),
		TEST(end_before_anything),
		TEST(more_window_than_there_is),
		TEST(head_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

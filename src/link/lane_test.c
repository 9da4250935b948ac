/* Lanes over real sockets and pipes. The test is the worker; it runs between turns of the loop. */
#include "link/lane.h"

#include "base/mem.h"
#include "sys/fdpass.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	struct loop *loop;
	struct lane *lane;
	int sock, pipe;  /* the worker's ends */
	struct buf seen; /* what came, in order: output as it is, frames as <TYPE:body> */
	size_t frames;
	size_t last_body; /* length of the last frame's body */
	bool ended, free_in_frame, again, keep;
	unsigned room;
	pid_t child;
	int listen_fd;
	uint64_t box_us;
	enum lane_end how;
	size_t stop_at; /* frames after which the loop stops */
	bool take;      /* the bytes of frames are asked for */
	unsigned taken, not_taken;
};

static const uint8_t id[16] = "0123456789abcde";
static const uint8_t no_id[16];

static void on_frame(void *arg, const struct frame *f)
{
	struct fixture *x = arg;

	if (f->body.n < 100)
		buf_printf(&x->seen, "<%d:%.*s>", f->type, STR_ARG(f->body));
	x->last_body = f->body.n;
	if (f->body.n)
		assert_int_equal(f->body.p[f->body.n - 1], f->body.p[0]); /* readable to its end */
	x->frames++;
	if (x->take) {
		struct buf bytes = lane_keep(x->lane);

		if (bytes.p) {
			x->taken++;
			assert_true(f->body.p >= bytes.p && f->body.p + f->body.n == bytes.p + bytes.n);
		} else {
			x->not_taken++;
		}
		buf_done(&bytes);
	}
	if (x->free_in_frame)
		x->lane = lane_free(x->lane);
	if (x->free_in_frame || x->frames == x->stop_at)
		loop_stop(x->loop);
	if (x->again) {
		const struct lane_invoke in = {.id = "0123456789abcde", .event = STR("2")};

		x->again = false;
		lane_send_invoke(x->lane, &in);
	}
}

static void on_output(void *arg, struct str bytes)
{
	struct fixture *x = arg;

	if (bytes.n < 100)
		buf_add_str(&x->seen, bytes);
}

static void on_ended(void *arg, enum lane_end how)
{
	struct fixture *x = arg;

	assert_false(x->ended);
	x->ended = true;
	x->how = how;
	if (!x->keep)
		x->lane = lane_free(x->lane);
	loop_stop(x->loop);
}

static void on_boxed(void *arg, int listen_fd, uint64_t box_us)
{
	struct fixture *x = arg;

	buf_adds(&x->seen, "box");
	x->listen_fd = listen_fd;
	x->box_us = box_us;
}

static const struct lane_handler handler = {
	.frame = on_frame, .boxed = on_boxed, .output = on_output, .ended = on_ended};

static int setup(void **state)
{
	struct fixture *x = xnew(struct fixture);
	int pair[2], ends[2];

	x->loop = loop_new();
	assert_int_equal(unix_pair(pair), 0);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	x->sock = pair[1];
	x->pipe = ends[1];
	assert_int_equal(fcntl(x->sock, F_SETFL, 0), 0); /* a worker blocks */
	x->lane = lane_new(x->loop, pair[0], ends[0], &handler, x);
	x->stop_at = 1;
	x->listen_fd = -1;
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	if (x->child > 0) {
		kill(x->child, SIGKILL);
		waitpid(x->child, NULL, 0);
	}
	lane_free(x->lane);
	if (x->sock >= 0)
		close(x->sock);
	if (x->pipe >= 0)
		close(x->pipe);
	if (x->listen_fd >= 0)
		close(x->listen_fd);
	loop_free(x->loop);
	buf_done(&x->seen);
	free(x);
	return 0;
}

static void say(struct fixture *x, uint8_t type, const uint8_t *ident, struct str body)
{
	uint8_t header[FRAME_HEADER_SIZE];

	frame_header(header, type, ident, 0, body.n);
	assert_int_equal(write(x->sock, header, sizeof(header)), sizeof(header));
	if (body.n)
		assert_int_equal(write(x->sock, body.p, body.n), body.n);
}

static void print(struct fixture *x, const char *text)
{
	assert_int_equal(write(x->pipe, text, strlen(text)), strlen(text));
}

static void ready(struct fixture *x)
{
	say(x, FRAME_READY, no_id, STR_NULL);
	loop_run(x->loop);
	assert_string_equal(buf_cstr(&x->seen), "<2:>");
	buf_clear(&x->seen);
	x->frames = 0;
}

static void invoke(struct fixture *x, struct str event)
{
	struct lane_invoke in = {.deadline_ms = 77, .arn = STR("arn"), .trace = STR("Root=1"), .event = event};

	memcpy(in.id, id, sizeof(in.id));
	lane_send_invoke(x->lane, &in);
}

/* Reads n bytes as a worker does. */
static void take(struct fixture *x, char *p, size_t n)
{
	assert_int_equal(recv(x->sock, p, n, MSG_WAITALL), n);
}

static void invoke_carries_its_meta(void **state)
{
	struct fixture *x = *state;
	char bytes[4096];
	ssize_t n;
	struct frame f;
	struct str s;
	uint64_t v;

	ready(x);
	invoke(x, STR("{}"));
	n = recv(x->sock, bytes, sizeof(bytes), 0);
	assert_int_equal(frame_size(str_n(bytes, (size_t)n)), n);
	assert_true(frame_parse(str_n(bytes, (size_t)n), &f));
	assert_int_equal(f.type, FRAME_INVOKE);
	assert_memory_equal(f.id, id, sizeof(id));
	assert_true(str_eqz(f.body, "{}"));
	assert_true(frame_meta_u64(&f, FRAME_KEY_DEADLINE_MS, &v) && v == 77);
	assert_true(frame_meta_get(&f, FRAME_KEY_ARN, &s) && str_eqz(s, "arn"));
	assert_true(frame_meta_get(&f, FRAME_KEY_TRACE, &s) && str_eqz(s, "Root=1"));
	assert_false(frame_meta_get(&f, FRAME_KEY_CLIENT_CONTEXT, &s));
}

static void output_comes_before_its_result(void **state)
{
	struct fixture *x = *state;

	ready(x);
	invoke(x, STR("1"));
	print(x, "one\n");
	print(x, "two\n");
	say(x, FRAME_RESULT, id, STR("1"));
	loop_run(x->loop);
	assert_string_equal(buf_cstr(&x->seen), "one\ntwo\n<3:1>");
}

static void next_invoke_from_the_handler(void **state)
{
	struct fixture *x = *state;

	ready(x);
	invoke(x, STR("1"));
	x->again = true;
	x->stop_at = 2;
	/* The answers to both are there at once; the second INVOKE is sent while the first answer is handled. */
	say(x, FRAME_RESULT, id, STR("1"));
	say(x, FRAME_RESULT, id, STR("2"));
	loop_run(x->loop);
	assert_string_equal(buf_cstr(&x->seen), "<3:1><3:2>");
}

/* The bytes of a frame can be had when nothing stands behind it, and what comes next is read as ever. */
static void bytes_of_a_frame_are_kept(void **state)
{
	struct fixture *x = *state;

	ready(x);
	invoke(x, STR("1"));
	x->take = true;
	x->stop_at = 2;
	say(x, FRAME_RESULT, id, STR("1"));
	say(x, FRAME_RESULT, id, STR("2"));
	loop_run(x->loop);
	assert_int_equal(x->not_taken, 1);
	assert_int_equal(x->taken, 1);
	x->stop_at = 3;
	say(x, FRAME_RESULT, id, STR("3"));
	loop_run(x->loop);
	assert_int_equal(x->taken, 2);
	x->take = false;
	x->stop_at = 4;
	say(x, FRAME_RESULT, id, STR("4"));
	loop_run(x->loop);
	assert_int_equal(x->frames, 4);
	assert_null(lane_keep(x->lane).p); /* there is none now */
}

static void freed_in_its_handler(void **state)
{
	struct fixture *x = *state;

	ready(x);
	invoke(x, STR("1"));
	x->free_in_frame = true;
	say(x, FRAME_RESULT, id, STR("1"));
	say(x, FRAME_RESULT, id, STR("never seen"));
	loop_run(x->loop);
	assert_string_equal(buf_cstr(&x->seen), "<3:1>");
	assert_false(x->ended);
}

/* A worker on its own: takes a large event, answers with one as large. */
static int big_worker(struct fixture *x, size_t n)
{
	int pid = fork();

	if (pid == 0) {
		char *body = xmalloc(n);
		uint8_t head[FRAME_HEADER_SIZE];
		uint32_t lens[2];
		char meta[256];

		take(x, (char *)head, sizeof(head));
		memcpy(lens, head, sizeof(lens));
		if (lens[0] != n || lens[1] > sizeof(meta))
			_exit(1);
		take(x, meta, lens[1]);
		take(x, body, n);
		frame_header(head, FRAME_RESULT, id, 0, n);
		for (size_t at = 0; at < sizeof(head); at += 8) /* in drops first */
			if (write(x->sock, head + at, 8) != 8)
				_exit(2);
		for (size_t at = 0; at < n;) {
			ssize_t w = write(x->sock, body + at, n - at);

			if (w < 0)
				_exit(3);
			at += (size_t)w;
		}
		_exit(0);
	}
	return pid;
}

static void six_mib_both_ways(void **state)
{
	struct fixture *x = *state;
	const size_t n = 6u << 20;
	_cleanup_(freep) char *event = xmalloc(n);

	memset(event, 'x', n);
	ready(x);
	assert_true(big_worker(x, n) > 0);
	invoke(x, str_n(event, n));
	loop_run(x->loop);
	assert_int_equal(x->last_body, n);
	assert_false(x->ended);
}

static void end(struct fixture *x, enum lane_end how)
{
	if (!x->ended)
		loop_run(x->loop);
	assert_true(x->ended);
	assert_int_equal(x->how, how);
}

static void closed_when_idle(void **state)
{
	struct fixture *x = *state;

	ready(x);
	print(x, "bye\n");
	close(steal_fd(&x->sock));
	end(x, LANE_CLOSED);
	assert_string_equal(buf_cstr(&x->seen), "bye\n");
}

static void closed_while_it_runs(void **state)
{
	struct fixture *x = *state;
	char bytes[4096];

	ready(x);
	invoke(x, STR("1"));
	assert_true(recv(x->sock, bytes, sizeof(bytes), 0) > 0);
	print(x, "argh\n");
	close(steal_fd(&x->sock));
	end(x, LANE_CLOSED);
	assert_string_equal(buf_cstr(&x->seen), "argh\n");
}

/* What the whole retry rests on: a socket closed with bytes unread resets the other end (unix(7)). */
static void died_with_the_invoke_unread(void **state)
{
	struct fixture *x = *state;

	ready(x);
	invoke(x, STR("1"));
	close(steal_fd(&x->sock));
	end(x, LANE_UNREAD);
}

static void dead_before_the_invoke(void **state)
{
	struct fixture *x = *state;

	ready(x);
	close(steal_fd(&x->sock));
	invoke(x, STR("1"));
	end(x, LANE_UNREAD);
}

static void died_while_it_read_a_large_event(void **state)
{
	struct fixture *x = *state;
	const size_t n = 6u << 20;
	_cleanup_(freep) char *event = xcalloc(1, n);
	char bytes[4096];

	ready(x);
	invoke(x, str_n(event, n));
	assert_true(recv(x->sock, bytes, sizeof(bytes), 0) > 0);
	close(steal_fd(&x->sock));
	end(x, LANE_UNREAD);
}

static void pipe_may_end_first(void **state)
{
	struct fixture *x = *state;

	ready(x);
	invoke(x, STR("1"));
	close(steal_fd(&x->pipe));
	say(x, FRAME_RESULT, id, STR("1"));
	loop_run(x->loop);
	assert_string_equal(buf_cstr(&x->seen), "<3:1>");
	lane_drain_output(x->lane);
}

static void pipe_held_by_a_daemon_does_not_hold_the_end(void **state)
{
	struct fixture *x = *state;

	ready(x);
	close(steal_fd(&x->sock)); /* the pipe stays open, as in a child that lives on */
	end(x, LANE_CLOSED);
}

static void init_error_is_handed_on(void **state)
{
	struct fixture *x = *state;

	say(x, FRAME_ERROR, no_id, STR("e"));
	loop_run(x->loop);
	assert_string_equal(buf_cstr(&x->seen), "<4:e>");
	close(steal_fd(&x->sock));
	end(x, LANE_CLOSED);
}

static void broken(struct fixture *x, const void *p, size_t n)
{
	assert_int_equal(write(x->sock, p, n), n);
	end(x, LANE_BROKEN);
	assert_int_equal(x->frames, 0);
}

static void garbage(void **state)
{
	broken(*state, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 38);
}

static void too_long(void **state)
{
	uint8_t header[FRAME_HEADER_SIZE];

	frame_header(header, FRAME_READY, no_id, 0, LANE_BODY_MAX + FRAME_META_MAX);
	broken(*state, header, sizeof(header));
}

static void bad_meta(void **state)
{
	uint8_t bytes[FRAME_HEADER_SIZE + 8] = {0};

	frame_header(bytes, FRAME_READY, no_id, 8, 0);
	memset(bytes + FRAME_HEADER_SIZE, 0xff, 8);
	broken(*state, bytes, sizeof(bytes));
}

static void head_of(struct fixture *x, uint8_t type, const uint8_t *ident, size_t body)
{
	uint8_t header[FRAME_HEADER_SIZE];

	frame_header(header, type, ident, 0, body);
	assert_int_equal(write(x->sock, header, sizeof(header)), sizeof(header));
}

static void invoke_from_a_worker(void **state)
{
	struct fixture *x = *state;

	ready(x);
	head_of(x, FRAME_INVOKE, id, 0);
	end(x, LANE_BROKEN);
}

static void chunk_too_long(void **state)
{
	struct fixture *x = *state;
	_cleanup_(freep) char *bytes = xcalloc(1, FRAME_CHUNK_MAX + 1);

	ready(x);
	head_of(x, FRAME_CHUNK, id, FRAME_CHUNK_MAX + 1);
	assert_int_equal(write(x->sock, bytes, FRAME_CHUNK_MAX + 1), FRAME_CHUNK_MAX + 1);
	end(x, LANE_BROKEN);
	assert_int_equal(x->frames, 0);
}

/* Its bytes are the caller's: freed when there is an answer. */
static void answered_before_it_was_sent(void **state)
{
	struct fixture *x = *state;
	const size_t n = 6u << 20;
	_cleanup_(freep) char *event = xcalloc(1, n);

	ready(x);
	invoke(x, str_n(event, n));
	head_of(x, FRAME_RESULT, id, 0);
	end(x, LANE_BROKEN);
	assert_int_equal(x->frames, 0);
}

/* ---- several at once ---- */

static const uint8_t id2[16] = "another one....";

static void invoke_as(struct fixture *x, const uint8_t *ident, struct str event)
{
	struct lane_invoke in = {.event = event};

	memcpy(in.id, ident, sizeof(in.id));
	lane_send_invoke(x->lane, &in);
}

static void answers_in_any_order(void **state)
{
	struct fixture *x = *state;

	ready(x);
	invoke_as(x, id, STR("1"));
	invoke_as(x, id2, STR("2"));
	x->stop_at = 3;
	say(x, FRAME_CHUNK, id, STR("c"));
	say(x, FRAME_RESULT, id2, STR("2"));
	say(x, FRAME_RESULT, id, STR("1"));
	loop_run(x->loop);
	assert_string_equal(buf_cstr(&x->seen), "<5:c><3:2><3:1>");
}

/* Two large events and what follows them wait for a worker that reads when it likes; all comes in order. */
static void queue_of_events(void **state)
{
	struct fixture *x = *state;
	const size_t n = 3u << 20;
	_cleanup_(freep) char *event = xmalloc(n), *back = xmalloc(2 * n);
	struct buf seen = BUF_NULL;
	struct frame f;
	int64_t size;

	memset(event, 'x', n);
	ready(x);
	invoke_as(x, id, str_n(event, n));
	assert_true(lane_full(x->lane));
	invoke_as(x, id2, str_n(event, n));
	lane_send(x->lane, FRAME_CHUNK, id2, STR_NULL, STR("piece"));
	lane_send(x->lane, FRAME_END, id2, STR_NULL, STR_NULL);
	x->child = fork();
	if (x->child == 0) {
		for (size_t total = 0; total < 2 * n + 200;) {
			ssize_t got = recv(x->sock, back, 2 * n, 0);

			if (got <= 0)
				_exit(1);
			buf_add(&seen, back, (size_t)got);
			total = seen.n;
			if (total >= 2 * n + 5 &&
			    memcmp(seen.p + seen.n - FRAME_HEADER_SIZE, "\0\0\0\0\0\0\0\0\x08", 9) == 0)
				break;
		}
		for (size_t at = 0, i = 0; at < seen.n; at += (size_t)size, i++) {
			static const uint8_t types[] = {FRAME_INVOKE, FRAME_INVOKE, FRAME_CHUNK, FRAME_END};

			size = frame_size(str_sub(buf_str(&seen), at, SIZE_MAX));
			if (size <= 0 || !frame_parse(str_sub(buf_str(&seen), at, (size_t)size), &f) || i > 3 ||
			    f.type != types[i])
				_exit(2);
		}
		say(x, FRAME_RESULT, id, STR("k"));
		_exit(0);
	}
	loop_run(x->loop);
	assert_int_equal(x->frames, 1);
	assert_false(lane_full(x->lane));
}

static void on_room(void *arg)
{
	struct fixture *x = arg;

	x->room++;
	loop_stop(x->loop);
}

static void waits_for_room(void **state)
{
	struct fixture *x = *state;
	struct lane_waiter w = {.fn = on_room, .arg = x}, other = w;
	_cleanup_(freep) char *bytes = xcalloc(1, FRAME_CHUNK_MAX);
	size_t sent = 0;

	ready(x);
	invoke_as(x, id, STR("1"));
	for (; !lane_full(x->lane); sent += FRAME_CHUNK_MAX)
		lane_send(x->lane, FRAME_CHUNK, id, STR_NULL, str_n(bytes, FRAME_CHUNK_MAX));
	assert_true(sent < 4u << 20);
	lane_wait(x->lane, &w);
	lane_wait(x->lane, &other);
	lane_unwait(&other);
	lane_unwait(&other);
	x->child = fork();
	if (x->child == 0) {
		while (recv(x->sock, bytes, FRAME_CHUNK_MAX, 0) > 0)
			;
		_exit(0);
	}
	loop_run(x->loop);
	assert_int_equal(x->room, 1);
	assert_false(lane_full(x->lane));
}

static void only_the_last_is_surely_unread(void **state)
{
	struct fixture *x = *state;

	ready(x);
	x->keep = true;
	invoke_as(x, id, STR("1"));
	invoke_as(x, id2, STR("2"));
	close(steal_fd(&x->sock));
	end(x, LANE_UNREAD);
	assert_false(lane_unread(x->lane, id));
	assert_true(lane_unread(x->lane, id2));
}

static void a_chunk_behind_it_hides_whether_it_was_read(void **state)
{
	struct fixture *x = *state;

	ready(x);
	x->keep = true;
	invoke_as(x, id, STR("1"));
	lane_send(x->lane, FRAME_CHUNK, id, STR_NULL, STR("piece"));
	close(steal_fd(&x->sock));
	end(x, LANE_CLOSED);
	assert_false(lane_unread(x->lane, id));
}

static void end_with_its_invoke(void **state)
{
	struct fixture *x = *state;
	struct lane_invoke in = {.end = true, .again = true};
	char bytes[4096];
	struct frame f;
	ssize_t n;

	ready(x);
	x->keep = true;
	memcpy(in.id, id, sizeof(in.id));
	lane_send_invoke(x->lane, &in);
	n = recv(x->sock, bytes, sizeof(bytes), 0);
	assert_true(frame_parse(str_n(bytes, (size_t)n - FRAME_HEADER_SIZE), &f));
	assert_int_equal(f.type, FRAME_INVOKE);
	assert_true(frame_parse(str_n(bytes + n - FRAME_HEADER_SIZE, FRAME_HEADER_SIZE), &f));
	assert_int_equal(f.type, FRAME_END);
	memcpy(in.id, id2, sizeof(in.id));
	lane_send_invoke(x->lane, &in);
	close(steal_fd(&x->sock));
	end(x, LANE_UNREAD);
	assert_true(lane_unread(x->lane, id2));
	assert_false(lane_unread(x->lane, id));
}

/* ---- the box ---- */

static void box_says_where_its_requests_come_in(void **state)
{
	struct fixture *x = *state;
	uint8_t bytes[2 * FRAME_HEADER_SIZE + 16];
	_cleanup_(buf_done) struct buf meta = BUF_NULL;
	int ends[2];

	frame_meta_add_u64(&meta, FRAME_KEY_BOX_US, 1700);
	assert_int_equal(meta.n, 16);
	frame_header(bytes, FRAME_BOXED, no_id, meta.n, 0);
	memcpy(bytes + FRAME_HEADER_SIZE, meta.p, meta.n);
	frame_header(bytes + FRAME_HEADER_SIZE + 16, FRAME_READY, no_id, 0, 0);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(fd_send(x->sock, bytes, sizeof(bytes), ends, 1), sizeof(bytes));
	loop_run(x->loop);
	assert_string_equal(buf_cstr(&x->seen), "box<2:>");
	assert_int_equal(x->box_us, 1700);
	assert_int_equal(write(ends[1], "x", 1), 1);
	assert_int_equal(read(x->listen_fd, bytes, 1), 1);
	close(ends[0]);
	close(ends[1]);
}

static void boxed_twice(void **state)
{
	struct fixture *x = *state;

	head_of(x, FRAME_BOXED, no_id, 0);
	head_of(x, FRAME_BOXED, no_id, 0);
	end(x, LANE_BROKEN);
	assert_string_equal(buf_cstr(&x->seen), "box");
	assert_int_equal(x->listen_fd, -1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(invoke_carries_its_meta),
		TEST(output_comes_before_its_result),
		TEST(next_invoke_from_the_handler),
		TEST(bytes_of_a_frame_are_kept),
		TEST(freed_in_its_handler),
		TEST(six_mib_both_ways),
		TEST(closed_when_idle),
		TEST(closed_while_it_runs),
		TEST(died_with_the_invoke_unread),
		TEST(dead_before_the_invoke),
		TEST(died_while_it_read_a_large_event),
		TEST(pipe_may_end_first),
		TEST(pipe_held_by_a_daemon_does_not_hold_the_end),
		TEST(init_error_is_handed_on),
		TEST(garbage),
		TEST(too_long),
		TEST(bad_meta),
		TEST(invoke_from_a_worker),
		TEST(chunk_too_long),
		TEST(answered_before_it_was_sent),
		TEST(answers_in_any_order),
		TEST(queue_of_events),
		TEST(waits_for_room),
		TEST(only_the_last_is_surely_unread),
		TEST(a_chunk_behind_it_hides_whether_it_was_read),
		TEST(end_with_its_invoke),
		TEST(box_says_where_its_requests_come_in),
		TEST(boxed_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

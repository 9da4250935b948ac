/* The holder between a worker, played by the test at the other end of a socket and a pipe, and a gate, played by a
 * second carrier; segments are taken across by hand. */
#include "node/holder.h"

#include "base/mem.h"
#include "sys/clock.h"
#include "sys/fdpass.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#define PIECE (64u << 10)

static const uint8_t one[16] = "invocation one.", two[16] = "invocation two.", none[16];

struct fixture {
	struct loop *loop;
	struct carriers *carriers;
	struct carrier *gate;
	struct holder *holder;
	int64_t clock_off_ms;
	int sock, pipe; /* the worker's ends */
	struct buf worker_in;
	/* What the gate saw: frames as <TYPE:body>, output as it is */
	struct buf seen;
	size_t frames, output;
	struct buf last_meta;
	/* What the holder asked for */
	unsigned stops, thaws;
	uint64_t grace_ms;
	int listen_fd;
};

/* ---- the gate ---- */

static void gate_frame(void *arg, const struct frame *f)
{
	struct fixture *x = arg;

	x->frames++;
	buf_clear(&x->last_meta);
	buf_add_str(&x->last_meta, f->meta);
	if (f->type == FRAME_LOG) {
		x->output += f->body.n;
		if (f->body.n < 100)
			buf_add_str(&x->seen, f->body);
	} else {
		buf_printf(&x->seen, "<%d:%.*s>", f->type, (int)MIN(f->body.n, (size_t)20), f->body.p);
	}
}

static void gate_broken(void *arg, unsigned status)
{
	fail_msg("the gate's carrier is broken");
}

static const struct carrier_handler gate_handler = {.frame = gate_frame, .broken = gate_broken};

static bool take_across(struct carrier *from, struct carrier *to)
{
	static char bytes[PIECE];
	size_t n = carrier_pull(from, bytes, sizeof(bytes));

	if (n)
		assert_true(carrier_input(to, str_n(bytes, n)));
	return n > 0;
}

static void exchange(struct fixture *x)
{
	struct carrier *c = holder_carrier(x->holder);

	bool any = true;

	while (any) {
		any = take_across(x->gate, c);
		any |= take_across(c, x->gate);
	}
}

static bool gate_meta(const struct fixture *x, enum frame_key key, uint64_t *ret)
{
	const struct frame f = {.meta = buf_str(&x->last_meta)};

	return frame_meta_u64(&f, (uint16_t)key, ret);
}

/* ---- turns of the loop ---- */

static void stop_loop(void *arg)
{
	loop_stop(arg);
}

/* Until what has been written is read: the loop runs while its descriptors have something. */
static void turn(struct fixture *x)
{
	struct timer *t = timer_new(x->loop, stop_loop, x->loop);

	timer_set(t, 0);
	loop_run(x->loop);
	timer_free(t);
}

static void settle(struct fixture *x)
{
	for (unsigned i = 0; i < 4; i++) {
		turn(x);
		exchange(x);
	}
}

/* Until the gate has seen this. */
static void expect(struct fixture *x, const char *text)
{
	uint64_t end = clock_mono_us() + 10000000;

	do
		settle(x);
	while (strcmp(buf_cstr(&x->seen), text) != 0 && clock_mono_us() < end);
	assert_string_equal(buf_cstr(&x->seen), text);
	buf_clear(&x->seen);
}

/* ---- the worker ---- */

static void say(struct fixture *x, uint8_t type, const uint8_t *id, struct str meta, struct str body)
{
	uint8_t header[FRAME_HEADER_SIZE];
	struct iovec iov[3] = {
		{header, sizeof(header)}, {(void *)(uintptr_t)meta.p, meta.n}, {(void *)(uintptr_t)body.p, body.n}};

	frame_header(header, type, id, meta.n, body.n);
	assert_int_equal(writev(x->sock, iov, 3), sizeof(header) + meta.n + body.n);
}

/* The next frame that the worker is given. */
static void hear(struct fixture *x, struct frame *f)
{
	int64_t size;

	buf_clear(&x->worker_in);
	for (;;) {
		size = frame_size(buf_str(&x->worker_in));
		assert_true(size >= 0);
		if (size && x->worker_in.n >= (size_t)size)
			break;
		char *to = buf_reserve(&x->worker_in, PIECE);
		size_t want = size ? (size_t)size - x->worker_in.n : FRAME_HEADER_SIZE - x->worker_in.n;
		ssize_t n = recv(x->sock, to, MIN(want, (size_t)PIECE), MSG_DONTWAIT);

		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			settle(x);
			continue;
		}
		assert_true(n > 0);
		x->worker_in.n += (size_t)n;
	}
	assert_true(frame_parse(buf_str(&x->worker_in), f));
}

static void invoke(struct fixture *x, const uint8_t *id, uint64_t limit_ms, struct str event)
{
	_cleanup_(buf_done) struct buf meta = BUF_NULL;

	frame_meta_add_u64(&meta, FRAME_KEY_DEADLINE_MS, 1000);
	frame_meta_add(&meta, FRAME_KEY_ARN, STR("arn"));
	if (limit_ms)
		frame_meta_add_u64(&meta, FRAME_KEY_LIMIT_MS, limit_ms);
	carrier_send(x->gate, FRAME_INVOKE, id, buf_str(&meta), STR_NULL, event);
	exchange(x);
}

/* ---- the node ---- */

static void on_stop(void *arg, struct holder *h, uint64_t grace_ms, const char *why)
{
	struct fixture *x = arg;

	assert_non_null(why);
	x->stops++;
	x->grace_ms = grace_ms;
}

static void on_thaw(void *arg, struct holder *h)
{
	struct fixture *x = arg;

	x->thaws++;
}

static void on_listening(void *arg, struct holder *h, int fd)
{
	struct fixture *x = arg;

	x->listen_fd = fd;
}

static const struct holder_handler handler = {.stop = on_stop, .thaw = on_thaw, .listening = on_listening};

static int setup(void **state)
{
	struct fixture *x = xnew(struct fixture);
	int pair[2], ends[2];

	x->loop = loop_new();
	x->carriers = carriers_new(x->loop);
	x->gate = carrier_new(x->carriers, LANE_BODY_MAX, &gate_handler, x);
	x->listen_fd = -1;
	x->clock_off_ms = 500;
	assert_int_equal(unix_pair(pair), 0);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	x->sock = pair[1];
	x->pipe = ends[1];
	const struct holder_conf conf = {.loop = x->loop,
					 .carriers = x->carriers,
					 .clock_off_ms = &x->clock_off_ms,
					 .handler = &handler,
					 .arg = x};

	x->holder = holder_new(&conf, pair[0], ends[0]);
	carrier_begin(x->gate);
	carrier_begin(holder_carrier(x->holder));
	*state = x;
	return 0;
}

static void hang_up(struct fixture *x)
{
	if (x->sock >= 0)
		close(steal_fd(&x->sock));
	if (x->pipe >= 0)
		close(steal_fd(&x->pipe));
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	holder_free(x->holder);
	carrier_free(x->gate);
	carriers_free(x->carriers);
	hang_up(x);
	if (x->listen_fd >= 0)
		close(x->listen_fd);
	loop_free(x->loop);
	buf_done(&x->seen);
	buf_done(&x->last_meta);
	buf_done(&x->worker_in);
	free(x);
	return 0;
}

static void ready(struct fixture *x)
{
	_cleanup_(buf_done) struct buf meta = BUF_NULL;

	frame_meta_add_u64(&meta, FRAME_KEY_CONCURRENCY, 3);
	assert_false(holder_is_idle(x->holder));
	say(x, FRAME_READY, none, buf_str(&meta), STR_NULL);
	expect(x, "<2:>");
	assert_true(holder_is_idle(x->holder));
	assert_int_equal(holder_concurrency(x->holder), 3);
}

/* ---- tests ---- */

static void box_and_ready(void **state)
{
	_cleanup_(buf_done) struct buf bytes = BUF_NULL;
	struct fixture *x = *state;
	uint8_t header[FRAME_HEADER_SIZE];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t us;

	frame_meta_add_u64(&bytes, FRAME_KEY_BOX_US, 77);
	frame_header(header, FRAME_BOXED, none, bytes.n, 0);
	_cleanup_(buf_done) struct buf all = BUF_NULL;

	buf_add(&all, header, sizeof(header));
	buf_add_str(&all, buf_str(&bytes));
	assert_int_equal(fd_send(x->sock, all.p, all.n, &fd, 1), all.n);
	close(fd);
	expect(x, "<7:>");
	assert_true(gate_meta(x, FRAME_KEY_BOX_US, &us));
	assert_int_equal(us, 77);
	assert_true(x->listen_fd >= 0);
	ready(x);
}

static void a_run(void **state)
{
	struct fixture *x = *state;
	uint64_t value;
	struct frame f;
	struct str arn;

	ready(x);
	invoke(x, one, 60000, STR("event"));
	assert_int_equal(x->thaws, 1);
	assert_true(holder_is_busy(x->holder));
	hear(x, &f);
	assert_int_equal(f.type, FRAME_INVOKE);
	assert_memory_equal(f.id, one, 16);
	assert_true(str_eqz(f.body, "event"));
	assert_true(frame_meta_get(&f, FRAME_KEY_ARN, &arn) && str_eqz(arn, "arn"));
	/* By this machine's clock; and nothing that is between node and gate. */
	assert_true(frame_meta_u64(&f, FRAME_KEY_DEADLINE_MS, &value));
	assert_true((int64_t)value <= clock_wall_ms() + 60000 && (int64_t)value > clock_wall_ms() + 50000);
	assert_false(frame_meta_u64(&f, FRAME_KEY_LIMIT_MS, &value));
	assert_int_equal(write(x->pipe, "printed", 7), 7);
	uint64_t before = clock_mono_us();

	while (clock_mono_us() - before < 3000)
		;
	_cleanup_(buf_done) struct buf meta = BUF_NULL;

	frame_meta_add_u64(&meta, FRAME_KEY_RUN_US, 1); /* a lie */
	frame_meta_add_u64(&meta, FRAME_KEY_MAX_RSS_KIB, 9);
	say(x, FRAME_RESULT, one, buf_str(&meta), STR("answer"));
	expect(x, "printed<3:answer>");
	assert_true(gate_meta(x, FRAME_KEY_RUN_US, &value) && value >= 3000 && value < 10000000);
	assert_true(gate_meta(x, FRAME_KEY_MAX_RSS_KIB, &value) && value == 9);
	assert_false(holder_is_busy(x->holder));
	assert_int_equal(x->stops, 0);
}

static void stream_of_both(void **state)
{
	struct fixture *x = *state;
	uint64_t value;
	struct frame f;

	ready(x);
	invoke(x, one, 0, STR_NULL);
	hear(x, &f);
	assert_true(frame_meta_u64(&f, FRAME_KEY_DEADLINE_MS, &value) && value == 1500); /* by the clocks' difference */
	carrier_send(x->gate, FRAME_CHUNK, one, STR_NULL, STR_NULL, STR("in"));
	carrier_send(x->gate, FRAME_END, one, STR_NULL, STR_NULL, STR_NULL);
	exchange(x);
	hear(x, &f);
	assert_int_equal(f.type, FRAME_CHUNK);
	hear(x, &f);
	assert_int_equal(f.type, FRAME_END);
	say(x, FRAME_HEAD, one, STR_NULL, STR_NULL);
	say(x, FRAME_CHUNK, one, STR_NULL, STR("out"));
	say(x, FRAME_ERROR, one, STR_NULL, STR("e"));
	expect(x, "<6:><5:out><4:e>");
	/* Of an answered one, or none: nothing for the worker. */
	carrier_send(x->gate, FRAME_CANCEL, one, STR_NULL, STR_NULL, STR_NULL);
	carrier_send(x->gate, FRAME_RESULT, one, STR_NULL, STR_NULL, STR_NULL);
	invoke(x, two, 0, STR_NULL);
	hear(x, &f);
	assert_int_equal(f.type, FRAME_INVOKE);
}

static void too_late(void **state)
{
	struct fixture *x = *state;

	ready(x);
	invoke(x, one, 60000, STR("a"));
	invoke(x, two, 20, STR("b")); /* the earlier one counts, though it came last */
	expect(x, "<12:>");
	assert_int_equal(x->stops, 1);
	assert_int_equal(x->grace_ms, 0);
	assert_false(holder_is_idle(x->holder));
	/* It is killed: what it printed last comes before the end. */
	assert_int_equal(write(x->pipe, "words", 5), 5);
	hang_up(x);
	holder_exited(x->holder);
	expect(x, "words<13:>");
	assert_int_equal(x->stops, 1);
	assert_true(holder_settled(x->holder));
}

static void worker_gone(struct fixture *x, uint64_t how, uint64_t invokes)
{
	uint64_t value;

	expect(x, "<13:>");
	assert_true(gate_meta(x, FRAME_KEY_HOW, &value));
	assert_int_equal(value, how);
	assert_true(gate_meta(x, FRAME_KEY_INVOKES, &value));
	assert_int_equal(value, invokes);
}

static bool unread(const struct fixture *x, const uint8_t *id)
{
	const struct frame f = {.meta = buf_str(&x->last_meta)};
	struct str value;
	uint16_t key;

	for (size_t at = 0; frame_meta_next(&f, &at, &key, &value);)
		if (key == FRAME_KEY_UNREAD && value.n == 16 && memcmp(value.p, id, 16) == 0)
			return true;
	return false;
}

static void goes_unread(void **state)
{
	struct fixture *x = *state;
	struct frame f;

	ready(x);
	invoke(x, one, 0, STR("a"));
	hear(x, &f);
	invoke(x, two, 0, STR("b"));
	hang_up(x);
	worker_gone(x, LANE_UNREAD, 2);
	assert_true(unread(x, two));
	assert_false(unread(x, one));
	assert_int_equal(x->stops, 1);
	/* What comes after the end is not run, and says nothing. */
	invoke(x, one, 10, STR("c"));
	settle(x);
	assert_string_equal(buf_cstr(&x->seen), "");
	assert_false(holder_is_busy(x->holder));
}

static void garbage(void **state)
{
	struct fixture *x = *state;
	char bytes[FRAME_HEADER_SIZE];

	memset(bytes, 0xff, sizeof(bytes));
	ready(x);
	assert_int_equal(write(x->sock, bytes, sizeof(bytes)), sizeof(bytes));
	worker_gone(x, LANE_BROKEN, 0);
	assert_int_equal(x->stops, 1);
	assert_int_equal(x->grace_ms, 0);
}

static void said_twice(void **state)
{
	struct fixture *x = *state;
	struct frame f;

	ready(x);
	invoke(x, one, 0, STR("a"));
	invoke(x, one, 0, STR("b"));
	invoke(x, two, 0, STR("c"));
	hear(x, &f);
	assert_true(str_eqz(f.body, "a"));
	hear(x, &f);
	assert_true(str_eqz(f.body, "c"));
}

/* The gate is away: the worker prints until nobody takes it any more, and goes on when the gate is back. */
static void nobody_reads(void **state)
{
	static char line[4096];
	struct fixture *x = *state;
	size_t printed = 0, all;
	ssize_t n;

	ready(x);
	assert_int_equal(fcntl(x->pipe, F_SETFL, O_NONBLOCK), 0);
	memset(line, 'x', sizeof(line));
	/* Full when several turns take nothing. */
	for (unsigned quiet = 0; quiet < 5; quiet++) {
		while ((n = write(x->pipe, line, sizeof(line))) > 0) {
			printed += (size_t)n;
			quiet = 0;
		}
		turn(x);
		assert_true(printed < 64u << 20);
	}
	assert_true(carrier_full(holder_carrier(x->holder)));
	all = printed + 5;
	while (x->output < printed)
		settle(x);
	assert_int_equal(write(x->pipe, "after", 5), 5);
	expect(x, "after");
	assert_int_equal(x->output, all);
}

static void begun_anew(void **state)
{
	struct fixture *x = *state;
	uint64_t value;
	struct frame f;

	ready(x);
	say(x, FRAME_READY, none, STR_NULL, STR_NULL); /* out of turn: it is the gate's to say so */
	turn(x);
	holder_restart(x->holder); /* what the gate before was not told is dropped */
	carrier_restart(x->gate);
	carrier_begin(x->gate);
	carrier_begin(holder_carrier(x->holder));
	settle(x);
	assert_string_equal(buf_cstr(&x->seen), "");
	invoke(x, one, 0, STR("a"));
	hear(x, &f);
	assert_true(str_eqz(f.body, "a"));
	say(x, FRAME_RESULT, one, STR_NULL, STR("b"));
	expect(x, "<3:b>");
	hang_up(x);
	worker_gone(x, LANE_CLOSED, 1);
	assert_true(gate_meta(x, FRAME_KEY_INVOKES, &value) && value == 1);
}

static void is_closed(void **state)
{
	struct fixture *x = *state;
	char byte;

	ready(x);
	assert_int_equal(write(x->pipe, "bye", 3), 3);
	holder_close(x->holder);
	assert_int_equal(recv(x->sock, &byte, 1, 0), 0); /* the worker sees it, and leaves */
	assert_false(holder_settled(x->holder));
	expect(x, "bye<13:>");
	assert_int_equal(x->stops, 0);
	holder_exited(x->holder);
	assert_true(holder_settled(x->holder));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(box_and_ready, setup, teardown),
		cmocka_unit_test_setup_teardown(a_run, setup, teardown),
		cmocka_unit_test_setup_teardown(stream_of_both, setup, teardown),
		cmocka_unit_test_setup_teardown(too_late, setup, teardown),
		cmocka_unit_test_setup_teardown(goes_unread, setup, teardown),
		cmocka_unit_test_setup_teardown(garbage, setup, teardown),
		cmocka_unit_test_setup_teardown(said_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_reads, setup, teardown),
		cmocka_unit_test_setup_teardown(begun_anew, setup, teardown),
		cmocka_unit_test_setup_teardown(is_closed, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

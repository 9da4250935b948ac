/* HTTP/2 over TLS between two ends in one loop: who may connect, streams, windows, ends of all kinds. */
#include "net/h2_fixture.h"

/* Handshakes */

static void test_up(void **state)
{
	struct pair *p = *state;

	join(p);
	assert_string_equal(h2_peer_fingerprint(p->gate.c), tls_key_fingerprint(p->keys[1]));
	assert_string_equal(h2_peer_fingerprint(p->node.c), tls_key_fingerprint(p->keys[0]));
	assert_true(strncmp(h2_peer_address(p->gate.c), "127.0.0.1:", 10) == 0);
	wait_for(p, h2_rtt_us(p->gate.c) && h2_rtt_us(p->node.c));
	assert_true(h2_is_up(p->gate.c) && h2_is_up(p->node.c));
	assert_true(h2_rtt_us(p->gate.c) < 5000000);
}

/* The dialling side may as well be the one that opens streams. */
static void test_roles_are_independent(void **state)
{
	struct pair *p = *state;
	struct end *e;

	p->gate_conf.client = false;
	p->node_conf.client = true;
	join(p);
	e = ask(&p->node, "/x");
	say(e, "hello");
	wait_for(p, str_eqz(buf_str(&e->got), "hello"));
	assert_null(h2_request(p->gate.c, "POST", "/", NULL, 0, &end_handler, NULL));
}

static void test_wrong_pin(void **state)
{
	struct pair *p = *state;
	struct err err = ERR_NULL;

	tls_context_free(p->client);
	p->client = tls_client_new(p->keys[1], &(struct tls_expect){.pin = tls_key_fingerprint(p->keys[1])}, &err);
	p->node_conf.tls = p->client;
	begin(p);
	wait_for(p, p->gate.downs && p->node.downs);
	assert_non_null(strstr(p->node.reason, "is not who was expected"));
	assert_non_null(strstr(p->node.reason, tls_key_fingerprint(p->keys[0])));
	assert_non_null(strstr(p->node.reason, tls_key_fingerprint(p->keys[1])));
	assert_non_null(strstr(p->gate.reason, "refused by the other side"));
	assert_int_equal(p->gate.ups + p->node.ups, 0);
}

/* As programs do it: the socket goes from the dial to the connection within done. */
static void on_dialled(void *arg, int fd, const char *error)
{
	struct pair *p = arg;

	assert_true(fd >= 0);
	p->node.c = h2_new(p->loop, fd, &p->node_conf, &side_handler, &p->node);
}

static void test_dialled(void **state)
{
	struct pair *p = *state;
	int listening = tcp_listen("127.0.0.1:0", NULL), fd = -EAGAIN;
	struct tcp_dial *d = tcp_dial(p->loop, "127.0.0.1", tcp_port(listening), NULL, 10000, on_dialled, p);
	struct end *e;

	wait_for(p, fd >= 0 || (fd = tcp_accept(listening)) >= 0);
	p->gate.c = h2_new(p->loop, fd, &p->gate_conf, &side_handler, &p->gate);
	wait_for(p, p->gate.ups && p->node.ups);
	tcp_dial_free(d);
	close(listening);
	e = ask(&p->gate, "/");
	say(e, "hello");
	wait_for(p, str_eqz(buf_str(&e->got), "hello"));
}

/* Whatever comes that is no TLS. */
static void test_garbage(void **state)
{
	struct pair *p = *state;
	int fds[2];

	tcp_pair(fds);
	p->gate.c = h2_new(p->loop, fds[0], &p->gate_conf, &side_handler, &p->gate);
	assert_int_equal(write_all(fds[1], "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27), 0);
	wait_for(p, p->gate.downs);
	assert_non_null(strstr(p->gate.reason, "TLS"));
	close(fds[1]);
}

static void test_silent_handshake(void **state)
{
	struct pair *p = *state;
	int fds[2];

	tcp_pair(fds);
	p->gate_conf.handshake_ms = 50;
	p->gate.c = h2_new(p->loop, fds[0], &p->gate_conf, &side_handler, &p->gate);
	wait_for(p, p->gate.downs);
	assert_string_equal(p->gate.reason, "no TLS handshake within 0.05 s");
	close(fds[1]);
}

static void test_closed_in_handshake(void **state)
{
	struct pair *p = *state;
	int fds[2];

	tcp_pair(fds);
	p->gate.c = h2_new(p->loop, fds[0], &p->gate_conf, &side_handler, &p->gate);
	close(fds[1]);
	wait_for(p, p->gate.downs);
	assert_string_equal(p->gate.reason, "closed by the other side");
}

/* Streams */

static void test_request(void **state)
{
	struct pair *p = *state;
	struct end *e, *there;

	join(p);
	e = ask(&p->gate, "/worker/1");
	wait_for(p, e->heads);
	assert_int_equal(e->status, 200);
	assert_string_equal(p->node.path, "/worker/1");
	for (unsigned i = 0; i < 100; i++) {
		buf_clear(&e->got);
		say(e, "ping");
		wait_for(p, str_eqz(buf_str(&e->got), "ping"));
	}
	h2_end(e->s);
	wait_for(p, !e->s && !p->node.ends[0]->s);
	there = p->node.ends[0];
	assert_int_equal(e->code, H2_NO_ERROR);
	assert_int_equal(e->ends, 1);
	assert_int_equal(there->ends, 1);
	assert_int_equal(there->code, H2_NO_ERROR);
}

/* What was said before the end, in the turn of the request, is not lost. */
static void test_all_at_once(void **state)
{
	struct pair *p = *state;
	struct end *e;

	join(p);
	e = ask(&p->gate, "/");
	say(e, "all");
	say(e, " at once");
	h2_end(e->s);
	wait_for(p, !e->s);
	assert_true(str_eqz(buf_str(&e->got), "all at once"));
	assert_int_equal(e->ends, 1);
}

static bool all_closed(const struct side *s)
{
	for (size_t i = 0; i < s->n_ends; i++)
		if (s->ends[i]->s)
			return false;
	return true;
}

static void test_many_streams(void **state)
{
	struct pair *p = *state;
	struct end *e[100];

	join(p);
	for (size_t i = 0; i < ARRAY_SIZE(e); i++) {
		e[i] = ask(&p->gate, "/");
		buf_printf(&e[i]->out, "stream %zu", i);
		h2_wake(e[i]->s);
		h2_end(e[i]->s);
	}
	wait_for(p, all_closed(&p->gate));
	for (size_t i = 0; i < ARRAY_SIZE(e); i++) {
		_cleanup_(freep) char *expect = xasprintf("stream %zu", i);

		assert_true(str_eqz(buf_str(&e[i]->got), expect));
		assert_int_equal(e[i]->code, H2_NO_ERROR);
	}
	assert_int_equal(p->node.requests, ARRAY_SIZE(e));
}

#define LARGE ((size_t)32 << 20)

static void large_there(struct end *e)
{
	e->echo = false;
	e->check = true;
	e->fill = LARGE;
}

static void test_large_both_ways(void **state)
{
	struct pair *p = *state;
	struct end *e;

	p->node.on_request = large_there;
	join(p);
	e = ask(&p->gate, "/");
	e->check = true;
	e->fill = LARGE;
	h2_wake(e->s);
	wait_for(p, e->checked == LARGE && p->node.ends[0]->checked == LARGE);
	h2_end(e->s);
	h2_end(p->node.ends[0]->s);
	wait_for(p, !e->s && !p->node.ends[0]->s);
}

static void keep_there(struct end *e)
{
	e->echo = false;
	e->keep = true;
	e->check = true;
}

/* A receiver that uses nothing: the sender stops at the window, and another stream does not notice. */
static void test_backpressure(void **state)
{
	struct pair *p = *state;
	struct end *e, *other, *there;
	size_t window = 1 << 20;

	p->node_conf.stream_window = (uint32_t)window;
	p->node.on_request = keep_there;
	join(p);
	e = ask(&p->gate, "/");
	e->fill = 4 * window;
	wait_for(p, p->node.n_ends == 1 && p->node.ends[0]->checked == window);
	there = p->node.ends[0];
	p->node.on_request = NULL;
	other = ask(&p->gate, "/other");
	say(other, "still here");
	wait_for(p, str_eqz(buf_str(&other->got), "still here"));
	assert_int_equal(there->checked, window);
	assert_int_equal(e->filled, window); /* not pulled for nobody */
	there->keep = false;
	h2_consumed(there->s, there->unconsumed);
	there->unconsumed = 0;
	wait_for(p, there->checked == 4 * window);
}

/* Bytes that a stream held when it was reset do not count against the connection's window for ever. */
static void test_reset_gives_the_window_back(void **state)
{
	struct pair *p = *state;
	size_t window = 256 << 10;

	p->node_conf.stream_window = (uint32_t)window;
	p->node_conf.connection_window = (uint32_t)window;
	p->node.on_request = keep_there;
	join(p);
	for (unsigned i = 0; i < 5; i++) {
		struct end *e = ask(&p->gate, "/");

		e->fill = window;
		wait_for(p, p->node.n_ends == i + 1 && p->node.ends[i]->checked == window);
		h2_reset(e->s, H2_CANCEL);
		wait_for(p, !e->s && !p->node.ends[i]->s);
		assert_int_equal(p->node.ends[i]->code, H2_CANCEL);
		assert_int_equal(e->code, H2_CANCEL);
	}
}

/* Fairness: a small stream among a large one is answered soon. */
struct answered {
	unsigned n;
	size_t large_at[64];
};

static struct answered answered;
static struct end *large_end;

static void on_small(struct end *e, struct str bytes)
{
	h2_consumed(e->s, bytes.n);
	e->unconsumed = 0;
	if (answered.n == ARRAY_SIZE(answered.large_at))
		return;
	answered.large_at[answered.n++] = large_end->checked;
	say(e, "next");
}

static void test_fairness(void **state)
{
	struct pair *p = *state;
	struct end *small, *large;

	answered = (struct answered){0};
	p->node.on_request = large_there;
	join(p);
	large = large_end = ask(&p->gate, "/large");
	large->check = true;
	wait_for(p, large->checked > 0);
	p->node.on_request = NULL;
	small = ask(&p->gate, "/small");
	small->on_data = on_small;
	say(small, "first");
	wait_for(p, large->checked == LARGE);
	/* A turn each way holds what the sockets take: some hundred KiB of the large one, not all 32 MiB. */
	assert_true(answered.n >= 16);
	for (unsigned i = 1; i < answered.n; i++)
		assert_true(answered.large_at[i] - answered.large_at[i - 1] < (size_t)4 << 20);
}

/* Ends */

static void test_reset_by_the_server(void **state)
{
	struct pair *p = *state;
	struct end *e;

	p->node.refuse = H2_REFUSED_STREAM;
	join(p);
	e = ask(&p->gate, "/");
	say(e, "nobody hears this");
	wait_for(p, !e->s);
	assert_int_equal(e->code, H2_REFUSED_STREAM);
	assert_int_equal(e->heads, 0);
	assert_true(h2_is_up(p->gate.c));
}

/* Before its head went out. */
static void test_reset_at_once(void **state)
{
	struct pair *p = *state;
	struct end *e, *next;

	join(p);
	e = ask(&p->gate, "/");
	say(e, "never mind");
	h2_reset(e->s, H2_CANCEL);
	assert_int_equal(e->closes, 0);
	wait_for(p, !e->s);
	assert_int_equal(e->code, H2_CANCEL);
	next = ask(&p->gate, "/next");
	say(next, "works");
	wait_for(p, str_eqz(buf_str(&next->got), "works"));
	assert_int_equal(p->node.requests, 1);
}

static void test_down_in_the_middle(void **state)
{
	struct pair *p = *state;
	struct end *e[10];

	p->node.on_request = large_there;
	join(p);
	for (size_t i = 0; i < ARRAY_SIZE(e); i++) {
		e[i] = ask(&p->gate, "/");
		e[i]->check = true;
		e[i]->fill = LARGE;
	}
	wait_for(p, e[9]->checked > 0 && p->node.n_ends == 10);
	p->node.c = h2_close(p->node.c, "maintenance\n");
	for (size_t i = 0; i < ARRAY_SIZE(e); i++)
		assert_int_equal(p->node.ends[i]->code, H2_LOST);
	assert_int_equal(p->node.downs, 0);
	wait_for(p, p->gate.downs);
	/* What is under way to a socket that is closed makes the kernel reset the connection, which may overtake the
	 * goodbye.
	 */
	assert_true(strcmp(p->gate.reason, "ended by the other side: maintenance?") == 0 ||
		    strcmp(p->gate.reason, strerror(ECONNRESET)) == 0 || strcmp(p->gate.reason, strerror(EPIPE)) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(e); i++) {
		assert_int_equal(e[i]->closes, 1);
		assert_int_equal(e[i]->code, H2_LOST);
	}
	assert_null(h2_request(p->gate.c, "POST", "/", NULL, 0, &end_handler, NULL));
	assert_false(h2_is_up(p->gate.c));
}

/* The connection is freed by each of its handlers. */
static void free_in_request(struct end *e)
{
	e->side->c = h2_free(e->side->c);
	e->s = NULL;
	e->side = NULL; /* nothing was answered: no handler of the stream is known */
}

static void free_in_data(struct end *e, struct str bytes)
{
	e->side->c = h2_free(e->side->c);
}

static void data_frees(struct end *e)
{
	e->on_data = free_in_data;
}

static void free_side(struct side *s)
{
	s->c = h2_free(s->c);
}

static void test_free_in_handlers(void **state)
{
	struct pair *p = *state;
	void (*const on_request[])(struct end *) = {free_in_request, data_frees};

	for (size_t i = 0; i < ARRAY_SIZE(on_request); i++) {
		struct end *e;

		p->node.on_request = on_request[i];
		p->gate.on_down = free_side;
		join(p);
		e = ask(&p->gate, "/");
		say(e, "x");
		wait_for(p, p->gate.downs);
		assert_null(p->node.c);
		assert_null(p->gate.c);
		assert_int_equal(e->code, H2_LOST);
		side_done(&p->gate);
		side_done(&p->node);
	}
	p->gate.on_up = free_side;
	begin(p);
	wait_for(p, p->node.downs);
	assert_string_equal(p->node.reason, "ended by the other side");
	assert_null(p->gate.c);
}

static size_t pull_frees(void *arg, struct h2_stream *s, char *to, size_t room)
{
	struct end *e = arg;

	e->side->c = h2_free(e->side->c);
	return 0;
}

static void closed_frees(void *arg, struct h2_stream *s, uint32_t code)
{
	struct end *e = arg;

	end_closed(arg, s, code);
	h2_consumed(s, e->unconsumed);
	h2_wake(s);
	h2_reset(s, H2_CANCEL);
	e->side->c = h2_free(e->side->c);
}

static void test_free_in_pull_and_closed(void **state)
{
	struct pair *p = *state;
	const struct h2_stream_handler pulls = {.closed = end_closed, .pull = pull_frees};
	const struct h2_stream_handler closes = {.closed = closed_frees, .data = end_data, .pull = end_pull};
	struct end *e;

	join(p);
	e = end_new(&p->gate);
	e->s = h2_request(p->gate.c, "POST", "/", NULL, 0, &pulls, e);
	wait_for(p, p->node.downs);
	assert_null(p->gate.c);
	side_done(&p->gate);
	side_done(&p->node);

	p->gate.on_down = free_side;
	join(p);
	e = end_new(&p->gate);
	e->keep = true;
	e->s = h2_request(p->gate.c, "POST", "/", NULL, 0, &closes, e);
	ask(&p->gate, "/another");
	say(e, "x");
	h2_end(e->s);
	wait_for(p, p->node.downs);
	assert_null(p->gate.c);
	assert_int_equal(e->code, H2_NO_ERROR);
}

static void test_free_at_once(void **state)
{
	struct pair *p = *state;

	begin(p);
	p->node.c = h2_free(p->node.c);
	wait_for(p, p->gate.downs);
	assert_string_equal(p->gate.reason, "closed by the other side");
}

static void test_bad_headers(void **state)
{
	struct pair *p = *state;
	const struct kv bad[] = {
		{STR("x"), STR("a\r\nb: c")}, {STR("x y"), STR("z")}, {STR(""), STR("z")}, {STR(":path"), STR("/")}};
	char value[20000];
	struct end *e;

	join(p);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_null(h2_request(p->gate.c, "POST", "/", &bad[i], 1, &end_handler, NULL));
	assert_null(h2_request(p->gate.c, "POST", "/a b\r\n", NULL, 0, &end_handler, NULL));
	assert_null(h2_request(p->gate.c, "POST", "", NULL, 0, &end_handler, NULL));
	assert_null(h2_request(p->gate.c, "PO ST", "/", NULL, 0, &end_handler, NULL));
	/* More than the peer takes costs the stream, not the connection. */
	memset(value, 'v', sizeof(value));
	e = end_new(&p->gate);
	e->s = h2_request(p->gate.c, "POST", "/", &(struct kv){STR("x"), str_n(value, sizeof(value))}, 1, &end_handler,
			  e);
	wait_for(p, !e->s);
	assert_int_not_equal(e->code, H2_NO_ERROR);
	assert_true(h2_is_up(p->gate.c));
	assert_int_equal(p->node.requests, 0);
}

static void accept_there(struct end *e)
{
	h2_accept(e->s, &end_handler, e);
	e->side->later = true;
}

/* A worker takes its time to start: its first bytes are there when the answer goes. */
static void test_answered_later(void **state)
{
	struct pair *p = *state;
	struct end *e, *there;

	p->node.on_request = accept_there;
	join(p);
	e = ask(&p->gate, "/");
	say(e, "early");
	wait_for(p, p->node.n_ends == 1 && p->node.ends[0]->out.n == 5);
	there = p->node.ends[0];
	assert_int_equal(e->heads, 0);
	h2_respond(there->s, 201, NULL, 0, &end_handler, there);
	wait_for(p, str_eqz(buf_str(&e->got), "early"));
	assert_int_equal(e->status, 201);
	/* And one that is given up before its answer. */
	e = ask(&p->gate, "/2");
	wait_for(p, p->node.n_ends == 2);
	h2_reset(e->s, H2_CANCEL);
	wait_for(p, !p->node.ends[1]->s);
	assert_int_equal(p->node.ends[1]->code, H2_CANCEL);
}

/* More requests than the peer takes at once wait; one of those that wait can be given up. */
static void test_streams_max(void **state)
{
	struct pair *p = *state;
	struct end *e[4];

	p->node_conf.streams_max = 2;
	join(p);
	for (size_t i = 0; i < ARRAY_SIZE(e); i++) {
		e[i] = ask(&p->gate, "/");
		say(e[i], "x");
	}
	wait_for(p, e[0]->got.n && e[1]->got.n);
	assert_int_equal(p->node.requests, 2);
	h2_reset(e[2]->s, H2_CANCEL);
	assert_non_null(e[2]->s);
	wait_for(p, !e[2]->s);
	assert_int_equal(e[2]->code, H2_CANCEL);
	h2_end(e[0]->s);
	wait_for(p, !e[0]->s && e[3]->got.n);
	assert_int_equal(p->node.requests, 3);
}

/* A peer whose process stands still: nothing is read, nothing is said. */
static void test_no_sign_of_life(void **state)
{
	struct pair *p = *state;
	int fds[2], to_node[2];
	char buf[65536];
	struct end *e = NULL;
	bool cut = false;

	/* Bytes go by way of the test, until it stops to carry them. */
	tcp_pair(fds);
	tcp_pair(to_node);
	fd_set_nonblock(fds[1]);
	p->gate_conf.ping_ms = 100;
	p->gate_conf.dead_ms = 1000;
	p->gate.c = h2_new(p->loop, fds[0], &p->gate_conf, &side_handler, &p->gate);
	p->node.c = h2_new(p->loop, to_node[0], &p->node_conf, &side_handler, &p->node);
	uint64_t t0 = clock_mono_us(), t_cut = 0;
	struct timer *tick = timer_new(p->loop, on_turn, p);

	timer_repeat(tick, 1);
	while (!p->gate.downs && clock_mono_us() - t0 < (uint64_t)WAIT_MS * 1000) {
		loop_run(p->loop);
		for (unsigned i = 0; i < 2 && !cut; i++) {
			ssize_t n = recv(i ? fds[1] : to_node[1], buf, sizeof(buf), MSG_DONTWAIT);

			if (n > 0)
				assert_int_equal(write_all(i ? to_node[1] : fds[1], buf, (size_t)n), 0);
		}
		/* Pings keep it up for longer than it may be silent. */
		if (!cut && p->gate.ups && clock_mono_us() - t0 > 1500000) {
			assert_int_equal(p->gate.downs, 0);
			e = ask(&p->gate, "/");
			cut = true;
			t_cut = clock_mono_us();
		}
	}
	timer_free(tick);
	assert_true(cut);
	assert_int_equal(p->gate.downs, 1);
	assert_string_equal(p->gate.reason, "no sign of life for 1 s");
	assert_int_equal(e->code, H2_LOST);
	assert_true(clock_mono_us() - t_cut > 800000);
	close(fds[1]);
	close(to_node[1]);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_up),
		T(test_roles_are_independent),
		T(test_dialled),
		T(test_wrong_pin),
		T(test_garbage),
		T(test_silent_handshake),
		T(test_closed_in_handshake),
		T(test_request),
		T(test_all_at_once),
		T(test_many_streams),
		T(test_large_both_ways),
		T(test_backpressure),
		T(test_reset_gives_the_window_back),
		T(test_fairness),
		T(test_reset_by_the_server),
		T(test_reset_at_once),
		T(test_down_in_the_middle),
		T(test_free_in_handlers),
		T(test_free_in_pull_and_closed),
		T(test_free_at_once),
		T(test_bad_headers),
		T(test_answered_later),
		T(test_streams_max),
		T(test_no_sign_of_life),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

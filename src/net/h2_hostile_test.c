/* Peers that do not mean well, or are broken: the other end is a TLS session whose frames the test makes itself. */
#include "net/h2_fixture.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

enum { DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, PING = 6, GOAWAY = 7, WINDOW_UPDATE = 8 };
#define END_HEADERS 4
/* POST https://wick/ in HPACK's static table and one literal. */
#define REQUEST "\x83\x87\x84\x41\x04wick"

struct raw {
	int fd;
	struct tls *t;
	int shaken;
	bool deaf, ended;
	struct buf got; /* frames of the other side */
};

static void raw_frame(struct raw *r, unsigned type, unsigned flags, uint32_t id, const void *body, size_t n)
{
	uint8_t frame[9 + 64] = {0,
				 (uint8_t)(n >> 8),
				 (uint8_t)n,
				 (uint8_t)type,
				 (uint8_t)flags,
				 (uint8_t)(id >> 24),
				 (uint8_t)(id >> 16),
				 (uint8_t)(id >> 8),
				 (uint8_t)id};

	assert_true(n <= 64);
	memcpy(frame + 9, body, n);
	assert_int_equal(tls_write(r->t, frame, 9 + n), 0);
}

static void raw_turn(struct raw *r)
{
	char got[TLS_RECORD_MAX];
	ssize_t n;

	tls_flush(r->t);
	if (r->deaf || r->ended)
		return;
	if (tls_fill(r->t) < 0)
		r->ended = true;
	if (r->shaken == 0)
		r->shaken = tls_handshake(r->t);
	tls_flush(r->t);
	while (r->shaken == 1 && (n = tls_read(r->t, got, sizeof(got))) > 0)
		buf_add(&r->got, got, (size_t)n);
}

/* Is there a frame of this type, with this HTTP/2 error as the last number of its first `at` bytes? */
static bool raw_got(const struct raw *r, unsigned type, size_t at, unsigned code)
{
	struct str s = buf_str(&r->got);

	while (s.n >= 9) {
		const uint8_t *p = (const uint8_t *)s.p;
		size_t n = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];

		if (p[3] == type && s.n >= 9 + n && n >= at && (at == 0 || p[9 + at - 1] == code))
			return true;
		s = str_sub(s, 9 + n, SIZE_MAX);
	}
	return false;
}

/* The node stands in for any side that takes requests; it is the TLS client as always. */
static void raw_begin(struct pair *p, struct raw *r)
{
	int fds[2];

	tcp_pair(fds);
	*r = (struct raw){.fd = fds[0], .t = tls_new(p->server, fds[0])};
	p->node.c = h2_new(p->loop, fds[1], &p->node_conf, &side_handler, &p->node);
	wait_for(p, (raw_turn(r), r->shaken));
	assert_int_equal(r->shaken, 1);
}

static void raw_greet(struct pair *p, struct raw *r)
{
	raw_begin(p, r);
	assert_int_equal(tls_write(r->t, PREFACE, sizeof(PREFACE) - 1), 0);
	raw_frame(r, SETTINGS, 0, 0, "", 0);
	wait_for(p, (raw_turn(r), p->node.ups));
}

static void raw_done(struct raw *r)
{
	tls_free(r->t);
	close(r->fd);
	buf_done(&r->got);
}

static void expect_down(struct pair *p, struct raw *r, const char *text)
{
	wait_for(p, (raw_turn(r), p->node.downs));
	if (!strstr(p->node.reason, text))
		fail_msg("'%s' does not say '%s'", p->node.reason, text);
}

static void test_no_preface(void **state)
{
	struct pair *p = *state;
	struct raw r;

	raw_begin(p, &r);
	assert_int_equal(tls_write(r.t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27), 0);
	expect_down(p, &r, "the other side does not keep to HTTP/2");
	raw_done(&r);
}

static void test_silent_after_tls(void **state)
{
	struct pair *p = *state;
	struct raw r;

	p->node_conf.handshake_ms = 1000;
	raw_begin(p, &r);
	expect_down(p, &r, "no HTTP/2 within 1 s");
	raw_done(&r);
}

static void test_broken_frame(void **state)
{
	struct pair *p = *state;
	struct raw r;

	raw_greet(p, &r);
	raw_frame(&r, DATA, 0, 0, "x", 1); /* of no stream */
	expect_down(p, &r, "the other side does not keep to HTTP/2");
	wait_for(p, (raw_turn(&r), r.ended));
	assert_true(raw_got(&r, GOAWAY, 8, H2_PROTOCOL_ERROR));
	raw_done(&r);
}

static void test_goodbye_with_an_error(void **state)
{
	struct pair *p = *state;
	struct raw r;

	raw_greet(p, &r);
	raw_frame(&r, GOAWAY, 0, 0,
		  "\0\0\0\0\0\0\0\x0b"
		  "too many\x1b[2J",
		  20);
	expect_down(p, &r, "ended by the other side: ENHANCE_YOUR_CALM: too many?[2J");
	raw_done(&r);
}

/* A peer that is about to go: what it has begun it ends, what waits for its turn will not come. */
static void test_goodbye_lets_streams_end(void **state)
{
	struct pair *p = *state;
	struct raw r;
	struct end *begun, *waits;
	int fds[2];

	tcp_pair(fds);
	r = (struct raw){.fd = fds[1], .t = tls_new(p->client, fds[1])};
	p->gate.c = h2_new(p->loop, fds[0], &p->gate_conf, &side_handler, &p->gate);
	wait_for(p, (raw_turn(&r), r.shaken));
	raw_frame(&r, SETTINGS, 0, 0, "\0\3\0\0\0\1", 6); /* one stream at once */
	wait_for(p, (raw_turn(&r), p->gate.ups));
	begun = ask(&p->gate, "/");
	waits = ask(&p->gate, "/waits");
	r.got.n = sizeof(PREFACE) - 1; /* no frame */
	buf_consume(&r.got, r.got.n);
	wait_for(p, (raw_turn(&r), raw_got(&r, HEADERS, 0, 0)));
	raw_frame(&r, GOAWAY, 0, 0, "\0\0\0\1\0\0\0\0soon", 12);
	wait_for(p, (raw_turn(&r), !waits->s));
	if (p->gate.reason)
		fail_msg("down: %s", p->gate.reason);
	assert_int_equal(waits->code, H2_REFUSED_STREAM);
	assert_non_null(begun->s);
	assert_null(h2_request(p->gate.c, "POST", "/", NULL, 0, &end_handler, NULL));
	raw_frame(&r, HEADERS, END_HEADERS, 1, "\x88", 1); /* 200 */
	raw_frame(&r, DATA, 1 /* END_STREAM */, 1, "bye", 3);
	h2_end(begun->s);
	wait_for(p, (raw_turn(&r), p->gate.downs));
	assert_string_equal(p->gate.reason, "ended by the other side: soon");
	assert_int_equal(begun->status, 200);
	assert_true(str_eqz(buf_str(&begun->got), "bye"));
	assert_int_equal(begun->code, H2_NO_ERROR);
	raw_done(&r);
}

/* Answers to pings of a peer that does not read them are not kept without end. */
static void test_ping_flood(void **state)
{
	struct pair *p = *state;
	struct raw r;
	size_t sent = 0;

	raw_greet(p, &r);
	r.deaf = true;
	while (!p->node.downs && sent < 10000000) {
		for (unsigned i = 0; i < 1000; i++, sent++)
			raw_frame(&r, PING, 0, 0, "12345678", 8);
		/* The test keeps no heap of its own. */
		wait_for(p, (raw_turn(&r), tls_unsent(r.t) == 0 || p->node.downs));
	}
	assert_int_equal(p->node.downs, 1);
	assert_non_null(strstr(p->node.reason, "does not keep to HTTP/2: Flooding"));
	raw_done(&r);
}

static void on_take(void *arg, struct h2 *c, struct h2_stream *s, struct str method, struct str path,
		    const struct kv *headers, size_t n)
{
	static const struct h2_stream_handler nothing = {0};
	struct side *side = arg;

	side->requests++;
	h2_accept(s, &nothing, NULL);
}

static void test_rapid_reset(void **state)
{
	struct pair *p = *state;
	static const struct h2_handler takes = {.up = side_up, .request = on_take, .down = side_down};
	struct raw r;
	uint32_t id = 1;
	int fds[2];

	tcp_pair(fds);
	r = (struct raw){.fd = fds[0], .t = tls_new(p->server, fds[0])};
	p->node.c = h2_new(p->loop, fds[1], &p->node_conf, &takes, &p->node);
	wait_for(p, (raw_turn(&r), r.shaken));
	assert_int_equal(tls_write(r.t, PREFACE, sizeof(PREFACE) - 1), 0);
	raw_frame(&r, SETTINGS, 0, 0, "", 0);
	while (!p->node.downs && id < 2000000) {
		for (unsigned i = 0; i < 500; i++, id += 2) {
			raw_frame(&r, HEADERS, END_HEADERS, id, REQUEST, sizeof(REQUEST) - 1);
			raw_frame(&r, RST_STREAM, 0, id, "\0\0\0\x08", 4);
		}
		wait_for(p, (raw_turn(&r), tls_unsent(r.t) == 0 || p->node.downs));
	}
	assert_int_equal(p->node.downs, 1);
	assert_true(p->node.requests >= 10000); /* a busy gate's cancellations are no attack */
	raw_done(&r);
}

/* False the first time: the loop has a turn in between. */
static bool turned_once(bool *turned)
{
	bool was = *turned;

	*turned = true;
	return was;
}

static void fill_there(struct end *e)
{
	e->echo = false;
	e->fill = (size_t)1 << 30;
}

/* One that opens its windows and then does not read: what it is owed is not pulled, and while it speaks it lives. */
static void test_does_not_read(void **state)
{
	struct pair *p = *state;
	struct raw r;
	uint64_t until;
	struct end *e;
	bool turned;

	p->node.on_request = fill_there;
	p->node_conf.dead_ms = 1000;
	raw_greet(p, &r);
	raw_frame(&r, SETTINGS, 0, 0, "\0\4\x7f\xff\xff\xff", 6);
	raw_frame(&r, WINDOW_UPDATE, 0, 0, "\x7f\xff\0\0", 4);
	raw_frame(&r, HEADERS, END_HEADERS, 1, REQUEST, sizeof(REQUEST) - 1);
	wait_for(p, (raw_turn(&r), p->node.n_ends == 1 && p->node.ends[0]->filled > 0));
	e = p->node.ends[0];
	r.deaf = true;
	until = clock_mono_us() + 1500000; /* longer than the dead are given */
	while (clock_mono_us() < until) {
		raw_frame(&r, PING, 1 /* an answer, to nothing */, 0, "12345678", 8);
		turned = false;
		wait_for(p, (raw_turn(&r), turned_once(&turned)));
	}
	assert_true(h2_is_up(p->node.c));
	/* What both kernels hold, and 64 KiB. */
	assert_true(e->filled < (size_t)32 << 20);
	/* It goes on when it is read. */
	r.deaf = false;
	wait_for(p, (raw_turn(&r), buf_clear(&r.got), e->filled >= (size_t)48 << 20));
	raw_done(&r);
	wait_for(p, p->node.downs);
	assert_int_equal(e->code, H2_LOST);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_no_preface),
		T(test_silent_after_tls),
		T(test_broken_frame),
		T(test_goodbye_with_an_error),
		T(test_goodbye_lets_streams_end),
		T(test_ping_flood),
		T(test_rapid_reset),
		T(test_does_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

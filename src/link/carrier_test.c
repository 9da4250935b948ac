/* Carriers without connections: what one pulls is given to the other, in pieces, and "connections" are lost in between
 * (both detach; what was pulled and not given is lost). */
#include "link/carrier.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define BODY_MAX (1u << 20)

struct end {
	struct carrier *c;
	struct buf seen; /* "<type:length:first byte>" of each frame */
	uint64_t next;   /* number that the next frame is to have */
	unsigned rooms, broken;
	bool free_in_frame;
};

struct fixture {
	struct loop *loop;
	struct carriers *set;
	struct end a, b;
};

static const uint8_t id[16] = "0123456789abcde";

static void on_frame(void *arg, const struct frame *f)
{
	struct end *e = arg;
	uint64_t number = 0;

	assert_memory_equal(f->id, id, 16);
	assert_true(frame_meta_u64(f, FRAME_KEY_RUN_US, &number));
	assert_int_equal(number, e->next);
	e->next++;
	for (size_t i = 0; i < f->body.n; i++)
		if ((uint8_t)f->body.p[i] != (uint8_t)(number + i))
			fail_msg("byte %zu of frame %llu differs", i, (unsigned long long)number);
	if (e->free_in_frame)
		e->c = carrier_free(e->c);
}

static void on_room(void *arg)
{
	((struct end *)arg)->rooms++;
}

static void on_broken(void *arg, unsigned status)
{
	((struct end *)arg)->broken++;
}

static const struct carrier_handler handler = {.frame = on_frame, .room = on_room, .broken = on_broken};

static int setup(void **state)
{
	struct fixture *x = xnew(struct fixture);

	x->loop = loop_new();
	x->set = carriers_new(x->loop);
	x->a.c = carrier_new(x->set, BODY_MAX, &handler, &x->a);
	x->b.c = carrier_new(x->set, BODY_MAX, &handler, &x->b);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	carrier_free(x->a.c);
	carrier_free(x->b.c);
	carriers_free(x->set);
	loop_free(x->loop);
	buf_done(&x->a.seen);
	buf_done(&x->b.seen);
	free(x);
	return 0;
}

static void send_number(struct carrier *c, uint64_t number, size_t n)
{
	struct buf meta = BUF_NULL, body = BUF_NULL;

	frame_meta_add_u64(&meta, FRAME_KEY_RUN_US, number);
	buf_reserve(&body, n);
	for (size_t i = 0; i < n; i++)
		body.p[i] = (char)(number + i);
	body.n = n;
	carrier_send(c, FRAME_RESULT, id, buf_str(&meta), STR_NULL, buf_str(&body));
	buf_done(&meta);
	buf_done(&body);
}

/* One pull of from for to, cut in two where the cut lies in it. False: there was none. */
static bool give(struct carrier *from, struct carrier *to, size_t room, size_t cut, bool lose)
{
	char *bytes = xmalloc(room);
	size_t n = carrier_pull(from, bytes, room);

	cut = MIN(cut, n);
	if (n && !lose) {
		assert_true(carrier_input(to, str_n(bytes, cut)));
		if (n > cut)
			assert_true(carrier_input(to, str_n(bytes + cut, n - cut)));
	}
	free(bytes);
	return n > 0;
}

static void pump(struct fixture *x, size_t room, size_t cut)
{
	bool more = true;

	while (more) {
		more = give(x->a.c, x->b.c, room, cut, false);
		more |= give(x->b.c, x->a.c, room, cut, false);
	}
}

/* The same, of a body that stays the caller's: what is returned. */
static char *lend_number(struct carrier *c, uint64_t number, size_t n)
{
	_cleanup_(buf_done) struct buf head = BUF_NULL;
	char *body = xmalloc(n);

	for (size_t i = 0; i < n; i++)
		body[i] = (char)(number + i);
	buf_reserve(&head, FRAME_HEADER_SIZE);
	head.n = FRAME_HEADER_SIZE;
	frame_meta_add_u64(&head, FRAME_KEY_RUN_US, number);
	frame_header((uint8_t *)head.p, FRAME_RESULT, id, head.n - FRAME_HEADER_SIZE, n);
	carrier_send_encoded(c, buf_str(&head), str_n(body, n), true);
	return body;
}

/* A new connection, as carrier_request and carrier_respond begin one. */
static void reconnect(struct fixture *x)
{
	carrier_begin(x->a.c);
	carrier_begin(x->b.c);
}

static void carries_frames(void **state)
{
	struct fixture *x = *state;

	reconnect(x);
	for (uint64_t i = 0; i < 100; i++) {
		send_number(x->a.c, i, i * 37);
		send_number(x->b.c, i, 100 - i);
		pump(x, 200, i);
	}
	assert_int_equal(x->b.next, 100);
	assert_int_equal(x->a.next, 100);
}

static void acknowledges_with_what_goes_back(void **state)
{
	struct fixture *x = *state;

	reconnect(x);
	send_number(x->a.c, 0, 10);
	assert_false(carrier_drained(x->a.c));
	pump(x, 4096, 1);
	assert_true(carrier_drained(x->a.c));
	assert_true(carrier_drained(x->b.c));
}

static void long_frames_in_small_pieces(void **state)
{
	struct fixture *x = *state;

	reconnect(x);
	send_number(x->a.c, 0, BODY_MAX);
	send_number(x->a.c, 1, 3);
	pump(x, 1000, 7);
	assert_int_equal(x->b.next, 2);
}

/* Lent bodies go out between copied ones, and again after a loss; what is taken back half sent is copied. */
static void sends_what_it_was_lent(void **state)
{
	struct fixture *x = *state;
	const size_t n = 200000;
	char *first, *second;

	reconnect(x);
	send_number(x->a.c, 0, 10);
	first = lend_number(x->a.c, 1, n);
	send_number(x->a.c, 2, 10);
	for (unsigned i = 0; i < 10; i++)
		give(x->a.c, x->b.c, 4096, 4096, false);
	give(x->a.c, x->b.c, 4096, 4096, true);
	reconnect(x);
	pump(x, 4096, 12);
	assert_int_equal(x->b.next, 3);
	assert_true(carrier_drained(x->a.c));
	free(first); /* acknowledged: it is not looked at any more */
	carrier_own(x->a.c);
	first = lend_number(x->a.c, 3, n);
	second = lend_number(x->a.c, 4, n);
	send_number(x->a.c, 5, 10);
	for (unsigned i = 0; i < 60; i++)
		give(x->a.c, x->b.c, 4096, 4096, false);
	assert_int_equal(x->b.next, 4);
	carrier_own(x->a.c);
	free(first);
	free(second);
	reconnect(x); /* and all that is not acknowledged again */
	pump(x, 4096, 12);
	assert_int_equal(x->b.next, 6);
	assert_true(carrier_drained(x->a.c));
}

static unsigned lcg(unsigned *seed)
{
	*seed = *seed * 1103515245u + 12345u;
	return *seed >> 16;
}

/* Whatever is lost, each frame comes once and in order. */
static void connections_are_lost_anywhere(void **state)
{
	struct fixture *x = *state;
	uint64_t sent_a = 0, sent_b = 0;
	unsigned seed = 7;

	for (unsigned connection = 0; connection < 300; connection++) {
		unsigned steps = lcg(&seed) % 12;

		reconnect(x);
		for (unsigned i = 0; i < steps; i++) {
			bool lose = i + 1 == steps; /* under way when it broke */

			send_number(x->a.c, sent_a++, lcg(&seed) % 5000);
			if (lcg(&seed) % 2)
				send_number(x->b.c, sent_b++, lcg(&seed) % 300);
			give(x->a.c, x->b.c, 13 + lcg(&seed) % 3000, lcg(&seed) % 40, lose);
			give(x->b.c, x->a.c, 13 + lcg(&seed) % 3000, lcg(&seed) % 40, lose && lcg(&seed) % 2);
		}
	}
	reconnect(x);
	pump(x, 4096, 12);
	assert_int_equal(x->b.next, sent_a);
	assert_int_equal(x->a.next, sent_b);
	assert_true(carrier_drained(x->a.c));
	assert_true(carrier_drained(x->b.c));
}

static void says_when_it_is_full(void **state)
{
	struct fixture *x = *state;
	uint64_t n = 0;

	reconnect(x);
	while (!carrier_full(x->a.c))
		send_number(x->a.c, n++, 100000);
	assert_int_equal(x->a.rooms, 0);
	pump(x, 16384, 12);
	assert_false(carrier_full(x->a.c));
	assert_int_equal(x->a.rooms, 1);
	assert_int_equal(x->b.next, n);
}

static void begins_anew(void **state)
{
	struct fixture *x = *state;

	reconnect(x);
	send_number(x->a.c, 0, 50);
	pump(x, 4096, 5);
	send_number(x->a.c, 99, 50);
	carrier_restart(x->a.c);
	carrier_restart(x->b.c);
	reconnect(x);
	send_number(x->a.c, 1, 50);
	pump(x, 4096, 5);
	assert_int_equal(x->b.next, 2);
}

/* Header of a segment: length and acknowledgement. */
static struct str segment(uint8_t out[static 12], uint32_t n, uint64_t ack)
{
	for (unsigned i = 0; i < 4; i++)
		out[i] = (uint8_t)(n >> (8 * i));
	for (unsigned i = 0; i < 8; i++)
		out[4 + i] = (uint8_t)(ack >> (8 * i));
	return str_n((const char *)out, 12);
}

static void nonsense_is_none(void **state)
{
	struct fixture *x = *state;
	uint8_t bytes[12];

	reconnect(x);
	assert_false(carrier_input(x->a.c, segment(bytes, 5, 0))); /* the first says where, no more */
	carrier_restart(x->a.c);
	carrier_begin(x->a.c);
	assert_false(carrier_input(x->a.c, segment(bytes, 0, 1))); /* what was never sent */
	carrier_restart(x->a.c);
	carrier_begin(x->a.c);
	assert_true(carrier_input(x->a.c, segment(bytes, 0, 0)));
	assert_true(carrier_input(x->a.c, segment(bytes, 40, 0)));
	assert_false(carrier_input(x->a.c, STR("this is no frame, and neither is more of it")));
}

static void may_be_freed_in_a_frame(void **state)
{
	struct fixture *x = *state;

	reconnect(x);
	x->b.free_in_frame = true;
	send_number(x->a.c, 0, 10);
	send_number(x->a.c, 1, 10);
	give(x->a.c, x->b.c, 4096, 4096, false);
	give(x->a.c, x->b.c, 4096, 4096, false);
	assert_null(x->b.c);
	assert_int_equal(x->b.next, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(carries_frames, setup, teardown),
		cmocka_unit_test_setup_teardown(acknowledges_with_what_goes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(long_frames_in_small_pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(sends_what_it_was_lent, setup, teardown),
		cmocka_unit_test_setup_teardown(connections_are_lost_anywhere, setup, teardown),
		cmocka_unit_test_setup_teardown(says_when_it_is_full, setup, teardown),
		cmocka_unit_test_setup_teardown(begins_anew, setup, teardown),
		cmocka_unit_test_setup_teardown(nonsense_is_none, setup, teardown),
		cmocka_unit_test_setup_teardown(may_be_freed_in_a_frame, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Messages of event streams: bytes made by other means, and every way to be broken. */
#include "wire/eventstream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* Made by Python's struct.pack and zlib.crc32: ':message-type' as a string, 'other' as an int, 'a' as true; "he". */
static const char empty_message[] = "0000001000000000" /* 16 bytes, no headers */
				    "05c248eb"
				    "7d98c8ff";
static const char event_message[] = "00000036000000247740769e0d3a6d6573736167652d747970650700056576656e74056f74686572"
				    "04000000070161006865bea19a43";

static size_t unhex(const char *hex, char *out)
{
	size_t n = strlen(hex) / 2;

	assert_true(hex_decode(str_from(hex), (uint8_t *)out, n));
	return n;
}

static void known_bytes(void **state)
{
	char bytes[256];
	struct eventstream_message m;
	struct str s = str_n(bytes, unhex(empty_message, bytes));
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	assert_int_equal(eventstream_size(s), 16);
	assert_true(eventstream_parse(s, &m));
	assert_int_equal(m.headers.n, 0);
	assert_int_equal(m.payload.n, 0);
	eventstream_add(&b, NULL, 0, STR_NULL);
	assert_true(str_eq(buf_str(&b), s));
}

static void round_trip(void **state)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	struct eventstream_message m;
	struct str name, value;
	enum eventstream_type type;
	size_t at = 0, first;

	eventstream_add_event(&b, STR("PayloadChunk"), STR("application/octet-stream"), STR("hello"));
	first = b.n;
	eventstream_add_event(&b, STR("InvokeComplete"), STR("application/json"), STR("{}"));
	assert_int_equal(eventstream_size(buf_str(&b)), first);
	assert_true(eventstream_parse(buf_str(&b), &m));
	assert_true(str_eqz(m.payload, "hello"));
	assert_true(str_eqz(eventstream_get(&m, ":event-type"), "PayloadChunk"));
	assert_true(str_eqz(eventstream_get(&m, ":message-type"), "event"));
	assert_null(eventstream_get(&m, ":exception-type").p);
	assert_true(eventstream_next(&m, &at, &name, &type, &value));
	assert_int_equal(type, EVENTSTREAM_STRING);
	assert_true(eventstream_parse(str_sub(buf_str(&b), first, SIZE_MAX), &m));
	assert_true(str_eqz(m.payload, "{}"));
}

static void every_cut_and_every_flipped_bit(void **state)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	struct eventstream_message m;

	eventstream_add_event(&b, STR("PayloadChunk"), STR("application/octet-stream"), STR("hello"));
	for (size_t n = 0; n < b.n; n++)
		assert_false(eventstream_parse(str_n(b.p, n), &m));
	for (size_t i = 0; i < b.n * 8; i++) {
		b.p[i / 8] = (char)(b.p[i / 8] ^ (1 << i % 8));
		assert_false(eventstream_parse(buf_str(&b), &m));
		b.p[i / 8] = (char)(b.p[i / 8] ^ (1 << i % 8));
	}
	assert_true(eventstream_parse(buf_str(&b), &m));
}

static void other_types_are_skipped(void **state)
{
	char bytes[256];
	size_t n = unhex(event_message, bytes);
	struct eventstream_message m;

	assert_int_equal(n, 54);
	assert_true(eventstream_parse(str_n(bytes, n), &m));
	assert_true(str_eqz(eventstream_get(&m, ":message-type"), "event"));
	assert_null(eventstream_get(&m, "other").p);
	assert_true(str_eqz(m.payload, "he"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_bytes),
		cmocka_unit_test(round_trip),
		cmocka_unit_test(every_cut_and_every_flipped_bit),
		cmocka_unit_test(other_types_are_skipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Frames there and back, cut short, and broken in each place that is checked. */
#include "wire/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static const uint8_t id[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static void make(struct buf *b)
{
	uint8_t header[FRAME_HEADER_SIZE];
	struct buf meta = BUF_NULL;

	frame_meta_add_u64(&meta, FRAME_KEY_DEADLINE_MS, 0x0102030405060708);
	frame_meta_add(&meta, 999, STR(""));
	frame_meta_add(&meta, FRAME_KEY_ARN, STR("arn"));
	frame_header(header, FRAME_INVOKE, id, meta.n, 2);
	buf_add(b, header, sizeof(header));
	buf_add_str(b, buf_str(&meta));
	buf_adds(b, "{}");
	buf_done(&meta);
}

static void test_round_trip(void **state)
{
	struct buf b = BUF_NULL;
	struct frame f;
	struct str s;
	uint64_t v;

	make(&b);
	assert_int_equal(frame_size(buf_str(&b)), b.n);
	assert_int_equal(frame_size(str_n(b.p, FRAME_HEADER_SIZE)), b.n);
	assert_int_equal(frame_size(str_n(b.p, FRAME_HEADER_SIZE - 1)), 0);
	assert_false(frame_parse(str_n(b.p, b.n - 1), &f));
	assert_true(frame_parse(buf_str(&b), &f));
	assert_int_equal(f.type, FRAME_INVOKE);
	assert_memory_equal(f.id, id, 16);
	assert_true(str_eqz(f.body, "{}"));
	assert_true(frame_meta_u64(&f, FRAME_KEY_DEADLINE_MS, &v) && v == 0x0102030405060708);
	assert_true(frame_meta_get(&f, FRAME_KEY_ARN, &s) && str_eqz(s, "arn"));
	assert_true(frame_meta_get(&f, 999, &s) && s.n == 0);
	assert_false(frame_meta_get(&f, FRAME_KEY_TRACE, &s));
	assert_false(frame_meta_u64(&f, FRAME_KEY_ARN, &v));
	buf_done(&b);
}

static void test_broken(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
	} headers[] = {{3, 0x11}, {6, 0x11}, {9, 0}, {9, 2}, {10, 1}, {11, 1}, {12, 1}, {15, 1}};
	struct buf b = BUF_NULL;
	struct frame f;
	char *field;

	make(&b);
	for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
		char old = b.p[headers[i].at];

		b.p[headers[i].at] = (char)headers[i].value;
		assert_int_equal(frame_size(buf_str(&b)), -1);
		assert_false(frame_parse(buf_str(&b), &f));
		b.p[headers[i].at] = old;
	}
	field = b.p + FRAME_HEADER_SIZE;
	field[2] = 1;
	assert_false(frame_parse(buf_str(&b), &f));
	field[2] = 0;
	field[4] = 7; /* the next field begins in this one's value */
	assert_false(frame_parse(buf_str(&b), &f));
	memset(field + 4, 0xff, 4);
	assert_false(frame_parse(buf_str(&b), &f));
	buf_done(&b);
}

static void test_empty(void **state)
{
	uint8_t header[FRAME_HEADER_SIZE];
	struct frame f;

	frame_header(header, FRAME_READY, (const uint8_t[16]){0}, 0, 0);
	assert_int_equal(frame_size(str_n(header, sizeof(header))), FRAME_HEADER_SIZE);
	assert_true(frame_parse(str_n(header, sizeof(header)), &f));
	assert_int_equal(f.meta.n + f.body.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

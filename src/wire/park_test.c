/* Lines between node and wick-park: there and back, and what is refused. */
#include "wire/park.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static struct str line_of(const struct buf *b)
{
	assert_true(b->n > 0 && b->p[b->n - 1] == '\n');
	return str_n(b->p, b->n - 1);
}

static void test_requests(void **state)
{
	static const struct {
		const char *line;
		enum park_verb verb;
		int32_t pid;
	} good[] = {{"park 1", PARK_VERB_PARK, 1},
		    {"wake 2147483647", PARK_VERB_WAKE, INT32_MAX},
		    {"state 12", PARK_VERB_STATE, 12}};
	static const char *const bad[] = {"",        "park",
					  "park ",   "park 0",
					  "park -1", "park 2147483648",
					  "park 01", "park 1 ",
					  "park  1", " park 1",
					  "stop 1",  "Park 1",
					  "park 1x", "park 1 2",
					  "park\t1", "park 18446744073709551617"};
	struct park_request r;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		_cleanup_(buf_done) struct buf b = BUF_NULL;

		assert_true(park_request_parse(&r, str_from(good[i].line)));
		assert_int_equal(r.verb, good[i].verb);
		assert_int_equal(r.pid, good[i].pid);
		park_request_format(&b, &r);
		assert_true(str_eqz(line_of(&b), good[i].line));
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(park_request_parse(&r, str_from(bad[i])));
}

static void test_answers(void **state)
{
	static const char *const good[] = {"ready 12080",
					   "unsupported libcuda.so.1: no such file",
					   "ok 7 123456 checkpointed",
					   "ok 7 0 running",
					   "error 0 no request",
					   "error 7 CUDA_ERROR_NOT_READY (600)"};
	static const char *const bad[] = {
		"",        "ready",          "ready x",        "ready 1 2",        "unsupported",      "unsupported ",
		"ok 7 1",  "ok 0 1 running", "ok 7 x running", "ok 7 1 two words", "ok 7 1 ",          "ok 7 1 Caps",
		"error 7", "error 7 ",       "error x text",   "yes 7 1 running",  "unsupported a\tb", "error 1 a\nb"};
	struct park_answer a;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		_cleanup_(buf_done) struct buf b = BUF_NULL;

		assert_true(park_answer_parse(&a, str_from(good[i])));
		park_answer_format(&b, &a);
		assert_true(str_eqz(line_of(&b), good[i]));
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(park_answer_parse(&a, str_from(bad[i])));
	assert_true(park_answer_parse(&a, STR("ok 7 123456 checkpointed")));
	assert_true(a.said == PARK_OK && a.pid == 7 && a.us == 123456 && str_eqz(a.state, "checkpointed"));
	assert_true(park_answer_parse(&a, STR("error 9 two words")));
	assert_true(a.said == PARK_ERROR && a.pid == 9 && str_eqz(a.text, "two words"));
}

/* Whatever text a driver gives makes one line that is taken again. */
static void test_text(void **state)
{
	static char longer[PARK_LINE_MAX * 2];
	struct park_answer in = {.said = PARK_ERROR, .pid = INT32_MAX}, out;
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	memset(longer, 'x', sizeof(longer));
	longer[3] = '\n', longer[4] = '\0';
	in.text = str_n(longer, sizeof(longer));
	buf_adds(&b, "before\n");
	park_answer_format(&b, &in);
	assert_int_equal(b.n, strlen("before\n") + PARK_LINE_MAX);
	assert_true(park_answer_parse(&out, str_n(b.p + 7, b.n - 8)));
	assert_true(str_starts(out.text, STR("xxx  xxx")));
	buf_clear(&b);
	in.text = STR("");
	park_answer_format(&b, &in);
	assert_true(park_answer_parse(&out, line_of(&b)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

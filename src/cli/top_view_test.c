/* The picture of wick top at many sizes: nothing is wider or longer than the terminal, what matters stays; and stages
 * of invocations as text. */
#include "cli/top_view.h"

#include "base/mem.h"
#include "cli/stages.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>

static const char text[] =
	"{\"uptime_ms\": 90000, \"nodes\": [{\"name\": \"vm\", \"up\": true, \"cpus\": 2, \"memory_mb\": 4096, "
	"\"memory_free_mb\": 1024, \"workers\": 3, \"zygotes\": [{\"runtime\": \"wick-python\", \"imports\": "
	"\"boto3\", "
	"\"pid\": 7, \"memory_kib\": 2048, \"idle_ms\": 3, \"state\": \"loaded\"}]}, {\"name\": \"far\", \"up\": "
	"false}], "
	"\"totals\": {\"invocations\": 1234567, \"errors\": 0, \"queued\": 2, \"running\": 1, \"workers\": "
	"{\"waiting\": 0, "
	"\"init\": 1, \"idle\": 1, \"frozen\": 0, \"busy\": 1, \"ending\": 0}}, \"functions\": ["
	"{\"name\": \"quiet\", \"version\": \"$LATEST\", \"invocations\": 5},"
	"{\"name\": \"a-name-that-is-much-longer-than-a-column-may-be\", \"version\": \"12\", \"queued\": 2, "
	"\"oldest_wait_ms\": 1500, \"text\": \"No memory: \\u001b[2J 512 MB are left\", \"busy\": 1, \"per_s\": 2.5, "
	"\"p50_us\": 420, \"p99_us\": 61000000, \"memory_mb\": 2048, \"invocations\": 20000, \"errors\": 3},"
	"{\"name\": \"f\\u00fcnf\", \"busy\": 0, \"invocations\": 6}]}";

static json_t *top(void)
{
	struct err err = ERR_NULL;
	json_t *j = json_parse(str_from(text), &err);

	assert_non_null(j);
	return j;
}

static size_t columns(struct str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += ((uint8_t)s.p[i] & 0xc0) != 0x80;
	return n;
}

static void every_size(void **state)
{
	_cleanup_json_ json_t *j = top();

	for (unsigned cols = 1; cols < 220; cols += cols < 20 ? 1 : 7)
		for (unsigned rows = 0; rows < 30; rows += 3) {
			_cleanup_(buf_done) struct buf b = BUF_NULL;
			struct top_view v = {.top = j, .away = "away", .cols = cols, .rows = rows, .clock = "12:00:00"};
			struct str rest, line;
			unsigned n = 0;

			top_view(&b, &v);
			for (rest = buf_str(&b); rest.n > 0; n++) {
				str_cut(rest, '\n', &line, &rest);
				assert_true(columns(line) <= cols);
			}
			assert_true(rows == 0 || n <= rows);
		}
}

static void what_it_says(void **state)
{
	_cleanup_json_ json_t *j = top();
	_cleanup_(buf_done) struct buf b = BUF_NULL, coloured = BUF_NULL, none = BUF_NULL;
	struct top_view v = {.top = j, .cols = 200};
	struct str s;

	top_view(&b, &v);
	s = buf_str(&b);
	assert_true(str_find(s, STR("1.2M invocations")) > 0);
	assert_true(str_find(s, STR("3.0G of 4.0G")) > 0);
	assert_true(str_find(s, STR("far  away")) > 0);
	assert_true(str_find(s, STR("No memory: \\x1b[2J 512 MB are left")) > 0);
	assert_true(str_find(s, STR("1.0m")) > 0 || str_find(s, STR("1m")) > 0);
	assert_true(str_find(s, STR("boto3")) > 0);
	/* Who waits stands first, a long name keeps its end. */
	assert_true(str_find(s, STR("column-may-be:12")) < str_find(s, STR("quiet")));
	assert_true(str_chr(s, '\033', 0) < 0);
	v.colour = true;
	top_view(&coloured, &v);
	assert_true(str_chr(buf_str(&coloured), '\033', 0) >= 0);
	v = (struct top_view){.away = "cannot reach it", .cols = 80, .rows = 24};
	top_view(&none, &v);
	assert_string_equal(buf_cstr(&none), "wick\ncannot reach it\n");
}

static void stages(void **state)
{
	struct http_response r = {0};
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	_cleanup_json_ json_t *j = NULL;

	buf_adds(&r.headers, "HTTP/1.1 200 OK\r\nContent-Type: x\r\nWick-Queue-Us: 9\r\nwick-start-us: 2100\r\n"
			     "wick-box-us: 900\r\nwick-run-us: 12\r\nwick-billed-ms: 5\r\nwick-cost-usd: 0.0001\r\n");
	j = stages_of(&r);
	assert_true(stages_text(&b, j));
	assert_string_equal(buf_cstr(&b), "start 2.10  box 0.90  run 0.01 ms   billed 5 ms   $0.0001");
	http_response_done(&r);
	buf_clear(&b);
	json_decref(j);
	j = json_object();
	assert_false(stages_text(&b, j));
}

static void report(void **state)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	bool failed;

	assert_false(stages_of_report(&b, STR("START RequestId: x"), &failed));
	assert_true(
		stages_of_report(&b,
				 STR("REPORT RequestId: x\tDuration: 12.50 ms\tBilled Duration: 13 ms\tMemory Size: "
				     "128 MB\tMax Memory Used: 24 MB\tInit Duration: 3.00 ms\tBox Duration: 1.00 ms"),
				 &failed));
	assert_string_equal(buf_cstr(&b), "box 1.00  init 3.00  run 12.5 ms   billed 13 ms   24 of 128 MB");
	assert_false(failed);
	buf_clear(&b);
	assert_true(stages_of_report(
		&b, STR("REPORT RequestId: x\tDuration: 0.00 ms\tStatus: timeout\tError Type: Sandbox.Timedout"),
		&failed));
	assert_string_equal(buf_cstr(&b), "run 0.00 ms   timeout Sandbox.Timedout");
	assert_true(failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_size),
		cmocka_unit_test(what_it_says),
		cmocka_unit_test(stages),
		cmocka_unit_test(report),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

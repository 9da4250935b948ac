/* Logs on disk: lines come back whole and in order, from a time, from a position, over rotations and restarts; those
 * who watch are told. */
#include "gate/logs.h"

#include "base/mem.h"
#include "sys/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include <unistd.h>

struct world {
	char dir[64];
	struct gate g;
	struct logs *l;
};

static int set_up(void **state)
{
	struct world *w = xnew(struct world);

	snprintf(w->dir, sizeof(w->dir), "/tmp/wick-logs-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	w->g.conf.s.data = w->dir;
	w->g.conf.s.log_max_bytes = 8 * 65536;
	w->g.loop = loop_new();
	w->l = logs_open(&w->g, NULL);
	assert_non_null(w->l);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	logs_close(w->l);
	loop_free(w->g.loop);
	rm_rf(w->dir);
	free(w);
	return 0;
}

static struct buf read_all(struct world *w, const char *function, int64_t since, char position[static 64])
{
	struct buf b = BUF_NULL;

	assert_int_equal(logs_read(w->dir, str_from(function), since, position, 1000, &b, position), 0);
	return b;
}

struct told {
	unsigned n;
	struct logs_watch *self, *other;
};

static void count(void *arg)
{
	((struct told *)arg)->n++;
}

static void lines(void **state)
{
	struct world *w = *state;
	char position[64] = "";
	struct buf b = read_all(w, "f", 0, position);

	assert_int_equal(b.n, 0);
	logs_add(w->l, STR("f"), 1000, "id-1", STR("hello"));
	logs_add(w->l, STR("g"), 1500, "id-2", STR("other"));
	logs_add(w->l, STR("f"), 2000, "", STR("a\xff\tb\nc"));
	logs_flush(w->l);
	b = read_all(w, "f", 0, position);
	assert_string_equal(buf_cstr(&b), "1000\tid-1\thello\n2000\t-\ta\xff\tb\rc\n");
	buf_done(&b);
	b = read_all(w, "f", 0, position);
	assert_int_equal(b.n, 0);
	logs_add(w->l, STR("f"), 3000, "id-3", STR(""));
	logs_flush(w->l);
	b = read_all(w, "f", 0, position);
	assert_string_equal(buf_cstr(&b), "3000\tid-3\t\n");
	buf_done(&b);
	position[0] = '\0';
	b = read_all(w, "f", 2000, position);
	assert_string_equal(buf_cstr(&b), "2000\t-\ta\xff\tb\rc\n3000\tid-3\t\n");
	buf_done(&b);
}

static void half_a_line(void **state)
{
	struct world *w = *state;
	char position[64] = "", path[128];
	struct buf b;

	logs_add(w->l, STR("f"), 1, "a", STR("one"));
	logs_close(w->l);
	snprintf(path, sizeof(path), "%s/logs/f/0.log", w->dir);
	assert_int_equal(file_write(path, STR("1\ta\tone\n2\tb"), 0600), 0);
	w->l = logs_open(&w->g, NULL);
	b = read_all(w, "f", 0, position);
	assert_string_equal(buf_cstr(&b), "1\ta\tone\n");
	buf_done(&b);
	logs_add(w->l, STR("f"), 3, "c", STR("three"));
	logs_flush(w->l);
	b = read_all(w, "f", 0, position);
	assert_string_equal(buf_cstr(&b), "3\tc\tthree\n");
	buf_done(&b);
}

static void rotation(void **state)
{
	struct world *w = *state;
	char position[64] = "", stale[64] = "0:12", line[1025];
	int64_t expect = -1, at;
	struct buf b;
	struct str all, one;

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	for (int64_t i = 0; i < 2000; i++) {
		logs_add(w->l, STR("f"), i, "id", str_from(line));
		logs_flush(w->l);
	}
	for (;;) {
		b = read_all(w, "f", 0, position);
		if (b.n == 0)
			break;
		for (all = buf_str(&b); str_cut(all, '\n', &one, &all);) {
			struct str ms, rest;

			assert_true(str_cut(one, '\t', &ms, &rest) && str_to_i64(ms, &at));
			assert_int_equal(rest.n, 3 + 1024);
			assert_true(expect < 0 || at == expect);
			expect = at + 1;
		}
		buf_done(&b);
	}
	buf_done(&b);
	assert_int_equal(expect, 2000);
	b = read_all(w, "f", 0, stale);
	assert_true(b.n > 0);
	buf_done(&b);
	/* Seven eighths of the limit are kept at least, and not more than the limit and a segment. */
	position[0] = '\0';
	b = read_all(w, "f", 0, position);
	one = buf_str(&b);
	str_cut(one, '\t', &one, &all);
	assert_true(str_to_i64(one, &at));
	assert_in_range(at, 2000 - 9 * 64, 2000 - 7 * 62);
	buf_done(&b);
	position[0] = '\0';
	b = read_all(w, "f", 1999, position);
	assert_true(str_starts(buf_str(&b), STR("1999\t")));
	buf_done(&b);
}

static void long_line(void **state)
{
	struct world *w = *state;
	char position[64] = "", *line = xmalloc(300001);
	struct buf b;

	memset(line, 'y', 300000);
	line[300000] = '\0';
	logs_add(w->l, STR("f"), 7, "id", str_from(line));
	logs_flush(w->l);
	b = read_all(w, "f", 0, position);
	assert_int_equal(b.n, 300000 + 6);
	buf_done(&b);
	free(line);
}

/* A function that prints so much that it is written within the turn does not keep the others from being written. */
static void crowd(void **state)
{
	struct world *w = *state;
	char position[64] = "", *line = xmalloc(300001);
	struct told t = {0};
	struct buf b;

	memset(line, 'y', 300000);
	line[300000] = '\0';
	t.self = logs_watch(w->l, STR("loud"), count, &t);
	logs_add(w->l, STR("quiet"), 1, "id", STR("x"));
	logs_add(w->l, STR("loud"), 1, "id", str_from(line));
	logs_flush(w->l);
	b = read_all(w, "quiet", 0, position);
	assert_string_equal(buf_cstr(&b), "1\tid\tx\n");
	buf_done(&b);
	assert_int_equal(t.n, 1);
	logs_watch_free(t.self);
	free(line);
}

static void bad_names(void **state)
{
	static const char *const names[] = {"", "..", "a/b", "../f", "a.b", "\x01"};
	struct world *w = *state;
	char position[64] = "";

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct buf b;

		logs_add(w->l, str_from(names[i]), 1, "id", STR("x"));
		logs_remove(w->l, str_from(names[i]));
		b = read_all(w, names[i], 0, position);
		assert_int_equal(b.n, 0);
		buf_done(&b);
	}
	logs_flush(w->l);
}

static void many(void **state)
{
	struct world *w = *state;
	char name[16], position[64];

	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 300; i++) {
			snprintf(name, sizeof(name), "f%d", i);
			logs_add(w->l, str_from(name), round, "id", STR("x"));
		}
		logs_flush(w->l);
	}
	for (int i = 0; i < 300; i++) {
		struct buf b;

		snprintf(name, sizeof(name), "f%d", i);
		position[0] = '\0';
		b = read_all(w, name, 0, position);
		assert_string_equal(buf_cstr(&b), "0\tid\tx\n1\tid\tx\n");
		buf_done(&b);
	}
	logs_remove(w->l, STR("f7"));
	position[0] = '\0';
	struct buf b = read_all(w, "f7", 0, position);
	assert_int_equal(b.n, 0);
	buf_done(&b);
}

static void free_both(void *arg)
{
	struct told *t = arg;

	t->n++;
	t->self = logs_watch_free(t->self);
	t->other = logs_watch_free(t->other);
}

static void watching(void **state)
{
	struct world *w = *state;
	struct told a = {0}, b = {0}, c = {0};

	a.self = logs_watch(w->l, STR("f"), count, &a);
	b.self = logs_watch(w->l, STR("f"), free_both, &b);
	b.other = logs_watch(w->l, STR("f"), count, &c);
	logs_add(w->l, STR("g"), 1, "id", STR("x"));
	logs_flush(w->l);
	assert_int_equal(a.n + b.n + c.n, 0);
	logs_add(w->l, STR("f"), 1, "id", STR("x"));
	logs_add(w->l, STR("f"), 1, "id", STR("y"));
	logs_flush(w->l);
	logs_add(w->l, STR("f"), 1, "id", STR("z"));
	logs_flush(w->l);
	assert_int_equal(a.n, 2);
	assert_int_equal(b.n, 1);
	assert_int_equal(c.n, 0);
	logs_watch_free(a.self);
}

#define WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {WORLD(lines), WORLD(half_a_line), WORLD(rotation), WORLD(long_line),
					   WORLD(crowd), WORLD(bad_names),   WORLD(many),     WORLD(watching)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Watching a tree: saves, new folders, renames, what is ignored, one file only. */
#include "sys/tree_watch.h"

#include "base/mem.h"
#include "base/str.h"
#include "sys/file.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

struct state {
	char dir[64];
	struct loop *loop;
	struct tree_watch *watch;
	const char *wanted; /* end of a path */
	unsigned told;
	bool ignored_seen;
};

static void changed(void *arg, const char *const *paths, size_t n)
{
	struct state *s = arg;

	assert_true(n > 0);
	s->told++;
	for (size_t i = 0; i < MIN(n, (size_t)TREE_WATCH_PATHS); i++) {
		if (str_find(str_from(paths[i]), STR("__pycache__")) >= 0 || str_ends(str_from(paths[i]), STR(".pyc")))
			s->ignored_seen = true;
		if (s->wanted && str_ends(str_from(paths[i]), str_from(s->wanted)))
			loop_stop(s->loop);
	}
}

static void wait_for(struct state *s, const char *wanted)
{
	s->wanted = wanted;
	loop_run(s->loop);
}

static char *in(const struct state *s, const char *name)
{
	return xasprintf("%s/%s", s->dir, name);
}

static void put(const struct state *s, const char *name)
{
	_cleanup_(freep) char *path = in(s, name);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs("x", f);
	fclose(f);
}

static void make_dir(const struct state *s, const char *name)
{
	_cleanup_(freep) char *path = in(s, name);

	assert_int_equal(mkdir(path, 0755), 0);
}

static void start(struct state *s, const char *name)
{
	static const char *const ignored[] = {"__pycache__", "*.pyc", NULL};
	static const char *const slow[] = {"node_modules", NULL};
	_cleanup_(freep) char *path = in(s, name);
	struct err err = ERR_NULL;
	struct tree_watch_conf conf = {.path = path,
				       .ignored = ignored,
				       .slow = slow,
				       .quiet_ms = 5,
				       .slow_ms = 20,
				       .changed = changed,
				       .arg = s};

	s->watch = tree_watch_new(s->loop, &conf, &err);
	assert_non_null(s->watch);
}

static int set_up(void **state)
{
	struct state *s = xnew(struct state);

	snprintf(s->dir, sizeof(s->dir), "/tmp/wick-tree-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	s->loop = loop_new();
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	struct state *s = *state;

	tree_watch_free(s->watch);
	loop_free(s->loop);
	rm_rf(s->dir);
	free(s);
	return 0;
}

static void folders(void **state)
{
	struct state *s = *state;
	_cleanup_(freep) char *from = in(s, "b"), *to = in(s, "c"), *file = in(s, "a.py"), *renamed = in(s, "d.py");

	make_dir(s, "b");
	make_dir(s, "__pycache__");
	put(s, "b/old.py");
	start(s, ".");
	put(s, "a.py");
	wait_for(s, "/a.py");
	put(s, "b/old.py");
	wait_for(s, "/b/old.py");
	/* A folder that is new, with what comes into it later. */
	make_dir(s, "new");
	wait_for(s, "/new");
	put(s, "new/file");
	wait_for(s, "/new/file");
	make_dir(s, "new/node_modules");
	put(s, "new/node_modules/m.js");
	wait_for(s, "/node_modules");
	/* A folder that is moved is watched under its new name. */
	assert_int_equal(rename(from, to), 0);
	wait_for(s, "/b");
	put(s, "c/old.py");
	wait_for(s, "/c/old.py");
	assert_int_equal(rename(file, renamed), 0);
	wait_for(s, "/d.py");
	put(s, "__pycache__/x.pyc");
	put(s, "y.pyc");
	put(s, "last");
	wait_for(s, "/last");
	assert_false(s->ignored_seen);
}

static void one_file(void **state)
{
	struct state *s = *state;
	unsigned told;

	put(s, "a.py");
	start(s, "a.py");
	put(s, "a.py");
	wait_for(s, "/a.py");
	told = s->told;
	put(s, "other.py");
	put(s, "a.py");
	wait_for(s, "/a.py");
	assert_true(s->told > told);
}

static void missing(void **state)
{
	struct state *s = *state;
	struct tree_watch_conf conf = {.path = "/nonexistent/folder", .changed = changed, .arg = s};
	struct err err = ERR_NULL;

	assert_null(tree_watch_new(s->loop, &conf, &err));
	assert_non_null(strstr(err.msg, "/nonexistent/folder"));
	err_done(&err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(folders, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(missing, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

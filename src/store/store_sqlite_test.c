/* What only the SQLite store has: a file that may be damaged, foreign, newer, forbidden or on a full disk, and that is
 * there again after closing. */
#include "store/store_fixture.h"

#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>

static struct fixture fix;

static int setup(void **state)
{
	fixture_open(&fix, true);
	return 0;
}

static int teardown(void **state)
{
	fixture_close(&fix);
	return 0;
}

static char *db_path(void)
{
	return arena_printf(&fix.arena, "%s/wick.db", fix.dir);
}

static void refused(const char *dir, const char *why)
{
	struct store_conf c = {.path = dir, .loop = fix.loop};
	struct err err = ERR_NULL;

	assert_null(store_open_sqlite(&c, &err));
	assert_non_null(err.msg);
	assert_non_null(strstr(err.msg, dir));
	if (!strstr(err.msg, why))
		fail_msg("%s", err.msg);
	err_done(&err);
}

static void bad_files(void **state)
{
	char *path = db_path();
	sqlite3 *db;

	fix.store = store_close(fix.store);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	refused(fix.dir, "newer Wick (schema 99");
	assert_int_equal(file_write(path,
				    STR("this is a letter to my aunt, not a database, and long enough to be read as "
					"a header of one, should anyone care to try"),
				    0600),
			 0);
	refused(fix.dir, "not a database");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	refused(fix.dir, "directory");
	refused("/proc/none/such", "No such file");
}

/* A data folder of the release before records and layers. */
static void older_file(void **state)
{
	static const char older[] = "DROP TABLE record; DROP TABLE layer; DROP TABLE layer_version;"
				    "DROP TABLE function_layer; PRAGMA user_version = 1;";
	const struct function_row row = {.name = STR("f"), .version = STR("$LATEST"), .doc = STR("{}")};
	const struct record rec = {.kind = RECORD_RESERVED, .function = STR("f"), .number = 3};
	struct store_txn *t = store_begin(fix.store);
	struct str doc;
	sqlite3 *db;

	store_put_function(t, PUT_CREATE, &row, STR_NULL);
	assert_int_equal(commit(&fix, t), 0);
	fix.store = store_close(fix.store);
	assert_int_equal(sqlite3_open(db_path(), &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, older, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	for (int i = 0; i < 2; i++) { /* once to bring it up to date, once to find it so */
		struct record *got;

		fixture_store(&fix);
		assert_int_equal(
			store_get_function(store_reader(fix.store), &fix.arena, STR("f"), STR("$LATEST"), &doc), 0);
		t = store_begin(fix.store);
		store_put_record(t, PUT_ANY, &rec, STR_NULL, 9);
		store_put_layer(t, STR("l"), (uint64_t)i + 1, STR("{}"), STR("blob"));
		assert_int_equal(commit(&fix, t), 0);
		assert_int_equal(
			store_get_record(store_reader(fix.store), &fix.arena, RECORD_RESERVED, STR("f"), STR(""), &got),
			0);
		assert_int_equal(got->number, 3);
		fix.store = store_close(fix.store);
	}
	fixture_store(&fix);
}

static void modes_and_memory(void **state)
{
	struct store_txn *t = store_begin(fix.store);
	struct bucket *b;
	struct stat st;

	store_put_bucket(t, &(struct bucket){.name = STR("b"), .created_ms = 3});
	assert_int_equal(commit(&fix, t), 0);
	assert_int_equal(stat(db_path(), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(arena_printf(&fix.arena, "%s-wal", db_path()), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	store_close(fix.store);
	fixture_store(&fix);
	assert_int_equal(store_get_bucket(store_reader(fix.store), &fix.arena, STR("b"), &b), 0);
	assert_int_equal(b->created_ms, 3);
}

static int put_events(int from, int n)
{
	struct store_txn *t = store_begin(fix.store);
	char *payload = arena_alloc(&fix.arena, 64 << 10);

	memset(payload, 'x', 64 << 10);
	for (int i = from; i < from + n; i++) {
		struct event e = {.id = str_from(arena_printf(&fix.arena, "%d", i)),
				  .payload = str_n(payload, 64 << 10)};

		store_put_event(t, &e);
	}
	return commit(&fix, t);
}

/* The disk is full: every transaction of the batch is refused, the store is as before, and goes on when there is
 * room. A limit of the size of files stands in for the disk. */
static void full_disk(void **state)
{
	struct rlimit was, little;
	struct event *e;
	struct bucket *b;
	struct store_txn *t;
	size_t n;

	assert_int_equal(put_events(0, 2), 0);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	little = (struct rlimit){.rlim_cur = 512 << 10, .rlim_max = was.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
	for (int i = 0; i < 3; i++)
		assert_true(put_events(100, 40) < 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	assert_int_equal(store_due_events(store_reader(fix.store), &fix.arena, 9, 999, &e, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(put_events(100, 40), 0);
	t = store_begin(fix.store);
	store_put_bucket(t, &(struct bucket){.name = STR("b")});
	assert_int_equal(commit(&fix, t), 0);
	store_close(fix.store);
	fixture_store(&fix);
	assert_int_equal(store_due_events(store_reader(fix.store), &fix.arena, 9, 999, &e, &n), 0);
	assert_int_equal(n, 42);
	assert_int_equal(store_list_buckets(store_reader(fix.store), &fix.arena, &b, &n), 0);
	assert_int_equal(n, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(bad_files, setup, teardown),
		cmocka_unit_test_setup_teardown(older_file, setup, teardown),
		cmocka_unit_test_setup_teardown(modes_and_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(full_disk, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

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

static const char schema_1[] =
#include "store/schema.inc"
	;
static const char schema_2[] =
#include "store/schema_2.inc"
	;
static const char old_rows[] =
	"INSERT INTO function VALUES ('f', '$LATEST', 'r', 'blob', '{}');"
	"INSERT INTO usage_function VALUES (1, 'f');"
	"INSERT INTO usage VALUES (864000000, 'id', 1, '$LATEST', 1, 2, 3, 4, 100, 128, 64, 0, 5, 1000);"
	"INSERT INTO usage_day VALUES (10, 1, 1, 0, 100, 12800, 5, 1000);";

static void run_sql(sqlite3 *db, const char *sql)
{
	char *message = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
		fail_msg("%s", message);
}

/* A data folder of an earlier release: 1 is the one before records and layers, 2 before devices. */
static void make_old(int version)
{
	sqlite3 *db;

	fix.store = store_close(fix.store);
	assert_int_equal(unlink(db_path()), 0);
	assert_int_equal(sqlite3_open(db_path(), &db), SQLITE_OK);
	run_sql(db, schema_1);
	if (version > 1)
		run_sql(db, schema_2);
	run_sql(db, old_rows);
	run_sql(db, arena_printf(&fix.arena, "PRAGMA user_version = %d", version));
	sqlite3_close(db);
}

static void check_old_usage(void)
{
	struct usage_sum *s;
	struct usage *u;
	size_t n;

	assert_int_equal(store_sum_usage(store_reader(fix.store), &fix.arena, 864000000, 2 * 864000000LL, &s, &n), 0);
	assert_true(n == 1 && s->invocations == 1 && s->billed_ms == 100 && s->mb_ms == 12800);
	assert_true(s->device.n == 0 && s->device_slice_ms == 5 && s->cost_picousd == 1000);
	assert_int_equal(store_list_usage(store_reader(fix.store), &fix.arena, STR("f"), INT64_MAX, 9, &u, &n), 0);
	assert_true(n == 1 && u->device.n == 0 && u->rung.n == 0 && u->slots == 0 && u->cost_picousd == 1000);
}

static void open_old(int version)
{
	const struct record rec = {.kind = RECORD_RESERVED, .function = STR("f"), .number = 3};
	struct store_txn *t;
	struct str doc;

	make_old(version);
	for (int i = 0; i < 2; i++) { /* once to bring it up to date, once to find it so */
		struct record *got;

		fixture_store(&fix);
		assert_int_equal(
			store_get_function(store_reader(fix.store), &fix.arena, STR("f"), STR("$LATEST"), &doc), 0);
		check_old_usage();
		t = store_begin(fix.store);
		store_put_record(t, PUT_ANY, &rec, STR_NULL, 9);
		store_put_layer(t, STR("l"), (uint64_t)i + 1, STR("{}"), STR("blob"));
		store_add_usage(t, &(struct usage){.request_id = STR("new"),
						   .function = STR("g"),
						   .version = STR("1"),
						   .at_ms = 3 * 864000000LL,
						   .device = STR("NVIDIA H200"),
						   .rung = STR("mig"),
						   .slots = 1});
		assert_int_equal(commit(&fix, t), 0);
		assert_int_equal(
			store_get_record(store_reader(fix.store), &fix.arena, RECORD_RESERVED, STR("f"), STR(""), &got),
			0);
		assert_int_equal(got->number, 3);
		fix.store = store_close(fix.store);
	}
	fixture_store(&fix);
}

static void older_files(void **state)
{
	open_old(1);
	open_old(2);
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
		cmocka_unit_test_setup_teardown(older_files, setup, teardown),
		cmocka_unit_test_setup_teardown(modes_and_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(full_disk, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

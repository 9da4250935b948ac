/* An SQLite connection: settings, the cache of prepared statements, binding and stepping, errors as negative errno.
 * A struct sq belongs to one thread at a time. Statements are found by the address of their text, so each stands once,
 * beside its use. */
#include "store/store_sqlite.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>

static const char settings_all[] = "PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0;";
/* FULL: a commit is on disk before it is answered. The checkpoint keeps the WAL near 8 MiB, the limit cuts it back
 * after a reader held it open for long. */
static const char settings_writer[] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-2048;"
				      "PRAGMA wal_autocheckpoint=2000; PRAGMA journal_size_limit=16777216;";
static const char settings_reader[] = "PRAGMA query_only=1; PRAGMA cache_size=-1024;";

/* Negative errno of an SQLite result. */
static int sq_error(struct sq *c, int rc)
{
	int e = c->db ? sqlite3_system_errno(c->db) : 0;

	switch (rc & 0xff) {
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_TOOBIG:
		return -EFBIG;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_CANTOPEN:
	case SQLITE_IOERR:
		return e > 0 ? -e : -EIO;
	default:
		return -EIO;
	}
}

int sq_script(struct sq *c, const char *sql)
{
	int rc = sqlite3_exec(c->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : sq_error(c, rc);
}

int sq_open(struct sq *c, struct err *err)
{
	int rc, r;

	if (c->db)
		return 0;
	rc = sqlite3_open_v2(c->path, &c->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	r = rc == SQLITE_OK ? 0 : sq_error(c, rc);
	if (r == 0) {
		sqlite3_extended_result_codes(c->db, 1);
		sqlite3_busy_timeout(c->db, 10000);
		r = sq_script(c, settings_all);
	}
	if (r == 0)
		r = sq_script(c, c->writes ? settings_writer : settings_reader);
	if (r == 0)
		return 0;
	err_set(err, 0, "store %s: %s", c->path, sqlite3_errmsg(c->db));
	sq_close(c);
	return r;
}

void sq_close(struct sq *c)
{
	for (size_t i = 0; i < SQ_STATEMENTS; i++) {
		sqlite3_finalize(c->cache[i].st);
		c->cache[i].st = NULL;
		c->cache[i].sql = NULL;
	}
	sqlite3_close(c->db);
	c->db = NULL;
}

static int prepare(struct sq *c, sqlite3_stmt **ret, const char *sql)
{
	size_t at = ((uintptr_t)sql * 0x9E3779B97F4A7C15ULL >> 40) & (SQ_STATEMENTS - 1), tries = 0;
	int rc, r = sq_open(c, NULL);

	if (r < 0)
		return r;
	while (c->cache[at].sql && c->cache[at].sql != sql) {
		assert(++tries < SQ_STATEMENTS);
		at = (at + 1) & (SQ_STATEMENTS - 1);
	}
	if (!c->cache[at].sql) {
		rc = sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &c->cache[at].st, NULL);
		if (rc != SQLITE_OK)
			return sq_error(c, rc);
		c->cache[at].sql = sql;
	}
	*ret = c->cache[at].st;
	return 0;
}

/* Bound bytes are not copied: they must live until the reset. */
static void bind(sqlite3_stmt *st, const char *format, va_list ap)
{
	struct str s;

	for (int i = 1; *format; format++, i++) {
		switch (*format) {
		case 'i':
			sqlite3_bind_int64(st, i, va_arg(ap, int64_t));
			break;
		case 's':
			s = va_arg(ap, struct str);
			sqlite3_bind_text64(st, i, s.n ? s.p : "", s.n, SQLITE_STATIC, SQLITE_UTF8);
			break;
		case 'b':
			s = va_arg(ap, struct str);
			sqlite3_bind_blob64(st, i, s.n ? s.p : "", s.n, SQLITE_STATIC);
			break;
		default:
			assert(!"unknown format");
		}
	}
}

static int start(struct sq *c, sqlite3_stmt **ret, const char *sql, const char *format, va_list ap)
{
	int r = prepare(c, ret, sql);

	if (r == 0)
		bind(*ret, format, ap);
	return r;
}

int sq_query(struct sq *c, sqlite3_stmt **ret, const char *sql, const char *format, ...)
{
	va_list ap;
	int r;

	va_start(ap, format);
	r = start(c, ret, sql, format, ap);
	va_end(ap);
	return r;
}

int sq_step(struct sq *c, sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);

	if (rc == SQLITE_ROW)
		return 1;
	return rc == SQLITE_DONE ? 0 : sq_error(c, rc);
}

int sq_row(struct sq *c, sqlite3_stmt **ret, int missing, const char *sql, const char *format, ...)
{
	va_list ap;
	int r;

	va_start(ap, format);
	r = start(c, ret, sql, format, ap);
	va_end(ap);
	if (r)
		return r;
	r = sq_step(c, *ret);
	return r < 0 ? r : r ? 0 : missing;
}

void sq_reset(sqlite3_stmt *st)
{
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
}

int sq_exec(struct sq *c, const char *sql, const char *format, ...)
{
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	va_list ap;
	int r;

	va_start(ap, format);
	r = start(c, &st, sql, format, ap);
	va_end(ap);
	if (r == 0)
		r = sq_step(c, st);
	return MIN(r, 0);
}

int64_t sq_changes(struct sq *c)
{
	return sqlite3_changes64(c->db);
}

struct str sq_view(sqlite3_stmt *st, int col)
{
	const void *p = sqlite3_column_blob(st, col);

	return str_n(p ? p : "", (size_t)sqlite3_column_bytes(st, col));
}

struct str sq_str(sqlite3_stmt *st, int col, struct arena *a)
{
	return arena_str(a, sq_view(st, col));
}

int64_t sq_int(sqlite3_stmt *st, int col)
{
	return sqlite3_column_int64(st, col);
}

/* Records in SQLite: aliases, URLs, reserved and provisioned concurrency of functions, and nodes and their tokens,
 * which no function has; by kind, function and key. Whatever a record leans on (function, version, alias) must be there
 * when it is written, and takes it along. */
#include "store/store_sqlite.h"

static struct record read_row(sqlite3_stmt *st, struct arena *a)
{
	return (struct record){.kind = (enum record_kind)sq_int(st, 0),
			       .function = sq_str(st, 1, a),
			       .key = sq_str(st, 2, a),
			       .revision = sq_str(st, 3, a),
			       .version = sq_str(st, 4, a),
			       .other = sq_str(st, 5, a),
			       .number = (uint32_t)sq_int(st, 6),
			       .doc = sq_str(st, 7, a)};
}

#define COLUMNS "kind, function, key, revision, version, other, number, doc"

static int has_alias(struct sq *c, struct str function, struct str name)
{
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;

	return sq_row(c, &st, STORE_E_MISSING, "SELECT 1 FROM record WHERE kind = ? AND function = ? AND key = ?",
		      "iss", (int64_t)RECORD_ALIAS, function, name);
}

static int check_leans(struct sq *c, const struct record *rec)
{
	int r;

	if (record_stands_alone(rec->kind))
		return 0;
	r = sq_has_version(c, rec->function, STR("$LATEST"));
	if (r == 0 && rec->version.n)
		r = sq_has_version(c, rec->function, rec->version);
	if (r == 0 && rec->other.n)
		r = sq_has_version(c, rec->function, rec->other);
	if (r == 0 && rec->kind != RECORD_ALIAS && rec->key.n) {
		r = sq_has_version(c, rec->function, rec->key);
		if (r == STORE_E_MISSING)
			r = has_alias(c, rec->function, rec->key);
	}
	return r;
}

/* Against what is there under the key now. */
static int check_row(struct sq *c, const struct op_put_record *o)
{
	const struct record *rec = &o->record;
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r = sq_row(c, &st, STORE_E_MISSING,
		       "SELECT revision FROM record WHERE kind = ? AND function = ? AND key = ?", "iss",
		       (int64_t)rec->kind, rec->function, rec->key);

	if (r == STORE_E_MISSING)
		return o->mode == PUT_REPLACE ? r : 0;
	if (r < 0)
		return r;
	if (o->mode == PUT_CREATE)
		return STORE_E_EXISTS;
	return o->expect.n && !str_eq(o->expect, sq_view(st, 0)) ? STORE_E_PRECONDITION : 0;
}

static int check_sum(struct sq *c, const struct op_put_record *o)
{
	const struct record *rec = &o->record;
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	struct str scope = rec->kind == RECORD_RESERVED ? STR("") : rec->function;
	int r = sq_row(c, &st, STORE_E_MISSING,
		       "SELECT coalesce(sum(number), 0) FROM record WHERE kind = ?1 AND (?2 = '' OR function = ?2)"
		       " AND NOT (function = ?3 AND key = ?4)",
		       "isss", (int64_t)rec->kind, scope, rec->function, rec->key);

	if (r)
		return r;
	return (uint64_t)sq_int(st, 0) + rec->number > o->sum_max ? STORE_E_LIMIT : 0;
}

int sq_put_record(struct sq *c, const struct op_put_record *o)
{
	const struct record *rec = &o->record;
	int r = check_leans(c, rec);

	if (r == 0)
		r = check_row(c, o);
	if (r == 0 && rec->number)
		r = check_sum(c, o);
	if (r)
		return r;
	return sq_exec(c, "INSERT OR REPLACE INTO record (" COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?)", "isssssis",
		       (int64_t)rec->kind, rec->function, rec->key, rec->revision, rec->version, rec->other,
		       (int64_t)rec->number, rec->doc);
}

int sq_drop_key(struct sq *c, struct str function, struct str key)
{
	return sq_exec(c, "DELETE FROM record WHERE kind IN (?, ?) AND function = ? AND key = ?", "iiss",
		       (int64_t)RECORD_URL, (int64_t)RECORD_PROVISIONED, function, key);
}

int sq_delete_record(struct sq *c, const struct record *rec)
{
	int r = sq_exec(c, "DELETE FROM record WHERE kind = ? AND function = ? AND key = ?", "iss", (int64_t)rec->kind,
			rec->function, rec->key);

	if (r < 0)
		return r;
	if (sq_changes(c) == 0)
		return STORE_E_MISSING;
	return rec->kind == RECORD_ALIAS ? sq_drop_key(c, rec->function, rec->key) : 0;
}

int sq_drop_records(struct sq *c, struct str function)
{
	return sq_exec(c, "DELETE FROM record WHERE kind IN (?, ?, ?, ?) AND function = ?", "iiiis",
		       (int64_t)RECORD_ALIAS, (int64_t)RECORD_URL, (int64_t)RECORD_RESERVED,
		       (int64_t)RECORD_PROVISIONED, function);
}

int sq_version_in_use(struct sq *c, struct str function, struct str version)
{
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r = sq_row(c, &st, STORE_E_MISSING,
		       "SELECT 1 FROM record WHERE kind = ?1 AND function = ?2 AND (version = ?3 OR other = ?3)", "iss",
		       (int64_t)RECORD_ALIAS, function, version);

	return r < 0 ? r : r == 0 ? STORE_E_IN_USE : 0;
}

int sq_get_record(struct store_reader *reader, struct arena *a, enum record_kind kind, struct str function,
		  struct str key, struct record **ret)
{
	struct sq *c = sq_of(reader);
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r = sq_row(c, &st, STORE_E_MISSING,
		       "SELECT " COLUMNS " FROM record WHERE kind = ? AND function = ? AND key = ?", "iss",
		       (int64_t)kind, function, key);

	if (r)
		return r;
	*ret = arena_new(a, struct record);
	**ret = read_row(st, a);
	return 0;
}

int sq_list_records(struct store_reader *reader, struct arena *a, enum record_kind kind, struct str function,
		    struct str after, uint32_t max, struct record **ret, size_t *n, bool *truncated)
{
	struct sq *c = sq_of(reader);
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r;

	if (function.n)
		r = sq_query(c, &st,
			     "SELECT " COLUMNS " FROM record WHERE kind = ? AND function = ? AND (key > ?3 OR ?3 = '')"
			     " ORDER BY key LIMIT ?",
			     "issi", (int64_t)kind, function, after, (int64_t)max + 1);
	else
		r = sq_query(c, &st, "SELECT " COLUMNS " FROM record WHERE kind = ? ORDER BY function, key LIMIT ?",
			     "ii", (int64_t)kind, (int64_t)max + 1);
	*ret = NULL;
	*n = 0;
	*truncated = false;
	while (r >= 0 && (r = sq_step(c, st)) > 0) {
		if (*n == max) {
			*truncated = max > 0;
			return 0;
		}
		*ret = arena_grow(a, *ret, *n, sizeof(**ret));
		(*ret)[(*n)++] = read_row(st, a);
	}
	return r;
}

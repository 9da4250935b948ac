/* Functions in SQLite: a document per name and version. Versions of one function may share a code blob; it dies with
 * the last row that holds it. */
#include "store/store_sqlite.h"

/* 1 and revision and blob of the row, or 0. */
static int find_function(struct sq *c, struct arena *a, const struct op_put_function *f, struct str *revision,
			 struct str *blob)
{
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r = sq_query(c, &st, "SELECT revision, blob FROM function WHERE name = ? AND version = ?", "ss", f->name,
			 f->version);

	if (r == 0)
		r = sq_step(c, st);
	if (r > 0) {
		*revision = sq_str(st, 0, a);
		*blob = sq_str(st, 1, a);
	}
	return r;
}

static int bury_code(struct sq *c, struct str blob)
{
	return sq_exec(c,
		       "INSERT INTO dead_blob (blob) SELECT ?1"
		       " WHERE ?1 <> '' AND NOT EXISTS (SELECT 1 FROM function WHERE blob = ?1) ON CONFLICT DO NOTHING",
		       "s", blob);
}

int sq_put_function(struct sq *c, const struct op_put_function *f)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	struct str revision = STR_NULL, blob = STR_NULL;
	int r = find_function(c, &a, f, &revision, &blob);

	if (r < 0)
		return r;
	if (f->mode == FUNCTION_CREATE && r > 0)
		return STORE_E_EXISTS;
	if (f->mode == FUNCTION_REPLACE && r == 0)
		return STORE_E_MISSING;
	if (f->mode == FUNCTION_REPLACE && f->expect.n && !str_eq(f->expect, revision))
		return STORE_E_PRECONDITION;
	r = sq_exec(c, "INSERT OR REPLACE INTO function (name, version, revision, blob, doc) VALUES (?, ?, ?, ?, ?)",
		    "sssss", f->name, f->version, f->revision, f->blob, f->doc);
	return r < 0 ? r : bury_code(c, blob);
}

int sq_delete_function(struct sq *c, struct str name)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	struct str *blobs = NULL;
	size_t n = 0;
	int r;

	{
		_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;

		r = sq_query(c, &st, "SELECT blob FROM function WHERE name = ?", "s", name);
		while (r >= 0 && (r = sq_step(c, st)) > 0) {
			blobs = arena_grow(&a, blobs, n, sizeof(*blobs));
			blobs[n++] = sq_str(st, 0, &a);
		}
	}
	if (r < 0)
		return r;
	if (!n)
		return STORE_E_MISSING;
	r = sq_exec(c, "DELETE FROM function WHERE name = ?", "s", name);
	for (size_t i = 0; i < n && r == 0; i++)
		r = bury_code(c, blobs[i]);
	return r;
}

int sq_get_function(struct store_reader *reader, struct arena *a, struct str name, struct str version, struct str *doc)
{
	struct sq *c = sq_of(reader);
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r = sq_row(c, &st, STORE_E_MISSING, "SELECT doc FROM function WHERE name = ? AND version = ?", "ss", name,
		       version);

	if (r)
		return r;
	*doc = sq_str(st, 0, a);
	return 0;
}

int sq_list_functions(struct store_reader *reader, struct arena *a, struct str after, uint32_t max, struct str **docs,
		      size_t *n, bool *truncated)
{
	struct sq *c = sq_of(reader);
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r = sq_query(c, &st,
			 "SELECT doc FROM function WHERE name > ? AND version = '$LATEST' ORDER BY name LIMIT ?", "si",
			 after, (int64_t)max + 1);

	*docs = NULL;
	*n = 0;
	*truncated = false;
	if (r < 0)
		return r;
	while ((r = sq_step(c, st)) > 0) {
		if (*n == max) {
			*truncated = max > 0;
			return 0;
		}
		*docs = arena_grow(a, *docs, *n, sizeof(**docs));
		(*docs)[(*n)++] = sq_str(st, 0, a);
	}
	return r;
}

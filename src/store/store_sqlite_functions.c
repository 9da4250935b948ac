/* Functions in SQLite: a document per name and version. Versions of one function may share a code blob; it dies with
 * the last row that holds it. */
#include "store/store_sqlite.h"

/* 1 and revision and blob of the row, or 0. */
static int find_function(struct sq *c, struct arena *a, struct str name, struct str version, struct str *revision,
			 struct str *blob)
{
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r = sq_query(c, &st, "SELECT revision, blob FROM function WHERE name = ? AND version = ?", "ss", name,
			 version);

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

int sq_has_version(struct sq *c, struct str name, struct str version)
{
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;

	return sq_row(c, &st, STORE_E_MISSING, "SELECT 1 FROM function WHERE name = ? AND version = ?", "ss", name,
		      version);
}

int sq_put_function(struct sq *c, const struct op_put_function *f)
{
	const struct function_row *row = &f->row;
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	struct str revision = STR_NULL, blob = STR_NULL;
	int r = find_function(c, &a, row->name, row->version, &revision, &blob);

	if (r < 0)
		return r;
	if (f->mode == PUT_CREATE && r > 0)
		return STORE_E_EXISTS;
	if (f->mode == PUT_REPLACE && r == 0)
		return STORE_E_MISSING;
	if (f->mode == PUT_REPLACE && f->expect.n && !str_eq(f->expect, revision))
		return STORE_E_PRECONDITION;
	r = sq_exec(c, "INSERT OR REPLACE INTO function (name, version, revision, blob, doc) VALUES (?, ?, ?, ?, ?)",
		    "sssss", row->name, row->version, row->revision, row->code_blob, row->doc);
	if (r == 0)
		r = sq_name_layers(c, row);
	return r ? r : bury_code(c, blob);
}

/* Rows of one function, or of one version of it (n == 0: all), with the code and the layers that only they held. */
static int delete_rows(struct sq *c, struct str name, struct str version)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	struct str *blobs = NULL;
	size_t n = 0;
	int r;

	{
		_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;

		r = sq_query(c, &st, "SELECT blob FROM function WHERE name = ?1 AND (?2 = '' OR version = ?2)", "ss",
			     name, version);
		while (r >= 0 && (r = sq_step(c, st)) > 0) {
			blobs = arena_grow(&a, blobs, n, sizeof(*blobs));
			blobs[n++] = sq_str(st, 0, &a);
		}
	}
	if (r < 0)
		return r;
	if (!n)
		return STORE_E_MISSING;
	r = sq_exec(c, "DELETE FROM function WHERE name = ?1 AND (?2 = '' OR version = ?2)", "ss", name, version);
	for (size_t i = 0; i < n && r == 0; i++)
		r = bury_code(c, blobs[i]);
	return r ? r : sq_drop_layers(c, name, version);
}

int sq_delete_function(struct sq *c, struct str name)
{
	int r = delete_rows(c, name, STR(""));

	return r ? r : sq_drop_records(c, name);
}

int sq_delete_version(struct sq *c, struct str name, struct str version)
{
	int r = sq_has_version(c, name, version);

	if (r == 0)
		r = sq_version_in_use(c, name, version);
	if (r == 0)
		r = delete_rows(c, name, version);
	return r ? r : sq_drop_key(c, name, version);
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
	while ((r = sq_step(c, st)) > 0)
		if (!page_add(a, docs, n, max, truncated, sq_view(st, 0)))
			return 0;
	return r;
}

int sq_list_versions(struct store_reader *reader, struct arena *a, struct str name, struct str after,
		     int64_t after_version, uint32_t max, struct str **docs, size_t *n, bool *truncated)
{
	struct sq *c = sq_of(reader);
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r;

	/* $LATEST is no number, which SQLite casts to 0. */
	if (name.n)
		r = sq_query(c, &st,
			     "SELECT doc FROM function WHERE name = ? AND CAST(version AS INTEGER) > ?"
			     " ORDER BY CAST(version AS INTEGER) LIMIT ?",
			     "sii", name, after_version, (int64_t)max + 1);
	else
		r = sq_query(c, &st,
			     "SELECT doc FROM function WHERE name > ?1 OR (name = ?1 AND CAST(version AS INTEGER) > ?2)"
			     " ORDER BY name, CAST(version AS INTEGER) LIMIT ?3",
			     "sii", after, after_version, (int64_t)max + 1);
	*docs = NULL;
	*n = 0;
	*truncated = false;
	while (r >= 0 && (r = sq_step(c, st)) > 0)
		if (!page_add(a, docs, n, max, truncated, sq_view(st, 0)))
			return 0;
	return r;
}

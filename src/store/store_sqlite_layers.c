/* Layers in SQLite. A version that was deleted stays, marked, while a function row names it; whichever goes last, the
 * mark or the name, takes the row and its blob along. */
#include "store/store_sqlite.h"

static int last_number(struct sq *c, struct str name, uint64_t *ret)
{
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r = sq_query(c, &st, "SELECT last FROM layer WHERE name = ?", "s", name);

	*ret = 0;
	if (r == 0)
		r = sq_step(c, st);
	if (r > 0)
		*ret = (uint64_t)sq_int(st, 0);
	return MIN(r, 0);
}

int sq_put_layer(struct sq *c, const struct op_layer *l)
{
	uint64_t last;
	int r = last_number(c, l->name, &last);

	if (r == 0 && l->version != last + 1)
		r = STORE_E_EXISTS;
	if (r == 0)
		r = sq_exec(c, "INSERT OR REPLACE INTO layer (name, last) VALUES (?, ?)", "si", l->name,
			    (int64_t)l->version);
	if (r)
		return r;
	return sq_exec(c, "INSERT INTO layer_version (name, version, deleted, blob, doc) VALUES (?, ?, 0, ?, ?)",
		       "siss", l->name, (int64_t)l->version, l->blob, l->doc);
}

/* Removes a deleted version that nothing names. */
static int reap(struct sq *c, struct str name, uint64_t version)
{
	int r = sq_exec(c,
			"INSERT INTO dead_blob (blob) SELECT blob FROM layer_version"
			" WHERE name = ?1 AND version = ?2 AND deleted AND blob <> ''"
			" AND NOT EXISTS (SELECT 1 FROM function_layer WHERE layer = ?1 AND number = ?2)"
			" ON CONFLICT DO NOTHING",
			"si", name, (int64_t)version);

	if (r < 0)
		return r;
	return sq_exec(c,
		       "DELETE FROM layer_version WHERE name = ?1 AND version = ?2 AND deleted"
		       " AND NOT EXISTS (SELECT 1 FROM function_layer WHERE layer = ?1 AND number = ?2)",
		       "si", name, (int64_t)version);
}

int sq_delete_layer(struct sq *c, const struct op_layer *l)
{
	int r = sq_exec(c, "UPDATE layer_version SET deleted = 1 WHERE name = ? AND version = ?", "si", l->name,
			(int64_t)l->version);

	return r < 0 ? r : reap(c, l->name, l->version);
}

/* What rows of a function name. */
static int named(struct sq *c, struct arena *a, struct str function, struct str version, struct layer_ref **ret,
		 size_t *n)
{
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r = sq_query(c, &st,
			 "SELECT layer, number FROM function_layer WHERE name = ?1 AND (?2 = '' OR version = ?2)", "ss",
			 function, version);

	*ret = NULL;
	*n = 0;
	while (r >= 0 && (r = sq_step(c, st)) > 0) {
		*ret = arena_grow(a, *ret, *n, sizeof(**ret));
		(*ret)[(*n)++] = (struct layer_ref){.name = sq_str(st, 0, a), .version = (uint64_t)sq_int(st, 1)};
	}
	return r;
}

static int forget(struct sq *c, struct str function, struct str version)
{
	return sq_exec(c, "DELETE FROM function_layer WHERE name = ?1 AND (?2 = '' OR version = ?2)", "ss", function,
		       version);
}

static int reap_all(struct sq *c, const struct layer_ref *refs, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = reap(c, refs[i].name, refs[i].version);
	return r;
}

int sq_drop_layers(struct sq *c, struct str function, struct str version)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	struct layer_ref *old;
	size_t n;
	int r = named(c, &a, function, version, &old, &n);

	if (r == 0)
		r = forget(c, function, version);
	return r ? r : reap_all(c, old, n);
}

static int name_one(struct sq *c, const struct function_row *row, const struct layer_ref *l)
{
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r = sq_row(c, &st, STORE_E_NO_LAYER, "SELECT 1 FROM layer_version WHERE name = ? AND version = ?", "si",
		       l->name, (int64_t)l->version);

	if (r)
		return r;
	return sq_exec(c,
		       "INSERT INTO function_layer (name, version, layer, number) VALUES (?, ?, ?, ?)"
		       " ON CONFLICT DO NOTHING",
		       "sssi", row->name, row->version, l->name, (int64_t)l->version);
}

int sq_name_layers(struct sq *c, const struct function_row *row)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	struct layer_ref *old;
	size_t n;
	int r = named(c, &a, row->name, row->version, &old, &n);

	if (r == 0 && n)
		r = forget(c, row->name, row->version);
	for (size_t i = 0; i < row->n_layers && r == 0; i++)
		r = name_one(c, row, &row->layers[i]);
	return r ? r : reap_all(c, old, n);
}

int sq_last_layer(struct store_reader *reader, struct str name, uint64_t *ret)
{
	return last_number(sq_of(reader), name, ret);
}

int sq_get_layer(struct store_reader *reader, struct arena *a, struct str name, uint64_t version, struct str *doc,
		 bool *deleted)
{
	struct sq *c = sq_of(reader);
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r = sq_row(c, &st, STORE_E_MISSING, "SELECT doc, deleted FROM layer_version WHERE name = ? AND version = ?",
		       "si", name, (int64_t)version);

	if (r)
		return r;
	*doc = sq_str(st, 0, a);
	*deleted = sq_int(st, 1) != 0;
	return 0;
}

int sq_list_layer_versions(struct store_reader *reader, struct arena *a, struct str name, uint64_t before, uint32_t max,
			   struct str **docs, size_t *n, bool *truncated)
{
	struct sq *c = sq_of(reader);
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r = sq_query(c, &st,
			 "SELECT doc FROM layer_version WHERE name = ? AND version < ? AND NOT deleted"
			 " ORDER BY version DESC LIMIT ?",
			 "sii", name, (int64_t)MIN(before, (uint64_t)INT64_MAX), (int64_t)max + 1);

	*docs = NULL;
	*n = 0;
	*truncated = false;
	while (r >= 0 && (r = sq_step(c, st)) > 0)
		if (!page_add(a, docs, n, max, truncated, sq_view(st, 0)))
			return 0;
	return r;
}

int sq_list_layers(struct store_reader *reader, struct arena *a, struct str after, uint32_t max, struct str **names,
		   size_t *n, bool *truncated)
{
	struct sq *c = sq_of(reader);
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r = sq_query(c, &st,
			 "SELECT name FROM layer WHERE name > ? AND EXISTS (SELECT 1 FROM layer_version v"
			 " WHERE v.name = layer.name AND NOT v.deleted) ORDER BY name LIMIT ?",
			 "si", after, (int64_t)max + 1);

	*names = NULL;
	*n = 0;
	*truncated = false;
	while (r >= 0 && (r = sq_step(c, st)) > 0)
		if (!page_add(a, names, n, max, truncated, sq_view(st, 0)))
			return 0;
	return r;
}

/* Buckets, objects and the blobs that died, in SQLite. An object that is replaced or deleted leaves its blobs in
 * dead_blob within the same transaction. */
#include "base/buf.h"
#include "store/store_sqlite.h"

int sq_bucket(struct sq *c, struct str name, int64_t *id)
{
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r = sq_row(c, &st, STORE_E_NO_BUCKET, "SELECT id FROM bucket WHERE name = ?", "s", name);

	if (r)
		return r;
	*id = sq_int(st, 0);
	return 0;
}

int sq_put_bucket(struct sq *c, const struct bucket *b)
{
	int r = sq_exec(c,
			"INSERT INTO bucket (name, created_ms, notification, policy, cors, tagging)"
			" VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
			"sissss", b->name, b->created_ms, b->notification, b->policy, b->cors, b->tagging);

	return r < 0 ? r : sq_changes(c) ? 0 : STORE_E_EXISTS;
}

int sq_set_bucket(struct sq *c, const struct op_set_bucket *o)
{
	static const char *const sql[] = {
		[BUCKET_NOTIFICATION] = "UPDATE bucket SET notification = ? WHERE name = ?",
		[BUCKET_POLICY] = "UPDATE bucket SET policy = ? WHERE name = ?",
		[BUCKET_CORS] = "UPDATE bucket SET cors = ? WHERE name = ?",
		[BUCKET_TAGGING] = "UPDATE bucket SET tagging = ? WHERE name = ?",
	};
	int r = sq_exec(c, sql[o->field], "ss", o->doc, o->name);

	return r < 0 ? r : sq_changes(c) ? 0 : STORE_E_NO_BUCKET;
}

static int holds_something(struct sq *c, int64_t bucket)
{
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r = sq_query(c, &st,
			 "SELECT 1 WHERE EXISTS (SELECT 1 FROM object WHERE bucket_id = ?1)"
			 " OR EXISTS (SELECT 1 FROM upload WHERE bucket_id = ?1)",
			 "i", bucket);

	return r < 0 ? r : sq_step(c, st);
}

int sq_delete_bucket(struct sq *c, struct str name)
{
	int64_t id;
	int r = sq_bucket(c, name, &id);

	if (r)
		return r;
	r = holds_something(c, id);
	if (r)
		return r < 0 ? r : STORE_E_NOT_EMPTY;
	return sq_exec(c, "DELETE FROM bucket WHERE id = ?", "i", id);
}

static void read_bucket(sqlite3_stmt *st, struct arena *a, struct bucket *b)
{
	*b = (struct bucket){.name = sq_str(st, 0, a),
			     .created_ms = sq_int(st, 1),
			     .notification = sq_str(st, 2, a),
			     .policy = sq_str(st, 3, a),
			     .cors = sq_str(st, 4, a),
			     .tagging = sq_str(st, 5, a)};
}

int sq_get_bucket(struct store_reader *reader, struct arena *a, struct str name, struct bucket **ret)
{
	struct sq *c = sq_of(reader);
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r = sq_row(c, &st, STORE_E_NO_BUCKET,
		       "SELECT name, created_ms, notification, policy, cors, tagging FROM bucket WHERE name = ?", "s",
		       name);

	if (r)
		return r;
	*ret = arena_new(a, struct bucket);
	read_bucket(st, a, *ret);
	return 0;
}

int sq_list_buckets(struct store_reader *reader, struct arena *a, struct bucket **ret, size_t *n)
{
	struct sq *c = sq_of(reader);
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r = sq_query(c, &st,
			 "SELECT name, created_ms, notification, policy, cors, tagging FROM bucket ORDER BY name", "");

	*ret = NULL;
	*n = 0;
	if (r < 0)
		return r;
	while ((r = sq_step(c, st)) > 0) {
		*ret = arena_grow(a, *ret, *n, sizeof(**ret));
		read_bucket(st, a, &(*ret)[(*n)++]);
	}
	return r;
}

int sq_dead(struct sq *c, struct str blob)
{
	return blob.n ? sq_exec(c, "INSERT INTO dead_blob (blob) VALUES (?) ON CONFLICT DO NOTHING", "s", blob) : 0;
}

/* What stands under the key now: 1 and its ETag and extents, or 0. */
static int find_old(struct sq *c, struct arena *a, int64_t bucket, struct str key, struct object *old)
{
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r = sq_query(c, &st, "SELECT etag, extents FROM object WHERE bucket_id = ? AND key = ?", "ib", bucket, key);

	if (r == 0)
		r = sq_step(c, st);
	if (r <= 0)
		return r;
	old->etag = sq_str(st, 0, a);
	r = unpack_extents(a, sq_view(st, 1), &old->extents, &old->n_extents);
	return r < 0 ? r : 1;
}

static int bury(struct sq *c, const struct object *old, const struct object *heir)
{
	int r = 0;

	for (size_t i = 0; i < old->n_extents && r == 0; i++)
		if (!heir || !holds_blob(heir, old->extents[i].blob))
			r = sq_dead(c, old->extents[i].blob);
	return r;
}

static int insert_object(struct sq *c, int64_t bucket, const struct object *o)
{
	_cleanup_(buf_done) struct buf extents = BUF_NULL, headers = BUF_NULL, tags = BUF_NULL;

	pack_extents(&extents, o->extents, o->n_extents);
	pack_kvs(&headers, o->headers, o->n_headers);
	pack_kvs(&tags, o->tags, o->n_tags);
	return sq_exec(c,
		       "INSERT OR REPLACE INTO object (bucket_id, key, size, modified_ms, etag, storage_class, parts,"
		       " content_type, extents, headers, tags) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		       "ibiissisbbb", bucket, o->key, (int64_t)o->size, o->modified_ms, o->etag, storage_class(o),
		       (int64_t)o->parts, o->content_type, buf_str(&extents), buf_str(&headers), buf_str(&tags));
}

int sq_put_object(struct sq *c, const struct op_put_object *p)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	struct object old = {0};
	int64_t bucket;
	int found, r = sq_bucket(c, p->object.bucket, &bucket);

	if (r)
		return r;
	found = find_old(c, &a, bucket, p->object.key, &old);
	if (found < 0)
		return found;
	r = condition_check(&p->cond, found ? &old.etag : NULL);
	if (r == 0)
		r = bury(c, &old, &p->object);
	return r ? r : insert_object(c, bucket, &p->object);
}

int sq_delete_object(struct sq *c, const struct object *o)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	struct object old = {0};
	int64_t bucket;
	int r = sq_bucket(c, o->bucket, &bucket);

	if (r)
		return r;
	r = find_old(c, &a, bucket, o->key, &old);
	if (r <= 0)
		return r;
	r = bury(c, &old, NULL);
	return r ? r : sq_exec(c, "DELETE FROM object WHERE bucket_id = ? AND key = ?", "ib", bucket, o->key);
}

int sq_set_object_tags(struct sq *c, const struct object *o)
{
	_cleanup_(buf_done) struct buf tags = BUF_NULL;
	int64_t bucket;
	int r = sq_bucket(c, o->bucket, &bucket);

	if (r)
		return r < 0 ? r : STORE_E_NO_OBJECT;
	pack_kvs(&tags, o->tags, o->n_tags);
	r = sq_exec(c, "UPDATE object SET tags = ? WHERE bucket_id = ? AND key = ?", "bib", buf_str(&tags), bucket,
		    o->key);
	return r < 0 ? r : sq_changes(c) ? 0 : STORE_E_NO_OBJECT;
}

int sq_get_object(struct store_reader *reader, struct arena *a, struct str bucket, struct str key, struct object **ret)
{
	struct sq *c = sq_of(reader);
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	struct object *o;
	int r = sq_row(c, &st, STORE_E_NO_OBJECT,
		       "SELECT size, modified_ms, etag, parts, content_type, extents, headers, tags FROM object"
		       " WHERE bucket_id = (SELECT id FROM bucket WHERE name = ?) AND key = ?",
		       "sb", bucket, key);

	if (r)
		return r;
	o = arena_new(a, struct object);
	o->bucket = arena_str(a, bucket);
	o->key = arena_str(a, key);
	o->size = (uint64_t)sq_int(st, 0);
	o->modified_ms = sq_int(st, 1);
	o->etag = sq_str(st, 2, a);
	o->parts = (uint32_t)sq_int(st, 3);
	o->content_type = sq_str(st, 4, a);
	r = unpack_extents(a, sq_view(st, 5), &o->extents, &o->n_extents);
	if (r == 0)
		r = unpack_kvs(a, sq_view(st, 6), &o->headers, &o->n_headers);
	if (r == 0)
		r = unpack_kvs(a, sq_view(st, 7), &o->tags, &o->n_tags);
	if (r == 0)
		*ret = o;
	return r;
}

int sq_keys_of(struct sq_keys *c, struct str bucket)
{
	c->bucket = arena_str(c->arena, bucket);
	return sq_bucket(c->sq, bucket, &c->bucket_id);
}

void sq_list_class(struct sq_keys *c, int col, struct object *o)
{
	struct str class = sq_view(c->st, col);

	if (!class.n)
		return;
	o->headers = arena_new(c->arena, struct kv);
	o->headers[0] = (struct kv){.k = STR("x-amz-storage-class"), .v = arena_str(c->arena, class)};
	o->n_headers = 1;
}

struct object_cursor {
	struct sq_keys k;
	struct object_list *list;
};

static int seek_object(struct key_cursor *kc, struct str key, struct str id)
{
	struct sq_keys *k = container_of(kc, struct sq_keys, cursor);

	k->from = arena_str(k->arena, key);
	sq_resetp(&k->st);
	return sq_query(k->sq, &k->st,
			"SELECT key, size, modified_ms, etag, storage_class FROM object"
			" WHERE bucket_id = ? AND key >= ? ORDER BY key",
			"ib", k->bucket_id, k->from);
}

static int next_object(struct key_cursor *kc)
{
	struct sq_keys *k = container_of(kc, struct sq_keys, cursor);
	int r = sq_step(k->sq, k->st);

	if (r > 0)
		k->cursor.key = sq_view(k->st, 0);
	return r;
}

static void take_object(struct key_cursor *kc)
{
	struct object_cursor *c = container_of(kc, struct object_cursor, k.cursor);
	struct object_list *l = c->list;
	struct sq_keys *k = &c->k;

	l->objects = arena_grow(k->arena, l->objects, l->n_objects, sizeof(*l->objects));
	l->objects[l->n_objects] = (struct object){.bucket = k->bucket,
						   .key = sq_str(k->st, 0, k->arena),
						   .size = (uint64_t)sq_int(k->st, 1),
						   .modified_ms = sq_int(k->st, 2),
						   .etag = sq_str(k->st, 3, k->arena)};
	sq_list_class(k, 4, &l->objects[l->n_objects++]);
}

int sq_list_objects(struct store_reader *reader, struct arena *a, const struct object_list_query *q,
		    struct object_list *ret)
{
	struct object_cursor c = {
		.k = {.cursor = {.seek = seek_object, .next = next_object, .take = take_object},
		      .sq = sq_of(reader),
		      .arena = a},
		.list = ret,
	};
	int r = sq_keys_of(&c.k, q->bucket);

	*ret = (struct object_list){0};
	if (r == 0)
		r = list_objects(&c.k.cursor, a, q, ret);
	sq_resetp(&c.k.st);
	return r;
}

int sq_blob_reaped(struct sq *c, struct str blob)
{
	return sq_exec(c, "DELETE FROM dead_blob WHERE blob = ?", "s", blob);
}

int sq_dead_blobs(struct store_reader *reader, struct arena *a, uint32_t max, struct str **ret, size_t *n)
{
	struct sq *c = sq_of(reader);
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r = sq_query(c, &st, "SELECT blob FROM dead_blob LIMIT ?", "i", (int64_t)max);

	*ret = NULL;
	*n = 0;
	if (r < 0)
		return r;
	while ((r = sq_step(c, st)) > 0) {
		*ret = arena_grow(a, *ret, *n, sizeof(**ret));
		(*ret)[(*n)++] = sq_str(st, 0, a);
	}
	return r;
}

struct wanted {
	struct map by_id; /* to the place in live */
	bool *live;
};

static void found_blob(struct wanted *w, struct str blob)
{
	bool *live = map_get(&w->by_id, blob);

	if (live)
		*live = true;
}

static int scan_blobs(struct sq *c, struct wanted *w, const char *sql)
{
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r = sq_query(c, &st, sql, "");

	if (r < 0)
		return r;
	while ((r = sq_step(c, st)) > 0)
		found_blob(w, sq_view(st, 0));
	return r;
}

static int scan_extents(struct sq *c, struct wanted *w)
{
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	struct extent *e;
	size_t n;
	int r = sq_query(c, &st, "SELECT extents FROM object", "");

	if (r < 0)
		return r;
	while ((r = sq_step(c, st)) > 0) {
		arena_reset(&a);
		r = unpack_extents(&a, sq_view(st, 0), &e, &n);
		if (r < 0)
			return r;
		for (size_t i = 0; i < n; i++)
			found_blob(w, e[i].blob);
	}
	return r;
}

int sq_blobs_live(struct store_reader *reader, const struct str *ids, size_t n, bool *live)
{
	struct sq *c = sq_of(reader);
	struct wanted w = {.live = live};
	int r;

	for (size_t i = 0; i < n; i++) {
		live[i] = false;
		map_put(&w.by_id, ids[i], &live[i]);
	}
	r = scan_blobs(c, &w, "SELECT blob FROM function");
	if (r == 0)
		r = scan_blobs(c, &w, "SELECT blob FROM layer_version");
	if (r == 0)
		r = scan_blobs(c, &w, "SELECT blob FROM part");
	if (r == 0)
		r = scan_extents(c, &w);
	map_done(&w.by_id);
	return r;
}

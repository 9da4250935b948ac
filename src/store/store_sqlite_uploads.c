/* Multipart uploads and their parts in SQLite. Completing one moves the parts' blobs to the object; those it did not
 * name, and those of parts replaced or aborted, die in the same transaction. */
#include "base/buf.h"
#include "store/store_sqlite.h"

int sq_put_upload(struct sq *c, const struct upload *u)
{
	_cleanup_(buf_done) struct buf headers = BUF_NULL, tags = BUF_NULL;
	const struct object *o = &u->object;
	int64_t bucket;
	int r = sq_bucket(c, o->bucket, &bucket);

	if (r)
		return r;
	pack_kvs(&headers, o->headers, o->n_headers);
	pack_kvs(&tags, o->tags, o->n_tags);
	return sq_exec(c,
		       "INSERT OR REPLACE INTO upload (id, bucket_id, key, created_ms, storage_class, content_type,"
		       " headers, tags) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		       "sibissbb", u->id, bucket, o->key, u->created_ms, storage_class(o), o->content_type,
		       buf_str(&headers), buf_str(&tags));
}

static int upload_exists(struct sq *c, struct str id)
{
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r = sq_query(c, &st, "SELECT 1 FROM upload WHERE id = ?", "s", id);

	if (r == 0)
		r = sq_step(c, st);
	return r < 0 ? r : r > 0 ? 0 : STORE_E_MISSING;
}

int sq_put_part(struct sq *c, const struct op_put_part *p)
{
	const struct upload_part *part = &p->part;
	int r = upload_exists(c, p->upload_id);

	if (r)
		return r;
	r = sq_exec(c,
		    "INSERT INTO dead_blob (blob) SELECT blob FROM part WHERE upload_id = ? AND number = ?"
		    " AND blob <> ? AND blob <> '' ON CONFLICT DO NOTHING",
		    "sis", p->upload_id, (int64_t)part->number, part->blob);
	if (r < 0)
		return r;
	return sq_exec(c,
		       "INSERT OR REPLACE INTO part (upload_id, number, etag, checksum, size, modified_ms, blob)"
		       " VALUES (?, ?, ?, ?, ?, ?, ?)",
		       "sissiis", p->upload_id, (int64_t)part->number, part->etag, part->checksum, (int64_t)part->size,
		       part->modified_ms, part->blob);
}

static int drop_upload(struct sq *c, struct str id)
{
	int r = sq_exec(c, "DELETE FROM part WHERE upload_id = ?", "s", id);

	return r < 0 ? r : sq_exec(c, "DELETE FROM upload WHERE id = ?", "s", id);
}

int sq_delete_upload(struct sq *c, struct str id)
{
	int r = upload_exists(c, id);

	if (r)
		return r;
	r = sq_exec(c,
		    "INSERT INTO dead_blob (blob) SELECT blob FROM part WHERE upload_id = ? AND blob <> ''"
		    " ON CONFLICT DO NOTHING",
		    "s", id);
	return r < 0 ? r : drop_upload(c, id);
}

static int bury_unused(struct sq *c, const struct op_put_object *p)
{
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r = sq_query(c, &st, "SELECT blob FROM part WHERE upload_id = ?", "s", p->upload_id);
	struct map kept = MAP_NULL;

	if (r < 0)
		return r;
	for (size_t i = 0; i < p->object.n_extents; i++)
		map_put(&kept, p->object.extents[i].blob, &kept);
	while ((r = sq_step(c, st)) > 0) {
		struct str blob = sq_view(st, 0);

		if (!map_get(&kept, blob) && (r = sq_dead(c, blob)) < 0)
			break;
	}
	map_done(&kept);
	return r;
}

int sq_complete_upload(struct sq *c, const struct op_put_object *p)
{
	int r = upload_exists(c, p->upload_id);

	if (r == 0)
		r = sq_put_object(c, p);
	if (r == 0)
		r = bury_unused(c, p);
	return r ? r : drop_upload(c, p->upload_id);
}

int sq_get_upload(struct store_reader *reader, struct arena *a, struct str id, struct upload **ret)
{
	struct sq *c = sq_of(reader);
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	struct upload *u;
	int r = sq_row(c, &st, STORE_E_MISSING,
		       "SELECT b.name, u.key, u.created_ms, u.content_type, u.headers, u.tags"
		       " FROM upload u JOIN bucket b ON b.id = u.bucket_id WHERE u.id = ?",
		       "s", id);

	if (r)
		return r;
	u = arena_new(a, struct upload);
	u->id = arena_str(a, id);
	u->object.bucket = sq_str(st, 0, a);
	u->object.key = sq_str(st, 1, a);
	u->created_ms = sq_int(st, 2);
	u->object.content_type = sq_str(st, 3, a);
	r = unpack_kvs(a, sq_view(st, 4), &u->object.headers, &u->object.n_headers);
	if (r == 0)
		r = unpack_kvs(a, sq_view(st, 5), &u->object.tags, &u->object.n_tags);
	if (r == 0)
		*ret = u;
	return r;
}

int sq_list_parts(struct store_reader *reader, struct arena *a, struct str id, uint32_t after, uint32_t max,
		  struct upload_part **ret, size_t *n, bool *truncated)
{
	struct sq *c = sq_of(reader);
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r = upload_exists(c, id);

	*ret = NULL;
	*n = 0;
	*truncated = false;
	if (r)
		return r;
	r = sq_query(c, &st,
		     "SELECT number, etag, checksum, size, modified_ms, blob FROM part"
		     " WHERE upload_id = ? AND number > ? ORDER BY number LIMIT ?",
		     "sii", id, (int64_t)after, (int64_t)max + 1);
	if (r < 0)
		return r;
	while ((r = sq_step(c, st)) > 0) {
		if (*n == max) {
			*truncated = max > 0;
			return 0;
		}
		*ret = arena_grow(a, *ret, *n, sizeof(**ret));
		(*ret)[(*n)++] = (struct upload_part){.number = (uint32_t)sq_int(st, 0),
						      .etag = sq_str(st, 1, a),
						      .checksum = sq_str(st, 2, a),
						      .size = (uint64_t)sq_int(st, 3),
						      .modified_ms = sq_int(st, 4),
						      .blob = sq_str(st, 5, a)};
	}
	return r;
}

struct upload_cursor {
	struct sq_keys k;
	struct upload_list *list;
};

static int seek_upload(struct key_cursor *kc, struct str key, struct str id)
{
	struct sq_keys *k = container_of(kc, struct sq_keys, cursor);

	k->from = arena_str(k->arena, key);
	k->from_id = arena_str(k->arena, id);
	sq_resetp(&k->st);
	return sq_query(k->sq, &k->st,
			"SELECT key, id, created_ms, storage_class FROM upload"
			" WHERE bucket_id = ? AND (key, id) >= (?, ?) ORDER BY key, id",
			"ibs", k->bucket_id, k->from, k->from_id);
}

static int next_upload(struct key_cursor *kc)
{
	struct sq_keys *k = container_of(kc, struct sq_keys, cursor);
	int r = sq_step(k->sq, k->st);

	if (r > 0) {
		k->cursor.key = sq_view(k->st, 0);
		k->cursor.id = sq_view(k->st, 1);
	}
	return r;
}

static void take_upload(struct key_cursor *kc)
{
	struct upload_cursor *c = container_of(kc, struct upload_cursor, k.cursor);
	struct upload_list *l = c->list;
	struct sq_keys *k = &c->k;

	l->uploads = arena_grow(k->arena, l->uploads, l->n_uploads, sizeof(*l->uploads));
	l->uploads[l->n_uploads] = (struct upload){.id = sq_str(k->st, 1, k->arena),
						   .object = {.bucket = k->bucket, .key = sq_str(k->st, 0, k->arena)},
						   .created_ms = sq_int(k->st, 2)};
	sq_list_class(k, 3, &l->uploads[l->n_uploads++].object);
}

int sq_list_uploads(struct store_reader *reader, struct arena *a, const struct upload_list_query *q,
		    struct upload_list *ret)
{
	struct upload_cursor c = {
		.k = {.cursor = {.seek = seek_upload, .next = next_upload, .take = take_upload},
		      .sq = sq_of(reader),
		      .arena = a},
		.list = ret,
	};
	int r = sq_keys_of(&c.k, q->bucket);

	*ret = (struct upload_list){0};
	if (r == 0)
		r = list_uploads(&c.k.cursor, a, q, ret);
	sq_resetp(&c.k.st);
	return r;
}

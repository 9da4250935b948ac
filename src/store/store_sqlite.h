/* SQLite for src/store/store_sqlite*.c only: a connection with its prepared statements, and the tables by noun.
 * Results as the store's: 0, positive STORE_E_*, negative errno. */
#pragma once

#include "store/store_ops.h"

#include <sqlite3.h>

#define SQ_STATEMENTS 256 /* power of two, over twice what the code has */

struct sq {
	sqlite3 *db; /* NULL: not open yet */
	const char *path;
	bool writes;
	struct {
		const char *sql; /* by address: each statement stands once in the code */
		sqlite3_stmt *st;
	} cache[SQ_STATEMENTS];
};

int sq_open(struct sq *c, struct err *err);
void sq_close(struct sq *c);
int sq_script(struct sq *c, const char *sql);

/* Binds by format: s struct str as text, b struct str as bytes, i int64_t. *ret must be handed to sq_reset. */
int sq_query(struct sq *c, sqlite3_stmt **ret, const char *sql, const char *format, ...);
int sq_step(struct sq *c, sqlite3_stmt *st); /* 1: a row, 0: no more */
/* A query of one row, and its first step: 0, or missing when there is none. */
int sq_row(struct sq *c, sqlite3_stmt **ret, int missing, const char *sql, const char *format, ...);
int sq_exec(struct sq *c, const char *sql, const char *format, ...); /* a statement without rows */
int64_t sq_changes(struct sq *c);
void sq_reset(sqlite3_stmt *st);

static inline void sq_resetp(sqlite3_stmt **st)
{
	if (*st)
		sq_reset(*st);
}

struct str sq_view(sqlite3_stmt *st, int col); /* until the next step */
struct str sq_str(sqlite3_stmt *st, int col, struct arena *a);
int64_t sq_int(sqlite3_stmt *st, int col);

struct sqlite_store {
	struct store store;
	char *path;
	struct sq writer;
};

struct sqlite_reader {
	struct store_reader reader;
	struct sq sq;
};

struct sq *sq_of(struct store_reader *r);

/* Bucket's row number; STORE_E_NO_BUCKET. */
int sq_bucket(struct sq *c, struct str name, int64_t *id);

/* A cursor over a bucket's entries by key, within that of each table. */
struct sq_keys {
	struct key_cursor cursor;
	struct sq *sq;
	struct arena *arena;
	sqlite3_stmt *st;
	int64_t bucket_id;
	struct str bucket;
	struct str from, from_id; /* the statement holds on to their bytes */
};
int sq_keys_of(struct sq_keys *c, struct str bucket); /* STORE_E_NO_BUCKET */
/* The storage class at col, as the one header that o has in a list. */
void sq_list_class(struct sq_keys *c, int col, struct object *o);

int sq_dead(struct sq *c, struct str blob);

int sq_put_bucket(struct sq *c, const struct bucket *b);
int sq_set_bucket(struct sq *c, const struct op_set_bucket *o);
int sq_delete_bucket(struct sq *c, struct str name);
int sq_get_bucket(struct store_reader *r, struct arena *a, struct str name, struct bucket **ret);
int sq_list_buckets(struct store_reader *r, struct arena *a, struct bucket **ret, size_t *n);

int sq_put_object(struct sq *c, const struct op_put_object *p);
int sq_delete_object(struct sq *c, const struct object *o);
int sq_set_object_tags(struct sq *c, const struct object *o);
int sq_get_object(struct store_reader *r, struct arena *a, struct str bucket, struct str key, struct object **ret);
int sq_list_objects(struct store_reader *r, struct arena *a, const struct object_list_query *q,
		    struct object_list *ret);

int sq_put_upload(struct sq *c, const struct upload *u);
int sq_put_part(struct sq *c, const struct op_put_part *p);
int sq_delete_upload(struct sq *c, struct str id);
int sq_complete_upload(struct sq *c, const struct op_put_object *p);
int sq_get_upload(struct store_reader *r, struct arena *a, struct str id, struct upload **ret);
int sq_list_parts(struct store_reader *r, struct arena *a, struct str id, uint32_t after, uint32_t max,
		  struct upload_part **ret, size_t *n, bool *truncated);
int sq_list_uploads(struct store_reader *r, struct arena *a, const struct upload_list_query *q,
		    struct upload_list *ret);

int sq_put_function(struct sq *c, const struct op_put_function *f);
int sq_delete_function(struct sq *c, struct str name);
int sq_delete_version(struct sq *c, struct str name, struct str version);
int sq_has_version(struct sq *c, struct str name, struct str version); /* STORE_E_MISSING */
int sq_get_function(struct store_reader *r, struct arena *a, struct str name, struct str version, struct str *doc);
int sq_list_functions(struct store_reader *r, struct arena *a, struct str after, uint32_t max, struct str **docs,
		      size_t *n, bool *truncated);

int sq_list_versions(struct store_reader *r, struct arena *a, struct str name, struct str after, int64_t after_version,
		     uint32_t max, struct str **docs, size_t *n, bool *truncated);

int sq_put_record(struct sq *c, const struct op_put_record *o);
int sq_delete_record(struct sq *c, const struct record *rec);
int sq_version_in_use(struct sq *c, struct str function, struct str version); /* STORE_E_IN_USE */
int sq_drop_records(struct sq *c, struct str function);
int sq_drop_key(struct sq *c, struct str function, struct str key); /* a version's or an alias's */
int sq_get_record(struct store_reader *r, struct arena *a, enum record_kind kind, struct str function, struct str key,
		  struct record **ret);
int sq_list_records(struct store_reader *r, struct arena *a, enum record_kind kind, struct str function,
		    struct str after, uint32_t max, struct record **ret, size_t *n, bool *truncated);

int sq_put_layer(struct sq *c, const struct op_layer *l);
int sq_delete_layer(struct sq *c, const struct op_layer *l);
int sq_name_layers(struct sq *c, const struct function_row *row);          /* the row names these now */
int sq_drop_layers(struct sq *c, struct str function, struct str version); /* n == 0: of all versions */
int sq_last_layer(struct store_reader *r, struct str name, uint64_t *ret);
int sq_get_layer(struct store_reader *r, struct arena *a, struct str name, uint64_t version, struct str *doc,
		 bool *deleted);
int sq_list_layer_versions(struct store_reader *r, struct arena *a, struct str name, uint64_t before, uint32_t max,
			   struct str **docs, size_t *n, bool *truncated);
int sq_list_layers(struct store_reader *r, struct arena *a, struct str after, uint32_t max, struct str **names,
		   size_t *n, bool *truncated);

int sq_put_event(struct sq *c, const struct event *e);
int sq_delete_event(struct sq *c, struct str id);
int sq_set_event(struct sq *c, const struct op_set_event *e);
int sq_redrive_events(struct sq *c, const struct op_redrive *o);
int sq_due_events(struct store_reader *r, struct arena *a, int64_t until_ms, uint32_t max, struct event **ret,
		  size_t *n);
int sq_next_event_due(struct store_reader *r, int64_t *due_ms);
int sq_list_events(struct store_reader *r, struct arena *a, enum event_state st, struct str function, uint32_t max,
		   struct event **ret, size_t *n);
int sq_get_event(struct store_reader *r, struct arena *a, struct str id, struct event **ret);

int sq_add_usage(struct sq *c, const struct usage *u);
int sq_sum_usage(struct store_reader *r, struct arena *a, int64_t from_ms, int64_t to_ms, struct usage_sum **ret,
		 size_t *n);
int sq_list_usage(struct store_reader *r, struct arena *a, struct str function, int64_t before_ms, uint32_t max,
		  struct usage **ret, size_t *n);

int sq_blob_reaped(struct sq *c, struct str blob);
int sq_dead_blobs(struct store_reader *r, struct arena *a, uint32_t max, struct str **ret, size_t *n);
int sq_blobs_live(struct store_reader *r, const struct str *ids, size_t n, bool *live);

/* Lists of a row packed into bytes (store_pack.c): 32-bit little-endian lengths before each string. unpack_*: 0 or
 * -EIO when the bytes are not such a list. */
struct buf;
void pack_kvs(struct buf *b, const struct kv *kv, size_t n);
int unpack_kvs(struct arena *a, struct str bytes, struct kv **ret, size_t *n);
void pack_extents(struct buf *b, const struct extent *e, size_t n);
int unpack_extents(struct arena *a, struct str bytes, struct extent **ret, size_t *n);

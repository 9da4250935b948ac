/* The store: every durable noun, behind one const table of operations (store_sqlite, store_ram).
 *
 * Writing: gather typed operations in a transaction on the loop thread, then store_commit; a writer thread applies
 * what has gathered in one database transaction (group commit, each store_txn in a savepoint of its own, so one that
 * fails changes nothing and harms no neighbour) and answers on the loop once it is durable. Arguments are copied.
 * Reading: a reader is for one thread. store_reader() is the loop's, for point reads and pages; long reads run by
 * store_read_async on the pool with a reader of their own. A read sees every commit that was answered before it.
 *
 * Results: 0, a positive STORE_E_* of the operation's contract, or a negative errno (-ENOSPC, -EIO, ...). */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "model/event.h"
#include "model/object.h"
#include "model/usage.h"
#include "sys/loop.h"

enum store_error {
	STORE_E_MISSING = 1,  /* bucket, function, record, upload, event: not there */
	STORE_E_EXISTS,       /* there already */
	STORE_E_NOT_EMPTY,    /* bucket with objects or uploads */
	STORE_E_PRECONDITION, /* If-Match / If-None-Match / RevisionId does not hold */
	STORE_E_NO_BUCKET,
	STORE_E_NO_OBJECT, /* If-Match on a key that is not there */
	STORE_E_IN_USE,    /* version that an alias names */
	STORE_E_NO_LAYER,  /* function that names a layer version that is not there */
	STORE_E_LIMIT,     /* sum of numbers over what the account or the function has */
};

struct store;
struct store_reader;
struct store_txn;

struct store_conf {
	const char *path; /* folder for the database; unused by ram */
	struct loop *loop;
};
struct store *store_open_sqlite(const struct store_conf *c, struct err *err);
struct store *store_open_ram(const struct store_conf *c);
struct store *store_close(struct store *s); /* commits what is queued, without answering; NULL allowed */
struct store_reader *store_reader(struct store *s);

/* work on a pool thread, then done on the loop. */
void store_read_async(struct store *s, void (*work)(void *arg, struct store_reader *r), void (*done)(void *arg),
		      void *arg);

struct store_txn *store_begin(struct store *s);
void store_txn_drop(struct store_txn *t); /* not committed after all */
/* Takes t over. done may be NULL; r is the first failed operation's result, op its position (from 0). */
void store_commit(struct store_txn *t, void (*done)(void *arg, int r, unsigned op), void *arg);

/* Buckets */
enum bucket_field { BUCKET_NOTIFICATION, BUCKET_POLICY, BUCKET_CORS, BUCKET_TAGGING };
void store_put_bucket(struct store_txn *t, const struct bucket *b);                               /* EXISTS */
void store_set_bucket(struct store_txn *t, struct str name, enum bucket_field f, struct str doc); /* NO_BUCKET */
void store_delete_bucket(struct store_txn *t, struct str name); /* NO_BUCKET, NOT_EMPTY */
int store_get_bucket(struct store_reader *r, struct arena *a, struct str name, struct bucket **ret); /* NO_BUCKET */
int store_list_buckets(struct store_reader *r, struct arena *a, struct bucket **ret, size_t *n);     /* by name */

/* Objects. Blobs that no object or part holds any more are queued in the same transaction to be reaped. */
struct object_condition {
	struct str if_match;      /* etag, "*"; n == 0: none */
	struct str if_none_match; /* "*" or etag; n == 0: none */
};
void store_put_object(struct store_txn *t, const struct object *o,
		      const struct object_condition *c /* may be NULL */); /* NO_BUCKET, PRECONDITION, NO_OBJECT */
void store_delete_object(struct store_txn *t, struct str bucket, struct str key); /* NO_BUCKET; absent key is fine */
void store_set_object_tags(struct store_txn *t, struct str bucket, struct str key, const struct kv *tags,
			   size_t n); /* NO_OBJECT */
int store_get_object(struct store_reader *r, struct arena *a, struct str bucket, struct str key,
		     struct object **ret); /* NO_OBJECT */

/* Changes with every answered commit that touched the object (and now and then for none): what was read before may be
 * kept in memory as long as this is the same. Loop thread. */
uint32_t store_object_version(const struct store *s, struct str bucket, struct str key);

struct object_list_query {
	struct str bucket, prefix, delimiter;
	struct str after; /* only keys (and common prefixes) greater than this */
	uint32_t max;     /* entries and common prefixes together */
};
struct object_list {
	struct object *objects; /* bucket, key, size, modified_ms, etag, storage class header only; extents not read */
	size_t n_objects;
	struct str *prefixes; /* common prefixes, in order */
	size_t n_prefixes;
	bool truncated;
	struct str next; /* for `after` of the next page */
};
/* Costs the page: common prefixes are skipped over by seeking. */
int store_list_objects(struct store_reader *r, struct arena *a, const struct object_list_query *q,
		       struct object_list *ret); /* NO_BUCKET */

/* Multipart uploads */
void store_put_upload(struct store_txn *t, const struct upload *u); /* NO_BUCKET */
void store_put_part(struct store_txn *t, struct str upload_id,
		    const struct upload_part *p);                    /* MISSING; replaces a part of that number */
void store_delete_upload(struct store_txn *t, struct str upload_id); /* MISSING; parts' blobs are reaped */
/* The upload ends and its object appears; parts whose blob is not among o's extents are reaped. */
void store_complete_upload(struct store_txn *t, struct str upload_id, const struct object *o,
			   const struct object_condition *c); /* MISSING, as put_object */
int store_get_upload(struct store_reader *r, struct arena *a, struct str upload_id, struct upload **ret); /* MISSING */
int store_list_parts(struct store_reader *r, struct arena *a, struct str upload_id, uint32_t after, uint32_t max,
		     struct upload_part **ret, size_t *n, bool *truncated); /* MISSING */
struct upload_list_query {
	struct str bucket, prefix, delimiter, key_marker, id_marker;
	uint32_t max;
};
struct upload_list {
	struct upload *uploads; /* id, key, created_ms, storage class */
	size_t n_uploads;
	struct str *prefixes;
	size_t n_prefixes;
	bool truncated;
	struct str next_key, next_id;
};
int store_list_uploads(struct store_reader *r, struct arena *a, const struct upload_list_query *q,
		       struct upload_list *ret); /* NO_BUCKET */

/* Functions: a JSON document per name and version (model/function.h). */
enum put_mode { PUT_CREATE, PUT_REPLACE, PUT_ANY };
struct layer_ref {
	struct str name;
	uint64_t version;
};
struct function_row {
	struct str name, version, doc, revision;
	struct str code_blob;           /* dies with the last row that holds it */
	const struct layer_ref *layers; /* a deleted layer version lives on while a row names it */
	size_t n_layers;
};
/* CREATE: EXISTS. REPLACE: MISSING, and PRECONDITION when expect_revision (n != 0) is not the row's. NO_LAYER. */
void store_put_function(struct store_txn *t, enum put_mode mode, const struct function_row *f,
			struct str expect_revision);
/* All versions, and every record of it. MISSING. */
void store_delete_function(struct store_txn *t, struct str name);
/* One version, and the records whose key it is. MISSING; IN_USE: an alias names it. */
void store_delete_version(struct store_txn *t, struct str name, struct str version);
int store_get_function(struct store_reader *r, struct arena *a, struct str name, struct str version,
		       struct str *doc); /* MISSING */
/* The $LATEST document of each, by name; after: a name. */
int store_list_functions(struct store_reader *r, struct arena *a, struct str after, uint32_t max, struct str **docs,
			 size_t *n, bool *truncated);
/* Every version's document, $LATEST first and then by number, of one function or (name n == 0) of all, by name. Only
 * what comes after a version (0: $LATEST, -1: nothing yet) of the name after (n == 0: name). */
int store_list_versions(struct store_reader *r, struct arena *a, struct str name, struct str after,
			int64_t after_version, uint32_t max, struct str **docs, size_t *n, bool *truncated);

/* What is configured about a function beside its documents, by kind and key. It goes with the function; what has the
 * key of a version or an alias goes with that. And what belongs to no function: its `function` is empty. */
enum record_kind {
	RECORD_ALIAS = 1,   /* key: its name. doc: model/alias.h */
	RECORD_URL,         /* key: an alias, or "". doc: model/url_conf.h */
	RECORD_RESERVED,    /* key: "" */
	RECORD_PROVISIONED, /* key: a version or an alias. doc: {"modified_ms"} */
	RECORD_NODE,        /* of no function. key: the node's name. doc: model/node.h */
	RECORD_NODE_TOKEN,  /* of no function. key: the token's id. doc: model/node.h */
};
struct record {
	enum record_kind kind;
	struct str function, key, doc;
	struct str revision; /* n == 0: it has none */
	struct str version,
		other;   /* ALIAS: the versions that it names, which cannot go before it. other may be empty */
	uint32_t number; /* RESERVED, PROVISIONED */
};
/* MISSING: the function, what the key or an alias names, or (REPLACE) the record itself is not there. CREATE: EXISTS.
 * PRECONDITION: expect_revision (n != 0) is not the record's. LIMIT: with it the numbers of all records of this kind
 * (RESERVED: of all functions, else of its own) would be more than sum_max. */
void store_put_record(struct store_txn *t, enum put_mode mode, const struct record *rec, struct str expect_revision,
		      uint64_t sum_max);
void store_delete_record(struct store_txn *t, enum record_kind kind, struct str function, struct str key); /* MISSING */
int store_get_record(struct store_reader *r, struct arena *a, enum record_kind kind, struct str function,
		     struct str key, struct record **ret); /* MISSING */
/* By function and key; function n == 0: of all functions, then after is ignored. after: a key. */
int store_list_records(struct store_reader *r, struct arena *a, enum record_kind kind, struct str function,
		       struct str after, uint32_t max, struct record **ret, size_t *n, bool *truncated);

/* Layers: a JSON document (model/layer.h) and a blob per name and version. Numbers are given once. */
void store_put_layer(struct store_txn *t, struct str name, uint64_t version, struct str doc,
		     struct str blob); /* EXISTS: version is not store_last_layer + 1 */
/* It is listed no more; document and blob stay until no function row names it. Absent is fine. */
void store_delete_layer(struct store_txn *t, struct str name, uint64_t version);
int store_last_layer(struct store_reader *r, struct str name, uint64_t *ret); /* the highest number given; 0: none */
/* deleted: only functions that have it already may use it. */
int store_get_layer(struct store_reader *r, struct arena *a, struct str name, uint64_t version, struct str *doc,
		    bool *deleted); /* MISSING */
/* The documents of a layer's versions that are not deleted, newest first, below a number. */
int store_list_layer_versions(struct store_reader *r, struct arena *a, struct str name, uint64_t before, uint32_t max,
			      struct str **docs, size_t *n, bool *truncated);
/* The names of layers that have versions, by name. */
int store_list_layers(struct store_reader *r, struct arena *a, struct str after, uint32_t max, struct str **names,
		      size_t *n, bool *truncated);

/* Asynchronous events */
void store_put_event(struct store_txn *t, const struct event *e); /* replaces one of that id */
void store_delete_event(struct store_txn *t, struct str id);      /* done; absent is fine */
/* Absent is fine. */
void store_set_event(struct store_txn *t, struct str id, enum event_state st, uint32_t attempts, int64_t due_ms,
		     struct str reason);
/* Failed events back to QUEUED with no attempts, due now: one id, or all of a function, or (both empty) all. */
void store_redrive_events(struct store_txn *t, struct str id, struct str function, int64_t now_ms);
/* Queued events in order of due time, ids not among those a gate has in hand are its to filter. */
int store_due_events(struct store_reader *r, struct arena *a, int64_t until_ms, uint32_t max, struct event **ret,
		     size_t *n);
int store_next_event_due(struct store_reader *r, int64_t *due_ms); /* MISSING: none queued */
/* function: a name has all its qualifiers', name:qualifier its own. */
int store_list_events(struct store_reader *r, struct arena *a, enum event_state st, struct str function, uint32_t max,
		      struct event **ret, size_t *n); /* newest first; function n == 0: all */
int store_get_event(struct store_reader *r, struct arena *a, struct str id, struct event **ret); /* MISSING */

/* Usage. One that is there already (same request, same moment) is not counted twice. */
void store_add_usage(struct store_txn *t, const struct usage *u);
int store_sum_usage(struct store_reader *r, struct arena *a, int64_t from_ms, int64_t to_ms, struct usage_sum **ret,
		    size_t *n); /* per function and device, by name; from the sums of days where the span allows */
int store_list_usage(struct store_reader *r, struct arena *a, struct str function, int64_t before_ms, uint32_t max,
		     struct usage **ret, size_t *n); /* newest first */

/* Blobs to be removed from disk; acknowledged when gone. */
int store_dead_blobs(struct store_reader *r, struct arena *a, uint32_t max, struct str **ret, size_t *n);
void store_blob_reaped(struct store_txn *t, struct str blob);
/* Of these ids, which are held by an object, part, function or layer? live[i] set. Scans; for recovery after a crash.
 */
int store_blobs_live(struct store_reader *r, const struct str *ids, size_t n, bool *live);

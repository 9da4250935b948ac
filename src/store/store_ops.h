/* The store's inside, for src/store only: what a transaction is made of, and the table of operations that a backend
 * (store_sqlite, store_ram) fills. The front (store.c) owns the queue, the writer thread and the answers; a backend
 * only applies batches on that thread and reads. */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "store/store.h"

#include <pthread.h>

enum op_kind {
	OP_PUT_BUCKET,
	OP_SET_BUCKET,
	OP_DELETE_BUCKET,
	OP_PUT_OBJECT,
	OP_DELETE_OBJECT,
	OP_SET_OBJECT_TAGS,
	OP_PUT_UPLOAD,
	OP_PUT_PART,
	OP_DELETE_UPLOAD,
	OP_COMPLETE_UPLOAD,
	OP_PUT_FUNCTION,
	OP_DELETE_FUNCTION,
	OP_DELETE_VERSION,
	OP_PUT_RECORD,
	OP_DELETE_RECORD,
	OP_PUT_LAYER,
	OP_DELETE_LAYER,
	OP_PUT_EVENT,
	OP_DELETE_EVENT,
	OP_SET_EVENT,
	OP_REDRIVE_EVENTS,
	OP_ADD_USAGE,
	OP_BLOB_REAPED,
};

struct op_set_bucket {
	struct str name, doc;
	enum bucket_field field;
};

struct op_put_object {
	struct str upload_id; /* OP_COMPLETE_UPLOAD only */
	struct object object;
	struct object_condition cond;
};

struct op_put_part {
	struct str upload_id;
	struct upload_part part;
};

struct op_put_function {
	enum put_mode mode;
	struct function_row row;
	struct str expect;
};

struct op_put_record {
	enum put_mode mode;
	struct record record;
	struct str expect;
	uint64_t sum_max;
};

struct op_layer {
	struct str name, doc, blob;
	uint64_t version;
};

struct op_set_event {
	struct str id, reason;
	enum event_state state;
	uint32_t attempts;
	int64_t due_ms;
};

struct op_redrive {
	struct str id, function;
	int64_t now_ms;
};

struct op {
	struct op *next;
	enum op_kind kind;
	union {
		struct str name; /* OP_DELETE_BUCKET, _UPLOAD, _FUNCTION, _EVENT, OP_BLOB_REAPED */
		struct bucket bucket;
		struct op_set_bucket set_bucket;
		struct op_put_object put_object; /* OP_PUT_OBJECT, OP_COMPLETE_UPLOAD */
		struct object object;            /* OP_DELETE_OBJECT, OP_SET_OBJECT_TAGS */
		struct upload upload;
		struct op_put_part put_part;
		struct op_put_function put_function;
		struct op_put_record put_record;
		struct record record; /* OP_DELETE_RECORD, OP_DELETE_VERSION: its names */
		struct op_layer layer;
		struct event event;
		struct op_set_event set_event;
		struct op_redrive redrive;
		struct usage usage;
	};
};

struct store_txn {
	struct store *store;
	struct arena arena;
	struct op *first, *last;
	void (*done)(void *arg, int r, unsigned op);
	void *arg;
	int r;           /* result, set by the backend */
	unsigned failed; /* position of the operation that gave it */
	struct list_link on_list;
};

DEFINE_LIST(txn_list, struct store_txn, on_list)

struct store_reader {
	struct store *store;
	struct list_link on_list; /* idle */
};

DEFINE_LIST(reader_list, struct store_reader, on_list)

struct store_ops {
	/* Frees the backend's part and the struct itself; thread and readers are gone by then. */
	void (*free)(struct store *s);
	/* Writer thread: applies every transaction of the batch, makes them durable together, sets r and failed. */
	void (*apply)(struct store *s, struct txn_list *batch);
	struct store_reader *(*reader_new)(struct store *s);
	void (*reader_free)(struct store_reader *r);

	int (*get_bucket)(struct store_reader *r, struct arena *a, struct str name, struct bucket **ret);
	int (*list_buckets)(struct store_reader *r, struct arena *a, struct bucket **ret, size_t *n);
	int (*get_object)(struct store_reader *r, struct arena *a, struct str bucket, struct str key,
			  struct object **ret);
	int (*list_objects)(struct store_reader *r, struct arena *a, const struct object_list_query *q,
			    struct object_list *ret);
	int (*get_upload)(struct store_reader *r, struct arena *a, struct str id, struct upload **ret);
	int (*list_parts)(struct store_reader *r, struct arena *a, struct str id, uint32_t after, uint32_t max,
			  struct upload_part **ret, size_t *n, bool *truncated);
	int (*list_uploads)(struct store_reader *r, struct arena *a, const struct upload_list_query *q,
			    struct upload_list *ret);
	int (*get_function)(struct store_reader *r, struct arena *a, struct str name, struct str version,
			    struct str *doc);
	int (*list_functions)(struct store_reader *r, struct arena *a, struct str after, uint32_t max,
			      struct str **docs, size_t *n, bool *truncated);
	int (*list_versions)(struct store_reader *r, struct arena *a, struct str name, struct str after,
			     int64_t after_version, uint32_t max, struct str **docs, size_t *n, bool *truncated);
	int (*get_record)(struct store_reader *r, struct arena *a, enum record_kind kind, struct str function,
			  struct str key, struct record **ret);
	int (*list_records)(struct store_reader *r, struct arena *a, enum record_kind kind, struct str function,
			    struct str after, uint32_t max, struct record **ret, size_t *n, bool *truncated);
	int (*last_layer)(struct store_reader *r, struct str name, uint64_t *ret);
	int (*get_layer)(struct store_reader *r, struct arena *a, struct str name, uint64_t version, struct str *doc,
			 bool *deleted);
	int (*list_layer_versions)(struct store_reader *r, struct arena *a, struct str name, uint64_t before,
				   uint32_t max, struct str **docs, size_t *n, bool *truncated);
	int (*list_layers)(struct store_reader *r, struct arena *a, struct str after, uint32_t max, struct str **names,
			   size_t *n, bool *truncated);
	int (*due_events)(struct store_reader *r, struct arena *a, int64_t until_ms, uint32_t max, struct event **ret,
			  size_t *n);
	int (*next_event_due)(struct store_reader *r, int64_t *due_ms);
	int (*list_events)(struct store_reader *r, struct arena *a, enum event_state st, struct str function,
			   uint32_t max, struct event **ret, size_t *n);
	int (*get_event)(struct store_reader *r, struct arena *a, struct str id, struct event **ret);
	int (*sum_usage)(struct store_reader *r, struct arena *a, int64_t from_ms, int64_t to_ms,
			 struct usage_sum **ret, size_t *n);
	int (*list_usage)(struct store_reader *r, struct arena *a, struct str function, int64_t before_ms, uint32_t max,
			  struct usage **ret, size_t *n);
	int (*dead_blobs)(struct store_reader *r, struct arena *a, uint32_t max, struct str **ret, size_t *n);
	int (*blobs_live)(struct store_reader *r, const struct str *ids, size_t n, bool *live);
};

/* A backend's store begins with this. */
#define OBJECT_VERSIONS 4096

struct store {
	const struct store_ops *ops;
	struct loop *loop;
	struct wake *wake;
	struct timer *idle; /* closes readers that nobody used for a while */
	struct store_reader *reader;
	uint32_t object_versions[OBJECT_VERSIONS]; /* by hash of bucket and key; loop thread */

	pthread_t thread;
	bool running;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t work;  /* queue or stop changed */
	pthread_cond_t quiet; /* reading fell to 0 */
	struct txn_list queue, answered;
	struct reader_list readers; /* idle ones of the pool */
	unsigned reading;           /* store_read_async in progress */
	bool stop, used;
};

/* Starts the front's part of s (ops and loop are set); false with errno set when there is no thread. */
int store_start(struct store *s);

/* Copies for the arena of a transaction or of a reader. */
void copy_kvs(struct arena *a, struct kv **ret, const struct kv *kv, size_t n);
struct bucket copy_bucket(struct arena *a, const struct bucket *b);
struct object copy_object(struct arena *a, const struct object *o);
struct upload copy_upload(struct arena *a, const struct upload *u);
struct upload_part copy_part(struct arena *a, const struct upload_part *p);
struct record copy_record(struct arena *a, const struct record *r);
struct event copy_event(struct arena *a, const struct event *e);
struct usage copy_usage(struct arena *a, const struct usage *u);

/* etag: that of the object now under the key, NULL when there is none. */
int condition_check(const struct object_condition *c, const struct str *etag);
bool holds_blob(const struct object *o, struct str blob);
struct str storage_class(const struct object *o);

/* A growing array in an arena: doubles by copying, the old one stays until the arena goes. */
void *arena_grow(struct arena *a, void *p, size_t n, size_t size);

/* Pages of keys. A backend gives a cursor over (key, id) in order, id being empty for objects. */
struct key_cursor {
	int (*seek)(struct key_cursor *c, struct str key, struct str id); /* to the first entry not before that */
	int (*next)(struct key_cursor *c);                                /* 1: key and id are set; 0: end; < 0 */
	void (*take)(struct key_cursor *c);                               /* the entry belongs to the page */
	struct str key, id;                                               /* valid until the next seek or next */
};

/* Fill the page but for its entries, which take() adds. */
int list_objects(struct key_cursor *c, struct arena *a, const struct object_list_query *q, struct object_list *ret);
int list_uploads(struct key_cursor *c, struct arena *a, const struct upload_list_query *q, struct upload_list *ret);

/* Sums of a bill, gathered by function and device. */
struct usage_sums {
	struct map by_name;
	struct arena *arena;
};
#define DAY_MS 86400000LL
/* The whole UTC days [first, last) within [from, to), and the ragged ends before and behind. */
struct usage_span {
	int64_t first_day, last_day; /* equal: none */
	int64_t head_from, head_to;  /* ms */
	int64_t tail_from, tail_to;  /* ms */
};
struct usage_span usage_span(int64_t from_ms, int64_t to_ms);
int64_t usage_day(int64_t ms);
struct usage_sum usage_one(const struct usage *u);
void usage_sums_add(struct usage_sums *s, const struct usage_sum *one);
void usage_sums_done(struct usage_sums *s, struct usage_sum **ret, size_t *n); /* sorted; frees the map */

/* A record that no function has: its function is empty, and nothing else need be there. */
bool record_stands_alone(enum record_kind kind);

/* 0 for $LATEST. */
int64_t version_number(struct str version);
/* Adds one to a page of at most max in an arena; false: the page is full, *truncated is set. */
bool page_add(struct arena *a, struct str **page, size_t *n, uint32_t max, bool *truncated, struct str one);

bool event_is_of(const struct event *e, struct str function);

/* The store in memory, for src/store/store_ram*.c only. */
#pragma once

#include "store/store_ops.h"

struct layer_row {
	struct str name, doc, blob;
	uint64_t version;
	bool deleted;
};

struct row {
	struct arena arena;
	struct str a, b; /* the key */
	union {
		struct bucket bucket;
		struct object object;
		struct upload upload;
		struct upload_part part;
		struct event event;
		struct usage usage;
		struct {
			struct str doc, revision, blob;
			const struct layer_ref *layers;
			size_t n_layers;
		} function;
		struct record record;
		struct layer_row layer; /* LAYER_NAMES: version is the last that was given */
	};
};

enum table { BUCKETS, OBJECTS, UPLOADS, PARTS, FUNCTIONS, RECORDS, LAYER_NAMES, LAYERS, EVENTS, USAGE, DEAD, TABLES };

struct table_rows {
	struct row **rows;
	size_t n, cap;
};

struct note {
	enum table table;
	struct row *old, *now; /* NULL: was not, is not there */
};

struct ram_store {
	struct store store;
	pthread_rwlock_t rows;
	struct table_rows tables[TABLES];
	struct note *notes; /* of the transaction being applied */
	size_t n_notes, cap_notes;
};

extern const struct store_ops ram_ops;

static inline struct ram_store *ram_of(struct store_reader *r)
{
	return container_of(r->store, struct ram_store, store);
}

/* Where (a, b) stands or would stand. */
size_t ram_place(const struct table_rows *t, struct str a, struct str b);
struct row *ram_at(const struct table_rows *t, size_t i); /* NULL past the end */
struct row *ram_find(struct ram_store *s, enum table table, struct str a, struct str b);

/* Writing, for the writer thread: what stood there is noted. */
struct row *ram_row(struct str a, struct str b);
void ram_put(struct ram_store *s, enum table table, struct row *now);
void ram_del(struct ram_store *s, enum table table, struct str a, struct str b);
void ram_dead(struct ram_store *s, struct str blob);

struct part_key {
	char text[12];
};
struct str part_key(struct part_key *k, uint32_t number); /* sorts as the number does */

void ram_apply(struct store *s, struct txn_list *batch);
void ram_free(struct store *s);

/* store_ram_functions.c */
int ram_put_function(struct ram_store *s, const struct op_put_function *f);
int ram_delete_function(struct ram_store *s, struct str name);
int ram_delete_version(struct ram_store *s, struct str name, struct str version);
int ram_put_record(struct ram_store *s, const struct op_put_record *o);
int ram_delete_record(struct ram_store *s, const struct record *rec);
int ram_put_layer(struct ram_store *s, const struct op_layer *l);
int ram_delete_layer(struct ram_store *s, const struct op_layer *l);

int ram_get_function(struct store_reader *r, struct arena *a, struct str name, struct str version, struct str *doc);
int ram_list_functions(struct store_reader *r, struct arena *a, struct str after, uint32_t max, struct str **docs,
		       size_t *n, bool *truncated);
int ram_list_versions(struct store_reader *r, struct arena *a, struct str name, struct str after, int64_t after_version,
		      uint32_t max, struct str **docs, size_t *n, bool *truncated);
int ram_get_record(struct store_reader *r, struct arena *a, enum record_kind kind, struct str function, struct str key,
		   struct record **ret);
int ram_list_records(struct store_reader *r, struct arena *a, enum record_kind kind, struct str function,
		     struct str after, uint32_t max, struct record **ret, size_t *n, bool *truncated);
int ram_last_layer(struct store_reader *r, struct str name, uint64_t *ret);
int ram_get_layer(struct store_reader *r, struct arena *a, struct str name, uint64_t version, struct str *doc,
		  bool *deleted);
int ram_list_layer_versions(struct store_reader *r, struct arena *a, struct str name, uint64_t before, uint32_t max,
			    struct str **docs, size_t *n, bool *truncated);
int ram_list_layers(struct store_reader *r, struct arena *a, struct str after, uint32_t max, struct str **names,
		    size_t *n, bool *truncated);

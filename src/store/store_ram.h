/* The store in memory, for src/store/store_ram*.c only. */
#pragma once

#include "store/store_ops.h"

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
		} function;
	};
};

enum table { BUCKETS, OBJECTS, UPLOADS, PARTS, FUNCTIONS, EVENTS, USAGE, DEAD, TABLES };

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

/* Where (a, b) stands or would stand. */
size_t ram_place(const struct table_rows *t, struct str a, struct str b);
struct row *ram_at(const struct table_rows *t, size_t i); /* NULL past the end */
struct row *ram_find(struct ram_store *s, enum table table, struct str a, struct str b);

struct part_key {
	char text[12];
};
struct str part_key(struct part_key *k, uint32_t number); /* sorts as the number does */

void ram_apply(struct store *s, struct txn_list *batch);
void ram_free(struct store *s);

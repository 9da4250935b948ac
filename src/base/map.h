/* A hash table from bytes to pointers. Keys are copied; values are the caller's. The hash is SipHash-1-3
 * with a seed of the process, so that clients cannot choose keys that collide. */
#pragma once

#include "base/str.h"

struct map_slot {
	char *key; /* NULL: empty */
	uint32_t n;
	uint32_t hash;
	void *value;
};

struct map {
	struct map_slot *slots;
	size_t cap; /* power of two */
	size_t n;
};

#define MAP_NULL ((struct map){0})

void map_done(struct map *m); /* frees keys, not values */
void *map_get(const struct map *m, struct str key);
/* Sets key to value (not NULL); returns what stood there before, or NULL. */
void *map_put(struct map *m, struct str key, void *value);
void *map_del(struct map *m, struct str key); /* the value it had, or NULL */
/* Visits every entry in no order: for (size_t i = 0; map_next(&m, &i, &key, &value);). The map may not
 * change meanwhile. */
bool map_next(const struct map *m, size_t *i, struct str *key, void **value);

/* Sets the seed; called once by a program's main from the system's randomness. */
void map_seed(const uint8_t seed[static 16]);
uint64_t siphash13(const uint8_t key[static 16], const void *p, size_t n);

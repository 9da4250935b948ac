/* Memory that goes all at once: one arena lives as long as one request. Nothing in it is freed alone.
 * With AddressSanitizer every piece is a malloc of its own, so that overruns inside it are seen. */
#pragma once

#include "base/str.h"

struct arena_block;

struct arena {
	struct arena_block *head; /* newest first */
	char *at, *end;           /* free room in the newest block */
	size_t total;             /* bytes held from malloc */
};

#define ARENA_NULL ((struct arena){0})

void arena_done(struct arena *a);
void arena_reset(struct arena *a); /* keeps the first block for the next request */
void *arena_alloc(struct arena *a, size_t n) __attribute__((alloc_size(2), returns_nonnull)); /* zeroed */
char *arena_dup(struct arena *a, struct str s);                                               /* NUL-terminated copy */
struct str arena_str(struct arena *a, struct str s);
char *arena_printf(struct arena *a, const char *fmt, ...) _printf_(2, 3);

#define arena_new(a, type)      ((type *)arena_alloc((a), sizeof(type)))
#define arena_new_n(a, type, n) ((type *)arena_alloc((a), sizeof(type) * (n)))

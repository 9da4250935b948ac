/* Sets of small numbers as bits in words. Two forms: plain words of a length that their owner knows (all of one owner
 * are equally long), and struct bits, which grows by itself. */
#pragma once

#include "base/mem.h"

#include <string.h>

#define BITS_WORDS(n) (((n) + 63) / 64)

static inline void words_set(uint64_t *w, size_t i)
{
	w[i / 64] |= 1ull << i % 64;
}

static inline void words_clear(uint64_t *w, size_t i)
{
	w[i / 64] &= ~(1ull << i % 64);
}

static inline bool words_test(const uint64_t *w, size_t i)
{
	return w[i / 64] >> i % 64 & 1;
}

/* Is there a number in both? */
static inline bool words_meet(const uint64_t *a, const uint64_t *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (a[i] & b[i])
			return true;
	return false;
}

static inline void words_and(uint64_t *a, const uint64_t *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		a[i] &= b[i];
}

/* The first number from `from` on, or SIZE_MAX. */
static inline size_t words_next(const uint64_t *w, size_t n, size_t from)
{
	size_t i = from / 64;
	uint64_t v;

	if (i >= n)
		return SIZE_MAX;
	v = w[i] & ~0ull << from % 64;
	while (!v && ++i < n)
		v = w[i];
	return v ? i * 64 + (size_t)__builtin_ctzll(v) : SIZE_MAX;
}

struct bits {
	uint64_t *w;
	size_t n; /* words */
};

#define BITS_NULL ((struct bits){0})

static inline void bits_done(struct bits *b)
{
	free(b->w);
	*b = BITS_NULL;
}

static inline void bits_set(struct bits *b, size_t i)
{
	size_t n = MAX(b->n * 2, i / 64 + 1);

	if (i / 64 >= b->n) {
		b->w = xrealloc(b->w, n * sizeof(*b->w));
		memset(b->w + b->n, 0, (n - b->n) * sizeof(*b->w));
		b->n = n;
	}
	words_set(b->w, i);
}

static inline void bits_clear(struct bits *b, size_t i)
{
	if (i / 64 < b->n)
		words_clear(b->w, i);
}

static inline bool bits_test(const struct bits *b, size_t i)
{
	return i / 64 < b->n && words_test(b->w, i);
}

/* Bump allocation. The arena owns its blocks; allocation cannot fail (base/mem.h). */
#include "base/arena.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>

#if defined(__SANITIZE_ADDRESS__)
#define BLOCK_SIZE ((size_t)0) /* a block for every piece */
#else
#define BLOCK_SIZE ((size_t)4096)
#endif

struct arena_block {
	struct arena_block *next;
	size_t size;
	_Alignas(16) char data[];
};

static void blocks_free(struct arena_block *b)
{
	while (b) {
		struct arena_block *next = b->next;

		free(b);
		b = next;
	}
}

void arena_done(struct arena *a)
{
	blocks_free(a->head);
	*a = ARENA_NULL;
}

void arena_reset(struct arena *a)
{
	struct arena_block *keep = a->head;

	if (!keep)
		return;
	if (BLOCK_SIZE == 0 || keep->size > BLOCK_SIZE) {
		arena_done(a);
		return;
	}
	blocks_free(keep->next);
	keep->next = NULL;
	a->at = keep->data;
	a->end = keep->data + keep->size;
	a->total = keep->size;
}

static void *alloc_block(struct arena *a, size_t n)
{
	size_t size = MAX(n, BLOCK_SIZE);
	struct arena_block *b = xmalloc(sizeof(*b) + size);

	b->size = size;
	a->total += size;
	/* A large piece must not hide what is left of the current block. */
	if (a->head && size > BLOCK_SIZE) {
		b->next = a->head->next;
		a->head->next = b;
		return b->data;
	}
	b->next = a->head;
	a->head = b;
	a->at = b->data + n;
	a->end = b->data + size;
	return b->data;
}

void *arena_alloc(struct arena *a, size_t n)
{
	size_t room = (size_t)(a->end - a->at), padded = (n + 15) & ~(size_t)15;
	void *p;

	if (padded < n)
		padded = n; /* xmalloc refuses it */
	if (BLOCK_SIZE && padded <= room && a->at) {
		p = a->at;
		a->at += padded;
	} else {
		p = alloc_block(a, BLOCK_SIZE ? padded : n);
	}
	memset(p, 0, n);
	return p;
}

char *arena_dup(struct arena *a, struct str s)
{
	char *p = arena_alloc(a, s.n + 1);

	if (s.n)
		memcpy(p, s.p, s.n);
	return p;
}

struct str arena_str(struct arena *a, struct str s)
{
	return str_n(arena_dup(a, s), s.n);
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	char first[256]; /* most texts fit, and are then formatted once */
	va_list ap;
	char *p;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(first, sizeof(first), fmt, ap);
	va_end(ap);
	n = n > 0 ? n : 0;
	if ((size_t)n < sizeof(first))
		return arena_dup(a, str_n(first, (size_t)n));
	p = arena_alloc(a, (size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return p;
}

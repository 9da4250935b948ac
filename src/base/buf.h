/* A growable run of bytes, always followed by a NUL that is not counted. */
#pragma once

#include "base/str.h"

#include <stdarg.h>

struct buf {
	char *p;
	size_t n;   /* bytes in use */
	size_t cap; /* bytes allocated, the NUL's included */
};

#define BUF_NULL ((struct buf){0})

void buf_done(struct buf *b); /* frees; b is empty and usable again */
void buf_clear(struct buf *b);
char *buf_reserve(struct buf *b, size_t n); /* room for n more bytes; the place where they go */
void buf_add(struct buf *b, const void *p, size_t n);
void buf_add_str(struct buf *b, struct str s);
void buf_adds(struct buf *b, const char *s);
void buf_addc(struct buf *b, char c);
void buf_add_u64(struct buf *b, uint64_t v); /* decimal */
void buf_printf(struct buf *b, const char *fmt, ...) _printf_(2, 3);
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) _printf_(2, 0);
void buf_consume(struct buf *b, size_t n); /* drops the first n bytes */
char *buf_steal(struct buf *b);            /* the caller frees; b is empty */

static inline struct str buf_str(const struct buf *b)
{
	return str_n(b->p ? b->p : "", b->n);
}

static inline const char *buf_cstr(const struct buf *b)
{
	return b->p ? b->p : "";
}

/* Growable bytes. The buffer belongs to whoever declared it; growth cannot fail (base/mem.h). */
#include "base/buf.h"

#include "base/mem.h"

#include <stdio.h>

void buf_done(struct buf *b)
{
	free(b->p);
	*b = BUF_NULL;
}

void buf_clear(struct buf *b)
{
	b->n = 0;
	if (b->p)
		b->p[0] = '\0';
}

char *buf_reserve(struct buf *b, size_t n)
{
	size_t need;

	if (__builtin_add_overflow(b->n, n, &need) || __builtin_add_overflow(need, 1, &need))
		need = SIZE_MAX;
	if (need > b->cap) {
		size_t cap = MAX(need, b->cap + b->cap / 2);

		cap = MAX(cap, (size_t)64);
		b->p = xrealloc(b->p, cap);
		b->cap = cap;
	}
	return b->p + b->n;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
	char *to = buf_reserve(b, n);

	if (n)
		memcpy(to, p, n);
	b->n += n;
	b->p[b->n] = '\0';
}

void buf_add_str(struct buf *b, struct str s)
{
	buf_add(b, s.p, s.n);
}

void buf_adds(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_addc(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_add_u64(struct buf *b, uint64_t v)
{
	char digits[20];
	size_t n = 0;

	do
		digits[sizeof(digits) - ++n] = (char)('0' + v % 10);
	while (v /= 10);
	buf_add(b, digits + sizeof(digits) - n, n);
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	const size_t guess = 128; /* most lines fit, and are then formatted once */
	char *to = buf_reserve(b, guess);
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(to, guess + 1, fmt, ap);
	if (n > 0 && (size_t)n > guess)
		vsnprintf(buf_reserve(b, (size_t)n), (size_t)n + 1, fmt, again);
	va_end(again);
	if (n > 0)
		b->n += (size_t)n;
	else
		b->p[b->n] = '\0';
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(b, fmt, ap);
	va_end(ap);
}

void buf_consume(struct buf *b, size_t n)
{
	n = MIN(n, b->n);
	if (n == 0)
		return;
	memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
	b->p[b->n] = '\0';
}

char *buf_steal(struct buf *b)
{
	char *p = b->p ? b->p : xstrdup("");

	*b = BUF_NULL;
	return p;
}

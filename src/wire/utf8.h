/* UTF-8, byte by byte: what JSON and XML both need to know of it. Pure. */
#pragma once

#include "base/str.h"

/* The length (1..4) of the well-formed sequence at the start of the n bytes at p, 0 when there is none; *cp is its
 * code point. Overlong forms, surrogates and what lies beyond U+10FFFF are not well-formed (RFC 3629). */
static inline size_t utf8_decode(const char *s, size_t n, uint32_t *cp)
{
	const uint8_t *p = (const uint8_t *)s;
	size_t len;
	uint32_t c;

	if (n == 0)
		return 0;
	if (p[0] < 0x80) {
		*cp = p[0];
		return 1;
	}
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (n < len)
		return 0;
	c = p[0] & (0x7f >> len);
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if ((len == 3 && (c < 0x800 || (c >= 0xd800 && c < 0xe000))) || (len == 4 && (c < 0x10000 || c > 0x10ffff)))
		return 0;
	*cp = c;
	return len;
}

static inline bool utf8_valid(struct str s)
{
	uint32_t cp;

	for (size_t i = 0, len; i < s.n; i += len)
		if (!(len = utf8_decode(s.p + i, s.n - i, &cp)))
			return false;
	return true;
}

/* Characters, not bytes; a byte that belongs to no sequence counts as one. */
static inline size_t utf8_count(struct str s)
{
	size_t n = 0;
	uint32_t cp;

	for (size_t i = 0, len; i < s.n; i += len, n++)
		if (!(len = utf8_decode(s.p + i, s.n - i, &cp)))
			len = 1;
	return n;
}

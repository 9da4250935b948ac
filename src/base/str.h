/* A string that is a view: a pointer and a length, not owned and not NUL-terminated.
 * Parsers and headers work on these, so that nothing is copied to be looked at. */
#pragma once

#include "base/util.h"
#include <string.h>

struct str {
	const char *p;
	size_t n;
};

#define STR(lit) ((struct str){"" lit, sizeof(lit) - 1})
#define STR_NULL ((struct str){NULL, 0})
/* For printf: printf("%.*s", STR_ARG(s)). */
#define STR_ARG(s) (int)(s).n, (s).p

static inline struct str str_from(const char *s)
{
	return (struct str){s, s ? strlen(s) : 0};
}

static inline struct str str_n(const void *p, size_t n)
{
	return (struct str){p, n};
}

static inline bool str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool str_eqz(struct str a, const char *b)
{
	return str_eq(a, str_from(b));
}

bool str_ieq(struct str a, struct str b); /* ASCII case folded */
int str_cmp(struct str a, struct str b);  /* bytes, then length: the order S3 lists keys in */
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
bool str_istarts(struct str s, struct str prefix);
struct str str_trim(struct str s); /* blanks and tabs at both ends */
/* Position of a byte or of a string from `from` on, or -1. */
ssize_t str_chr(struct str s, char c, size_t from);
ssize_t str_find(struct str s, struct str needle);
/* Cuts s at the first sep: *head is what stands before it, *tail what follows. False (head = s, tail
 * empty) when sep does not occur. head or tail may be &s itself. */
bool str_cut(struct str s, char sep, struct str *head, struct str *tail);
struct str str_sub(struct str s, size_t from, size_t n); /* clamped to s */

/* The whole of s as a decimal number without sign or blanks; false on anything else or overflow. */
bool str_to_u64(struct str s, uint64_t *ret);
bool str_to_i64(struct str s, int64_t *ret); /* one leading '-' allowed */
char *str_dup(struct str s);                 /* malloc'd, NUL-terminated */
/* Equal without telling by time where they differ; for signatures and tokens. */
bool str_eq_secret(struct str a, struct str b);

/* Hexadecimal, lower case. hex_encode writes 2n characters and a NUL. */
void hex_encode(const uint8_t *p, size_t n, char *out);
/* Decodes exactly n bytes from 2n hex digits of either case. */
bool hex_decode(struct str s, uint8_t *out, size_t n);

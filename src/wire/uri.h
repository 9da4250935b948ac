/* Percent-encoding and queries. Pure. RFC 3986; S3's rules for canonical URIs in sigv4.h. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

/* Everything but A-Z a-z 0-9 - . _ ~ (and '/' where keep_slash) becomes %XX, upper case. */
void uri_encode(struct buf *b, struct str s, bool keep_slash);
/* Decodes %XX; plus_is_space for form encoding. False: a broken escape. */
bool uri_decode(struct buf *b, struct str s, bool plus_is_space);

struct uri_param {
	struct str name, value; /* decoded */
	bool has_value;         /* "acl" against "acl=" */
};
/* "a=1&b" in order of appearance, decoded into the arena; -1: broken escape or more than max. */
int uri_parse_query(struct arena *a, struct str query, size_t max, struct uri_param **ret, size_t *n);
/* Value of a parameter; p == NULL: absent. */
struct str uri_param_get(const struct uri_param *p, size_t n, const char *name);
bool uri_param_has(const struct uri_param *p, size_t n, const char *name);

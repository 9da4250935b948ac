/* JSON by jansson: the one place that includes it. Helpers for documents from outside: wrong types read as
 * absent or are named in a message. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#include <jansson.h>

/* json_decrefp is jansson's own. */
#define _cleanup_json_ _cleanup_(json_decrefp)

/* At most 64 levels deep, no duplicate keys check, NULs allowed in strings. NULL with err set on malformed. */
json_t *json_parse(struct str text, struct err *err);
void json_write(struct buf *b, const json_t *j);        /* compact */
void json_write_pretty(struct buf *b, const json_t *j); /* two blanks, keys in order of insertion */
void json_write_string(struct buf *b, struct str s);    /* one quoted string; invalid UTF-8 becomes U+FFFD */

/* Member of an object: absent, null or of another type gives the default. */
struct str json_get_str(const json_t *o, const char *key, struct str dflt);
int64_t json_get_int(const json_t *o, const char *key, int64_t dflt);
bool json_get_bool(const json_t *o, const char *key, bool dflt);
int json_set_str(json_t *o, const char *key, struct str s); /* invalid UTF-8 becomes U+FFFD */

/* JSON by jansson: the one place that includes it. Helpers for documents from outside: wrong types read as
 * absent or are named in a message. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#include <jansson.h>

/* json_decrefp is jansson's own. */
#define _cleanup_json_ _cleanup_(json_decrefp)

#define JSON_DEPTH_MAX 64

/* At most 64 levels deep, no duplicate keys check, NULs allowed in strings. NULL with err set on malformed. */
json_t *json_parse(struct str text, struct err *err);
/* Is it one well-formed document (RFC 8259, UTF-8, at most 64 levels)? Builds nothing: for payloads that only pass
 * through. Numbers of any size are well-formed here, while json_parse refuses integers beyond 64 bits. */
bool json_check(struct str text);
void json_write(struct buf *b, const json_t *j);        /* compact */
void json_write_pretty(struct buf *b, const json_t *j); /* two blanks, keys in order of insertion */
void json_write_string(struct buf *b, struct str s);    /* one quoted string; invalid UTF-8 becomes U+FFFD */

/* Member of an object: absent, null or of another type gives the default. */
struct str json_get_str(const json_t *o, const char *key, struct str dflt);
int64_t json_get_int(const json_t *o, const char *key, int64_t dflt);
bool json_get_bool(const json_t *o, const char *key, bool dflt);
int json_set_str(json_t *o, const char *key, struct str s); /* invalid UTF-8 becomes U+FFFD */
json_t *json_get_array(const json_t *o, const char *key);   /* borrowed; NULL: absent or of another type */
json_t *json_get_object(const json_t *o, const char *key);  /* the same */
json_t *json_str(struct str s);                             /* a new string; invalid UTF-8 becomes U+FFFD */
struct str json_str_value(const json_t *j);                 /* p == NULL: not a string */

/* For documents of people and clients: the member must be there and of the type, else err names it. */
int json_need_str(const json_t *o, const char *key, struct str *ret, struct err *err);
/* Absent or null leaves *ret alone; another type, or a number outside min..max, is an error that names it. */
int json_opt_str(const json_t *o, const char *key, struct str *ret, struct err *err);
int json_opt_int(const json_t *o, const char *key, int64_t min, int64_t max, int64_t *ret, struct err *err);

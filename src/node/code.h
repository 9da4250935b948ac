/* The node's cache of unpacked code packages: one folder each, named by the package's SHA-256, never changed once it
 * is there. Loop thread; unpacking and removing happen on pool threads. */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "node/fetch.h"
#include "sys/loop.h"

struct code;
#define CODE_MERGE_MAX 5 /* layers of a function, as on AWS Lambda */

struct code_package; /* one that somebody uses; code_unref when not any more */

/* Called once, maybe before code_get returns. package NULL: error says why; type, unless NULL, what kind of error. */
typedef void (*code_ready)(void *arg, struct code_package *package, const char *type, const char *error);

/* dir is made where missing. max_bytes bounds what is kept unused. */
struct code *code_new(struct loop *l, const char *dir, uint64_t max_bytes, struct err *err);
struct code *code_free(struct code *c); /* no package in use, nothing under way */
bool code_is_busy(const struct code *c);
/* sha256: base64, as CodeSha256. zip: the package (taken over), or -1: where it is not in the cache it is fetched. */
void code_get(struct code *c, struct str sha256, int zip, const struct fetch_from *from, code_ready ready, void *arg);
/* Several packages in one folder, the files of later ones in place of those of earlier ones (layers). zips are taken
 * over. */
void code_get_merged(struct code *c, const struct str *sha256, const int *zips, size_t n, const struct fetch_from *from,
		     code_ready ready, void *arg);
struct code_package *code_ref(struct code_package *p);
void code_unref(struct code_package *p);
const char *code_dir(const struct code_package *p);

/* What Lambda and S3 allow, and their words when it is exceeded. Sources: AWS Lambda Developer Guide, "Lambda quotas";
 * AWS Lambda API Reference, CreateFunction; Amazon S3 User Guide, "Bucket naming rules", "Multipart upload limits",
 * "Working with object metadata". Pure. Validators return NULL, or the sentence for the client (in the arena where
 * they take one). */
#pragma once

#include "base/arena.h"
#include "base/kv.h"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

/* Lambda */
#define LIMIT_PAYLOAD_SYNC    (6 * MIB) /* request and response of RequestResponse */
#define LIMIT_PAYLOAD_ASYNC   (1 * MIB) /* Event: 256 KiB until AWS raised it in October 2025 */
#define LIMIT_ZIP_DIRECT      (50 * MIB)
#define LIMIT_ZIP_UNPACKED    (250 * MIB)
#define LIMIT_ENV             (4 * KIB)
#define LIMIT_DESCRIPTION     256
#define LIMIT_HANDLER         128
#define LIMIT_TIMEOUT_MIN     1
#define LIMIT_TIMEOUT_MAX     900
#define LIMIT_MEMORY_MIN      128
#define LIMIT_MEMORY_MAX      10240
#define LIMIT_EPHEMERAL_MIN   512
#define LIMIT_EPHEMERAL_MAX   10240
#define LIMIT_LAYERS          5
#define LIMIT_FUNCTION_TAGS   50
#define LIMIT_FUNCTION_POLICY (20 * KIB)
#define LIMIT_LOG_TAIL        (4 * KIB)
#define LIMIT_CLIENT_CONTEXT  3583

/* S3 */
#define LIMIT_BUCKETS       10000
#define LIMIT_KEY           1024
#define LIMIT_USER_METADATA (2 * KIB)
#define LIMIT_PUT           (5 * GIB)
#define LIMIT_PART_MIN      (5 * MIB) /* but the last */
#define LIMIT_PART_MAX      (5 * GIB)
#define LIMIT_PARTS         10000
#define LIMIT_OBJECT        (5 * 1024 * GIB)
#define LIMIT_LIST          1000
#define LIMIT_BUCKET_POLICY (20 * KIB)

bool limit_bucket_name(struct str name);
bool limit_key(struct str key); /* 1..1024 bytes of UTF-8 */
const char *limit_function_name(struct arena *a, struct str name);
const char *limit_timeout(struct arena *a, int64_t seconds);
const char *limit_memory(struct arena *a, int64_t mb);
const char *limit_ephemeral(struct arena *a, int64_t mb);
const char *limit_text(struct arena *a, const char *field, struct str value, size_t max); /* description, handler */
const char *limit_env(struct arena *a, const struct kv *env, size_t n);
const char *limit_function_tags(struct arena *a, const struct kv *tags, size_t n);

/* What Lambda and S3 allow, and their words when it is exceeded. Sources: AWS Lambda Developer Guide, "Lambda quotas";
 * AWS Lambda API Reference, CreateFunction; Amazon S3 User Guide, "Bucket naming rules", "Multipart upload limits",
 * "Working with object metadata". Pure. Validators return NULL, or what is wrong in the words for the client (in the
 * arena where they take one): "Member must ..." for a constraint that may be told together with others. */
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
#define LIMIT_CODE_TOTAL      (75 * GIB)
#define LIMIT_ENV             (4 * KIB)
#define LIMIT_DESCRIPTION     256
#define LIMIT_HANDLER         128
#define LIMIT_TIMEOUT_MIN     1
#define LIMIT_TIMEOUT_MAX     900
#define LIMIT_MEMORY_MIN      128
#define LIMIT_MEMORY_MAX      10240
#define LIMIT_EPHEMERAL_MIN   512
#define LIMIT_EPHEMERAL_MAX   10240
#define LIMIT_FUNCTION_TAGS   50
#define LIMIT_FUNCTION_POLICY (20 * KIB)
#define LIMIT_LOG_TAIL        (4 * KIB)
#define LIMIT_CLIENT_CONTEXT  3583 /* bytes of base64 */

/* S3 */
#define LIMIT_USER_METADATA (2 * KIB)
#define LIMIT_PUT           (5 * GIB)
#define LIMIT_PART_MIN      (5 * MIB) /* but the last */
#define LIMIT_OBJECT        (5 * 1024 * GIB)
#define LIMIT_LIST          1000
#define LIMIT_BUCKET_POLICY (20 * KIB)

bool limit_bucket_name(struct str name);
const char *limit_number(struct arena *a, int64_t v, int64_t min, int64_t max);
const char *limit_text(struct arena *a, struct str value, size_t max); /* characters */
const char *limit_pattern_role(struct str arn);
const char *limit_pattern_handler(struct str handler);
const char *limit_pattern_env_name(struct str name);
bool limit_env_reserved(struct str name); /* Lambda sets it itself */
const char *limit_function_tag(struct arena *a, struct str key, struct str value);

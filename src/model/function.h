/* A function version as the store keeps it and the node is told it. Codec: JSON, stable, unknown members ignored. */
#pragma once

#include "model/object.h"
#include "wire/json.h"

enum function_state { FUNCTION_PENDING, FUNCTION_ACTIVE, FUNCTION_INACTIVE, FUNCTION_FAILED };

struct function {
	struct str name;
	struct str version; /* "$LATEST" or "7"; a number never changes again */
	struct str arn;     /* unqualified: arn:aws:lambda:REGION:ACCOUNT:function:NAME */
	struct str runtime, handler, role, description;
	uint32_t timeout_s;    /* 1..900 */
	uint32_t memory_mb;    /* 128..10240 */
	uint32_t ephemeral_mb; /* 512..10240 */
	struct kv *env;
	size_t n_env;
	struct kv *tags;
	size_t n_tags;
	struct str *layers; /* version ARNs */
	size_t n_layers;
	struct str code_sha256; /* base64, as CodeSha256 */
	struct str code_blob;   /* blob id of the zip */
	uint64_t code_size;
	uint64_t code_unpacked; /* bytes of its files; 0: not known (deployed by an older Wick) */
	struct str revision_id; /* UUID, changes with every update */
	struct str change_id;   /* changes with what runs: a version and a $LATEST that share it are alike */
	uint64_t last_version;  /* of $LATEST: the highest number that was published; none is given twice */
	int64_t modified_ms;
	struct str policy; /* resource policy, JSON; n == 0: none */
	struct str tracing_mode;
	struct str architecture; /* "x86_64" */
	struct str package_type; /* "Zip" */
	struct str dead_letter;  /* target ARN; n == 0: none */
	struct str snap_start;   /* "None", "PublishedVersions" */
	enum function_state state;
};

const char *function_state_name(enum function_state s); /* "Active", as the API says it */

json_t *function_to_json(const struct function *f);
/* Do both documents say the same of what runs (wick: tags included)? Names, revisions, policies and other tags are not
 * of that. */
bool function_docs_alike(const json_t *a, const json_t *b);
/* Views into j and a: j must live as long as the struct. */
int function_from_json(struct function *f, const json_t *j, struct arena *a, struct err *err);

/* "name", "name:qualifier", "account:function:name" or a full ARN, as every Lambda operation takes it. */
struct function_ref {
	struct str name, qualifier; /* qualifier n == 0: none given */
};
bool function_ref_parse(struct str s, struct function_ref *ret);

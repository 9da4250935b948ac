/* What the files of the Lambda API share: names in paths, reading and changing a function's document, validation. */
#pragma once

#include "gate/api.h"
#include "gate/functions.h"
#include "model/limits.h"

#define LAMBDA_CODE_BODY_MAX (LIMIT_ZIP_DIRECT / 3 * 4 + 3) /* its base64 and its document, as AWS says it */
#define LAMBDA_BODY_MAX      (1u << 20)                     /* documents without code */

#define LAMBDA_NAME_PATTERN                                                                                            \
	"(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}(-gov)?-[a-z]+-\\d{1}:)?(\\d{12}:)?(function:)?([a-zA-Z0-9-_]+)"      \
	"(:(\\$LATEST|[a-zA-Z0-9-_]+))?"

/* The operations, each in the file of its concern. */
req_fn lambda_create, lambda_update_code;
req_fn lambda_get, lambda_list, lambda_get_conf, lambda_update_conf, lambda_delete, lambda_account;
req_fn lambda_invoke, lambda_invoke_async;
req_fn lambda_add_permission, lambda_remove_permission, lambda_get_policy;
req_fn lambda_tag, lambda_untag, lambda_list_tags;

/* r->args[0] as a function's name, with the qualifier of the query or of the name. Done by route for every operation
 * on a function. */
struct lambda_target {
	struct str name, qualifier; /* qualifier n == 0: none given */
};
struct lambda_change;
struct lambda_state { /* r->api_state of every operation on a function */
	struct lambda_target target;
	struct lambda_change *change;
};
const struct lambda_target *lambda_target(struct req *r);
/* Refuses a qualifier that is not $LATEST (no other version exists): false after req_fail. */
bool lambda_only_latest(struct req *r);
enum step_result lambda_not_found(struct req *r);

/* The document of a function as stored now. The struct's strings live as long as the request. 0, or false after
 * req_fail. */
bool lambda_read(struct req *r, struct str name, struct function *ret);
/* r->body as an object that the caller frees; NULL after req_fail. An empty body is an empty object. */
json_t *lambda_body(struct req *r);

/* A read-modify-write of one function's document: nobody's change is lost, since the document is replaced only while
 * its revision is the one that was read, and read and edited again when it is not. edit() may be called several times;
 * it refuses by req_fail. The strings that it sets must live in the request. */
struct lambda_change {
	struct str name;
	struct str expect; /* RevisionId that the client demands; n == 0: any */
	bool quiet;        /* tags and policy: LastModified stays, and so do the workers, unless ... */
	bool restart;      /* ... edit() sets this */
	void (*edit)(struct req *r, struct function *f, void *arg);
	req_fn *answer; /* when it is durable */
	req_fn *failed; /* may be NULL: it is refused; called after req_fail */
	void *arg;
	struct function f; /* after: as it was stored */
	unsigned tries;
};
enum step_result lambda_change(struct req *r, struct lambda_change *c);
struct lambda_change *lambda_changed(struct req *r); /* in answer() and failed() */

/* A new RevisionId and LastModified. */
void lambda_touch(struct req *r, struct function *f);
/* Into the store: the document, with what it holds. */
void lambda_put(struct req *r, struct store_txn *t, enum put_mode mode, const struct function *f,
		struct str expect_revision);
json_t *lambda_pairs_json(const struct kv *kv, size_t n);
enum step_result lambda_reply_conf(struct req *r, unsigned status, const struct function *f);

/* Constraint violations, gathered and told together, as AWS does: ValidationException. */
struct violations {
	struct buf text;
	unsigned n;
};
void violations_add(struct violations *v, struct str value, const char *member, const char *fmt, ...) _printf_(4, 5);
bool violations_refuse(struct req *r, struct violations *v); /* true after req_fail; frees */

/* The members of CreateFunction and UpdateFunctionConfiguration that say how a function runs, into f (strings copied
 * into the request). False after req_fail. */
bool lambda_read_settings(struct req *r, const json_t *j, struct function *f, bool create);
bool lambda_read_tags(struct req *r, const json_t *tags, struct function *f); /* merges into f's */

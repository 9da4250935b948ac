/* What the files of the Lambda API share: names in paths, reading and changing a function's document, packages,
 * validation, pages. */
#pragma once

#include "gate/api.h"
#include "gate/functions.h"
#include "model/alias.h"
#include "model/limits.h"

#define LAMBDA_CODE_BODY_MAX (LIMIT_ZIP_DIRECT / 3 * 4 + 3) /* its base64 and its document, as AWS says it */
#define LAMBDA_BODY_MAX      (1u << 20)                     /* documents without code */

#define LAMBDA_NAME_PATTERN                                                                                            \
	"(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}(-gov)?-[a-z]+-\\d{1}:)?(\\d{12}:)?(function:)?([a-zA-Z0-9-_]+)"      \
	"(:(\\$LATEST|[a-zA-Z0-9-_]+))?"

/* The operations, each in the file of its concern. */
req_fn lambda_create, lambda_update_code;
req_fn lambda_get, lambda_list, lambda_get_conf, lambda_update_conf, lambda_delete, lambda_account;
req_fn lambda_invoke, lambda_invoke_async, lambda_invoke_stream;
req_fn lambda_add_permission, lambda_remove_permission, lambda_get_policy;
req_fn lambda_tag, lambda_untag, lambda_list_tags;
req_fn lambda_publish_version, lambda_list_versions;
req_fn lambda_create_alias, lambda_list_aliases, lambda_get_alias, lambda_update_alias, lambda_delete_alias;
req_fn lambda_publish_layer, lambda_list_layers, lambda_list_layer_versions, lambda_get_layer, lambda_delete_layer;
req_fn lambda_put_reserved, lambda_get_reserved, lambda_delete_reserved;
req_fn lambda_put_provisioned, lambda_get_provisioned, lambda_delete_provisioned;
req_fn lambda_create_url, lambda_get_url, lambda_update_url, lambda_delete_url, lambda_list_urls;

/* r->args[0] as a function's name, with the qualifier of the query or of the name. Done by route for every operation
 * on a function. */
struct lambda_target {
	struct str name, qualifier; /* qualifier n == 0: none given */
};
struct lambda_change;
struct lambda_alias_change;
struct package;
struct lambda_state { /* r->api_state of every operation on a function, and of those with a package */
	struct lambda_target target;
	struct lambda_change *change;
	struct lambda_alias_change *alias_change;
	struct package *package;
	struct record *record; /* that is being stored */
};
const struct lambda_target *lambda_target(struct req *r);
/* For what is of a function and not of its versions: false after req_fail. $LATEST is taken as the function. */
bool lambda_only_function(struct req *r);
/* Refuses a qualifier that is not $LATEST as not found: false after req_fail. */
bool lambda_only_latest(struct req *r);
enum step_result lambda_not_found(struct req *r);
enum step_result lambda_stale_revision(struct req *r);
/* What the store refused, when there is nothing better to say. */
enum step_result lambda_fail_store(struct req *r, int store_result);
bool lambda_is_number(struct str qualifier); /* a published version's */

/* The document of a version ("$LATEST" or a number) as stored now. The struct's strings live as long as the request.
 * False after req_fail. */
bool lambda_read(struct req *r, struct str name, struct str version, struct function *ret);
/* Of the version that the target's qualifier names: none, $LATEST, a number or an alias (its first version). */
bool lambda_read_target(struct req *r, struct function *ret);
/* Is there this function? False after req_fail. */
bool lambda_function_exists(struct req *r);
/* r->body as an object that the caller frees; NULL after req_fail. An empty body is an empty object. */
json_t *lambda_body(struct req *r);
/* Members that may be absent or null, which leaves *ret alone; of another type: false after req_fail. */
bool lambda_text(struct req *r, const json_t *j, const char *name, struct str *ret);
bool lambda_number(struct req *r, const json_t *j, const char *name, int64_t *ret, bool *given);

/* A read-modify-write of one version's document: nobody's change is lost, since the document is replaced only while
 * its revision is the one that was read, and read and edited again when it is not. edit() may be called several times;
 * it refuses by req_fail. The strings that it sets must live in the request. */
struct lambda_change {
	struct str name;
	struct str version;     /* n == 0: $LATEST */
	struct str expect;      /* RevisionId that the client demands; n == 0: any */
	bool quiet;             /* tags and policy: LastModified stays, and so do the workers, unless ... */
	bool restart;           /* ... edit() sets this */
	bool publish;           /* the outcome becomes a version, unless the last version is the same */
	struct str description; /* of that version; p == NULL: the function's */
	void (*edit)(struct req *r, struct function *f, void *arg);
	req_fn *answer; /* when it is durable */
	req_fn *failed; /* may be NULL: it is refused; called after req_fail */
	void *arg;
	struct function f;         /* after: as it was stored */
	struct function published; /* after, with publish: the version */
	unsigned tries;
};
enum step_result lambda_change(struct req *r, struct lambda_change *c);
struct lambda_change *lambda_changed(struct req *r); /* in answer() and failed() */

/* The same for the target's alias. */
struct lambda_alias_change {
	struct str name; /* of the alias */
	struct str expect;
	void (*edit)(struct req *r, struct alias *al, void *arg);
	req_fn *answer, *failed;
	void *arg;
	struct alias al; /* after: as it was stored */
	unsigned tries;
};
enum step_result lambda_change_alias(struct req *r, struct lambda_alias_change *c);

/* A new RevisionId and LastModified; changed: what runs is another. */
void lambda_touch(struct req *r, struct function *f, bool changed);
struct str lambda_new_revision(struct req *r);
/* *ret is the next version of f ($LATEST), which counts it. description p == NULL: f's. */
void lambda_next_version(struct req *r, struct function *f, struct str description, struct function *ret);
/* Into the store: the document, with what it holds. */
void lambda_put(struct req *r, struct store_txn *t, enum put_mode mode, const struct function *f,
		struct str expect_revision);

json_t *lambda_pairs_json(const struct kv *kv, size_t n);
/* The configuration as the API tells it; its ARN with the qualifier (n == 0: none). */
json_t *lambda_conf_json(struct req *r, const struct function *f, struct str qualifier);
enum step_result lambda_reply_conf(struct req *r, unsigned status, const struct function *f, struct str qualifier);
/* A URL for 10 minutes of a download of Wick's own API (path and query), signed for the caller. */
json_t *lambda_download_url(struct req *r, struct str path, struct str query);

/* A zip package of the request's document, in stages: read (p->doc), check (sha256, size, unpacked), store (blob). Each
 * goes on with next, or refuses and has cleaned up. Who refuses between read and store calls lambda_package_done. */
struct package {
	const char *member; /* of the document: "Code"; NULL: the document itself tells of the package */
	json_t *doc;        /* without ZipFile */
	struct str sha256;  /* base64 */
	uint64_t size, unpacked;
	struct str blob;

	/* api_lambda_package.c only */
	req_fn *next;
	struct str body;
	struct buf zip; /* empty when it lies in a bucket and was checked */
	bool has_zip, bad_base64;
	struct object *object; /* the package lies here */
	struct blob_reader *reader;
	int read_result, check_result;
	struct err err;
	uint8_t hash[SHA256_SIZE];
};
enum step_result lambda_package_read(struct req *r, struct package *p, req_fn *next);
enum step_result lambda_package_check(struct req *r, req_fn *next);
enum step_result lambda_package_store(struct req *r, req_fn *next);
void lambda_package_done(struct req *r);
void lambda_package_settle(struct req *r, bool named); /* after the commit: keeps the blob, or removes it */

/* Constraint violations, gathered and told together, as AWS does: ValidationException. */
struct violations {
	struct buf text;
	unsigned n;
};
void violations_add(struct violations *v, struct str value, const char *member, const char *fmt, ...) _printf_(4, 5);
bool violations_refuse(struct req *r, struct violations *v); /* true after req_fail; frees */

/* A page of a listing: MaxItems (1 to 10000; a page has at most max) and Marker, which is the last key of the page
 * before. False after req_fail. */
bool lambda_page(struct req *r, uint32_t max, struct str *after, uint32_t *n);
void lambda_next_marker(json_t *j, bool truncated, struct str last); /* NextMarker */

/* The members of CreateFunction and UpdateFunctionConfiguration that say how a function runs, into f (strings copied
 * into the request). False after req_fail. */
bool lambda_read_settings(struct req *r, const json_t *j, struct function *f, bool create);
bool lambda_read_tags(struct req *r, const json_t *tags, struct function *f); /* merges into f's */
bool lambda_check_options(struct req *r, const struct function *f);           /* runtime and wick: tags */
bool lambda_read_layers(struct req *r, const json_t *list, struct function *f);
/* Code and layers together have at most 250 MB unpacked. */
bool lambda_check_unpacked(struct req *r, const struct function *f);

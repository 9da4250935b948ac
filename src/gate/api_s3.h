/* What the files of the S3 api share: api_s3.c (routes, errors, CORS), api_s3_bucket.c, api_s3_object.c, api_s3_get.c,
 * api_s3_list.c, api_s3_multipart.c, api_s3_conf.c, api_s3_notify.c. */
#pragma once

#include "gate/api.h"
#include "wire/s3_xml.h"

/* r->api_state of every S3 request that was routed. */
struct s3_call {
	const struct bucket *bucket; /* set by s3_bucket() */
	struct kv extra[4];          /* elements of their own that the error document carries */
	size_t n_extra;
	struct str content_range; /* of a 416 */
	void *state;              /* the operation's */
};

static inline struct s3_call *s3_call(struct req *r)
{
	return r->api_state;
}

/* ---- api_s3.c ---- */
/* The request's bucket, read once; NULL after req_fail. */
const struct bucket *s3_bucket(struct req *r);
enum step_result s3_fail_store(struct req *r, int result); /* STORE_E_* or -errno */
enum step_result s3_fail_xml(struct req *r, enum s3_xml_error e, const struct s3_xml_fault *f);
void s3_error_extra(struct req *r, const char *name, struct str value); /* after req_fail */
enum step_result s3_reply_xml(struct req *r, struct buf *b);
struct s3_owner s3_owner(struct req *r);
struct str s3_unquote(struct str etag);
void s3_set_etag(struct req *r, struct str etag);
void s3_set_time(struct req *r, const char *name, int64_t unix_ms);
/* A number in the query: false after req_fail. Absent: the default; more than max: max. */
bool s3_number(struct req *r, const char *name, uint32_t dflt, uint32_t max, uint32_t *ret);
bool s3_encoding(struct req *r, bool *url);
/* May the one who asks do this to that? For operations that touch more than r->resource. */
bool s3_may(struct req *r, const struct bucket *b, const char *action, struct str key);
/* The blob of a commit that failed: nobody will name it. */
void s3_drop_blob(struct req *r, struct str id);

/* ---- api_s3_object.c ---- */
/* What the request's headers say of an object to be: content type, stored headers, metadata, tags. False after
 * req_fail.
 */
bool s3_read_headers(struct req *r, struct object *o);
bool s3_refuse_unbuilt_headers(struct req *r); /* true after req_fail: encryption, ACLs, object lock */
void s3_add_header(struct req *r, struct object *o, struct str k, struct str v);
struct str s3_stored_header(const struct object *o, const char *name); /* p == NULL: absent */
enum digest_kind s3_checksum_kind(struct req *r);                      /* of the body, as the filter will compute */
const char *s3_checksum_header(enum digest_kind k);                    /* "x-amz-checksum-crc32", lower case */
bool s3_read_put_conditions(struct req *r, struct object_condition *c);
/* x-amz-copy-source: reads the source and checks the x-amz-copy-source-if-* conditions. NULL after req_fail. */
struct object *s3_copy_source(struct req *r);

/* ---- api_s3_get.c ---- */
struct s3_conditions {
	struct str if_match, if_none_match, if_modified_since, if_unmodified_since; /* p == NULL: absent */
};
enum s3_condition_result { S3_CONDITION_GO, S3_CONDITION_FAILED, S3_CONDITION_NOT_MODIFIED };
/* RFC 9110, 13.2.2. */
enum s3_condition_result s3_check_conditions(const struct s3_conditions *c, struct str etag, int64_t modified_ms);

enum s3_range_result { S3_RANGE_NONE, S3_RANGE_OK, S3_RANGE_UNSATISFIABLE };
/* "bytes=a-b" within size; NONE: not a single range of bytes, which is then ignored (RFC 9110, 14.2). */
enum s3_range_result s3_parse_range(struct str s, uint64_t size, uint64_t *offset, uint64_t *length);

/* ---- api_s3_multipart.c ---- */
struct upload *s3_upload(struct req *r); /* of ?uploadId, this bucket and key; NULL after req_fail */

/* ---- api_s3_conf.c ---- */
void s3_cors_reply(struct req *r); /* adds the headers a browser asks for, when a rule of the bucket allows */

/* ---- operations ---- */
req_fn s3_list_buckets, s3_create_bucket, s3_head_bucket, s3_delete_bucket, s3_get_location, s3_get_bucket_acl;
req_fn s3_list_v1, s3_list_v2, s3_list_uploads, s3_list_parts;
req_fn s3_put_object, s3_copy_object, s3_delete_object, s3_delete_objects, s3_get_object_tagging, s3_put_object_tagging,
	s3_delete_object_tagging, s3_get_object_acl;
req_fn s3_get_object, s3_head_object;
req_fn s3_create_upload, s3_upload_part, s3_upload_part_copy, s3_complete_upload, s3_abort_upload;
req_fn s3_get_notification, s3_put_notification, s3_get_policy, s3_put_policy, s3_delete_policy, s3_get_policy_status,
	s3_get_cors, s3_put_cors, s3_delete_cors, s3_preflight, s3_get_bucket_tagging, s3_put_bucket_tagging,
	s3_delete_bucket_tagging, s3_get_versioning, s3_put_versioning, s3_get_ownership, s3_get_payment,
	s3_get_logging, s3_get_accelerate;

/* The XML documents of the S3 API: requests into plain structs, plain structs into answers. Source: Amazon S3 API
 * Reference, each operation's "Request Syntax" and "Response Syntax". Pure. Decoded strings lie in the arena.
 *
 * Answers are appended to a buf as whole documents, XML declaration and namespace included. Numbers and times are
 * written as S3 does; etags come without quotes and get them. */
#pragma once

#include "base/kv.h"
#include "wire/digest.h"
#include "wire/xml.h"

#define S3_XMLNS       "http://s3.amazonaws.com/doc/2006-03-01/"
#define S3_XML_MAX     (4u << 20) /* bytes of the largest request document: Complete with 10,000 parts and checksums */
#define S3_PARTS_MAX   10000
#define S3_DELETES_MAX 1000
#define S3_KEY_MAX     1024

enum s3_xml_error {
	S3_XML_OK = 0,
	S3_XML_MALFORMED,  /* not XML, another document, elements missing or too many: MalformedXML */
	S3_XML_INVALID,    /* an element's value is not allowed: InvalidArgument */
	S3_XML_TAG,        /* InvalidTag */
	S3_XML_PART_ORDER, /* InvalidPartOrder */
	S3_XML_LOCATION,   /* InvalidLocationConstraint */
};

/* What was wrong, for the error document; filled with any error but S3_XML_OK. May be NULL in calls. */
struct s3_xml_fault {
	const char *element; /* name of the element, or "" */
	const char *message; /* one sentence; in the arena or static */
};

/* ---- Requests ---- */

struct s3_complete_part {
	uint32_t number; /* ascending, 1..10000 */
	struct str etag; /* without quotes */
	enum digest_kind checksum_kind;
	struct str checksum; /* base64 */
};

struct s3_complete {
	struct s3_complete_part *parts;
	size_t n;
};
enum s3_xml_error s3_xml_complete(struct arena *a, struct str xml, struct s3_complete *ret, struct s3_xml_fault *f);

struct s3_delete_key {
	struct str key, version; /* version n == 0: none given */
};

struct s3_delete {
	struct s3_delete_key *keys;
	size_t n;
	bool quiet;
};
enum s3_xml_error s3_xml_delete(struct arena *a, struct str xml, struct s3_delete *ret, struct s3_xml_fault *f);

#define S3_OBJECT_TAGS_MAX 10
#define S3_BUCKET_TAGS_MAX 50
struct s3_tagging {
	struct kv *tags;
	size_t n;
};
enum s3_xml_error s3_xml_tagging(struct arena *a, struct str xml, size_t max, struct s3_tagging *ret,
				 struct s3_xml_fault *f);
/* The rules of one set, however it came (XML, x-amz-tagging): length, duplicates, "aws:". */
enum s3_xml_error s3_tags_check(const struct kv *tags, size_t n, size_t max, struct s3_xml_fault *f);

/* An empty body is a valid configuration: location n == 0. */
enum s3_xml_error s3_xml_create_bucket(struct arena *a, struct str xml, struct str *location, struct s3_xml_fault *f);

#define S3_NOTIFICATIONS_MAX 100
struct s3_lambda_notification {
	struct str id, arn; /* id n == 0: none given */
	struct str *events; /* "s3:ObjectCreated:*" */
	size_t n_events;
	struct str prefix, suffix;
};

struct s3_notification {
	struct s3_lambda_notification *lambdas;
	size_t n;
	struct str unsupported; /* "QueueConfiguration", "TopicConfiguration", "EventBridgeConfiguration", or n == 0 */
};
enum s3_xml_error s3_xml_notification(struct arena *a, struct str xml, struct s3_notification *ret,
				      struct s3_xml_fault *f);

#define S3_CORS_MAX 100
struct s3_cors_rule {
	struct str id;
	struct str *origins, *methods, *headers, *exposed;
	size_t n_origins, n_methods, n_headers, n_exposed;
	int64_t max_age; /* -1: not given */
};

struct s3_cors {
	struct s3_cors_rule *rules;
	size_t n;
};
enum s3_xml_error s3_xml_cors(struct arena *a, struct str xml, struct s3_cors *ret, struct s3_xml_fault *f);

enum s3_versioning { S3_VERSIONING_OFF, S3_VERSIONING_ENABLED, S3_VERSIONING_SUSPENDED };
enum s3_xml_error s3_xml_versioning(struct arena *a, struct str xml, enum s3_versioning *ret, struct s3_xml_fault *f);

/* ---- Answers ---- */

struct s3_owner {
	struct str id, name;
};

struct s3_bucket_entry {
	struct str name;
	int64_t created_ms;
};
void s3_xml_put_buckets(struct buf *b, struct s3_owner owner, const struct s3_bucket_entry *buckets, size_t n);

struct s3_list_entry {
	struct str key, etag;
	uint64_t size;
	int64_t modified_ms;
	struct str storage_class; /* n == 0: STANDARD */
	struct str checksum;      /* ChecksumAlgorithm; n == 0: none */
};

struct s3_list {
	struct str bucket, prefix, delimiter; /* delimiter n == 0: none */
	bool url;                             /* encoding-type=url: keys and prefixes are encoded */
	uint32_t max_keys;
	bool truncated;
	const struct s3_owner *owner; /* NULL: not shown (v2 without fetch-owner); v1 shows it */
	const struct s3_list_entry *entries;
	size_t n_entries;
	const struct str *prefixes; /* CommonPrefixes */
	size_t n_prefixes;
	struct str marker, next_marker;            /* v1 */
	struct str start_after, token, next_token; /* v2; p == NULL: not given */
};
void s3_xml_put_list_v1(struct buf *b, const struct s3_list *l);
void s3_xml_put_list_v2(struct buf *b, const struct s3_list *l);

/* extra: elements of their own that some errors carry (BucketName, Key, ...). */
void s3_xml_put_error(struct buf *b, struct str code, struct str message, struct str resource, struct str request_id,
		      struct str host_id, const struct kv *extra, size_t n_extra);

void s3_xml_put_initiate(struct buf *b, struct str bucket, struct str key, struct str upload_id);
void s3_xml_put_complete(struct buf *b, struct str location, struct str bucket, struct str key, struct str etag,
			 enum digest_kind checksum_kind, struct str checksum);
void s3_xml_put_copy_object(struct buf *b, struct str etag, int64_t modified_ms);
void s3_xml_put_copy_part(struct buf *b, struct str etag, int64_t modified_ms);

struct s3_part_entry {
	uint32_t number;
	struct str etag;
	uint64_t size;
	int64_t modified_ms;
	enum digest_kind checksum_kind;
	struct str checksum;
};

struct s3_parts {
	struct str bucket, key, upload_id;
	struct s3_owner owner;
	bool url;
	uint32_t marker, next_marker, max_parts;
	bool truncated;
	const struct s3_part_entry *parts;
	size_t n;
};
void s3_xml_put_parts(struct buf *b, const struct s3_parts *l);

struct s3_upload_entry {
	struct str key, upload_id;
	int64_t initiated_ms;
};

struct s3_uploads {
	struct str bucket, prefix, delimiter;
	struct s3_owner owner;
	bool url;
	struct str key_marker, upload_id_marker, next_key_marker, next_upload_id_marker;
	uint32_t max_uploads;
	bool truncated;
	const struct s3_upload_entry *uploads;
	size_t n;
	const struct str *prefixes;
	size_t n_prefixes;
};
void s3_xml_put_uploads(struct buf *b, const struct s3_uploads *l);

struct s3_deleted {
	struct str key;
	struct str code, message; /* code n == 0: it was deleted */
};
void s3_xml_put_deleted(struct buf *b, const struct s3_deleted *d, size_t n, bool quiet);

void s3_xml_put_tagging(struct buf *b, const struct kv *tags, size_t n);
void s3_xml_put_lambda_notification(struct buf *b, const struct s3_lambda_notification *l); /* one entry */
void s3_xml_put_notification(struct buf *b, const struct s3_notification *n);
void s3_xml_put_cors(struct buf *b, const struct s3_cors *c);
void s3_xml_put_location(struct buf *b, struct str region); /* us-east-1 is written as the empty one */
void s3_xml_put_versioning(struct buf *b, enum s3_versioning v);

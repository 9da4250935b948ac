/* Buckets, objects, multipart uploads: the nouns of the S3 API as the store keeps them. Plain structs; strings
 * are views into the arena of whoever read or built them. */
#pragma once

#include "base/arena.h"
#include "base/kv.h"

struct bucket {
	struct str name;
	int64_t created_ms;
	/* Documents as accepted, JSON; n == 0: not set. */
	struct str notification, policy, cors, tagging;
};

/* A piece of an object's bytes: a blob, whole. Objects made by one PUT have one, multipart ones many, empty
 * ones none. */
struct extent {
	struct str blob; /* id in the blob store */
	uint64_t size;
};

struct object {
	struct str bucket, key;
	uint64_t size;
	int64_t modified_ms;
	struct str etag;         /* without quotes: md5 hex, or md5-of-md5s "-" parts */
	struct str content_type; /* n == 0: binary/octet-stream */
	/* Other headers that S3 stores (Cache-Control, Content-Disposition, Content-Encoding, Content-Language,
	 * Expires, x-amz-storage-class, x-amz-checksum-*, x-amz-website-redirect-location) and x-amz-meta-*, names in
	 * lower case. */
	struct kv *headers;
	size_t n_headers;
	struct kv *tags;
	size_t n_tags;
	struct extent *extents;
	size_t n_extents;
	uint32_t parts; /* 0: not multipart */
};

struct upload {
	struct str id;
	struct object object; /* what Complete will make: bucket, key, headers, tags, content_type */
	int64_t created_ms;
};

struct upload_part {
	uint32_t number;
	struct str etag;
	struct str checksum; /* "CRC32:base64" or empty */
	uint64_t size;
	int64_t modified_ms;
	struct str blob;
};

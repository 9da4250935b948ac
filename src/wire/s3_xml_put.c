/* S3's answers, from plain structs into XML. Pure; appends to the caller's buf and cannot fail. The order of elements
 * is that of the Amazon S3 API Reference, for the sake of clients that read in order. */
#include "wire/s3_xml.h"

#include "base/time.h"
#include "wire/uri.h"

#include <stdio.h>

static void begin(struct buf *b, const char *root)
{
	xml_begin(b);
	xml_open_ns(b, root, S3_XMLNS);
}

static void put_time(struct buf *b, const char *name, int64_t unix_ms)
{
	char text[TIME_ISO8601_SIZE];

	time_iso8601_ms(unix_ms, text);
	xml_elem(b, name, str_from(text));
}

static void put_etag(struct buf *b, struct str etag)
{
	buf_adds(b, "<ETag>&quot;");
	xml_text(b, etag);
	buf_adds(b, "&quot;</ETag>");
}

/* A key or prefix, under encoding-type=url where the client asked for it. */
static void put_key(struct buf *b, const char *name, struct str s, bool url)
{
	if (!url) {
		xml_elem(b, name, s);
		return;
	}
	xml_open(b, name);
	uri_encode(b, s, true);
	xml_close(b, name);
}

static void put_given(struct buf *b, const char *name, struct str s, bool url)
{
	if (s.p)
		put_key(b, name, s, url);
}

static void put_owner(struct buf *b, const char *name, struct s3_owner o)
{
	xml_open(b, name);
	xml_elem(b, "ID", o.id);
	xml_elem(b, "DisplayName", o.name);
	xml_close(b, name);
}

static void put_checksum(struct buf *b, enum digest_kind kind, struct str value)
{
	char name[32];

	if (kind == DIGEST_NONE || kind == DIGEST_MD5 || value.n == 0)
		return;
	snprintf(name, sizeof(name), "Checksum%s", digest_name(kind));
	xml_elem(b, name, value);
}

void s3_xml_put_buckets(struct buf *b, struct s3_owner owner, const struct s3_bucket_entry *buckets, size_t n)
{
	begin(b, "ListAllMyBucketsResult");
	put_owner(b, "Owner", owner);
	xml_open(b, "Buckets");
	for (size_t i = 0; i < n; i++) {
		xml_open(b, "Bucket");
		xml_elem(b, "Name", buckets[i].name);
		put_time(b, "CreationDate", buckets[i].created_ms);
		xml_close(b, "Bucket");
	}
	xml_close(b, "Buckets");
	xml_close(b, "ListAllMyBucketsResult");
}

static void put_prefixes(struct buf *b, const struct str *prefixes, size_t n, bool url)
{
	for (size_t i = 0; i < n; i++) {
		xml_open(b, "CommonPrefixes");
		put_key(b, "Prefix", prefixes[i], url);
		xml_close(b, "CommonPrefixes");
	}
}

static void put_list_head(struct buf *b, const struct s3_list *l)
{
	begin(b, "ListBucketResult");
	xml_elem(b, "Name", l->bucket);
	put_key(b, "Prefix", l->prefix, l->url);
	if (l->delimiter.n)
		put_key(b, "Delimiter", l->delimiter, l->url);
	xml_elem_u64(b, "MaxKeys", l->max_keys);
	if (l->url)
		xml_elem(b, "EncodingType", STR("url"));
	xml_elem_bool(b, "IsTruncated", l->truncated);
}

static void put_list_entries(struct buf *b, const struct s3_list *l)
{
	for (size_t i = 0; i < l->n_entries; i++) {
		const struct s3_list_entry *e = &l->entries[i];

		xml_open(b, "Contents");
		put_key(b, "Key", e->key, l->url);
		put_time(b, "LastModified", e->modified_ms);
		put_etag(b, e->etag);
		if (e->checksum.n)
			xml_elem(b, "ChecksumAlgorithm", e->checksum);
		xml_elem_u64(b, "Size", e->size);
		if (l->owner)
			put_owner(b, "Owner", *l->owner);
		xml_elem(b, "StorageClass", e->storage_class.n ? e->storage_class : STR("STANDARD"));
		xml_close(b, "Contents");
	}
	put_prefixes(b, l->prefixes, l->n_prefixes, l->url);
	xml_close(b, "ListBucketResult");
}

void s3_xml_put_list_v1(struct buf *b, const struct s3_list *l)
{
	put_list_head(b, l);
	put_key(b, "Marker", l->marker, l->url);
	if (l->next_marker.n)
		put_key(b, "NextMarker", l->next_marker, l->url);
	put_list_entries(b, l);
}

void s3_xml_put_list_v2(struct buf *b, const struct s3_list *l)
{
	put_list_head(b, l);
	xml_elem_u64(b, "KeyCount", l->n_entries + l->n_prefixes);
	put_given(b, "ContinuationToken", l->token, false);
	put_given(b, "NextContinuationToken", l->next_token, false);
	put_given(b, "StartAfter", l->start_after, l->url);
	put_list_entries(b, l);
}

void s3_xml_put_error(struct buf *b, struct str code, struct str message, struct str resource, struct str request_id,
		      struct str host_id, const struct kv *extra, size_t n_extra)
{
	/* Errors are the one document without a namespace. */
	xml_begin(b);
	xml_open(b, "Error");
	xml_elem(b, "Code", code);
	xml_elem(b, "Message", message);
	for (size_t i = 0; i < n_extra; i++) {
		char name[64];

		snprintf(name, sizeof(name), "%.*s", STR_ARG(extra[i].k));
		xml_elem(b, name, extra[i].v);
	}
	if (resource.n)
		xml_elem(b, "Resource", resource);
	xml_elem(b, "RequestId", request_id);
	xml_elem(b, "HostId", host_id);
	xml_close(b, "Error");
}

void s3_xml_put_initiate(struct buf *b, struct str bucket, struct str key, struct str upload_id)
{
	begin(b, "InitiateMultipartUploadResult");
	xml_elem(b, "Bucket", bucket);
	xml_elem(b, "Key", key);
	xml_elem(b, "UploadId", upload_id);
	xml_close(b, "InitiateMultipartUploadResult");
}

void s3_xml_put_complete(struct buf *b, struct str location, struct str bucket, struct str key, struct str etag,
			 enum digest_kind checksum_kind, struct str checksum)
{
	begin(b, "CompleteMultipartUploadResult");
	xml_elem(b, "Location", location);
	xml_elem(b, "Bucket", bucket);
	xml_elem(b, "Key", key);
	put_etag(b, etag);
	put_checksum(b, checksum_kind, checksum);
	xml_close(b, "CompleteMultipartUploadResult");
}

static void put_copy(struct buf *b, const char *root, struct str etag, int64_t modified_ms)
{
	begin(b, root);
	put_time(b, "LastModified", modified_ms);
	put_etag(b, etag);
	xml_close(b, root);
}

void s3_xml_put_copy_object(struct buf *b, struct str etag, int64_t modified_ms)
{
	put_copy(b, "CopyObjectResult", etag, modified_ms);
}

void s3_xml_put_copy_part(struct buf *b, struct str etag, int64_t modified_ms)
{
	put_copy(b, "CopyPartResult", etag, modified_ms);
}

void s3_xml_put_parts(struct buf *b, const struct s3_parts *l)
{
	begin(b, "ListPartsResult");
	xml_elem(b, "Bucket", l->bucket);
	if (l->url)
		xml_elem(b, "EncodingType", STR("url"));
	put_key(b, "Key", l->key, l->url);
	xml_elem(b, "UploadId", l->upload_id);
	put_owner(b, "Initiator", l->owner);
	put_owner(b, "Owner", l->owner);
	xml_elem(b, "StorageClass", STR("STANDARD"));
	xml_elem_u64(b, "PartNumberMarker", l->marker);
	xml_elem_u64(b, "NextPartNumberMarker", l->next_marker);
	xml_elem_u64(b, "MaxParts", l->max_parts);
	xml_elem_bool(b, "IsTruncated", l->truncated);
	for (size_t i = 0; i < l->n; i++) {
		const struct s3_part_entry *p = &l->parts[i];

		xml_open(b, "Part");
		xml_elem_u64(b, "PartNumber", p->number);
		put_time(b, "LastModified", p->modified_ms);
		put_etag(b, p->etag);
		xml_elem_u64(b, "Size", p->size);
		put_checksum(b, p->checksum_kind, p->checksum);
		xml_close(b, "Part");
	}
	xml_close(b, "ListPartsResult");
}

void s3_xml_put_uploads(struct buf *b, const struct s3_uploads *l)
{
	begin(b, "ListMultipartUploadsResult");
	xml_elem(b, "Bucket", l->bucket);
	put_key(b, "KeyMarker", l->key_marker, l->url);
	xml_elem(b, "UploadIdMarker", l->upload_id_marker);
	if (l->truncated) {
		put_key(b, "NextKeyMarker", l->next_key_marker, l->url);
		xml_elem(b, "NextUploadIdMarker", l->next_upload_id_marker);
	}
	put_key(b, "Prefix", l->prefix, l->url);
	if (l->delimiter.n)
		put_key(b, "Delimiter", l->delimiter, l->url);
	if (l->url)
		xml_elem(b, "EncodingType", STR("url"));
	xml_elem_u64(b, "MaxUploads", l->max_uploads);
	xml_elem_bool(b, "IsTruncated", l->truncated);
	for (size_t i = 0; i < l->n; i++) {
		xml_open(b, "Upload");
		put_key(b, "Key", l->uploads[i].key, l->url);
		xml_elem(b, "UploadId", l->uploads[i].upload_id);
		put_owner(b, "Initiator", l->owner);
		put_owner(b, "Owner", l->owner);
		xml_elem(b, "StorageClass", STR("STANDARD"));
		put_time(b, "Initiated", l->uploads[i].initiated_ms);
		xml_close(b, "Upload");
	}
	put_prefixes(b, l->prefixes, l->n_prefixes, l->url);
	xml_close(b, "ListMultipartUploadsResult");
}

void s3_xml_put_deleted(struct buf *b, const struct s3_deleted *d, size_t n, bool quiet)
{
	begin(b, "DeleteResult");
	for (size_t i = 0; i < n; i++) {
		bool failed = d[i].code.n != 0;
		const char *name = failed ? "Error" : "Deleted";

		if (!failed && quiet)
			continue;
		xml_open(b, name);
		xml_elem(b, "Key", d[i].key);
		if (failed) {
			xml_elem(b, "Code", d[i].code);
			xml_elem(b, "Message", d[i].message);
		}
		xml_close(b, name);
	}
	xml_close(b, "DeleteResult");
}

void s3_xml_put_tagging(struct buf *b, const struct kv *tags, size_t n)
{
	begin(b, "Tagging");
	xml_open(b, "TagSet");
	for (size_t i = 0; i < n; i++) {
		xml_open(b, "Tag");
		xml_elem(b, "Key", tags[i].k);
		xml_elem(b, "Value", tags[i].v);
		xml_close(b, "Tag");
	}
	xml_close(b, "TagSet");
	xml_close(b, "Tagging");
}

static void put_filter_rule(struct buf *b, const char *name, struct str value)
{
	if (value.n == 0)
		return;
	xml_open(b, "FilterRule");
	xml_elem(b, "Name", str_from(name));
	xml_elem(b, "Value", value);
	xml_close(b, "FilterRule");
}

void s3_xml_put_lambda_notification(struct buf *b, const struct s3_lambda_notification *l)
{
	/* The element's name of 2014, which S3 answers with and every SDK reads. */
	xml_open(b, "CloudFunctionConfiguration");
	xml_elem(b, "Id", l->id);
	xml_elem(b, "CloudFunction", l->arn);
	for (size_t e = 0; e < l->n_events; e++)
		xml_elem(b, "Event", l->events[e]);
	if (l->prefix.n || l->suffix.n) {
		xml_open(b, "Filter");
		xml_open(b, "S3Key");
		put_filter_rule(b, "Prefix", l->prefix);
		put_filter_rule(b, "Suffix", l->suffix);
		xml_close(b, "S3Key");
		xml_close(b, "Filter");
	}
	xml_close(b, "CloudFunctionConfiguration");
}

void s3_xml_put_notification(struct buf *b, const struct s3_notification *n)
{
	begin(b, "NotificationConfiguration");
	for (size_t i = 0; i < n->n; i++)
		s3_xml_put_lambda_notification(b, &n->lambdas[i]);
	xml_close(b, "NotificationConfiguration");
}

static void put_each(struct buf *b, const char *name, const struct str *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		xml_elem(b, name, s[i]);
}

void s3_xml_put_cors(struct buf *b, const struct s3_cors *c)
{
	begin(b, "CORSConfiguration");
	for (size_t i = 0; i < c->n; i++) {
		const struct s3_cors_rule *r = &c->rules[i];

		xml_open(b, "CORSRule");
		if (r->id.n)
			xml_elem(b, "ID", r->id);
		put_each(b, "AllowedMethod", r->methods, r->n_methods);
		put_each(b, "AllowedOrigin", r->origins, r->n_origins);
		put_each(b, "AllowedHeader", r->headers, r->n_headers);
		put_each(b, "ExposeHeader", r->exposed, r->n_exposed);
		if (r->max_age >= 0)
			xml_elem_u64(b, "MaxAgeSeconds", (uint64_t)r->max_age);
		xml_close(b, "CORSRule");
	}
	xml_close(b, "CORSConfiguration");
}

void s3_xml_put_location(struct buf *b, struct str region)
{
	begin(b, "LocationConstraint");
	if (!str_eqz(region, "us-east-1"))
		xml_text(b, region);
	xml_close(b, "LocationConstraint");
}

void s3_xml_put_versioning(struct buf *b, enum s3_versioning v)
{
	begin(b, "VersioningConfiguration");
	if (v != S3_VERSIONING_OFF)
		xml_elem(b, "Status", v == S3_VERSIONING_ENABLED ? STR("Enabled") : STR("Suspended"));
	xml_close(b, "VersioningConfiguration");
}

/* Objects being made and removed: Put, Copy, Delete, DeleteObjects, tags.
 *
 * The order that makes an upload durable: the body goes to a blob (fsync), then one transaction names the blob and
 * queues the events, then the blob is settled, then the client is told. What fails before the commit leaves the old
 * object; a blob whose commit failed is removed at once, and after a crash by blob_recover. */
#include "gate/api_s3.h"

#include "gate/jobs.h"
#include "model/limits.h"

/* ---- what the headers say of an object to be ---- */

/* Every header that S3 keeps with an object and gives back. */
static const char *const stored[] = {
	"cache-control",    "content-disposition",
	"content-encoding", "content-language",
	"expires",          "x-amz-website-redirect-location",
};

static const char *const storage_classes[] = {
	"STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR",
};

static const char *const checksum_headers[] = {
	[DIGEST_CRC32] = "x-amz-checksum-crc32",         [DIGEST_CRC32C] = "x-amz-checksum-crc32c",
	[DIGEST_CRC64NVME] = "x-amz-checksum-crc64nvme", [DIGEST_SHA1] = "x-amz-checksum-sha1",
	[DIGEST_SHA256] = "x-amz-checksum-sha256",
};

#define CHECKSUM_PREFIX STR("x-amz-checksum-")
#define META_PREFIX     STR("x-amz-meta-")

const char *s3_checksum_header(enum digest_kind k)
{
	return k < ARRAY_SIZE(checksum_headers) ? checksum_headers[k] : NULL;
}

enum digest_kind s3_checksum_kind(struct req *r)
{
	struct str trailer = str_trim(req_header(r, "x-amz-trailer")),
		   asked = req_header(r, "x-amz-sdk-checksum-algorithm");

	if (trailer.n && str_istarts(trailer, CHECKSUM_PREFIX))
		return digest_by_name(str_sub(trailer, CHECKSUM_PREFIX.n, trailer.n));
	for (size_t k = 0; k < ARRAY_SIZE(checksum_headers); k++)
		if (checksum_headers[k] && req_header(r, checksum_headers[k]).p)
			return (enum digest_kind)k;
	return asked.p ? digest_by_name(asked) : DIGEST_NONE;
}

struct str s3_stored_header(const struct object *o, const char *name)
{
	for (size_t i = 0; i < o->n_headers; i++)
		if (str_eqz(o->headers[i].k, name))
			return o->headers[i].v;
	return STR_NULL;
}

void s3_add_header(struct req *r, struct object *o, struct str k, struct str v)
{
	struct kv *headers = arena_new_n(&r->arena, struct kv, o->n_headers + 1);

	if (o->n_headers)
		memcpy(headers, o->headers, o->n_headers * sizeof(*headers));
	headers[o->n_headers++] = (struct kv){.k = k, .v = v};
	o->headers = headers;
}

static struct str lower(struct req *r, struct str s)
{
	char *p = arena_dup(&r->arena, s);

	for (size_t i = 0; i < s.n; i++)
		if (p[i] >= 'A' && p[i] <= 'Z')
			p[i] = (char)(p[i] + ('a' - 'A'));
	return str_n(p, s.n);
}

/* "gzip,aws-chunked": how this request was sent is no property of the object. */
static struct str without_aws_chunked(struct req *r, struct str value)
{
	struct buf b = BUF_NULL;
	struct str part, ret;

	while (value.n) {
		str_cut(value, ',', &part, &value);
		part = str_trim(part);
		if (!part.n || str_ieq(part, STR("aws-chunked")))
			continue;
		if (b.n)
			buf_addc(&b, ',');
		buf_add_str(&b, part);
	}
	ret = arena_str(&r->arena, buf_str(&b));
	buf_done(&b);
	return ret;
}

/* A metadata name that comes twice is one value, joined by commas. */
static bool join_metadata(struct req *r, struct object *o, struct str name, struct str value)
{
	for (size_t i = 0; i < o->n_headers; i++) {
		if (!str_eq(o->headers[i].k, name))
			continue;
		o->headers[i].v =
			str_from(arena_printf(&r->arena, "%.*s,%.*s", STR_ARG(o->headers[i].v), STR_ARG(value)));
		return true;
	}
	return false;
}

static bool read_metadata(struct req *r, struct object *o)
{
	size_t total = 0;

	for (size_t i = 0; i < r->n_headers; i++) {
		struct str name = r->headers[i].name, value = str_trim(r->headers[i].value);

		if (!str_istarts(name, META_PREFIX) || name.n == META_PREFIX.n)
			continue;
		total += name.n - META_PREFIX.n + value.n;
		if (total > LIMIT_USER_METADATA) {
			req_fail(r, FAIL_METADATA_TOO_LARGE);
			s3_error_extra(r, "MaxSizeAllowed", STR("2048"));
			return false;
		}
		name = lower(r, name);
		if (!join_metadata(r, o, name, value))
			o->headers[o->n_headers++] = (struct kv){.k = name, .v = arena_str(&r->arena, value)};
	}
	return true;
}

static bool read_storage_class(struct req *r, struct object *o)
{
	struct str class = req_header(r, "x-amz-storage-class");

	if (!class.p || str_eqz(class, "STANDARD"))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(storage_classes); i++) {
		if (!str_eqz(class, storage_classes[i]))
			continue;
		o->headers[o->n_headers++] = (struct kv){.k = STR("x-amz-storage-class"), .v = class};
		return true;
	}
	req_fail(r, FAIL_INVALID_STORAGE_CLASS);
	s3_error_extra(r, "StorageClassRequested", class);
	return false;
}

static bool read_stored(struct req *r, struct object *o)
{
	/* Room for all there can be: each header of the request at most once. */
	o->headers = arena_new_n(&r->arena, struct kv, r->n_headers + 2);
	o->n_headers = 0;
	o->content_type = req_header(r, "content-type");
	for (size_t i = 0; i < ARRAY_SIZE(stored); i++) {
		struct str value = req_header(r, stored[i]);

		if (str_eqz(STR("content-encoding"), stored[i]) && value.n)
			value = without_aws_chunked(r, value);
		if (value.n)
			o->headers[o->n_headers++] = (struct kv){.k = str_from(stored[i]), .v = value};
	}
	return read_metadata(r, o);
}

static bool read_tags(struct req *r, struct object *o)
{
	struct str header = req_header(r, "x-amz-tagging");
	struct s3_xml_fault fault = {0};
	struct uri_param *params = NULL;
	size_t n = 0;

	if (!header.n)
		return true;
	if (uri_parse_query(&r->arena, header, S3_OBJECT_TAGS_MAX + 1, &params, &n) < 0) {
		req_failf(r, FAIL_INVALID_ARGUMENT,
			  "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters "
			  "without tag name duplicates.");
		return false;
	}
	o->tags = arena_new_n(&r->arena, struct kv, MAX(n, (size_t)1));
	o->n_tags = n;
	for (size_t i = 0; i < n; i++)
		o->tags[i] = (struct kv){.k = params[i].name, .v = params[i].value};
	if (s3_tags_check(o->tags, n, S3_OBJECT_TAGS_MAX, &fault)) {
		s3_fail_xml(r, S3_XML_TAG, &fault);
		return false;
	}
	return true;
}

bool s3_refuse_unbuilt_headers(struct req *r)
{
	static const char *const prefixes[] = {
		"x-amz-server-side-encryption", "x-amz-object-lock-",
		"x-amz-bucket-object-lock-",    "x-amz-copy-source-server-side-encryption",
		"x-amz-write-offset-bytes",
	};
	struct str acl = req_header(r, "x-amz-acl");

	if (acl.n && !str_eqz(acl, "private") && !str_eqz(acl, "bucket-owner-full-control")) {
		req_fail(r, FAIL_ACL_NOT_SUPPORTED);
		return true;
	}
	for (size_t i = 0; i < r->n_headers; i++) {
		struct str name = r->headers[i].name;

		if (str_istarts(name, STR("x-amz-grant-"))) {
			req_fail(r, FAIL_ACL_NOT_SUPPORTED);
			return true;
		}
		for (size_t k = 0; k < ARRAY_SIZE(prefixes); k++) {
			if (!str_istarts(name, str_from(prefixes[k])) || str_ieq(r->headers[i].value, STR("false")))
				continue;
			req_failf(r, FAIL_NOT_IMPLEMENTED,
				  "A header you provided implies functionality that is not implemented: %.*s",
				  STR_ARG(name));
			s3_error_extra(r, "Header", name);
			return true;
		}
	}
	return false;
}

bool s3_read_headers(struct req *r, struct object *o)
{
	if (s3_refuse_unbuilt_headers(r))
		return false;
	return read_stored(r, o) && read_storage_class(r, o) && read_tags(r, o);
}

bool s3_read_put_conditions(struct req *r, struct object_condition *c)
{
	struct str match = req_header(r, "if-match"), none_match = req_header(r, "if-none-match");

	*c = (struct object_condition){0};
	if ((none_match.p && (!str_eqz(str_trim(none_match), "*") || match.p)) ||
	    req_header(r, "if-unmodified-since").p || req_header(r, "if-modified-since").p) {
		req_failf(r, FAIL_NOT_IMPLEMENTED,
			  "A header you provided implies functionality that is not implemented: a write takes either "
			  "If-None-Match: * or If-Match.");
		return false;
	}
	c->if_none_match = str_trim(none_match);
	c->if_match = s3_unquote(match);
	return true;
}

/* ---- PutObject, and what every new object ends with ---- */

/* An object on its way into the store. */
struct put {
	struct object o;
	struct object_condition cond;
	const char *event; /* "ObjectCreated:Put" */
	bool notified;
	void (*reply)(struct req *r, const struct object *o);
};

static enum step_result put_committed(struct req *r)
{
	struct put *p = s3_call(r)->state;

	if (r->store_result) {
		s3_drop_blob(r, p->o.n_extents ? p->o.extents[0].blob : STR_NULL);
		s3_fail_store(r, r->store_result);
		if (r->fail == FAIL_PRECONDITION)
			s3_error_extra(r, "Condition", p->cond.if_match.n ? STR("If-Match") : STR("If-None-Match"));
		return STEP_MORE;
	}
	if (p->o.n_extents)
		blob_settle(r->g->blobs, p->o.extents[0].blob);
	if (p->notified)
		jobs_kick(r->g->jobs);
	p->reply(r, &p->o);
	return STEP_MORE;
}

/* The object of r->blob (or of no bytes at all) becomes what its key names. */
static enum step_result put_commit(struct req *r, struct put *p)
{
	struct store_txn *t = store_begin(r->g->store);
	struct object *o = &p->o;

	o->bucket = r->bucket;
	o->key = r->key;
	o->modified_ms = r->now_ms;
	store_put_object(t, o, &p->cond);
	p->notified = s3_notify(r, t, s3_call(r)->bucket, p->event, o) > 0;
	return req_commit(r, t, put_committed);
}

static void use_blob(struct req *r, struct object *o)
{
	o->size = r->blob.size;
	o->etag = str_from(r->blob.md5);
	if (!o->size) {
		s3_drop_blob(r, str_from(r->blob.id));
		o->n_extents = 0;
		return;
	}
	o->extents = arena_new(&r->arena, struct extent);
	o->extents[0] = (struct extent){.blob = str_from(r->blob.id), .size = o->size};
	o->n_extents = 1;
}

static void reply_put(struct req *r, const struct object *o)
{
	s3_set_etag(r, o->etag);
	for (size_t i = 0; i < o->n_headers; i++)
		if (str_starts(o->headers[i].k, CHECKSUM_PREFIX))
			req_set_header(r, arena_dup(&r->arena, o->headers[i].k), o->headers[i].v);
	req_reply_empty(r, 200);
}

static enum step_result put_streamed(struct req *r)
{
	struct put *p = s3_call(r)->state;
	enum digest_kind kind = s3_checksum_kind(r);

	if (r->blob_result)
		return req_fail_body(r, r->blob_result);
	use_blob(r, &p->o);
	if (s3_checksum_header(kind) && r->blob.checksum[0]) {
		s3_add_header(r, &p->o, str_from(s3_checksum_header(kind)), str_from(r->blob.checksum));
		s3_add_header(r, &p->o, STR("x-amz-checksum-type"), STR("FULL_OBJECT"));
	}
	return put_commit(r, p);
}

enum step_result s3_put_object(struct req *r)
{
	struct put *p = arena_new(&r->arena, struct put);

	p->event = "ObjectCreated:Put";
	p->reply = reply_put;
	s3_call(r)->state = p;
	if (!s3_bucket(r) || !s3_read_headers(r, &p->o) || !s3_read_put_conditions(r, &p->cond))
		return STEP_MORE;
	return req_stream_to_blob(r, put_streamed);
}

/* ---- CopyObject ---- */

/* "bucket/key" or "/bucket/key", percent-encoded, "?versionId=" behind it. */
static bool parse_source(struct req *r, struct str *bucket, struct str *key)
{
	struct str s = req_header(r, "x-amz-copy-source"), version;
	struct buf b = BUF_NULL;
	bool ok;

	if (str_cut(s, '?', &s, &version) && !str_eqz(version, "versionId=null")) {
		req_failf(r, FAIL_NO_SUCH_VERSION,
			  "The copy source names a version, and buckets of Wick keep no versions.");
		return false;
	}
	/* Some clients send the key as a form would, others as a path would; a literal '+' is sent as %2B by both. */
	ok = uri_decode(&b, s, true);
	s = arena_str(&r->arena, buf_str(&b));
	buf_done(&b);
	if (s.n && s.p[0] == '/')
		s = str_sub(s, 1, s.n);
	if (str_starts(s, STR("arn:"))) {
		req_failf(r, FAIL_NOT_IMPLEMENTED, "A copy source that is an access point is not implemented by Wick.");
		return false;
	}
	str_cut(s, '/', bucket, key);
	if (ok && bucket->n && key->n)
		return true;
	req_failf(r, FAIL_INVALID_ARGUMENT,
		  "Copy Source must mention the source bucket and key: sourcebucket/sourcekey");
	s3_error_extra(r, "ArgumentName", STR("x-amz-copy-source"));
	s3_error_extra(r, "ArgumentValue", req_header(r, "x-amz-copy-source"));
	return false;
}

static bool source_conditions_hold(struct req *r, const struct object *o)
{
	struct s3_conditions c = {
		.if_match = req_header(r, "x-amz-copy-source-if-match"),
		.if_none_match = req_header(r, "x-amz-copy-source-if-none-match"),
		.if_modified_since = req_header(r, "x-amz-copy-source-if-modified-since"),
		.if_unmodified_since = req_header(r, "x-amz-copy-source-if-unmodified-since"),
	};

	return s3_check_conditions(&c, o->etag, o->modified_ms) == S3_CONDITION_GO;
}

struct object *s3_copy_source(struct req *r)
{
	struct store_reader *rd = store_reader(r->g->store);
	struct str bucket, key;
	struct bucket *b;
	struct object *o;
	int e;

	if (!parse_source(r, &bucket, &key))
		return NULL;
	e = store_get_bucket(rd, &r->arena, bucket, &b);
	if (!e && !s3_may(r, b, "s3:GetObject", key)) {
		req_fail(r, FAIL_ACCESS_DENIED);
		return NULL;
	}
	if (!e)
		e = store_get_object(rd, &r->arena, bucket, key, &o);
	if (e) {
		/* The error names the source, not the target. */
		s3_fail_store(r, e);
		s3_error_extra(r, e == STORE_E_NO_BUCKET ? "SourceBucket" : "SourceKey",
			       e == STORE_E_NO_BUCKET ? bucket : key);
		return NULL;
	}
	if (!source_conditions_hold(r, o)) {
		req_fail(r, FAIL_PRECONDITION);
		return NULL;
	}
	return o;
}

/* "COPY" (also when absent) or "REPLACE"; false after req_fail. */
static bool read_directive(struct req *r, const char *name, bool *replace)
{
	struct str s = req_header(r, name);

	*replace = str_eqz(s, "REPLACE");
	if (!s.p || *replace || str_eqz(s, "COPY"))
		return true;
	req_failf(r, FAIL_INVALID_ARGUMENT, "Unknown %s directive.", strstr(name, "tagging") ? "tagging" : "metadata");
	s3_error_extra(r, "ArgumentName", str_from(name));
	s3_error_extra(r, "ArgumentValue", s);
	return false;
}

/* Metadata of the source, less what belongs to the source alone: how it is stored. */
static void copy_headers(struct req *r, struct object *o, const struct object *from)
{
	o->content_type = from->content_type;
	o->headers = arena_new_n(&r->arena, struct kv, from->n_headers + 2);
	o->n_headers = 0;
	for (size_t i = 0; i < from->n_headers; i++)
		if (!str_eqz(from->headers[i].k, "x-amz-storage-class") &&
		    !str_eqz(from->headers[i].k, "x-amz-website-redirect-location") &&
		    !str_starts(from->headers[i].k, CHECKSUM_PREFIX))
			o->headers[o->n_headers++] = from->headers[i];
}

/* The bytes are the same, so is their checksum; only one made of parts' checksums is not, since the copy has none. */
static void copy_checksum(struct req *r, struct object *o, const struct object *from)
{
	if (from->parts && !str_eqz(s3_stored_header(from, "x-amz-checksum-type"), "FULL_OBJECT"))
		return;
	for (size_t i = 0; i < from->n_headers; i++)
		if (str_starts(from->headers[i].k, CHECKSUM_PREFIX))
			s3_add_header(r, o, from->headers[i].k, from->headers[i].v);
}

static bool copy_metadata(struct req *r, struct put *p, const struct object *from)
{
	bool replace, replace_tags, itself = str_eq(from->bucket, r->bucket) && str_eq(from->key, r->key);

	if (!read_directive(r, "x-amz-metadata-directive", &replace) ||
	    !read_directive(r, "x-amz-tagging-directive", &replace_tags) || s3_refuse_unbuilt_headers(r))
		return false;
	if (itself && !replace && !req_header(r, "x-amz-storage-class").p &&
	    !req_header(r, "x-amz-website-redirect-location").p) {
		req_failf(r, FAIL_INVALID_REQUEST,
			  "This copy request is illegal because it is trying to copy an object to itself without "
			  "changing "
			  "the object's metadata, storage class, website redirect location or encryption attributes.");
		return false;
	}
	if (replace) {
		if (!read_stored(r, &p->o))
			return false;
	} else {
		struct str redirect = req_header(r, "x-amz-website-redirect-location");

		copy_headers(r, &p->o, from);
		if (redirect.n)
			s3_add_header(r, &p->o, STR("x-amz-website-redirect-location"), redirect);
		/* The room that read_storage_class expects. */
		s3_add_header(r, &p->o, STR_NULL, STR_NULL);
		p->o.n_headers--;
	}
	if (!read_storage_class(r, &p->o))
		return false;
	copy_checksum(r, &p->o, from);
	if (replace_tags)
		return read_tags(r, &p->o);
	p->o.tags = from->tags;
	p->o.n_tags = from->n_tags;
	return true;
}

static void reply_copy(struct req *r, const struct object *o)
{
	struct buf b = BUF_NULL;

	s3_xml_put_copy_object(&b, o->etag, o->modified_ms);
	s3_reply_xml(r, &b);
}

static enum step_result copy_copied(struct req *r)
{
	struct put *p = s3_call(r)->state;
	struct str etag = p->o.etag;

	if (r->blob_result)
		return req_fail_body(r, r->blob_result);
	use_blob(r, &p->o);
	/* One blob is copied by a link, unread, and keeps the name it had. */
	if (!r->blob.md5[0])
		p->o.etag = etag;
	return put_commit(r, p);
}

enum step_result s3_copy_object(struct req *r)
{
	struct str checksum = req_header(r, "x-amz-checksum-algorithm");
	struct put *p = arena_new(&r->arena, struct put);
	const struct object *from;

	p->event = "ObjectCreated:Copy";
	p->reply = reply_copy;
	s3_call(r)->state = p;
	if (!s3_bucket(r) || !(from = s3_copy_source(r)) || !s3_read_put_conditions(r, &p->cond) ||
	    !copy_metadata(r, p, from))
		return STEP_MORE;
	if (from->size > LIMIT_PUT)
		return req_failf(
			r, FAIL_INVALID_REQUEST,
			"The specified copy source is larger than the maximum allowable size for a copy source: "
			"%llu",
			LIMIT_PUT);
	if (checksum.n &&
	    !s3_stored_header(&p->o, arena_printf(&r->arena, "x-amz-checksum-%.*s", STR_ARG(lower(r, checksum)))).p)
		return req_failf(r, FAIL_NOT_IMPLEMENTED,
				 "Computing a checksum that the source does not have is not implemented by Wick.");
	p->o.etag = from->etag;
	if (!from->n_extents)
		return put_commit(r, p);
	return req_copy_blob(r, from->extents, from->n_extents, 0, from->size, copy_copied);
}

/* ---- Delete ---- */

static enum step_result deleted(struct req *r)
{
	if (r->store_result)
		return s3_fail_store(r, r->store_result);
	jobs_kick(r->g->jobs);
	return req_reply_empty(r, 204);
}

/* An event only tells of what was there. */
static void delete_one(struct req *r, struct store_txn *t, const struct bucket *b, struct str key)
{
	struct object *o;

	if (b->notification.n && store_get_object(store_reader(r->g->store), &r->arena, r->bucket, key, &o) == 0)
		s3_notify(r, t, b, "ObjectRemoved:Delete", o);
	store_delete_object(t, r->bucket, key);
}

enum step_result s3_delete_object(struct req *r)
{
	const struct bucket *b = s3_bucket(r);
	struct store_txn *t;

	if (!b)
		return STEP_MORE;
	if (req_header(r, "if-match").p)
		return req_failf(r, FAIL_NOT_IMPLEMENTED, "A conditional delete is not implemented by Wick.");
	t = store_begin(r->g->store);
	delete_one(r, t, b, r->key);
	return req_commit(r, t, deleted);
}

struct delete_many {
	struct s3_deleted *entries;
	size_t n;
	bool quiet;
};

static enum step_result many_deleted(struct req *r)
{
	struct delete_many *d = s3_call(r)->state;
	struct buf b = BUF_NULL;

	if (r->store_result)
		return s3_fail_store(r, r->store_result);
	jobs_kick(r->g->jobs);
	s3_xml_put_deleted(&b, d->entries, d->n, d->quiet);
	return s3_reply_xml(r, &b);
}

static enum fail why_not_delete(struct req *r, const struct bucket *b, const struct s3_delete_key *k)
{
	if (k->key.n > S3_KEY_MAX)
		return FAIL_KEY_TOO_LONG;
	if (k->version.n && !str_eqz(k->version, "null"))
		return FAIL_NO_SUCH_VERSION;
	return s3_may(r, b, "s3:DeleteObject", k->key) ? FAIL_NONE : FAIL_ACCESS_DENIED;
}

enum step_result s3_delete_objects(struct req *r)
{
	struct delete_many *d = arena_new(&r->arena, struct delete_many);
	const struct bucket *b = s3_bucket(r);
	struct s3_xml_fault fault = {0};
	struct s3_delete doc;
	struct store_txn *t;
	enum s3_xml_error e;

	if (!b)
		return STEP_MORE;
	e = s3_xml_delete(&r->arena, buf_str(&r->body), &doc, &fault);
	if (e)
		return s3_fail_xml(r, e, &fault);
	d->entries = arena_new_n(&r->arena, struct s3_deleted, MAX(doc.n, (size_t)1));
	d->n = doc.n;
	d->quiet = doc.quiet;
	s3_call(r)->state = d;
	t = store_begin(r->g->store);
	for (size_t i = 0; i < doc.n; i++) {
		enum fail f = why_not_delete(r, b, &doc.keys[i]);

		d->entries[i].key = doc.keys[i].key;
		if (f == FAIL_NONE) {
			delete_one(r, t, b, doc.keys[i].key);
			continue;
		}
		d->entries[i].code = str_from(fail_info(f)->s3_code);
		d->entries[i].message = str_from(fail_info(f)->message);
	}
	return req_commit(r, t, many_deleted);
}

/* ---- tags ---- */

enum step_result s3_get_object_tagging(struct req *r)
{
	struct buf b = BUF_NULL;
	struct object *o;
	int e;

	if (!s3_bucket(r))
		return STEP_MORE;
	e = store_get_object(store_reader(r->g->store), &r->arena, r->bucket, r->key, &o);
	if (e)
		return s3_fail_store(r, e);
	s3_xml_put_tagging(&b, o->tags, o->n_tags);
	return s3_reply_xml(r, &b);
}

static enum step_result tags_set(struct req *r)
{
	if (r->store_result)
		return s3_fail_store(r, r->store_result);
	return req_reply_empty(r, str_eqz(r->method, "DELETE") ? 204 : 200);
}

static enum step_result set_tags(struct req *r, const struct kv *tags, size_t n)
{
	struct store_txn *t = store_begin(r->g->store);

	store_set_object_tags(t, r->bucket, r->key, tags, n);
	return req_commit(r, t, tags_set);
}

enum step_result s3_put_object_tagging(struct req *r)
{
	struct s3_xml_fault fault = {0};
	struct s3_tagging tags;
	enum s3_xml_error e;

	if (!s3_bucket(r))
		return STEP_MORE;
	e = s3_xml_tagging(&r->arena, buf_str(&r->body), S3_OBJECT_TAGS_MAX, &tags, &fault);
	if (e)
		return s3_fail_xml(r, e, &fault);
	return set_tags(r, tags.tags, tags.n);
}

enum step_result s3_delete_object_tagging(struct req *r)
{
	return s3_bucket(r) ? set_tags(r, NULL, 0) : STEP_MORE;
}

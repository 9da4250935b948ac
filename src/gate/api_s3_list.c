/* Listings: objects (both versions of the call), multipart uploads, parts. Each reads one page on a pool thread with a
 * reader of its own, so that a long page never holds up the loop; the request sleeps meanwhile and its arena is the
 * work's. A page costs what is on it. */
#include "gate/api_s3.h"

#include "model/limits.h"

/* ---- objects ---- */

struct object_listing {
	struct object_list_query q;
	struct object_list page;
	struct s3_list doc;
	struct s3_owner owner;
	struct arena *arena;
	void (*put)(struct buf *b, const struct s3_list *l);
	bool v2;
	int result;
};

static void read_objects(void *arg, struct store_reader *rd)
{
	struct object_listing *l = arg;

	l->result = store_list_objects(rd, l->arena, &l->q, &l->page);
}

static void fill_entries(struct object_listing *l)
{
	struct s3_list_entry *entries = arena_new_n(l->arena, struct s3_list_entry, MAX(l->page.n_objects, (size_t)1));

	for (size_t i = 0; i < l->page.n_objects; i++) {
		const struct object *o = &l->page.objects[i];

		entries[i] = (struct s3_list_entry){
			.key = o->key,
			.etag = o->etag,
			.size = o->size,
			.modified_ms = o->modified_ms,
			.storage_class = s3_stored_header(o, "x-amz-storage-class"),
		};
	}
	l->doc.entries = entries;
	l->doc.n_entries = l->page.n_objects;
	l->doc.prefixes = l->page.prefixes;
	l->doc.n_prefixes = l->page.n_prefixes;
	l->doc.truncated = l->page.truncated;
}

static struct str make_token(struct arena *a, struct str key)
{
	struct buf b = BUF_NULL;
	struct str ret;

	base64url_encode(&b, key.p, key.n);
	ret = arena_str(a, buf_str(&b));
	buf_done(&b);
	return ret;
}

static enum step_result reply_objects(struct req *r)
{
	struct object_listing *l = s3_call(r)->state;
	struct buf b = BUF_NULL;

	if (l->result)
		return s3_fail_store(r, l->result);
	fill_entries(l);
	if (l->page.truncated && l->v2)
		l->doc.next_token = make_token(l->arena, l->page.next);
	else if (l->page.truncated && l->q.delimiter.n)
		l->doc.next_marker = l->page.next; /* without a delimiter the client takes the last key */
	l->put(&b, &l->doc);
	req_set_header(r, "x-amz-bucket-region", str_from(r->g->conf.s.region));
	return s3_reply_xml(r, &b);
}

/* NULL after req_fail. */
static struct object_listing *begin_objects(struct req *r)
{
	struct object_listing *l = arena_new(&r->arena, struct object_listing);
	uint32_t max;

	s3_call(r)->state = l;
	if (!s3_bucket(r) || !s3_number(r, "max-keys", LIMIT_LIST, LIMIT_LIST, &max) || !s3_encoding(r, &l->doc.url))
		return NULL;
	l->arena = &r->arena;
	l->owner = s3_owner(r);
	l->q = (struct object_list_query){
		.bucket = r->bucket,
		.prefix = req_param(r, "prefix"),
		.delimiter = req_param(r, "delimiter"),
		.max = max,
	};
	l->doc.bucket = r->bucket;
	l->doc.prefix = l->q.prefix;
	l->doc.delimiter = l->q.delimiter;
	l->doc.max_keys = max;
	return l;
}

enum step_result s3_list_v1(struct req *r)
{
	struct object_listing *l = begin_objects(r);

	if (!l)
		return STEP_MORE;
	l->put = s3_xml_put_list_v1;
	l->doc.owner = &l->owner;
	l->doc.marker = l->q.after = req_param(r, "marker");
	return req_read_async(r, read_objects, l, reply_objects);
}

/* False after req_fail. */
static bool read_token(struct req *r, struct object_listing *l)
{
	struct buf b = BUF_NULL;
	bool ok;

	l->doc.token = req_param(r, "continuation-token");
	if (!l->doc.token.p)
		return true;
	ok = l->doc.token.n && base64url_decode(&b, l->doc.token);
	if (ok)
		l->q.after = arena_str(&r->arena, buf_str(&b));
	else
		req_failf(r, FAIL_INVALID_ARGUMENT, "The continuation token provided is incorrect");
	buf_done(&b);
	return ok;
}

enum step_result s3_list_v2(struct req *r)
{
	struct object_listing *l = begin_objects(r);

	if (!l)
		return STEP_MORE;
	if (!str_eqz(req_param(r, "list-type"), "2"))
		return req_failf(r, FAIL_INVALID_ARGUMENT, "Invalid List Type in Request");
	l->v2 = true;
	l->put = s3_xml_put_list_v2;
	if (str_eqz(req_param(r, "fetch-owner"), "true"))
		l->doc.owner = &l->owner;
	l->doc.start_after = l->q.after = req_param(r, "start-after");
	if (!read_token(r, l))
		return STEP_MORE;
	return req_read_async(r, read_objects, l, reply_objects);
}

/* ---- multipart uploads ---- */

struct upload_listing {
	struct upload_list_query q;
	struct upload_list page;
	struct arena *arena;
	bool url;
	int result;
};

static void read_uploads(void *arg, struct store_reader *rd)
{
	struct upload_listing *l = arg;

	l->result = store_list_uploads(rd, l->arena, &l->q, &l->page);
}

static enum step_result reply_uploads(struct req *r)
{
	struct upload_listing *l = s3_call(r)->state;
	struct s3_upload_entry *entries;
	struct buf b = BUF_NULL;
	struct s3_uploads doc;

	if (l->result)
		return s3_fail_store(r, l->result);
	entries = arena_new_n(l->arena, struct s3_upload_entry, MAX(l->page.n_uploads, (size_t)1));
	for (size_t i = 0; i < l->page.n_uploads; i++)
		entries[i] = (struct s3_upload_entry){
			.key = l->page.uploads[i].object.key,
			.upload_id = l->page.uploads[i].id,
			.initiated_ms = l->page.uploads[i].created_ms,
		};
	doc = (struct s3_uploads){
		.bucket = r->bucket,
		.prefix = l->q.prefix,
		.delimiter = l->q.delimiter,
		.owner = s3_owner(r),
		.url = l->url,
		.key_marker = l->q.key_marker,
		.upload_id_marker = l->q.id_marker,
		.next_key_marker = l->page.truncated ? l->page.next_key : STR_NULL,
		.next_upload_id_marker = l->page.truncated ? l->page.next_id : STR_NULL,
		.max_uploads = l->q.max,
		.truncated = l->page.truncated,
		.uploads = entries,
		.n = l->page.n_uploads,
		.prefixes = l->page.prefixes,
		.n_prefixes = l->page.n_prefixes,
	};
	s3_xml_put_uploads(&b, &doc);
	return s3_reply_xml(r, &b);
}

enum step_result s3_list_uploads(struct req *r)
{
	struct upload_listing *l = arena_new(&r->arena, struct upload_listing);
	uint32_t max;

	if (!s3_bucket(r) || !s3_number(r, "max-uploads", LIMIT_LIST, LIMIT_LIST, &max) || !s3_encoding(r, &l->url))
		return STEP_MORE;
	s3_call(r)->state = l;
	l->arena = &r->arena;
	l->q = (struct upload_list_query){
		.bucket = r->bucket,
		.prefix = req_param(r, "prefix"),
		.delimiter = req_param(r, "delimiter"),
		.key_marker = req_param(r, "key-marker"),
		/* Without a key marker it means nothing (Amazon S3 API Reference, ListMultipartUploads). */
		.id_marker = req_param(r, "key-marker").n ? req_param(r, "upload-id-marker") : STR_NULL,
		.max = max,
	};
	return req_read_async(r, read_uploads, l, reply_uploads);
}

/* ---- parts ---- */

struct part_listing {
	struct upload *upload;
	struct upload_part *parts;
	size_t n;
	struct arena *arena;
	uint32_t after, max;
	bool truncated, url;
	int result;
};

static void read_parts(void *arg, struct store_reader *rd)
{
	struct part_listing *l = arg;

	l->result = store_list_parts(rd, l->arena, l->upload->id, l->after, l->max, &l->parts, &l->n, &l->truncated);
}

static enum step_result reply_parts(struct req *r)
{
	struct part_listing *l = s3_call(r)->state;
	struct s3_part_entry *entries;
	struct buf b = BUF_NULL;
	struct s3_parts doc;

	if (l->result)
		return s3_fail_store(r, l->result);
	entries = arena_new_n(l->arena, struct s3_part_entry, MAX(l->n, (size_t)1));
	for (size_t i = 0; i < l->n; i++) {
		struct str kind, value;

		str_cut(l->parts[i].checksum, ':', &kind, &value);
		entries[i] = (struct s3_part_entry){
			.number = l->parts[i].number,
			.etag = l->parts[i].etag,
			.size = l->parts[i].size,
			.modified_ms = l->parts[i].modified_ms,
			.checksum_kind = digest_by_name(kind),
			.checksum = value,
		};
	}
	doc = (struct s3_parts){
		.bucket = r->bucket,
		.key = r->key,
		.upload_id = l->upload->id,
		.owner = s3_owner(r),
		.url = l->url,
		.marker = l->after,
		.next_marker = l->n ? l->parts[l->n - 1].number : 0,
		.max_parts = l->max,
		.truncated = l->truncated,
		.parts = entries,
		.n = l->n,
	};
	s3_xml_put_parts(&b, &doc);
	return s3_reply_xml(r, &b);
}

enum step_result s3_list_parts(struct req *r)
{
	struct part_listing *l = arena_new(&r->arena, struct part_listing);

	if (!s3_bucket(r) || !s3_number(r, "max-parts", LIMIT_LIST, LIMIT_LIST, &l->max) ||
	    !s3_number(r, "part-number-marker", 0, INT32_MAX, &l->after) || !s3_encoding(r, &l->url))
		return STEP_MORE;
	l->upload = s3_upload(r);
	if (!l->upload)
		return STEP_MORE;
	s3_call(r)->state = l;
	l->arena = &r->arena;
	return req_read_async(r, read_parts, l, reply_parts);
}

/* Multipart uploads: an upload is a row with what its object will be, a part is a blob of its own, Complete makes the
 * parts the object's extents without touching their bytes. Judging a Complete (up to 10,000 parts) reads and computes
 * on a pool thread. A Complete whose answer was lost may be sent again: when the object under the key is the one those
 * parts make, the answer is given again. */
#include "gate/api_s3.h"

#include "gate/jobs.h"
#include "model/limits.h"
#include "sys/clock.h"

#define ALGORITHM_HEADER "x-amz-checksum-algorithm"
#define TYPE_HEADER      "x-amz-checksum-type"

/* ---- Create, Abort ---- */

static bool is_crc(enum digest_kind k)
{
	return k == DIGEST_CRC32 || k == DIGEST_CRC32C || k == DIGEST_CRC64NVME;
}

/* Which checksum the object will have; false after req_fail. */
static bool read_algorithm(struct req *r, struct object *o)
{
	struct str name = req_header(r, ALGORITHM_HEADER), type = req_header(r, TYPE_HEADER);
	enum digest_kind kind;
	bool full;

	if (!name.n)
		return true;
	kind = digest_by_name(name);
	if (!s3_checksum_header(kind)) {
		req_failf(r, FAIL_INVALID_REQUEST,
			  "Checksum algorithm provided is unsupported. Please try again with any "
			  "of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]");
		return false;
	}
	full = type.n ? str_ieq(type, STR("FULL_OBJECT")) : kind == DIGEST_CRC64NVME;
	if ((type.n && !full && !str_ieq(type, STR("COMPOSITE"))) || (full && !is_crc(kind)) ||
	    (!full && kind == DIGEST_CRC64NVME)) {
		req_failf(r, FAIL_INVALID_REQUEST,
			  "The %.*s checksum type cannot be used with the %s checksum algorithm.", STR_ARG(type),
			  digest_name(kind));
		return false;
	}
	s3_add_header(r, o, STR(ALGORITHM_HEADER), str_from(digest_name(kind)));
	s3_add_header(r, o, STR(TYPE_HEADER), full ? STR("FULL_OBJECT") : STR("COMPOSITE"));
	return true;
}

static enum step_result upload_created(struct req *r)
{
	struct upload *u = s3_call(r)->state;
	struct buf b = BUF_NULL;

	if (r->store_result)
		return s3_fail_store(r, r->store_result);
	if (s3_stored_header(&u->object, ALGORITHM_HEADER).n) {
		req_set_header(r, ALGORITHM_HEADER, s3_stored_header(&u->object, ALGORITHM_HEADER));
		req_set_header(r, TYPE_HEADER, s3_stored_header(&u->object, TYPE_HEADER));
	}
	s3_xml_put_initiate(&b, r->bucket, r->key, u->id);
	return s3_reply_xml(r, &b);
}

enum step_result s3_create_upload(struct req *r)
{
	struct upload *u = arena_new(&r->arena, struct upload);
	struct buf id = BUF_NULL;
	struct store_txn *t;
	uint8_t random[16];

	if (!s3_bucket(r) || !s3_read_headers(r, &u->object) || !read_algorithm(r, &u->object))
		return STEP_MORE;
	random_bytes(random, sizeof(random));
	base64url_encode(&id, random, sizeof(random));
	u->id = arena_str(&r->arena, buf_str(&id));
	buf_done(&id);
	u->object.bucket = r->bucket;
	u->object.key = r->key;
	u->created_ms = r->now_ms;
	s3_call(r)->state = u;
	t = store_begin(r->g->store);
	store_put_upload(t, u);
	return req_commit(r, t, upload_created);
}

struct upload *s3_upload(struct req *r)
{
	struct upload *u;
	int e = store_get_upload(store_reader(r->g->store), &r->arena, req_param(r, "uploadId"), &u);

	if (!e && (!str_eq(u->object.bucket, r->bucket) || !str_eq(u->object.key, r->key)))
		e = STORE_E_MISSING;
	if (!e)
		return u;
	s3_fail_store(r, e);
	return NULL;
}

static enum step_result upload_aborted(struct req *r)
{
	if (r->store_result)
		return s3_fail_store(r, r->store_result);
	return req_reply_empty(r, 204);
}

enum step_result s3_abort_upload(struct req *r)
{
	const struct upload *u = s3_bucket(r) ? s3_upload(r) : NULL;
	struct store_txn *t;

	if (!u)
		return STEP_MORE;
	t = store_begin(r->g->store);
	store_delete_upload(t, u->id);
	return req_commit(r, t, upload_aborted);
}

/* ---- UploadPart, UploadPartCopy ---- */

struct part_put {
	const struct upload *upload;
	struct upload_part part;
	enum digest_kind kind; /* of its checksum */
	struct str source_etag;
	bool copied;
};

/* NULL after req_fail. */
static struct part_put *begin_part(struct req *r)
{
	struct part_put *p = arena_new(&r->arena, struct part_put);
	struct str number = req_param(r, "partNumber");
	uint64_t n;

	s3_call(r)->state = p;
	if (!str_to_u64(number, &n) || n < 1 || n > S3_PARTS_MAX) {
		req_failf(r, FAIL_INVALID_ARGUMENT, "Part number must be an integer between 1 and 10000, inclusive");
		s3_error_extra(r, "ArgumentName", STR("partNumber"));
		s3_error_extra(r, "ArgumentValue", number);
		return NULL;
	}
	p->part.number = (uint32_t)n;
	if (!s3_bucket(r) || !(p->upload = s3_upload(r)) || s3_refuse_unbuilt_headers(r))
		return NULL;
	return p;
}

static enum step_result part_committed(struct req *r)
{
	struct part_put *p = s3_call(r)->state;
	struct buf b = BUF_NULL;

	if (r->store_result) {
		s3_drop_blob(r, p->part.blob);
		return s3_fail_store(r, r->store_result);
	}
	blob_settle(r->g->blobs, p->part.blob);
	if (p->copied) {
		s3_xml_put_copy_part(&b, p->part.etag, p->part.modified_ms);
		return s3_reply_xml(r, &b);
	}
	s3_set_etag(r, p->part.etag);
	if (p->part.checksum.n)
		req_set_header(r, s3_checksum_header(p->kind), str_from(r->blob.checksum));
	return req_reply_empty(r, 200);
}

static enum step_result part_stored(struct req *r)
{
	struct part_put *p = s3_call(r)->state;
	struct store_txn *t;

	if (r->blob_result)
		return req_fail_body(r, r->blob_result);
	p->part.size = r->blob.size;
	p->part.modified_ms = r->now_ms;
	p->part.blob = str_from(r->blob.id);
	if (r->blob.md5[0])
		p->part.etag = str_from(r->blob.md5);
	else /* copied by a link, unread; a part's etag has 16 bytes, which the object's is made of */
		p->part.etag = str_sub(p->source_etag, 0, 2 * MD5_SIZE);
	if (!p->copied && s3_checksum_header(p->kind) && r->blob.checksum[0])
		p->part.checksum = str_from(arena_printf(&r->arena, "%s:%s", digest_name(p->kind), r->blob.checksum));
	t = store_begin(r->g->store);
	store_put_part(t, p->upload->id, &p->part);
	return req_commit(r, t, part_committed);
}

enum step_result s3_upload_part(struct req *r)
{
	struct part_put *p = begin_part(r);
	struct str want;

	if (!p)
		return STEP_MORE;
	p->kind = s3_checksum_kind(r);
	want = s3_stored_header(&p->upload->object, ALGORITHM_HEADER);
	if (want.n && digest_by_name(want) != p->kind)
		return req_failf(
			r, FAIL_INVALID_REQUEST,
			"Checksum Type mismatch occurred, expected checksum Type: %.*s, actual checksum Type: %s",
			STR_ARG(want), p->kind == DIGEST_NONE ? "null" : digest_name(p->kind));
	return req_stream_to_blob(r, part_stored);
}

enum step_result s3_upload_part_copy(struct req *r)
{
	struct str range = req_header(r, "x-amz-copy-source-range");
	struct part_put *p = begin_part(r);
	uint64_t offset = 0, length;
	struct object *from;

	if (!p || !(from = s3_copy_source(r)))
		return STEP_MORE;
	p->copied = true;
	p->source_etag = from->etag;
	length = from->size;
	if (range.p) {
		struct str first, last;
		uint64_t end;

		if (s3_parse_range(range, from->size, &offset, &length) != S3_RANGE_OK ||
		    !str_cut(str_sub(range, 6, range.n), '-', &first, &last) || !str_to_u64(last, &end))
			return req_failf(
				r, FAIL_INVALID_ARGUMENT,
				"The x-amz-copy-source-range value must be of the form bytes=first-last where "
				"first and last are the zero-based offsets of the first and last bytes to copy");
		if (end >= from->size)
			return req_failf(r, FAIL_INVALID_ARGUMENT,
					 "Range specified is not valid for source object of size: %llu",
					 (unsigned long long)from->size);
	}
	if (length > LIMIT_PUT)
		return req_failf(
			r, FAIL_INVALID_REQUEST,
			"The specified copy source is larger than the maximum allowable size for a copy source: "
			"%llu",
			LIMIT_PUT);
	if (!length)
		return req_put_blob(r, STR(""), part_stored);
	return req_copy_blob(r, from->extents, from->n_extents, offset, length, part_stored);
}

/* ---- checksums of a whole made of its parts' ---- */

/* CRCs of two runs give the CRC of both: appending n zero bytes to the first is a linear map over GF(2). The map for
 * one length is kept, since parts are of equal size. */
struct crc_joiner {
	uint64_t map[64];
	uint64_t length;
	unsigned bits;
	uint64_t polynomial; /* reflected */
};

static struct crc_joiner crc_joiner(enum digest_kind k)
{
	struct crc_joiner j = {.bits = 32};

	if (k == DIGEST_CRC32)
		j.polynomial = 0xedb88320u;
	else if (k == DIGEST_CRC32C)
		j.polynomial = 0x82f63b78u;
	else
		j = (struct crc_joiner){.bits = 64, .polynomial = 0x9a6c9329ac4bc9b5ull};
	return j;
}

static uint64_t map_apply(const uint64_t map[static 64], uint64_t v)
{
	uint64_t sum = 0;

	for (unsigned i = 0; v; v >>= 1, i++)
		if (v & 1)
			sum ^= map[i];
	return sum;
}

static void map_then(uint64_t map[static 64], const uint64_t next[static 64])
{
	for (unsigned i = 0; i < 64; i++)
		map[i] = map_apply(next, map[i]);
}

static void map_for_length(struct crc_joiner *j, uint64_t length)
{
	uint64_t step[64] = {0}, copy[64];

	/* One zero bit, then squared to a byte, then by the bits of length. */
	step[0] = j->polynomial;
	for (unsigned i = 1; i < j->bits; i++)
		step[i] = 1ull << (i - 1);
	for (unsigned i = 0; i < 64; i++)
		j->map[i] = 1ull << i;
	for (uint64_t n = length * 8; n; n >>= 1) {
		if (n & 1)
			map_then(j->map, step);
		memcpy(copy, step, sizeof(copy));
		map_then(step, copy);
	}
	j->length = length;
}

static uint64_t crc_join(struct crc_joiner *j, uint64_t first, uint64_t second, uint64_t second_length)
{
	if (!j->length || j->length != second_length)
		map_for_length(j, second_length);
	return map_apply(j->map, first) ^ second;
}

/* ---- Complete ---- */

struct completion {
	struct arena *arena;
	const struct upload *upload; /* NULL: over already */
	struct s3_complete doc;
	struct object o;
	struct object_condition cond;
	enum digest_kind kind;
	bool full; /* FULL_OBJECT */
	struct str checksum;
	bool notified;

	/* What the pool thread found. */
	int result;
	enum fail fail;
	struct str fail_message;
	const struct upload_part *small;
};

static const struct upload_part *find_part(const struct upload_part *parts, size_t n, uint32_t number)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (parts[mid].number == number)
			return &parts[mid];
		if (parts[mid].number < number)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static bool part_matches(const struct upload_part *p, const struct s3_complete_part *asked)
{
	struct str kind, value;

	if (!str_eq(p->etag, asked->etag))
		return false;
	if (asked->checksum_kind == DIGEST_NONE || !p->checksum.n)
		return true;
	str_cut(p->checksum, ':', &kind, &value);
	return digest_by_name(kind) == asked->checksum_kind && str_eq(value, asked->checksum);
}

/* md5 of the parts' md5s; false when an etag is none. */
static bool make_etag(struct completion *c)
{
	uint8_t sum[DIGEST_MAX_SIZE];
	char hex[2 * MD5_SIZE + 1];
	struct digest d;

	digest_init(&d, DIGEST_MD5);
	for (size_t i = 0; i < c->doc.n; i++) {
		uint8_t md5[MD5_SIZE];

		if (!hex_decode(c->doc.parts[i].etag, md5, sizeof(md5)))
			return false;
		digest_update(&d, md5, sizeof(md5));
	}
	digest_final(&d, sum);
	hex_encode(sum, MD5_SIZE, hex);
	c->o.etag = str_from(arena_printf(c->arena, "%s-%zu", hex, c->doc.n));
	return true;
}

static uint64_t from_big_endian(const char *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | (uint8_t)p[i];
	return v;
}

/* The object's checksum from its parts'; none when a part has none (one that was copied). */
static void make_checksum(struct completion *c, const struct upload_part *const *parts)
{
	struct crc_joiner joiner = crc_joiner(c->kind);
	uint8_t sum[DIGEST_MAX_SIZE];
	struct buf raw = BUF_NULL, text = BUF_NULL;
	uint64_t crc = 0;
	struct digest d;
	size_t n;

	digest_init(&d, c->kind);
	for (size_t i = 0; i < c->doc.n; i++) {
		struct str kind, value;

		buf_clear(&raw);
		str_cut(parts[i]->checksum, ':', &kind, &value);
		if (digest_by_name(kind) != c->kind || !base64_decode(&raw, value)) {
			buf_done(&raw);
			return;
		}
		if (c->full)
			crc = crc_join(&joiner, crc, from_big_endian(raw.p, raw.n), parts[i]->size);
		else
			digest_update(&d, raw.p, raw.n);
	}
	n = c->full ? joiner.bits / 8 : digest_final(&d, sum);
	for (size_t i = 0; c->full && i < n; i++)
		sum[i] = (uint8_t)(crc >> (8 * (n - 1 - i)));
	base64_encode(&text, sum, n);
	if (!c->full)
		buf_printf(&text, "-%zu", c->doc.n);
	c->checksum = arena_str(c->arena, buf_str(&text));
	buf_done(&text);
	buf_done(&raw);
}

static void judge(struct completion *c, const struct upload_part *parts, size_t n)
{
	const struct upload_part **chosen = arena_new_n(c->arena, const struct upload_part *, c->doc.n);

	c->o.extents = arena_new_n(c->arena, struct extent, c->doc.n);
	c->o.parts = (uint32_t)c->doc.n;
	for (size_t i = 0; i < c->doc.n; i++) {
		const struct upload_part *p = find_part(parts, n, c->doc.parts[i].number);

		if (!p || !part_matches(p, &c->doc.parts[i])) {
			c->fail = FAIL_INVALID_PART;
			return;
		}
		if (p->size < LIMIT_PART_MIN && i + 1 < c->doc.n) {
			c->fail = FAIL_TOO_SMALL;
			c->small = p;
			return;
		}
		chosen[i] = p;
		c->o.size += p->size;
		if (p->size)
			c->o.extents[c->o.n_extents++] = (struct extent){.blob = p->blob, .size = p->size};
	}
	if (c->o.size > LIMIT_OBJECT)
		c->fail = FAIL_TOO_LARGE;
	else if (!make_etag(c))
		c->fail = FAIL_INVALID_PART;
	else if (c->kind != DIGEST_NONE)
		make_checksum(c, chosen);
}

static void read_and_judge(void *arg, struct store_reader *rd)
{
	struct completion *c = arg;
	struct upload_part *parts;
	bool truncated;
	size_t n;

	c->result = store_list_parts(rd, c->arena, c->upload->id, 0, S3_PARTS_MAX, &parts, &n, &truncated);
	if (!c->result)
		judge(c, parts, n);
}

static enum step_result reply_completed(struct req *r, struct completion *c)
{
	struct str host = req_header(r, "host");
	struct buf b = BUF_NULL, location = BUF_NULL;

	buf_printf(&location, "http://%.*s", STR_ARG(host));
	if (str_starts(r->path, STR("/")))
		buf_add_str(&location, r->path);
	s3_xml_put_complete(&b, buf_str(&location), r->bucket, r->key, c->o.etag, c->checksum.n ? c->kind : DIGEST_NONE,
			    c->checksum);
	buf_done(&location);
	return s3_reply_xml(r, &b);
}

static enum step_result completed(struct req *r)
{
	struct completion *c = s3_call(r)->state;

	if (r->store_result)
		return s3_fail_store(r, r->store_result);
	if (c->notified)
		jobs_kick(r->g->jobs);
	return reply_completed(r, c);
}

static enum step_result fail_judged(struct req *r, const struct completion *c)
{
	if (c->result)
		return s3_fail_store(r, c->result);
	req_fail(r, c->fail);
	if (c->small) {
		s3_error_extra(r, "ProposedSize",
			       str_from(arena_printf(&r->arena, "%llu", (unsigned long long)c->small->size)));
		s3_error_extra(r, "MinSizeAllowed", str_from(arena_printf(&r->arena, "%llu", LIMIT_PART_MIN)));
		s3_error_extra(r, "PartNumber", str_from(arena_printf(&r->arena, "%u", c->small->number)));
		s3_error_extra(r, "ETag", c->small->etag);
	}
	return STEP_MORE;
}

/* What the client believes of the whole; false after req_fail. */
static bool announced_holds(struct req *r, const struct completion *c)
{
	struct str size = req_header(r, "x-amz-mp-object-size"), sum = STR_NULL;
	uint64_t n;

	if (size.p && (!str_to_u64(size, &n) || n != c->o.size)) {
		req_failf(r, FAIL_INVALID_REQUEST,
			  "The provided 'x-amz-mp-object-size' header value does not match what was computed.");
		return false;
	}
	if (c->checksum.n)
		sum = req_header(r, s3_checksum_header(c->kind));
	if (!sum.n || str_eq(sum, c->checksum))
		return true;
	req_fail(r, FAIL_BAD_DIGEST);
	return false;
}

static enum step_result judged(struct req *r)
{
	struct completion *c = s3_call(r)->state;
	struct store_txn *t;

	if (c->result || c->fail)
		return fail_judged(r, c);
	if (!announced_holds(r, c))
		return STEP_MORE;
	c->o.modified_ms = r->now_ms;
	if (c->checksum.n) {
		s3_add_header(r, &c->o, str_from(s3_checksum_header(c->kind)), c->checksum);
		s3_add_header(r, &c->o, STR(TYPE_HEADER), c->full ? STR("FULL_OBJECT") : STR("COMPOSITE"));
	}
	t = store_begin(r->g->store);
	store_complete_upload(t, c->upload->id, &c->o, &c->cond);
	c->notified = s3_notify(r, t, s3_call(r)->bucket, "ObjectCreated:CompleteMultipartUpload", &c->o) > 0;
	return req_commit(r, t, completed);
}

/* The upload is gone: was it this very call that ended it? */
static enum step_result complete_again(struct req *r, struct completion *c)
{
	struct object *o;

	if (!make_etag(c) || store_get_object(store_reader(r->g->store), &r->arena, r->bucket, r->key, &o) != 0 ||
	    !str_eq(o->etag, c->o.etag))
		return req_fail(r, FAIL_NO_SUCH_UPLOAD);
	return reply_completed(r, c);
}

static void begin_object(struct req *r, struct completion *c)
{
	const struct object *from = &c->upload->object;

	c->o = *from;
	c->o.headers = arena_new_n(&r->arena, struct kv, from->n_headers + 2);
	c->o.n_headers = 0;
	for (size_t i = 0; i < from->n_headers; i++)
		if (!str_eqz(from->headers[i].k, ALGORITHM_HEADER) && !str_eqz(from->headers[i].k, TYPE_HEADER))
			c->o.headers[c->o.n_headers++] = from->headers[i];
	c->kind = digest_by_name(s3_stored_header(from, ALGORITHM_HEADER));
	c->full = str_eqz(s3_stored_header(from, TYPE_HEADER), "FULL_OBJECT");
}

enum step_result s3_complete_upload(struct req *r)
{
	struct completion *c = arena_new(&r->arena, struct completion);
	struct s3_xml_fault fault = {0};
	enum s3_xml_error e;

	s3_call(r)->state = c;
	c->arena = &r->arena;
	if (!s3_bucket(r) || !s3_read_put_conditions(r, &c->cond))
		return STEP_MORE;
	e = s3_xml_complete(&r->arena, buf_str(&r->body), &c->doc, &fault);
	if (e)
		return s3_fail_xml(r, e, &fault);
	c->upload = s3_upload(r);
	if (!c->upload)
		return r->fail == FAIL_NO_SUCH_UPLOAD ? (r->fail = FAIL_NONE, complete_again(r, c)) : STEP_MORE;
	begin_object(r, c);
	return req_read_async(r, read_and_judge, c, judged);
}

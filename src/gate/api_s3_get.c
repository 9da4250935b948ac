/* GetObject and HeadObject: conditions, ranges, parts, and the bytes.
 *
 * The body of an object in one piece goes out by sendfile, one of many pieces is pulled from a reader; nothing of it is
 * held in memory. An object in one piece that is replaced while it is read stays whole for that reader: the open file
 * outlives its name, and nothing runs between looking the object up and opening it. One of many pieces opens them as it
 * goes; when they are reaped under it the connection is cut, so that the client notices. */
#include "gate/api_s3.h"
#include "gate/objects.h"

#include "base/time.h"

#include <errno.h>

/* ---- conditions ---- */

static bool etag_listed(struct str list, struct str etag)
{
	struct str one;

	while (list.n) {
		str_cut(list, ',', &one, &list);
		one = str_trim(one);
		if (str_starts(one, STR("W/")))
			one = str_sub(one, 2, one.n);
		if (str_eqz(one, "*") || str_eq(s3_unquote(one), etag))
			return true;
	}
	return false;
}

/* An unreadable date is as good as none (RFC 9110, 13.1.3). */
static bool modified_after(struct str date, int64_t modified_ms, bool *readable)
{
	int64_t s;

	*readable = date.p && time_parse_http(date, &s);
	return *readable && modified_ms / 1000 > s;
}

enum s3_condition_result s3_check_conditions(const struct s3_conditions *c, struct str etag, int64_t modified_ms)
{
	bool readable, after;

	if (c->if_match.p) {
		if (!etag_listed(c->if_match, etag))
			return S3_CONDITION_FAILED;
	} else if (modified_after(c->if_unmodified_since, modified_ms, &readable)) {
		return S3_CONDITION_FAILED;
	}
	if (c->if_none_match.p)
		return etag_listed(c->if_none_match, etag) ? S3_CONDITION_NOT_MODIFIED : S3_CONDITION_GO;
	after = modified_after(c->if_modified_since, modified_ms, &readable);
	return readable && !after ? S3_CONDITION_NOT_MODIFIED : S3_CONDITION_GO;
}

/* ---- ranges ---- */

enum s3_range_result s3_parse_range(struct str s, uint64_t size, uint64_t *offset, uint64_t *length)
{
	struct str from, to;
	uint64_t a, b = UINT64_MAX;

	s = str_trim(s);
	if (!str_istarts(s, STR("bytes=")))
		return S3_RANGE_NONE;
	s = str_trim(str_sub(s, 6, s.n));
	if (str_chr(s, ',', 0) >= 0 || !str_cut(s, '-', &from, &to))
		return S3_RANGE_NONE;
	if (!from.n) {
		if (!str_to_u64(to, &b))
			return S3_RANGE_NONE;
		if (!b || !size)
			return S3_RANGE_UNSATISFIABLE;
		*length = MIN(b, size);
		*offset = size - *length;
		return S3_RANGE_OK;
	}
	if (!str_to_u64(from, &a) || (to.n && !str_to_u64(to, &b)) || a > b)
		return S3_RANGE_NONE;
	if (a >= size)
		return S3_RANGE_UNSATISFIABLE;
	*offset = a;
	*length = MIN(b, size - 1) - a + 1;
	return S3_RANGE_OK;
}

/* The piece of the object that is asked for. */
struct piece {
	uint64_t offset, length;
	bool partial;
	bool of_part;
};

static enum step_result unsatisfiable(struct req *r, const struct object *o, struct str range)
{
	req_fail(r, FAIL_INVALID_RANGE);
	s3_error_extra(r, "RangeRequested", range);
	s3_error_extra(r, "ActualObjectSize", str_from(arena_printf(&r->arena, "%llu", (unsigned long long)o->size)));
	s3_call(r)->content_range = str_from(arena_printf(&r->arena, "bytes */%llu", (unsigned long long)o->size));
	return STEP_MORE;
}

/* False after req_fail. An object that was not uploaded in parts is its own part 1. */
static bool find_part(struct req *r, const struct object *o, struct str number, struct piece *p)
{
	uint64_t n;

	if (!str_to_u64(number, &n) || n < 1 || n > S3_PARTS_MAX) {
		req_failf(r, FAIL_INVALID_ARGUMENT, "Part number must be an integer between 1 and 10000, inclusive");
		return false;
	}
	p->of_part = true;
	if (!o->parts) {
		if (n == 1) {
			p->partial = o->size > 0;
			return true;
		}
	} else if (n <= o->n_extents) {
		p->partial = true;
		for (uint64_t i = 0; i + 1 < n; i++)
			p->offset += o->extents[i].size;
		p->length = o->extents[n - 1].size;
		return true;
	}
	req_fail(r, FAIL_INVALID_PART_NUMBER);
	return false;
}

/* If-Range: the range counts only while the object is still the one the client has a piece of. */
static bool range_counts(struct req *r, const struct object *o)
{
	struct str s = str_trim(req_header(r, "if-range"));
	int64_t at;

	if (!s.n)
		return true;
	if (time_parse_http(s, &at))
		return o->modified_ms / 1000 == at;
	return str_eq(s3_unquote(s), o->etag);
}

/* False after req_fail. */
static bool find_piece(struct req *r, const struct object *o, struct piece *p)
{
	struct str range = req_header(r, "range"), part = req_param(r, "partNumber");

	*p = (struct piece){.length = o->size};
	if (range.p && part.p) {
		req_failf(r, FAIL_INVALID_REQUEST, "Cannot specify both Range header and partNumber query parameter");
		return false;
	}
	if (part.p)
		return find_part(r, o, part, p);
	if (!range.p || !range_counts(r, o))
		return true;
	switch (s3_parse_range(range, o->size, &p->offset, &p->length)) {
	case S3_RANGE_NONE:
		return true;
	case S3_RANGE_OK:
		p->partial = true;
		return true;
	case S3_RANGE_UNSATISFIABLE:
		unsatisfiable(r, o, range);
		return false;
	}
	return false;
}

/* ---- headers ---- */

static const struct {
	const char *param, *header;
} overrides[] = {
	{"response-content-type", "content-type"},
	{"response-content-language", "content-language"},
	{"response-expires", "expires"},
	{"response-cache-control", "cache-control"},
	{"response-content-disposition", "content-disposition"},
	{"response-content-encoding", "content-encoding"},
};

static bool is_header_value(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (((uint8_t)s.p[i] < 0x20 && s.p[i] != '\t') || s.p[i] == 0x7f)
			return false;
	return true;
}

/* False after req_fail. */
static bool overrides_allowed(struct req *r)
{
	for (size_t i = 0; i < ARRAY_SIZE(overrides); i++) {
		struct str value = req_param(r, overrides[i].param);

		if (!value.n)
			continue;
		if (r->who.kind == PRINCIPAL_ANONYMOUS) {
			req_failf(r, FAIL_INVALID_REQUEST,
				  "Request specific response headers cannot be used for anonymous GET requests.");
			return false;
		}
		if (!is_header_value(value)) {
			req_failf(r, FAIL_INVALID_ARGUMENT,
				  "Header value cannot be represented using ISO-8859-1 "
				  "without control characters");
			s3_error_extra(r, "ArgumentName", str_from(overrides[i].param));
			return false;
		}
	}
	return true;
}

static struct str overridden(struct req *r, struct str header)
{
	for (size_t i = 0; i < ARRAY_SIZE(overrides); i++)
		if (str_eqz(header, overrides[i].header))
			return req_param(r, overrides[i].param);
	return STR_NULL;
}

static void set_stored(struct req *r, const struct object *o, bool checksums)
{
	struct str type = o->content_type.n ? o->content_type : STR("binary/octet-stream");
	struct str asked = overridden(r, STR("content-type"));

	req_set_header(r, "Content-Type", asked.n ? asked : type);
	for (size_t i = 0; i < o->n_headers; i++) {
		const struct kv *h = &o->headers[i];

		if (str_starts(h->k, STR("x-amz-checksum-")) && !checksums)
			continue;
		if (!overridden(r, h->k).n)
			req_set_header(r, arena_dup(&r->arena, h->k), h->v);
	}
	for (size_t i = 1; i < ARRAY_SIZE(overrides); i++)
		if (req_param(r, overrides[i].param).n)
			req_set_header(r, overrides[i].header, req_param(r, overrides[i].param));
	if (o->n_tags)
		req_set_headerf(r, "x-amz-tagging-count", "%zu", o->n_tags);
}

static void set_headers(struct req *r, const struct object *o, const struct piece *p)
{
	bool checksums = str_ieq(req_header(r, "x-amz-checksum-mode"), STR("ENABLED")) && p->length == o->size;

	s3_set_etag(r, o->etag);
	s3_set_time(r, "Last-Modified", o->modified_ms);
	req_set_header(r, "Accept-Ranges", STR("bytes"));
	set_stored(r, o, checksums);
	if (p->of_part && o->parts)
		req_set_headerf(r, "x-amz-mp-parts-count", "%u", o->parts);
	if (p->partial)
		req_set_headerf(r, "Content-Range", "bytes %llu-%llu/%llu", (unsigned long long)p->offset,
				(unsigned long long)(p->offset + p->length - 1), (unsigned long long)o->size);
}

/* ---- bytes ---- */

static ssize_t pull(void *arg, uint8_t *p, size_t cap)
{
	ssize_t n = blob_read(arg, p, cap);

	if (n > 0)
		return n;
	return n == 0 ? HTTP_PULL_END : HTTP_PULL_ERROR;
}

static void pull_free(void *arg)
{
	blob_reader_free(arg);
}

/* The bytes [offset, offset + length) of an object as a reply's body; 0 or -errno. */
static int open_bytes(struct req *r, const struct object *o, uint64_t offset, uint64_t length, struct http_body *ret)
{
	int fd;

	if (!length) {
		*ret = (struct http_body){.kind = HTTP_BODY_BYTES};
		return 0;
	}
	if (o->n_extents > 1) {
		*ret = (struct http_body){
			.kind = HTTP_BODY_PULL,
			.length = length,
			.pull = pull,
			.pull_free = pull_free,
			.pull_arg = blob_reader_new(r->g->blobs, o->extents, o->n_extents, offset, length)};
		return 0;
	}
	fd = blob_open_fd(r->g->blobs, o->extents[0].blob);
	if (fd < 0)
		return fd;
	*ret = (struct http_body){.kind = HTTP_BODY_FD, .fd = fd, .offset = offset, .length = length};
	return 0;
}

static ssize_t pull_nothing(void *arg, uint8_t *p, size_t cap)
{
	(void)arg, (void)p, (void)cap;
	return HTTP_PULL_END;
}

/* HEAD tells the length of a body that nobody opens. */
static struct http_body no_bytes(uint64_t length)
{
	if (!length)
		return (struct http_body){.kind = HTTP_BODY_BYTES};
	return (struct http_body){.kind = HTTP_BODY_PULL, .length = length, .pull = pull_nothing};
}

/* ---- the two operations ---- */

/* Who may not list a bucket is not told which of its keys are missing. */
static enum step_result not_there(struct req *r, int e)
{
	if (e == STORE_E_NO_OBJECT) {
		const struct bucket *b = s3_bucket(r);

		if (!b)
			return STEP_MORE;
		if (!s3_may(r, b, "s3:ListBucket", STR_NULL))
			return req_fail(r, FAIL_ACCESS_DENIED);
	}
	return s3_fail_store(r, e);
}

static enum step_result reply_not_modified(struct req *r, const struct object *o)
{
	static const char *const kept[] = {"cache-control", "expires"};

	s3_set_etag(r, o->etag);
	s3_set_time(r, "Last-Modified", o->modified_ms);
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		if (s3_stored_header(o, kept[i]).n)
			req_set_header(r, kept[i], s3_stored_header(o, kept[i]));
	req_reply_empty(r, 304);
	r->reply_body = no_bytes(o->size); /* a 304 tells the length of what it does not send */
	return STEP_MORE;
}

static const char *failed_condition(struct req *r)
{
	return req_header(r, "if-match").p ? "If-Match" : "If-Unmodified-Since";
}

static enum step_result reply_object(struct req *r, bool head)
{
	struct s3_conditions c = {
		.if_match = req_header(r, "if-match"),
		.if_none_match = req_header(r, "if-none-match"),
		.if_modified_since = req_header(r, "if-modified-since"),
		.if_unmodified_since = req_header(r, "if-unmodified-since"),
	};
	const struct object *o;
	struct str bytes;
	struct piece p;
	int e;

	if (req_header(r, "x-amz-expected-bucket-owner").p && !s3_bucket(r))
		return STEP_MORE;
	e = objects_get(r->g, &r->arena, r->bucket, r->key, &o, &bytes);
	if (e)
		return not_there(r, e);
	switch (s3_check_conditions(&c, o->etag, o->modified_ms)) {
	case S3_CONDITION_GO:
		break;
	case S3_CONDITION_FAILED:
		req_fail(r, FAIL_PRECONDITION);
		s3_error_extra(r, "Condition", str_from(failed_condition(r)));
		return STEP_MORE;
	case S3_CONDITION_NOT_MODIFIED:
		return reply_not_modified(r, o);
	}
	if (!find_piece(r, o, &p) || !overrides_allowed(r))
		return STEP_MORE;
	if (head) {
		r->reply_body = no_bytes(p.length);
	} else if (bytes.p) {
		r->reply_body = (struct http_body){.kind = HTTP_BODY_BYTES};
		buf_add_str(&r->reply_body.bytes, str_sub(bytes, p.offset, p.length));
	} else {
		e = open_bytes(r, o, p.offset, p.length, &r->reply_body);
		if (e)
			return req_fail_errno(r, e);
	}
	set_headers(r, o, &p);
	r->status = p.partial ? 206 : 200;
	return STEP_MORE;
}

enum step_result s3_get_object(struct req *r)
{
	return reply_object(r, false);
}

enum step_result s3_head_object(struct req *r)
{
	return reply_object(r, true);
}

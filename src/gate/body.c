/* Bodies. The filter (wire/sigv4_chunk.h) stands between the bytes of the wire and the operation: it undoes
 * aws-chunked coding and checks hashes, signatures and checksums, so that an operation sees clean bytes or a refusal.
 * A buffered body is held by the request and bounded by its operation; a streamed one is held by the blob writer. */
#include "gate/body.h"

#include "base/mem.h"
#include "gate/api.h"
#include "gate/auth.h"
#include "gate/flow.h"
#include "gate/gate.h"
#include "gate/stream.h"
#include "model/limits.h"

#include <assert.h>

#define STRAY_BODY_MAX 65536 /* tolerated where none is expected: some clients send an empty document */

static size_t body_limit(const struct req *r)
{
	if (r->op && r->op->body == REQ_BODY_BUFFER)
		return r->op->body_max;
	return STRAY_BODY_MAX;
}

size_t body_take(struct req *r, const uint8_t *p, size_t n)
{
	if (stream_takes_body(r) && !r->fail && !r->cut)
		return stream_take(r->inv->stream, str_n(p, n));
	if (r->replied || r->fail || r->cut)
		return n; /* the answer is on its way; the rest is read and dropped */
	if (r->writer)
		return blob_write(r->writer, p, n, (void (*)(void *))http_exchange_resume, r->ex);
	if (r->op && r->op->body == REQ_BODY_STREAM)
		return 0; /* the operation has not said yet where it goes; who takes it resumes */
	if (n > body_limit(r) - MIN(r->body.n, body_limit(r))) {
		buf_done(&r->body);
		req_failf(r, FAIL_TOO_LARGE, "Request must be smaller than %zu bytes for the %s operation",
			  body_limit(r), r->op ? r->op->name : "requested");
		req_continue(r);
		return n;
	}
	buf_add(&r->body, p, n);
	return n;
}

void body_over(struct req *r)
{
	r->body_ended = true;
	if (r->writer)
		req_finish_blob(r);
	else if (stream_takes_body(r))
		stream_body_over(r->inv->stream);
	else
		req_continue(r);
}

/* ---- what the headers announce ---- */

static bool is_hex64(struct str s)
{
	uint8_t bytes[SHA256_SIZE];

	return hex_decode(s, bytes, sizeof(bytes));
}

static const struct {
	const char *name;
	enum body_form form;
	bool trailer;
} forms[] = {
	{"STREAMING-AWS4-HMAC-SHA256-PAYLOAD", BODY_CHUNKED_SIGNED, false},
	{"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", BODY_CHUNKED_SIGNED_TRAILER, true},
	{"STREAMING-UNSIGNED-PAYLOAD-TRAILER", BODY_CHUNKED_UNSIGNED_TRAILER, true},
};

static enum step_result read_form(struct req *r, struct body_filter_conf *c)
{
	struct str h = r->auth.payload_hash;

	c->form = BODY_PLAIN;
	if (!h.p || str_eq(h, STR("UNSIGNED-PAYLOAD")))
		return STEP_MORE;
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++)
		if (str_eqz(h, forms[i].name))
			c->form = forms[i].form;
	if (c->form != BODY_PLAIN)
		return STEP_MORE;
	if (!is_hex64(h))
		return req_failf(
			r, FAIL_INVALID_ARGUMENT,
			"x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, "
			"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, STREAMING-UNSIGNED-PAYLOAD-TRAILER, or a valid "
			"sha256 value.");
	c->sha256 = h;
	return STEP_MORE;
}

static enum step_result read_checksum(struct req *r, struct body_filter_conf *c)
{
	struct str prefix = STR("x-amz-checksum-"), trailer = req_header(r, "x-amz-trailer");
	struct str asked = req_header(r, "x-amz-sdk-checksum-algorithm");

	/* CompleteMultipartUpload: they describe the object, not this document. */
	if (str_eq(r->method, STR("POST")) && str_find(r->query, STR("uploadId=")) >= 0)
		return STEP_MORE;
	for (size_t i = 0; i < r->n_headers; i++) {
		struct str name = r->headers[i].name;
		enum digest_kind k;

		if (!str_istarts(name, prefix))
			continue;
		k = digest_by_name(str_sub(name, prefix.n, name.n));
		if (k == DIGEST_NONE || k == DIGEST_MD5)
			continue; /* x-amz-checksum-type, -mode, -algorithm */
		if (c->checksum != DIGEST_NONE)
			return req_failf(
				r, FAIL_INVALID_REQUEST,
				"Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.");
		c->checksum = k;
		c->checksum_value = r->headers[i].value;
	}
	if (trailer.p && str_istarts(str_trim(trailer), prefix)) {
		trailer = str_trim(trailer);
		c->checksum = digest_by_name(str_sub(trailer, prefix.n, trailer.n));
		if (c->checksum == DIGEST_NONE)
			return req_failf(r, FAIL_INVALID_REQUEST,
					 "The value specified in the x-amz-trailer header is not supported");
		c->checksum_in_trailer = true;
		c->checksum_value = STR_NULL;
	} else if (c->checksum == DIGEST_NONE && asked.p) {
		c->checksum = digest_by_name(asked);
	}
	return STEP_MORE;
}

static enum step_result read_md5(struct req *r, struct body_filter_conf *c)
{
	struct str md5 = req_header(r, "content-md5");
	struct buf raw = BUF_NULL;
	bool ok;

	if (!md5.p)
		return STEP_MORE;
	ok = base64_decode(&raw, md5) && raw.n == MD5_SIZE;
	buf_done(&raw);
	if (!ok)
		return req_fail(r, FAIL_INVALID_DIGEST);
	c->md5_base64 = md5;
	return STEP_MORE;
}

enum step_result body_make_filter(struct req *r)
{
	struct body_filter_conf c = {.decoded_length = -1};
	struct str decoded = req_header(r, "x-amz-decoded-content-length");
	uint64_t length;

	read_form(r, &c);
	if (!r->fail)
		read_checksum(r, &c);
	if (!r->fail)
		read_md5(r, &c);
	if (r->fail)
		return STEP_MORE;
	if (c.form != BODY_PLAIN) {
		if (!str_to_u64(decoded, &length) || length > (uint64_t)INT64_MAX)
			return req_fail(r, FAIL_LENGTH_REQUIRED);
		c.decoded_length = (int64_t)length;
		memcpy(c.signing_key, r->signing_key, sizeof(c.signing_key));
		c.timestamp = r->auth.timestamp;
		c.scope = r->auth.scope;
		c.seed_signature = r->auth.signature;
	}
	r->filter = body_filter_new(&c);
	mem_wipe(c.signing_key, sizeof(c.signing_key));
	return STEP_MORE;
}

/* ---- buffered ---- */

/* The gathered bytes through the filter, in place: clean bytes are never more than raw ones. */
static int filter_buffer(struct req *r)
{
	struct buf raw = r->body;
	const uint8_t *out;
	size_t at = 0, out_n;
	int e = BODY_OK;

	r->body = BUF_NULL;
	do {
		size_t used;

		e = body_filter_feed(r->filter, (const uint8_t *)buf_cstr(&raw) + at, raw.n - at, &used, &out, &out_n);
		if (e == BODY_OK)
			buf_add(&r->body, out, out_n);
		at += used;
	} while (e == BODY_OK && at < raw.n);
	if (e == BODY_OK)
		e = body_filter_finish(r->filter);
	buf_done(&raw);
	return e;
}

enum step_result body_step(struct req *r)
{
	/* A body that grew too large has failed already, before it was whole. */
	if (r->fail || r->api == NULL || (r->op && r->op->body == REQ_BODY_STREAM))
		return STEP_MORE;
	if (r->who.kind == PRINCIPAL_ANONYMOUS && r->api != &api_s3 && r->op && r->op->action)
		return req_fail(r, FAIL_MISSING_AUTH); /* known now: nothing is gathered for nobody */
	if (!r->body_ended)
		return STEP_WAIT;
	if (r->auth_wants_body)
		return auth_check_body(r);
	if (r->filter) {
		int e = filter_buffer(r);

		return e ? req_fail_body(r, e) : STEP_MORE;
	}
	return STEP_MORE;
}

/* ---- streamed ---- */

enum step_result req_stream_to_blob(struct req *r, req_fn *next)
{
	struct str decoded = req_header(r, "x-amz-decoded-content-length");
	int64_t size = r->ex ? http_content_length(r->ex) : 0;
	uint64_t length;
	int result = 0;

	if (!r->ex) {
		r->cut = true; /* the client is gone, there is no body to come */
		return STEP_WAIT;
	}
	if (decoded.p && str_to_u64(decoded, &length) && length <= (uint64_t)INT64_MAX)
		size = (int64_t)length;
	if (size < 0)
		return req_fail(r, FAIL_LENGTH_REQUIRED);
	if ((uint64_t)size > LIMIT_PUT)
		return req_fail(r, FAIL_TOO_LARGE);
	r->run = next;
	r->writer = blob_writer_new(r->g->blobs, steal(&r->filter), size, &result);
	if (!r->writer)
		return req_fail_errno(r, result);
	if (r->body_ended)
		req_finish_blob(r);
	else
		http_exchange_resume(r->ex);
	return STEP_WAIT;
}

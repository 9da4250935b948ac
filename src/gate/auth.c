/* The auth step: which api a request is for, which key signed it, and whether the signature holds. Requests are told
 * apart by the service in the signature's credential scope, unsigned ones by path. Keeps no state of its own (keys.c
 * has the keys). Refusals are rendered by the api, so the api is known before anything can fail. */
#include "gate/auth.h"

#include "gate/api_url.h"
#include "gate/body.h"
#include "gate/flow.h"
#include "gate/keys.h"

_Static_assert(sizeof(struct sigv4_header) == sizeof(struct http_header), "one layout for both");

static const struct api *const apis[] = {&api_s3, &api_lambda, &api_admin};

static const struct api *api_of_service(struct str service)
{
	for (size_t i = 0; i < ARRAY_SIZE(apis); i++)
		if (str_eqz(service, apis[i]->service))
			return apis[i];
	return NULL;
}

/* "/2015-03-31/..." */
static bool looks_dated(struct str path)
{
	static const char pattern[] = "/dddd-dd-dd/";

	if (path.n < sizeof(pattern) - 1)
		return false;
	for (size_t i = 0; i < sizeof(pattern) - 1; i++) {
		bool digit = path.p[i] >= '0' && path.p[i] <= '9';

		if (pattern[i] == 'd' ? !digit : path.p[i] != pattern[i])
			return false;
	}
	return true;
}

static const struct api *api_of_path(struct str path)
{
	if (str_starts(path, STR("/_wick/")))
		return &api_admin;
	return looks_dated(path) ? &api_lambda : &api_s3;
}

static struct sigv4_request signed_view(const struct req *r)
{
	return (struct sigv4_request){
		.method = r->method,
		.path = r->path,
		.query = r->query,
		.headers = (const struct sigv4_header *)r->headers,
		.n_headers = r->n_headers,
	};
}

static enum step_result refuse(struct req *r, enum sigv4_error e)
{
	switch (e) {
	case SIGV4_OK:
		return STEP_MORE;
	case SIGV4_ABSENT:
		return req_fail(r, FAIL_MISSING_AUTH);
	case SIGV4_MALFORMED:
		return req_fail(r, r->auth.presigned ? FAIL_BAD_AUTH_QUERY : FAIL_BAD_AUTH_HEADER);
	case SIGV4_WRONG_DATE:
		return req_failf(r, FAIL_ACCESS_DENIED,
				 "AWS authentication requires a valid Date or x-amz-date header");
	case SIGV4_SKEWED:
		return req_fail(r, FAIL_TIME_SKEWED);
	case SIGV4_EXPIRED:
		return req_fail(r, FAIL_REQUEST_EXPIRED);
	case SIGV4_UNSIGNED_HEADER:
		return req_failf(r, FAIL_ACCESS_DENIED,
				 "There were headers present in the request which were not signed");
	case SIGV4_MISMATCH:
		return req_fail(r, FAIL_BAD_SIGNATURE);
	}
	return req_fail(r, FAIL_INTERNAL);
}

static enum step_result check(struct req *r, struct str payload_hash)
{
	struct sigv4_request view = signed_view(r);

	return refuse(r, sigv4_check(&view, &r->auth, r->signing_key, payload_hash, r->now_ms / 1000));
}

enum step_result auth_check_body(struct req *r)
{
	uint8_t hash[SHA256_SIZE];
	char hex[2 * SHA256_SIZE + 1];

	r->auth_wants_body = false;
	sha256(buf_cstr(&r->body), r->body.n, hash);
	hex_encode(hash, sizeof(hash), hex);
	/* Only S3 tells a changed body from a changed request. */
	if (r->auth.payload_hash.p && !str_eqz(r->auth.payload_hash, hex))
		return req_fail(r, FAIL_BAD_SIGNATURE);
	return check(r, str_from(hex));
}

static enum step_result anonymous(struct req *r)
{
	r->who = (struct principal){.kind = PRINCIPAL_ANONYMOUS};
	return STEP_MORE;
}

/* A function's URL is known by its path; what else is signed, by the service. */
static bool api_accepts(struct req *r, struct str service)
{
	if (r->api)
		return str_eqz(service, r->api->service);
	r->api = api_of_service(service);
	return r->api != NULL;
}

static enum step_result unsigned_request(struct req *r)
{
	r->api = api_of_path(r->path);
	anonymous(r);
	if (str_find(r->query, STR("AWSAccessKeyId=")) >= 0 || str_starts(req_header(r, "authorization"), STR("AWS ")))
		return req_failf(
			r, FAIL_INVALID_REQUEST,
			"The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.");
	if (r->api != &api_s3)
		return STEP_MORE;
	/* What is open to everyone is checked like the rest, but for signatures, which need a key. */
	r->auth.payload_hash = req_header(r, "x-amz-content-sha256");
	if (str_starts(r->auth.payload_hash, STR("STREAMING-AWS4-")))
		return req_fail(r, FAIL_ACCESS_DENIED);
	return body_make_filter(r);
}

enum step_result auth_step(struct req *r)
{
	struct sigv4_request view = signed_view(r);
	enum sigv4_error e;
	enum fail f;

	if (url_is(r->path)) {
		r->api = &api_url;
		if (!url_open(r))
			return STEP_MORE;
		if (!url_is_signed(r))
			return anonymous(r); /* what is in its headers is the function's own */
	}
	e = sigv4_read(&view, &r->arena, &r->auth);
	if (e == SIGV4_ABSENT)
		return r->api ? anonymous(r) : unsigned_request(r);
	if (e != SIGV4_OK || !api_accepts(r, r->auth.service)) {
		if (!r->api)
			r->api = api_of_path(r->path);
		if (e == SIGV4_OK)
			return req_failf(r, FAIL_BAD_AUTH_HEADER,
					 "Credential should be scoped to a valid service, not '%.*s'.",
					 STR_ARG(r->auth.service));
		return refuse(r, e);
	}
	f = keys_find(r->g, r, &r->who);
	if (f != FAIL_NONE)
		return req_fail(r, f);
	keys_signing_key(r->g, r, r->signing_key);
	if (r->api != &api_s3) {
		r->auth_wants_body = true;
		return STEP_MORE;
	}
	if (!r->auth.payload_hash.p)
		return req_failf(r, FAIL_INVALID_REQUEST,
				 "Missing required header for this request: x-amz-content-sha256");
	check(r, r->auth.payload_hash);
	return r->fail ? STEP_MORE : body_make_filter(r);
}

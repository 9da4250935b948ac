/* AWS Signature Version 4: making and checking. Source: AWS IAM User Guide "Create a signed AWS API request",
 * Amazon S3 API Reference "Authenticating Requests (AWS Signature Version 4)". Pure: the clock is a parameter. */
#pragma once

#include "base/arena.h"
#include "wire/digest.h"
#include "wire/uri.h"

struct sigv4_header { /* same layout as net's http_header, which wire may not know */
	struct str name, value;
};

struct sigv4_request {
	struct str method, path, query; /* raw, as on the request line, without '?' */
	const struct sigv4_header *headers;
	size_t n_headers;
};

enum sigv4_error {
	SIGV4_OK = 0,
	SIGV4_ABSENT,     /* the request is not signed at all */
	SIGV4_MALFORMED,  /* AuthorizationHeaderMalformed / AuthorizationQueryParametersError / IncompleteSignature */
	SIGV4_WRONG_DATE, /* missing or unreadable date */
	SIGV4_SKEWED,     /* RequestTimeTooSkewed: over 15 min */
	SIGV4_EXPIRED,    /* presigned query past its time: AccessDenied "Request has expired" */
	SIGV4_MISMATCH,   /* SignatureDoesNotMatch / InvalidSignatureException */
	SIGV4_UNSIGNED_HEADER, /* a header that must be signed (host, x-amz-*) is not */
};

/* What the request says of itself, before the secret is known. */
struct sigv4_auth {
	bool presigned; /* said by the query; true also of one that cannot be read */
	struct str access_key, date /* YYYYMMDD */, region, service;
	struct str scope;          /* date/region/service/aws4_request */
	struct str signed_headers; /* "host;x-amz-date" */
	struct str signature;      /* 64 hex digits */
	struct str timestamp;      /* YYYYMMDDTHHMMSSZ */
	struct str token;          /* X-Amz-Security-Token, p == NULL: none */
	struct str payload_hash;   /* value of x-amz-content-sha256; UNSIGNED-PAYLOAD when presigned for s3 without it;
				      p == NULL: none */
	uint32_t expires_s;        /* presigned only */
};

enum sigv4_error sigv4_read(const struct sigv4_request *r, struct arena *a, struct sigv4_auth *ret);
/* kDate..kSigning; the gate caches it per key, day, region and service. */
void sigv4_signing_key(struct str secret, struct str date, struct str region, struct str service,
		       uint8_t ret[static SHA256_SIZE]);
/* Verifies time and signature. payload_hash is what goes into the canonical request (for services other than s3
 * without the header: the hex SHA-256 of the body). s3 paths are taken as they are, other services' are
 * encoded twice. */
enum sigv4_error sigv4_check(const struct sigv4_request *r, const struct sigv4_auth *auth,
			     const uint8_t signing_key[static SHA256_SIZE], struct str payload_hash, int64_t now_s);
/* Makes the Authorization header's value for a client. headers must contain host, x-amz-date and all that
 * shall be signed. */
void sigv4_sign(const struct sigv4_request *r, struct str access_key, struct str region, struct str service,
		const uint8_t signing_key[static SHA256_SIZE], struct str timestamp, struct str payload_hash,
		struct buf *ret);
/* The query of a presigned URL for r, expires_s from timestamp (host is the only signed header). */
void sigv4_presign(const struct sigv4_request *r, struct str host, struct str access_key, struct str token,
		   struct str region, struct str service, const uint8_t signing_key[static SHA256_SIZE],
		   struct str timestamp, uint32_t expires_s, struct buf *ret_query);

/* Body filters: what stands between the bytes on the wire and the object. One type for all payload forms of S3:
 *   - a hex SHA-256 in x-amz-content-sha256: bytes pass, the hash is checked at the end;
 *   - UNSIGNED-PAYLOAD: bytes pass;
 *   - STREAMING-AWS4-HMAC-SHA256-PAYLOAD[-TRAILER], STREAMING-UNSIGNED-PAYLOAD-TRAILER: aws-chunked coding is
 *     undone, each chunk's and the trailer's signature checked, x-amz-trailer checksums verified;
 * and in each form x-amz-checksum-* and Content-MD5 of the request. Source: Amazon S3 API Reference, "Signature
 * Calculations for the Authorization Header: Transferring Payload in Multiple Chunks" and "... Including Trailing
 * Headers". Pure, incremental: any split of the input gives the same output. May be fed on a pool thread. */
#pragma once

#include "wire/digest.h"

enum body_error {
	BODY_OK = 0,
	BODY_E_MALFORMED,       /* aws-chunked coding is broken: InvalidRequest / IncompleteBody */
	BODY_E_CHUNK_SIGNATURE, /* SignatureDoesNotMatch */
	BODY_E_SHA256,          /* XAmzContentSHA256Mismatch */
	BODY_E_CHECKSUM,        /* BadDigest of x-amz-checksum-* */
	BODY_E_MD5,             /* BadDigest of Content-MD5 */
	BODY_E_LENGTH,          /* not x-amz-decoded-content-length: IncompleteBody */
	BODY_E_TRAILER,         /* announced trailer missing or another one came: MalformedTrailerError */
};

enum body_form { BODY_PLAIN, BODY_CHUNKED_SIGNED, BODY_CHUNKED_SIGNED_TRAILER, BODY_CHUNKED_UNSIGNED_TRAILER };

struct body_filter_conf {
	enum body_form form;
	struct str sha256;                           /* PLAIN: 64 hex digits expected, p == NULL: not checked */
	uint8_t signing_key[SHA256_SIZE];            /* CHUNKED_SIGNED* */
	struct str timestamp, scope, seed_signature; /* CHUNKED_SIGNED*, copied */
	int64_t decoded_length;                      /* -1: not announced */
	enum digest_kind checksum;                   /* asked for by header, trailer or x-amz-sdk-checksum-algorithm */
	struct str checksum_value; /* base64, from the header; p == NULL: in the trailer, or only to compute */
	bool checksum_in_trailer;
	struct str md5_base64; /* Content-MD5; p == NULL: none */
};

struct body_filter;
struct body_filter *body_filter_new(const struct body_filter_conf *c);
struct body_filter *body_filter_free(struct body_filter *f);
/* Takes bytes from in and gives at most one clean span, which lies within the bytes it took: loop until *used == n. At
 * least one byte is taken unless it fails. */
enum body_error body_filter_feed(struct body_filter *f, const uint8_t *in, size_t n, size_t *used, const uint8_t **out,
				 size_t *out_n);
enum body_error body_filter_finish(struct body_filter *f);
/* After finish: base64 of the checksum that was computed (checksum != DIGEST_NONE), "" otherwise. */
const char *body_filter_checksum(const struct body_filter *f);

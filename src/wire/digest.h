/* Hashes, HMAC, checksums, base64, AES-GCM sealing. wire/digest.c is the only user of nettle. Pure. */
#pragma once

#include "base/buf.h"

#define SHA256_SIZE 32
#define MD5_SIZE    16

enum digest_kind { DIGEST_NONE, DIGEST_CRC32, DIGEST_CRC32C, DIGEST_CRC64NVME, DIGEST_SHA1, DIGEST_SHA256, DIGEST_MD5 };

struct digest {
	enum digest_kind kind;
	union {
		uint64_t crc;
		_Alignas(16) uint8_t state[128]; /* nettle's context; its size is asserted in digest.c */
	};
};

#define DIGEST_MAX_SIZE 32
void digest_init(struct digest *d, enum digest_kind kind);
void digest_update(struct digest *d, const void *p, size_t n);
size_t digest_final(struct digest *d, uint8_t out[static DIGEST_MAX_SIZE]); /* its length; CRCs big-endian */
/* "crc32" "crc32c" "crc64nvme" "sha1" "sha256" "md5", any case; DIGEST_NONE for others. */
enum digest_kind digest_by_name(struct str name);
const char *digest_name(enum digest_kind k); /* "CRC32" ... as S3 spells them */

void sha256(const void *p, size_t n, uint8_t out[static SHA256_SIZE]);
void hmac_sha256(const uint8_t *key, size_t key_n, const void *p, size_t n, uint8_t out[static SHA256_SIZE]);

void base64_encode(struct buf *b, const void *p, size_t n);
bool base64_decode(struct buf *b, struct str s); /* strict, padding required; false leaves b as it was */
bool base64url_decode(struct buf *b, struct str s);
void base64url_encode(struct buf *b, const void *p, size_t n); /* no padding */

/* AES-256-GCM: out = nonce(12) + ciphertext + tag(16). open: false when the seal is broken. */
void seal(const uint8_t key[static 32], const uint8_t nonce[static 12], struct str plain, struct str aad,
	  struct buf *out);
bool seal_open(const uint8_t key[static 32], struct str sealed, struct str aad, struct buf *out);

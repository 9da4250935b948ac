/* Hashing, sealing and base64. Only this file includes nettle, whose routines use the processor's SHA and AES
 * instructions; MD5 is our own (wire/md5.h), for speed. A struct digest holds no memory of its own and may be copied or
 * dropped at any time. What fails: text that is not base64, a seal that was broken. */
#include "wire/digest.h"

#include "base/mem.h"
#include "wire/crc.h"
#include "wire/md5.h"

#include <assert.h>
#include <endian.h>
#include <nettle/gcm.h>
#include <nettle/hmac.h>
#include <nettle/sha1.h>
#include <nettle/sha2.h>

#define SEAL_NONCE_SIZE ((size_t)GCM_IV_SIZE)
#define SEAL_TAG_SIZE   ((size_t)GCM_DIGEST_SIZE)

_Static_assert(sizeof(struct sha256_ctx) <= sizeof(((struct digest *)0)->state), "digest.state holds SHA-256");
_Static_assert(sizeof(struct sha1_ctx) <= sizeof(((struct digest *)0)->state), "digest.state holds SHA-1");
_Static_assert(sizeof(struct md5) <= sizeof(((struct digest *)0)->state), "digest.state holds MD5");
_Static_assert(SHA256_SIZE == SHA256_DIGEST_SIZE, "size as nettle's");

static const char *const names[] = {
	[DIGEST_NONE] = "",         [DIGEST_CRC32] = "CRC32",
	[DIGEST_CRC32C] = "CRC32C", [DIGEST_CRC64NVME] = "CRC64NVME",
	[DIGEST_SHA1] = "SHA1",     [DIGEST_SHA256] = "SHA256",
	[DIGEST_MD5] = "MD5",
};

enum digest_kind digest_by_name(struct str name)
{
	for (size_t k = DIGEST_NONE + 1; k < ARRAY_SIZE(names); k++)
		if (str_ieq(name, str_from(names[k])))
			return (enum digest_kind)k;
	return DIGEST_NONE;
}

const char *digest_name(enum digest_kind k)
{
	return names[k];
}

void digest_init(struct digest *d, enum digest_kind kind)
{
	d->kind = kind;
	switch (kind) {
	case DIGEST_NONE:
	case DIGEST_CRC32:
	case DIGEST_CRC32C:
	case DIGEST_CRC64NVME:
		d->crc = 0;
		break;
	case DIGEST_SHA1:
		sha1_init((struct sha1_ctx *)d->state);
		break;
	case DIGEST_SHA256:
		sha256_init((struct sha256_ctx *)d->state);
		break;
	case DIGEST_MD5:
		md5_start((struct md5 *)d->state);
		break;
	}
}

void digest_update(struct digest *d, const void *p, size_t n)
{
	switch (d->kind) {
	case DIGEST_NONE:
		break;
	case DIGEST_CRC32:
		d->crc = crc32_add((uint32_t)d->crc, p, n);
		break;
	case DIGEST_CRC32C:
		d->crc = crc32c_add((uint32_t)d->crc, p, n);
		break;
	case DIGEST_CRC64NVME:
		d->crc = crc64nvme_add(d->crc, p, n);
		break;
	case DIGEST_SHA1:
		sha1_update((struct sha1_ctx *)d->state, n, p);
		break;
	case DIGEST_SHA256:
		sha256_update((struct sha256_ctx *)d->state, n, p);
		break;
	case DIGEST_MD5:
		md5_add((struct md5 *)d->state, p, n);
		break;
	}
}

size_t digest_final(struct digest *d, uint8_t out[static DIGEST_MAX_SIZE])
{
	uint32_t be32;
	uint64_t be64;

	switch (d->kind) {
	case DIGEST_NONE:
		break;
	case DIGEST_CRC32:
	case DIGEST_CRC32C:
		be32 = htobe32((uint32_t)d->crc);
		memcpy(out, &be32, sizeof(be32));
		return sizeof(be32);
	case DIGEST_CRC64NVME:
		be64 = htobe64(d->crc);
		memcpy(out, &be64, sizeof(be64));
		return sizeof(be64);
	case DIGEST_SHA1:
		sha1_digest((struct sha1_ctx *)d->state, SHA1_DIGEST_SIZE, out);
		return SHA1_DIGEST_SIZE;
	case DIGEST_SHA256:
		sha256_digest((struct sha256_ctx *)d->state, SHA256_SIZE, out);
		return SHA256_SIZE;
	case DIGEST_MD5:
		md5_end((struct md5 *)d->state, out);
		return MD5_SIZE;
	}
	return 0;
}

void sha256(const void *p, size_t n, uint8_t out[static SHA256_SIZE])
{
	struct sha256_ctx c;

	sha256_init(&c);
	sha256_update(&c, n, p);
	sha256_digest(&c, SHA256_SIZE, out);
}

void hmac_sha256(const uint8_t *key, size_t key_n, const void *p, size_t n, uint8_t out[static SHA256_SIZE])
{
	struct hmac_sha256_ctx c;

	hmac_sha256_set_key(&c, key_n, key);
	hmac_sha256_update(&c, n, p);
	hmac_sha256_digest(&c, SHA256_SIZE, out);
	mem_wipe(&c, sizeof(c));
}

static const char standard_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void encode64(struct buf *b, const uint8_t *p, size_t n, const char *digits, bool pad)
{
	char *at;

	assert(n <= SIZE_MAX / 2);
	at = buf_reserve(b, n / 3 * 4 + 4);
	for (; n >= 3; n -= 3, p += 3) {
		*at++ = digits[p[0] >> 2];
		*at++ = digits[(p[0] & 3) << 4 | p[1] >> 4];
		*at++ = digits[(p[1] & 15) << 2 | p[2] >> 6];
		*at++ = digits[p[2] & 63];
	}
	if (n > 0) {
		*at++ = digits[p[0] >> 2];
		*at++ = digits[(p[0] & 3) << 4 | (n > 1 ? p[1] >> 4 : 0)];
		if (n > 1)
			*at++ = digits[(p[1] & 15) << 2];
		for (size_t i = n; pad && i < 3; i++)
			*at++ = '=';
	}
	*at = '\0';
	b->n = (size_t)(at - b->p);
}

static int value64(char c, char c62, char c63)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == c62)
		return 62;
	return c == c63 ? 63 : -1;
}

/* s without padding. Bits that would be lost must be zero, so that every value has one spelling. */
static bool decode64(struct buf *b, struct str s, char c62, char c63)
{
	uint32_t bits = 0;
	int n_bits = 0;
	char *at;

	if (s.n % 4 == 1)
		return false;
	at = buf_reserve(b, s.n / 4 * 3 + 3);
	for (size_t i = 0; i < s.n; i++) {
		int v = value64(s.p[i], c62, c63);

		if (v < 0)
			return false;
		bits = bits << 6 | (uint32_t)v;
		n_bits += 6;
		if (n_bits >= 8) {
			n_bits -= 8;
			*at++ = (char)(bits >> n_bits);
		}
	}
	if (bits & ((1u << n_bits) - 1))
		return false;
	*at = '\0';
	b->n = (size_t)(at - b->p);
	return true;
}

void base64_encode(struct buf *b, const void *p, size_t n)
{
	encode64(b, p, n, standard_digits, true);
}

void base64url_encode(struct buf *b, const void *p, size_t n)
{
	encode64(b, p, n, url_digits, false);
}

/* What decode64 wrote past the end of b before it gave up is put back to the NUL that stood there. */
static bool decode64_or_restore(struct buf *b, struct str s, char c62, char c63)
{
	if (decode64(b, s, c62, c63))
		return true;
	if (b->p)
		b->p[b->n] = '\0';
	return false;
}

bool base64_decode(struct buf *b, struct str s)
{
	if (s.n % 4)
		return false;
	for (int i = 0; i < 2 && s.n && s.p[s.n - 1] == '='; i++)
		s.n--;
	return decode64_or_restore(b, s, '+', '/');
}

bool base64url_decode(struct buf *b, struct str s)
{
	return decode64_or_restore(b, s, '-', '_');
}

static void gcm_start(struct gcm_aes256_ctx *c, const uint8_t *key, const uint8_t *nonce, struct str aad)
{
	gcm_aes256_set_key(c, key);
	gcm_aes256_set_iv(c, SEAL_NONCE_SIZE, nonce);
	gcm_aes256_update(c, aad.n, (const uint8_t *)aad.p);
}

void seal(const uint8_t key[static 32], const uint8_t nonce[static 12], struct str plain, struct str aad,
	  struct buf *out)
{
	struct gcm_aes256_ctx c;
	uint8_t *at;

	gcm_start(&c, key, nonce, aad);
	assert(plain.n <= SIZE_MAX / 2);
	at = (uint8_t *)buf_reserve(out, SEAL_NONCE_SIZE + plain.n + SEAL_TAG_SIZE);
	memcpy(at, nonce, SEAL_NONCE_SIZE);
	gcm_aes256_encrypt(&c, plain.n, at + SEAL_NONCE_SIZE, (const uint8_t *)plain.p);
	gcm_aes256_digest(&c, SEAL_TAG_SIZE, at + SEAL_NONCE_SIZE + plain.n);
	out->n += SEAL_NONCE_SIZE + plain.n + SEAL_TAG_SIZE;
	out->p[out->n] = '\0';
	mem_wipe(&c, sizeof(c));
}

bool seal_open(const uint8_t key[static 32], struct str sealed, struct str aad, struct buf *out)
{
	struct gcm_aes256_ctx c;
	uint8_t tag[SEAL_TAG_SIZE];
	struct str cipher;
	uint8_t *at;
	bool ok;

	if (sealed.n < SEAL_NONCE_SIZE + SEAL_TAG_SIZE)
		return false;
	cipher = str_sub(sealed, SEAL_NONCE_SIZE, sealed.n - SEAL_NONCE_SIZE - SEAL_TAG_SIZE);
	gcm_start(&c, key, (const uint8_t *)sealed.p, aad);
	at = (uint8_t *)buf_reserve(out, cipher.n);
	gcm_aes256_decrypt(&c, cipher.n, at, (const uint8_t *)cipher.p);
	gcm_aes256_digest(&c, sizeof(tag), tag);
	ok = str_eq_secret(str_n(tag, sizeof(tag)), str_n(cipher.p + cipher.n, SEAL_TAG_SIZE));
	if (ok)
		out->n += cipher.n;
	else
		mem_wipe(at, cipher.n);
	out->p[out->n] = '\0';
	mem_wipe(&c, sizeof(c));
	return ok;
}

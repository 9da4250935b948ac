/* Checksums by slicing (Kounavis and Berry, "Novel Table Lookup-Based Algorithms for High-Performance CRC
 * Generation", 2008), and on x86-64 by its crc32 instruction or by folding with carry-less multiplication (Gopal et
 * al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction", 2009). A folded run is a block
 * of 16 bytes with the same remainder as everything before it; the tables reduce that block, so one routine
 * serves 32 and 64 bits. Nothing is owned, nothing fails. Multi-byte loads are little-endian. */
#include "wire/crc.h"

#include <endian.h>
#include <string.h>

#include "crc_tables.h"

static uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return le64toh(v);
}

/* Both work on the inverted register that the algorithms keep inside. */
static uint32_t sliced32(const uint32_t t[8][256], uint32_t crc, const uint8_t *p, size_t n)
{
	for (; n >= 8; n -= 8, p += 8) {
		uint64_t v = load64(p) ^ crc;

		crc = t[7][v & 255] ^ t[6][v >> 8 & 255] ^ t[5][v >> 16 & 255] ^ t[4][v >> 24 & 255] ^
		      t[3][v >> 32 & 255] ^ t[2][v >> 40 & 255] ^ t[1][v >> 48 & 255] ^ t[0][v >> 56];
	}
	for (; n > 0; n--, p++)
		crc = crc >> 8 ^ t[0][(crc ^ *p) & 255];
	return crc;
}

static uint64_t sliced64(const uint64_t t[8][256], uint64_t crc, const uint8_t *p, size_t n)
{
	for (; n >= 8; n -= 8, p += 8) {
		uint64_t v = load64(p) ^ crc;

		crc = t[7][v & 255] ^ t[6][v >> 8 & 255] ^ t[5][v >> 16 & 255] ^ t[4][v >> 24 & 255] ^
		      t[3][v >> 32 & 255] ^ t[2][v >> 40 & 255] ^ t[1][v >> 48 & 255] ^ t[0][v >> 56];
	}
	for (; n > 0; n--, p++)
		crc = crc >> 8 ^ t[0][(crc ^ *p) & 255];
	return crc;
}

uint32_t crc32_add_portable(uint32_t crc, const void *p, size_t n)
{
	return ~sliced32(crc32_slices, ~crc, p, n);
}

uint32_t crc32c_add_portable(uint32_t crc, const void *p, size_t n)
{
	return ~sliced32(crc32c_slices, ~crc, p, n);
}

uint64_t crc64nvme_add_portable(uint64_t crc, const void *p, size_t n)
{
	return ~sliced64(crc64nvme_slices, ~crc, p, n);
}

#if defined(__x86_64__)
#include <immintrin.h>

#define FOLD_MIN ((size_t)128)
#define _fold_   __attribute__((target("pclmul,sse4.1")))

static bool can_fold(size_t n)
{
	return n >= FOLD_MIN && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
}

/* Moves x on over as many bits as k is for, onto the block that stands there. */
_fold_ static inline __m128i fold(__m128i x, __m128i k, __m128i onto)
{
	return _mm_xor_si128(onto, _mm_xor_si128(_mm_clmulepi64_si128(x, k, 0x00), _mm_clmulepi64_si128(x, k, 0x11)));
}

_fold_ static inline __m128i load128(const uint8_t *p)
{
	return _mm_loadu_si128((const __m128i *)p);
}

/* Folds the whole blocks of p (at least 64 bytes) into one; says how many bytes went in. */
_fold_ static size_t fold_blocks(const uint64_t k[4], uint64_t crc, const uint8_t *p, size_t n, uint8_t block[16])
{
	const __m128i by512 = _mm_set_epi64x((long long)k[1], (long long)k[0]);
	const __m128i by128 = _mm_set_epi64x((long long)k[3], (long long)k[2]);
	__m128i a = _mm_xor_si128(load128(p), _mm_set_epi64x(0, (long long)crc));
	__m128i b = load128(p + 16), c = load128(p + 32), d = load128(p + 48);
	size_t at = 64;

	for (; n - at >= 64; at += 64) {
		a = fold(a, by512, load128(p + at));
		b = fold(b, by512, load128(p + at + 16));
		c = fold(c, by512, load128(p + at + 32));
		d = fold(d, by512, load128(p + at + 48));
	}
	a = fold(fold(fold(a, by128, b), by128, c), by128, d);
	for (; n - at >= 16; at += 16)
		a = fold(a, by128, load128(p + at));
	_mm_storeu_si128((__m128i *)block, a);
	return at;
}

uint32_t crc32_add(uint32_t crc, const void *p, size_t n)
{
	const uint8_t *in = p;
	uint8_t block[16];
	size_t done;

	if (!can_fold(n))
		return crc32_add_portable(crc, p, n);
	done = fold_blocks(crc32_fold, (uint32_t)~crc, in, n, block);
	return ~sliced32(crc32_slices, sliced32(crc32_slices, 0, block, sizeof(block)), in + done, n - done);
}

uint64_t crc64nvme_add(uint64_t crc, const void *p, size_t n)
{
	const uint8_t *in = p;
	uint8_t block[16];
	size_t done;

	if (!can_fold(n))
		return crc64nvme_add_portable(crc, p, n);
	done = fold_blocks(crc64nvme_fold, ~crc, in, n, block);
	return ~sliced64(crc64nvme_slices, sliced64(crc64nvme_slices, 0, block, sizeof(block)), in + done, n - done);
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const uint8_t *p, size_t n)
{
	uint64_t v = crc;

	for (; n >= 8; n -= 8, p += 8)
		v = _mm_crc32_u64(v, load64(p));
	for (; n > 0; n--, p++)
		v = _mm_crc32_u8((uint32_t)v, *p);
	return (uint32_t)v;
}

uint32_t crc32c_add(uint32_t crc, const void *p, size_t n)
{
	if (!__builtin_cpu_supports("sse4.2"))
		return crc32c_add_portable(crc, p, n);
	return ~crc32c_sse42(~crc, p, n);
}
#else
uint32_t crc32_add(uint32_t crc, const void *p, size_t n)
{
	return crc32_add_portable(crc, p, n);
}

uint32_t crc32c_add(uint32_t crc, const void *p, size_t n)
{
	return crc32c_add_portable(crc, p, n);
}

uint64_t crc64nvme_add(uint64_t crc, const void *p, size_t n)
{
	return crc64nvme_add_portable(crc, p, n);
}
#endif

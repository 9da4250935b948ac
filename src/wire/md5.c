/* MD5 by RFC 1321. A state is plain memory of its owner; nothing fails.
 *
 * Every step waits for the one before it, so that the speed is the length of that chain and nothing else: what does not
 * need the newest word is added up beside it, and EARLY keeps the compiler from joining it to the chain again. The
 * second round's function is a choice between bits that never overlap, so that its halves may be added one by one.
 * Four or five cycles a step are left, a fifth faster than nettle's. */
#include "wire/md5.h"

#include <endian.h>
#include <string.h>

#define EARLY(x) __asm__("" : "+r"(x))

#define STEP(a, b, early, late, s)                                                                                     \
	do {                                                                                                           \
		uint32_t sum = (a) + (early);                                                                          \
                                                                                                                       \
		EARLY(sum);                                                                                            \
		sum += (late);                                                                                         \
		(a) = (sum << (s) | sum >> (32 - (s))) + (b);                                                          \
	} while (0)
#define ROUND_1(a, b, c, d, x, s) STEP(a, b, x, (((c) ^ (d)) & (b)) ^ (d), s)
#define ROUND_2(a, b, c, d, x, s) STEP(a, b, (x) + (~(d) & (c)), (d) & (b), s)
#define ROUND_3(a, b, c, d, x, s)                                                                                      \
	do {                                                                                                           \
		uint32_t both = (c) ^ (d);                                                                             \
                                                                                                                       \
		EARLY(both);                                                                                           \
		STEP(a, b, x, both ^ (b), s);                                                                          \
	} while (0)
#define ROUND_4(a, b, c, d, x, s) STEP(a, b, x, (c) ^ ((b) | ~(d)), s)

static void add_blocks(uint32_t h[static 4], const uint8_t *p, size_t n)
{
	uint32_t a = h[0], b = h[1], c = h[2], d = h[3], w[16];

	for (; n >= MD5_BLOCK; n -= MD5_BLOCK, p += MD5_BLOCK) {
		memcpy(w, p, sizeof(w));
		for (int i = 0; i < 16; i++)
			w[i] = le32toh(w[i]);
		ROUND_1(a, b, c, d, w[0] + 0xd76aa478, 7);
		ROUND_1(d, a, b, c, w[1] + 0xe8c7b756, 12);
		ROUND_1(c, d, a, b, w[2] + 0x242070db, 17);
		ROUND_1(b, c, d, a, w[3] + 0xc1bdceee, 22);
		ROUND_1(a, b, c, d, w[4] + 0xf57c0faf, 7);
		ROUND_1(d, a, b, c, w[5] + 0x4787c62a, 12);
		ROUND_1(c, d, a, b, w[6] + 0xa8304613, 17);
		ROUND_1(b, c, d, a, w[7] + 0xfd469501, 22);
		ROUND_1(a, b, c, d, w[8] + 0x698098d8, 7);
		ROUND_1(d, a, b, c, w[9] + 0x8b44f7af, 12);
		ROUND_1(c, d, a, b, w[10] + 0xffff5bb1, 17);
		ROUND_1(b, c, d, a, w[11] + 0x895cd7be, 22);
		ROUND_1(a, b, c, d, w[12] + 0x6b901122, 7);
		ROUND_1(d, a, b, c, w[13] + 0xfd987193, 12);
		ROUND_1(c, d, a, b, w[14] + 0xa679438e, 17);
		ROUND_1(b, c, d, a, w[15] + 0x49b40821, 22);
		ROUND_2(a, b, c, d, w[1] + 0xf61e2562, 5);
		ROUND_2(d, a, b, c, w[6] + 0xc040b340, 9);
		ROUND_2(c, d, a, b, w[11] + 0x265e5a51, 14);
		ROUND_2(b, c, d, a, w[0] + 0xe9b6c7aa, 20);
		ROUND_2(a, b, c, d, w[5] + 0xd62f105d, 5);
		ROUND_2(d, a, b, c, w[10] + 0x02441453, 9);
		ROUND_2(c, d, a, b, w[15] + 0xd8a1e681, 14);
		ROUND_2(b, c, d, a, w[4] + 0xe7d3fbc8, 20);
		ROUND_2(a, b, c, d, w[9] + 0x21e1cde6, 5);
		ROUND_2(d, a, b, c, w[14] + 0xc33707d6, 9);
		ROUND_2(c, d, a, b, w[3] + 0xf4d50d87, 14);
		ROUND_2(b, c, d, a, w[8] + 0x455a14ed, 20);
		ROUND_2(a, b, c, d, w[13] + 0xa9e3e905, 5);
		ROUND_2(d, a, b, c, w[2] + 0xfcefa3f8, 9);
		ROUND_2(c, d, a, b, w[7] + 0x676f02d9, 14);
		ROUND_2(b, c, d, a, w[12] + 0x8d2a4c8a, 20);
		ROUND_3(a, b, c, d, w[5] + 0xfffa3942, 4);
		ROUND_3(d, a, b, c, w[8] + 0x8771f681, 11);
		ROUND_3(c, d, a, b, w[11] + 0x6d9d6122, 16);
		ROUND_3(b, c, d, a, w[14] + 0xfde5380c, 23);
		ROUND_3(a, b, c, d, w[1] + 0xa4beea44, 4);
		ROUND_3(d, a, b, c, w[4] + 0x4bdecfa9, 11);
		ROUND_3(c, d, a, b, w[7] + 0xf6bb4b60, 16);
		ROUND_3(b, c, d, a, w[10] + 0xbebfbc70, 23);
		ROUND_3(a, b, c, d, w[13] + 0x289b7ec6, 4);
		ROUND_3(d, a, b, c, w[0] + 0xeaa127fa, 11);
		ROUND_3(c, d, a, b, w[3] + 0xd4ef3085, 16);
		ROUND_3(b, c, d, a, w[6] + 0x04881d05, 23);
		ROUND_3(a, b, c, d, w[9] + 0xd9d4d039, 4);
		ROUND_3(d, a, b, c, w[12] + 0xe6db99e5, 11);
		ROUND_3(c, d, a, b, w[15] + 0x1fa27cf8, 16);
		ROUND_3(b, c, d, a, w[2] + 0xc4ac5665, 23);
		ROUND_4(a, b, c, d, w[0] + 0xf4292244, 6);
		ROUND_4(d, a, b, c, w[7] + 0x432aff97, 10);
		ROUND_4(c, d, a, b, w[14] + 0xab9423a7, 15);
		ROUND_4(b, c, d, a, w[5] + 0xfc93a039, 21);
		ROUND_4(a, b, c, d, w[12] + 0x655b59c3, 6);
		ROUND_4(d, a, b, c, w[3] + 0x8f0ccc92, 10);
		ROUND_4(c, d, a, b, w[10] + 0xffeff47d, 15);
		ROUND_4(b, c, d, a, w[1] + 0x85845dd1, 21);
		ROUND_4(a, b, c, d, w[8] + 0x6fa87e4f, 6);
		ROUND_4(d, a, b, c, w[15] + 0xfe2ce6e0, 10);
		ROUND_4(c, d, a, b, w[6] + 0xa3014314, 15);
		ROUND_4(b, c, d, a, w[13] + 0x4e0811a1, 21);
		ROUND_4(a, b, c, d, w[4] + 0xf7537e82, 6);
		ROUND_4(d, a, b, c, w[11] + 0xbd3af235, 10);
		ROUND_4(c, d, a, b, w[2] + 0x2ad7d2bb, 15);
		ROUND_4(b, c, d, a, w[9] + 0xeb86d391, 21);
		h[0] = a += h[0];
		h[1] = b += h[1];
		h[2] = c += h[2];
		h[3] = d += h[3];
	}
}

void md5_start(struct md5 *m)
{
	*m = (struct md5){.h = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}};
}

void md5_add(struct md5 *m, const void *p, size_t n)
{
	size_t held = m->n % MD5_BLOCK, some = MIN(n, MD5_BLOCK - held);
	const uint8_t *at = p;

	if (!n)
		return;
	m->n += n;
	if (held || n < MD5_BLOCK) {
		memcpy(m->block + held, at, some);
		if (held + some < MD5_BLOCK)
			return;
		add_blocks(m->h, m->block, MD5_BLOCK);
		at += some;
		n -= some;
	}
	add_blocks(m->h, at, n);
	memcpy(m->block, at + n / MD5_BLOCK * MD5_BLOCK, n % MD5_BLOCK);
}

void md5_end(struct md5 *m, uint8_t out[static 16])
{
	static const uint8_t padding[MD5_BLOCK] = {0x80};
	size_t held = m->n % MD5_BLOCK;
	uint64_t bits = htole64(m->n * 8);
	uint32_t word;

	md5_add(m, padding, (held < MD5_BLOCK - sizeof(bits) ? 0 : MD5_BLOCK) + MD5_BLOCK - sizeof(bits) - held);
	md5_add(m, &bits, sizeof(bits));
	for (int i = 0; i < 4; i++) {
		word = htole32(m->h[i]);
		memcpy(out + 4 * i, &word, sizeof(word));
	}
}

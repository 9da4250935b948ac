/* MD5 (RFC 1321), for ETags: a body's speed is bounded by it. Not for anything that must not be forged. */
#pragma once

#include "base/util.h"

#define MD5_BLOCK 64

struct md5 {
	uint32_t h[4];
	uint64_t n; /* bytes so far */
	uint8_t block[MD5_BLOCK];
};

void md5_start(struct md5 *m);
void md5_add(struct md5 *m, const void *p, size_t n);
void md5_end(struct md5 *m, uint8_t out[static 16]);

/* The cyclic checksums of S3: CRC-32 (ISO-HDLC), CRC-32C (Castagnoli), CRC-64/NVME. Pure. A run starts with 0 and
 * hands each result on to the next piece, as zlib's crc32 does. */
#pragma once

#include "base/util.h"

uint32_t crc32_add(uint32_t crc, const void *p, size_t n);
uint32_t crc32c_add(uint32_t crc, const void *p, size_t n);
uint64_t crc64nvme_add(uint64_t crc, const void *p, size_t n);

/* By tables alone, on any processor; what the above do where it knows no better. For the tests. */
uint32_t crc32_add_portable(uint32_t crc, const void *p, size_t n);
uint32_t crc32c_add_portable(uint32_t crc, const void *p, size_t n);
uint64_t crc64nvme_add_portable(uint64_t crc, const void *p, size_t n);

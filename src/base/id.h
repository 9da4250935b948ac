/* UUIDs: ids of requests, workers and nodes. 16 bytes inside, RFC 9562's text outside. Pure. */
#pragma once

#include "base/str.h"

#define UUID_SIZE      16
#define UUID_TEXT_SIZE 37 /* the NUL included */

void uuid_format(const uint8_t id[static UUID_SIZE], char out[static UUID_TEXT_SIZE]); /* lower case */
bool uuid_parse(struct str s, uint8_t id[static UUID_SIZE]); /* either case; false leaves id alone */
/* Turns 16 random bytes, which the caller brings, into a version 4 UUID. */
void uuid_make_v4(uint8_t id[static UUID_SIZE]);

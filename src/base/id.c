/* UUIDs as text. Nothing is owned; only malformed text fails. */
#include "base/id.h"

/* Bytes of each group between the dashes. */
static const uint8_t groups[5] = {4, 2, 2, 2, 6};

void uuid_format(const uint8_t id[static UUID_SIZE], char out[static UUID_TEXT_SIZE])
{
	for (size_t g = 0; g < ARRAY_SIZE(groups); g++) {
		if (g > 0)
			*out++ = '-';
		hex_encode(id, groups[g], out);
		id += groups[g];
		out += 2 * groups[g];
	}
}

bool uuid_parse(struct str s, uint8_t id[static UUID_SIZE])
{
	uint8_t bytes[UUID_SIZE];
	uint8_t *at = bytes;

	if (s.n != UUID_TEXT_SIZE - 1)
		return false;
	for (size_t g = 0; g < ARRAY_SIZE(groups); g++) {
		if (g > 0) {
			if (*s.p != '-')
				return false;
			s.p++;
		}
		if (!hex_decode(str_n(s.p, 2 * (size_t)groups[g]), at, groups[g]))
			return false;
		s.p += 2 * groups[g];
		at += groups[g];
	}
	memcpy(id, bytes, sizeof(bytes));
	return true;
}

void uuid_make_v4(uint8_t id[static UUID_SIZE])
{
	id[6] = (uint8_t)((id[6] & 0x0f) | 0x40);
	id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
}

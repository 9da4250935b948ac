/* The packets between wick-node and a zygote. Owns nothing; what fails is bytes that are no packet.
 *
 *   u8 type, three zero bytes; i32 pid, status; u32 zero; u64 cpu_us; u8[16] id; then text to the end. Little-endian.
 */
#include "wire/zygote.h"

#include <assert.h>
#include <endian.h>

struct header {
	uint8_t type, zero[3];
	uint32_t pid, status, zero2;
	uint64_t cpu_us;
	uint8_t id[16];
};
_Static_assert(sizeof(struct header) == ZYGOTE_HEADER_SIZE, "no gaps");

void zygote_encode(struct buf *b, const struct zygote_packet *p)
{
	struct header h = {
		.type = (uint8_t)p->type,
		.pid = htole32((uint32_t)p->pid),
		.status = htole32((uint32_t)p->status),
		.cpu_us = htole64(p->cpu_us),
	};

	assert(p->text.n <= ZYGOTE_TEXT_MAX);
	memcpy(h.id, p->id, sizeof(h.id));
	buf_add(b, &h, sizeof(h));
	buf_add_str(b, p->text);
}

bool zygote_decode(struct zygote_packet *ret, struct str bytes)
{
	struct header h;

	if (bytes.n < sizeof(h) || bytes.n > sizeof(h) + ZYGOTE_TEXT_MAX)
		return false;
	memcpy(&h, bytes.p, sizeof(h));
	if (h.type < ZYGOTE_LOADED || h.type > ZYGOTE_EXITED || h.zero[0] || h.zero[1] || h.zero[2] || h.zero2)
		return false;
	*ret = (struct zygote_packet){
		.type = (enum zygote_message)h.type,
		.pid = (int32_t)le32toh(h.pid),
		.status = (int32_t)le32toh(h.status),
		.cpu_us = le64toh(h.cpu_us),
		.text = str_sub(bytes, sizeof(h), SIZE_MAX),
	};
	memcpy(ret->id, h.id, sizeof(h.id));
	return true;
}

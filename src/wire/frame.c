/* The frames' bytes. Views point into the caller's memory, the buffers are the caller's; what fails is a peer that
 * does not speak the protocol. A length over the maxima on the writing side is a broken program. */
#include "wire/frame.h"

#include <assert.h>
#include <endian.h>

#define FIELD_HEADER_SIZE 8

static uint16_t get16(const char *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static uint32_t get32(const char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static void put16(uint8_t *p, uint16_t v)
{
	v = htole16(v);
	memcpy(p, &v, sizeof(v));
}

static void put32(uint8_t *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

int64_t frame_size(struct str p)
{
	uint32_t body_len, meta_len;

	if (p.n < FRAME_HEADER_SIZE)
		return 0;
	body_len = get32(p.p);
	meta_len = get32(p.p + 4);
	if ((uint8_t)p.p[9] != FRAME_VERSION || get16(p.p + 10) != 0 || get32(p.p + 12) != 0)
		return -1;
	if (body_len > FRAME_BODY_MAX || meta_len > FRAME_META_MAX)
		return -1;
	return (int64_t)FRAME_HEADER_SIZE + meta_len + body_len;
}

/* Takes the next field off *meta; false at its end and on a malformed one, when *meta is not empty. */
static bool take_field(struct str *meta, uint16_t *key, struct str *value)
{
	uint32_t len;

	if (meta->n < FIELD_HEADER_SIZE || get16(meta->p + 2) != 0)
		return false;
	len = get32(meta->p + 4);
	if (len > meta->n - FIELD_HEADER_SIZE)
		return false;
	*key = get16(meta->p);
	*value = str_n(meta->p + FIELD_HEADER_SIZE, len);
	*meta = str_n(value->p + len, meta->n - FIELD_HEADER_SIZE - len);
	return true;
}

bool frame_parse(struct str p, struct frame *ret)
{
	int64_t size = frame_size(p);
	uint32_t meta_len;
	struct str meta, value;
	uint16_t key;

	if (size <= 0 || (uint64_t)size > p.n)
		return false;
	meta_len = get32(p.p + 4);
	meta = str_n(p.p + FRAME_HEADER_SIZE, meta_len);
	while (meta.n > 0)
		if (!take_field(&meta, &key, &value))
			return false;
	ret->type = (uint8_t)p.p[8];
	memcpy(ret->id, p.p + 16, sizeof(ret->id));
	ret->meta = str_n(p.p + FRAME_HEADER_SIZE, meta_len);
	ret->body = str_n(ret->meta.p + meta_len, get32(p.p));
	return true;
}

bool frame_meta_next(const struct frame *f, size_t *at, uint16_t *key, struct str *value)
{
	struct str rest = str_sub(f->meta, *at, SIZE_MAX);

	if (!take_field(&rest, key, value))
		return false;
	*at = f->meta.n - rest.n;
	return true;
}

bool frame_meta_get(const struct frame *f, uint16_t key, struct str *ret)
{
	struct str meta = f->meta, value;
	uint16_t k;

	while (take_field(&meta, &k, &value)) {
		if (k == key) {
			*ret = value;
			return true;
		}
	}
	return false;
}

bool frame_meta_u64(const struct frame *f, uint16_t key, uint64_t *ret)
{
	struct str value;
	uint64_t v;

	if (!frame_meta_get(f, key, &value) || value.n != sizeof(v))
		return false;
	memcpy(&v, value.p, sizeof(v));
	*ret = le64toh(v);
	return true;
}

void frame_meta_add(struct buf *meta, uint16_t key, struct str value)
{
	uint8_t header[FIELD_HEADER_SIZE] = {0};

	assert(value.n <= FRAME_META_MAX);
	put16(header, key);
	put32(header + 4, (uint32_t)value.n);
	buf_add(meta, header, sizeof(header));
	buf_add_str(meta, value);
}

void frame_meta_add_u64(struct buf *meta, uint16_t key, uint64_t value)
{
	value = htole64(value);
	frame_meta_add(meta, key, str_n(&value, sizeof(value)));
}

void frame_header(uint8_t out[static FRAME_HEADER_SIZE], uint8_t type, const uint8_t id[static 16], size_t meta_len,
		  size_t body_len)
{
	assert(meta_len <= FRAME_META_MAX && body_len <= FRAME_BODY_MAX);
	memset(out, 0, FRAME_HEADER_SIZE);
	put32(out, (uint32_t)body_len);
	put32(out + 4, (uint32_t)meta_len);
	out[8] = type;
	out[9] = FRAME_VERSION;
	memcpy(out + 16, id, 16);
}

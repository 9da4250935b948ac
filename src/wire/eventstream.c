/* Messages of an event stream. Views point into the caller's memory, the buffers are the caller's; what fails is a peer
 * that does not speak the encoding. A header or payload over the maxima on the writing side is a broken program. */
#include "wire/eventstream.h"

#include "wire/crc.h"

#include <assert.h>
#include <endian.h>

static uint32_t get32(const char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

static uint16_t get16(const char *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return be16toh(v);
}

static void add32(struct buf *b, uint32_t v)
{
	v = htobe32(v);
	buf_add(b, &v, sizeof(v));
}

static void add16(struct buf *b, uint16_t v)
{
	v = htobe16(v);
	buf_add(b, &v, sizeof(v));
}

/* ---- writing ---- */

void eventstream_add(struct buf *b, const struct kv *headers, size_t n, struct str payload)
{
	size_t begin = b->n, headers_n = 0;

	for (size_t i = 0; i < n; i++) {
		assert(headers[i].k.n > 0 && headers[i].k.n <= UINT8_MAX && headers[i].v.n <= INT16_MAX);
		headers_n += 1 + headers[i].k.n + 1 + 2 + headers[i].v.n;
	}
	assert(payload.n + headers_n + EVENTSTREAM_OVERHEAD <= EVENTSTREAM_MAX);
	add32(b, (uint32_t)(EVENTSTREAM_OVERHEAD + headers_n + payload.n));
	add32(b, (uint32_t)headers_n);
	add32(b, crc32_add(0, b->p + begin, 8));
	for (size_t i = 0; i < n; i++) {
		buf_addc(b, (char)headers[i].k.n);
		buf_add_str(b, headers[i].k);
		buf_addc(b, EVENTSTREAM_STRING);
		add16(b, (uint16_t)headers[i].v.n);
		buf_add_str(b, headers[i].v);
	}
	buf_add_str(b, payload);
	add32(b, crc32_add(0, b->p + begin, b->n - begin));
}

void eventstream_add_event(struct buf *b, struct str event_type, struct str content_type, struct str payload)
{
	const struct kv headers[] = {
		{STR(":message-type"), STR("event")},
		{STR(":event-type"), event_type},
		{STR(":content-type"), content_type},
	};

	eventstream_add(b, headers, ARRAY_SIZE(headers), payload);
}

/* ---- reading ---- */

int64_t eventstream_size(struct str p)
{
	uint32_t total, headers;

	if (p.n < EVENTSTREAM_PRELUDE)
		return 0;
	total = get32(p.p);
	headers = get32(p.p + 4);
	if (total < EVENTSTREAM_OVERHEAD || total > EVENTSTREAM_MAX || headers > total - EVENTSTREAM_OVERHEAD)
		return -1;
	if (get32(p.p + 8) != crc32_add(0, p.p, 8))
		return -1;
	return total;
}

/* How long the value at the start of p is, and how many bytes its length takes; false: there is none. */
static bool value_size(uint8_t type, struct str p, size_t *prefix, size_t *n)
{
	static const uint8_t sizes[] = {
		[EVENTSTREAM_TRUE] = 0, [EVENTSTREAM_FALSE] = 0, [EVENTSTREAM_BYTE] = 1,      [EVENTSTREAM_SHORT] = 2,
		[EVENTSTREAM_INT] = 4,  [EVENTSTREAM_LONG] = 8,  [EVENTSTREAM_TIMESTAMP] = 8, [EVENTSTREAM_UUID] = 16,
	};

	*prefix = 0;
	if (type == EVENTSTREAM_BYTES || type == EVENTSTREAM_STRING) {
		if (p.n < 2)
			return false;
		*prefix = 2;
		*n = get16(p.p);
	} else if (type <= EVENTSTREAM_UUID) {
		*n = sizes[type];
	} else {
		return false;
	}
	return p.n - *prefix >= *n;
}

static bool take_header(struct str *rest, struct str *name, enum eventstream_type *type, struct str *value)
{
	size_t name_n, prefix, n;
	struct str p = *rest;

	if (p.n < 2)
		return false;
	name_n = (uint8_t)p.p[0];
	if (name_n == 0 || p.n < 1 + name_n + 1)
		return false;
	*name = str_n(p.p + 1, name_n);
	p = str_sub(p, 1 + name_n, SIZE_MAX);
	*type = (enum eventstream_type)(uint8_t)p.p[0];
	p = str_sub(p, 1, SIZE_MAX);
	if (!value_size((uint8_t)*type, p, &prefix, &n))
		return false;
	*value = str_n(p.p + prefix, n);
	*rest = str_sub(p, prefix + n, SIZE_MAX);
	return true;
}

bool eventstream_parse(struct str p, struct eventstream_message *ret)
{
	int64_t size = eventstream_size(p);
	struct str rest, name, value;
	enum eventstream_type type;
	uint32_t headers;

	if (size <= 0 || (uint64_t)size > p.n)
		return false;
	p = str_sub(p, 0, (size_t)size);
	if (get32(p.p + p.n - 4) != crc32_add(0, p.p, p.n - 4))
		return false;
	headers = get32(p.p + 4);
	ret->headers = str_n(p.p + EVENTSTREAM_PRELUDE, headers);
	ret->payload = str_n(p.p + EVENTSTREAM_PRELUDE + headers, p.n - EVENTSTREAM_OVERHEAD - headers);
	rest = ret->headers;
	while (rest.n)
		if (!take_header(&rest, &name, &type, &value))
			return false;
	return true;
}

bool eventstream_next(const struct eventstream_message *m, size_t *at, struct str *name, enum eventstream_type *type,
		      struct str *value)
{
	struct str rest = str_sub(m->headers, *at, SIZE_MAX);

	if (!take_header(&rest, name, type, value))
		return false;
	*at = m->headers.n - rest.n;
	return true;
}

struct str eventstream_get(const struct eventstream_message *m, const char *name)
{
	struct str n, value;
	enum eventstream_type type;

	for (size_t at = 0; eventstream_next(m, &at, &n, &type, &value);)
		if (type == EVENTSTREAM_STRING && str_eqz(n, name))
			return value;
	return STR_NULL;
}

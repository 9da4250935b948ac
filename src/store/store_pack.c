/* Header lists, tags and extents as bytes in one column of a row. The bytes come from the database file, so reading
 * them checks every length: a damaged file gives -EIO. */
#include "base/buf.h"
#include "store/store_sqlite.h"

#include <errno.h>

static void put32(struct buf *b, size_t n)
{
	uint8_t v[4] = {(uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16), (uint8_t)(n >> 24)};

	buf_add(b, v, sizeof(v));
}

static void put_str(struct buf *b, struct str s)
{
	put32(b, s.n);
	buf_add_str(b, s);
}

static bool get_bytes(struct str *s, size_t n, struct str *ret)
{
	if (s->n < n)
		return false;
	*ret = str_n(s->p, n);
	*s = str_n(s->p + n, s->n - n);
	return true;
}

static bool get32(struct str *s, uint32_t *ret)
{
	struct str v;
	const uint8_t *p;

	if (!get_bytes(s, 4, &v))
		return false;
	p = (const uint8_t *)v.p;
	*ret = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
	return true;
}

static bool get_str(struct str *s, struct arena *a, struct str *ret)
{
	struct str v;
	uint32_t n;

	if (!get32(s, &n) || !get_bytes(s, n, &v))
		return false;
	*ret = arena_str(a, v);
	return true;
}

void pack_kvs(struct buf *b, const struct kv *kv, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		put_str(b, kv[i].k);
		put_str(b, kv[i].v);
	}
}

int unpack_kvs(struct arena *a, struct str bytes, struct kv **ret, size_t *n)
{
	*ret = NULL;
	for (*n = 0; bytes.n; (*n)++) {
		*ret = arena_grow(a, *ret, *n, sizeof(**ret));
		if (!get_str(&bytes, a, &(*ret)[*n].k) || !get_str(&bytes, a, &(*ret)[*n].v))
			return -EIO;
	}
	return 0;
}

void pack_extents(struct buf *b, const struct extent *e, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		put_str(b, e[i].blob);
		put32(b, (uint32_t)e[i].size);
		put32(b, (uint32_t)(e[i].size >> 32));
	}
}

int unpack_extents(struct arena *a, struct str bytes, struct extent **ret, size_t *n)
{
	uint32_t low, high;

	*ret = NULL;
	for (*n = 0; bytes.n; (*n)++) {
		*ret = arena_grow(a, *ret, *n, sizeof(**ret));
		if (!get_str(&bytes, a, &(*ret)[*n].blob) || !get32(&bytes, &low) || !get32(&bytes, &high))
			return -EIO;
		(*ret)[*n].size = (uint64_t)high << 32 | low;
	}
	return 0;
}

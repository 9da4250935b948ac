/* Open addressing with linear probing and backward-shift deletion (no tombstones). The map owns its keys;
 * growth cannot fail (base/mem.h). SipHash: Aumasson and Bernstein, "SipHash: a fast short-input PRF",
 * 2012, with 1 and 3 rounds as hash tables use it. */
#include "base/map.h"

#include "base/mem.h"

static uint8_t seed_of_process[16];

void map_seed(const uint8_t seed[static 16])
{
	memcpy(seed_of_process, seed, sizeof(seed_of_process));
}

static uint64_t rotl(uint64_t x, int b)
{
	return x << b | x >> (64 - b);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1], v[1] = rotl(v[1], 13) ^ v[0], v[0] = rotl(v[0], 32);
	v[2] += v[3], v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3], v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1], v[1] = rotl(v[1], 17) ^ v[2], v[2] = rotl(v[2], 32);
}

uint64_t siphash13(const uint8_t key[static 16], const void *p, size_t n)
{
	const uint8_t *in = p;
	uint64_t k0, k1, m = 0, last = (uint64_t)n << 56;
	uint64_t v[4];

	memcpy(&k0, key, 8);
	memcpy(&k1, key + 8, 8);
	v[0] = 0x736f6d6570736575ULL ^ k0;
	v[1] = 0x646f72616e646f6dULL ^ k1;
	v[2] = 0x6c7967656e657261ULL ^ k0;
	v[3] = 0x7465646279746573ULL ^ k1;
	for (; n >= 8; n -= 8, in += 8) {
		memcpy(&m, in, 8);
		v[3] ^= m;
		sip_round(v);
		v[0] ^= m;
	}
	for (size_t i = 0; i < n; i++)
		last |= (uint64_t)in[i] << (8 * i);
	v[3] ^= last;
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void map_done(struct map *m)
{
	for (size_t i = 0; i < m->cap; i++)
		free(m->slots[i].key);
	free(m->slots);
	*m = MAP_NULL;
}

static uint32_t hash_of(struct str key)
{
	return (uint32_t)siphash13(seed_of_process, key.p, key.n);
}

static struct map_slot *find(const struct map *m, struct str key, uint32_t h)
{
	size_t mask = m->cap - 1;

	for (size_t i = h & mask;; i = (i + 1) & mask) {
		struct map_slot *s = &m->slots[i];

		if (!s->key)
			return s;
		if (s->hash == h && s->n == key.n && (key.n == 0 || memcmp(s->key, key.p, key.n) == 0))
			return s;
	}
}

void *map_get(const struct map *m, struct str key)
{
	struct map_slot *s;

	if (m->n == 0)
		return NULL;
	s = find(m, key, hash_of(key));
	return s->key ? s->value : NULL;
}

static void grow(struct map *m)
{
	struct map bigger = {.cap = m->cap ? m->cap * 2 : 8};

	bigger.slots = xnew_n(struct map_slot, bigger.cap);
	for (size_t i = 0; i < m->cap; i++) {
		struct map_slot *s = &m->slots[i];

		if (s->key)
			*find(&bigger, str_n(s->key, s->n), s->hash) = *s;
	}
	bigger.n = m->n;
	free(m->slots);
	*m = bigger;
}

void *map_put(struct map *m, struct str key, void *value)
{
	uint32_t h = hash_of(key);
	struct map_slot *s;
	void *old;

	if ((m->n + 1) * 4 > m->cap * 3)
		grow(m);
	s = find(m, key, h);
	if (!s->key) {
		s->key = str_dup(key);
		s->n = (uint32_t)key.n;
		s->hash = h;
		m->n++;
	}
	old = s->value;
	s->value = value;
	return old;
}

void *map_del(struct map *m, struct str key)
{
	size_t mask = m->cap - 1, hole, i;
	struct map_slot *s;
	void *old;

	if (m->n == 0)
		return NULL;
	s = find(m, key, hash_of(key));
	if (!s->key)
		return NULL;
	old = s->value;
	free(s->key);
	hole = (size_t)(s - m->slots);
	for (i = (hole + 1) & mask; m->slots[i].key; i = (i + 1) & mask) {
		size_t home = m->slots[i].hash & mask;

		/* May move back only if its home is not between the hole and where it stands. */
		if (((i - home) & mask) >= ((i - hole) & mask)) {
			m->slots[hole] = m->slots[i];
			hole = i;
		}
	}
	m->slots[hole] = (struct map_slot){0};
	m->n--;
	return old;
}

bool map_next(const struct map *m, size_t *i, struct str *key, void **value)
{
	for (; *i < m->cap; (*i)++) {
		struct map_slot *s = &m->slots[*i];

		if (!s->key)
			continue;
		*key = str_n(s->key, s->n);
		*value = s->value;
		(*i)++;
		return true;
	}
	return false;
}

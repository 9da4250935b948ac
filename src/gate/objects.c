/* Small objects in memory: a direct-mapped table, so that a small GET needs neither the store nor a file. An entry is
 * good as long as the store's version of its key is the one it was read at (store_object_version changes before any
 * answer to a write goes out). Owns its entries: at most SLOTS * SMALL_MAX bytes, dropped when unused for two ticks of
 * the reaper. Cannot fail: what does not fit is read from the store. */
#include "gate/objects.h"

#include "base/map.h"
#include "base/mem.h"
#include "gate/reap.h"

#include <unistd.h>

#define SLOTS     512
#define SMALL_MAX (8u << 10)

struct entry {
	struct arena arena; /* of object and bytes */
	struct object *object;
	struct str bytes;
	uint32_t version;
	unsigned ticks; /* of the reaper since it was used */
};

struct objects {
	struct entry *slots[SLOTS];
	size_t n;
};

struct objects *objects_new(void)
{
	return xnew(struct objects);
}

static void drop(struct objects *o, size_t slot)
{
	struct entry *e = o->slots[slot];

	if (!e)
		return;
	arena_done(&e->arena);
	free(e);
	o->slots[slot] = NULL;
	o->n--;
}

struct objects *objects_free(struct objects *o)
{
	if (!o)
		return NULL;
	for (size_t i = 0; i < SLOTS; i++)
		drop(o, i);
	free(o);
	return NULL;
}

bool objects_age(struct objects *o)
{
	for (size_t i = 0; i < SLOTS; i++)
		if (o->slots[i] && o->slots[i]->ticks++ >= 2)
			drop(o, i);
	return o->n > 0;
}

static size_t slot_of(struct str bucket, struct str key)
{
	static const uint8_t seed[16];

	return (siphash13(seed, bucket.p, bucket.n) * 31 + siphash13(seed, key.p, key.n)) % SLOTS;
}

static bool is_small(const struct object *object)
{
	return object->n_extents == 1 && object->size && object->size <= SMALL_MAX;
}

/* Reads object and bytes into an entry of its own; NULL: not small, or not readable. */
static struct entry *load(struct gate *g, struct str bucket, struct str key)
{
	struct entry *e = xnew(struct entry);
	char *bytes;
	ssize_t n;
	int fd = -1;

	e->version = store_object_version(g->store, bucket, key);
	if (store_get_object(store_reader(g->store), &e->arena, bucket, key, &e->object) == 0 && is_small(e->object))
		fd = blob_open_fd(g->blobs, e->object->extents[0].blob);
	if (fd >= 0) {
		bytes = arena_alloc(&e->arena, e->object->size);
		n = pread(fd, bytes, e->object->size, 0);
		close(fd);
		if (n == (ssize_t)e->object->size) {
			e->bytes = str_n(bytes, (size_t)n);
			return e;
		}
	}
	arena_done(&e->arena);
	free(e);
	return NULL;
}

int objects_get(struct gate *g, struct arena *a, struct str bucket, struct str key, const struct object **ret,
		struct str *bytes)
{
	struct objects *o = g->objects;
	size_t slot = slot_of(bucket, key);
	struct entry *e = o->slots[slot];
	struct object *read;
	int r;

	if (e && str_eq(e->object->key, key) && str_eq(e->object->bucket, bucket) &&
	    e->version == store_object_version(g->store, bucket, key)) {
		e->ticks = 0;
		*ret = e->object;
		*bytes = e->bytes;
		return 0;
	}
	*bytes = STR_NULL;
	r = store_get_object(store_reader(g->store), a, bucket, key, &read);
	if (r)
		return r;
	*ret = read;
	if (!is_small(read))
		return 0;
	e = load(g, bucket, key);
	if (e) {
		drop(o, slot);
		o->slots[slot] = e;
		o->n++;
		*ret = e->object;
		*bytes = e->bytes;
		reap_kick(g);
	}
	return 0;
}

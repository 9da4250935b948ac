/* What a page of a listing costs in a bucket of many keys, and what commits cost: makes the keys in a fresh folder,
 * then times pages of 1000 at random places, with and without a delimiter.
 *   store_list DIR [KEYS] */
#include "base/mem.h"
#include "store/store.h"
#include "sys/clock.h"

#include <stdio.h>

struct bench {
	struct loop *loop;
	struct store *store;
	struct arena arena;
};

static void answered(void *arg, int r, unsigned op)
{
	struct bench *b = arg;

	if (r) {
		fprintf(stderr, "commit: %d\n", r);
		exit(1);
	}
	loop_stop(b->loop);
}

static void fill(struct bench *b, unsigned keys)
{
	struct extent e = {STR("00112233445566778899aabbccddeeff"), 1000};
	struct kv headers[] = {{STR("cache-control"), STR("no-store")}, {STR("x-amz-meta-owner"), STR("someone")}};
	uint64_t start = clock_mono_us();
	char key[64];

	for (unsigned i = 0; i < keys;) {
		struct store_txn *t = store_begin(b->store);

		if (i == 0)
			store_put_bucket(t, &(struct bucket){.name = STR("b")});
		for (unsigned n = 0; n < 10000 && i < keys; n++, i++) {
			struct object o = {.bucket = STR("b"),
					   .size = 1000,
					   .etag = STR("0123456789abcdef0123456789abcdef"),
					   .content_type = STR("image/jpeg"),
					   .headers = headers,
					   .n_headers = ARRAY_SIZE(headers),
					   .extents = &e,
					   .n_extents = 1};

			snprintf(key, sizeof(key), "photos/%04u/%08u.jpg", i / 1000, i);
			o.key = str_from(key);
			store_put_object(t, &o, NULL);
		}
		store_commit(t, answered, b);
		loop_run(b->loop);
	}
	printf("%u keys put, %.1f us each\n", keys, (double)(clock_mono_us() - start) / keys);
}

static void pages(struct bench *b, const char *what, struct str prefix, struct str delimiter, unsigned keys)
{
	uint64_t worst = 0, sum = 0;
	unsigned n = 100;
	char after[64];

	for (unsigned i = 0; i < n; i++) {
		struct object_list_query q = {
			.bucket = STR("b"), .prefix = prefix, .delimiter = delimiter, .max = 1000};
		struct object_list l;
		uint64_t start = clock_mono_us(), us;

		snprintf(after, sizeof(after), "photos/%04u/", (i * 7919u) % (delimiter.n ? 1 : keys / 1000));
		q.after = str_from(after);
		if (store_list_objects(store_reader(b->store), &b->arena, &q, &l) != 0)
			exit(1);
		us = clock_mono_us() - start;
		sum += us;
		worst = MAX(worst, us);
		if (i == 0)
			printf("%s: %zu keys, %zu prefixes; ", what, l.n_objects, l.n_prefixes);
		arena_reset(&b->arena);
	}
	printf("mean %.2f ms, worst %.2f ms\n", (double)sum / n / 1000, (double)worst / 1000);
}

int main(int argc, char **argv)
{
	unsigned keys = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1000000;
	struct bench b = {.loop = loop_new()};
	struct store_conf c = {.path = argv[1], .loop = b.loop};
	struct err err = ERR_NULL;

	if (argc < 2) {
		fprintf(stderr, "usage: store_list DIR [KEYS]\n");
		return 2;
	}
	b.store = store_open_sqlite(&c, &err);
	if (!b.store) {
		fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	fill(&b, keys);
	pages(&b, "pages of 1000", STR("photos/"), STR(""), keys);
	pages(&b, "pages of 1000 prefixes", STR("photos/"), STR("/"), keys);
	pages(&b, "the top", STR(""), STR("/"), keys);
	store_close(b.store);
	loop_free(b.loop);
	arena_done(&b.arena);
	return 0;
}

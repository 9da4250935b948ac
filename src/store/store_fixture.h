/* What the tests of this room share: a loop, a folder, a store of either backend, and commits that wait. */
#pragma once

#include "base/mem.h"
#include "store/blob.h"
#include "sys/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

struct fixture {
	struct loop *loop;
	struct store *store;
	bool sqlite;
	char dir[64];
	struct arena arena;
	int r;
	unsigned op;
	struct blob_info info;
};

static inline void fixture_store(struct fixture *f)
{
	struct store_conf c = {.path = f->dir, .loop = f->loop};
	struct err err = ERR_NULL;

	f->store = f->sqlite ? store_open_sqlite(&c, &err) : store_open_ram(&c);
	if (!f->store)
		fail_msg("%s", err.msg);
}

static inline void fixture_open(struct fixture *f, bool sqlite)
{
	*f = (struct fixture){.sqlite = sqlite, .loop = loop_new()};
	snprintf(f->dir, sizeof(f->dir), "/tmp/wick-store-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	fixture_store(f);
}

static inline void fixture_close(struct fixture *f)
{
	f->store = store_close(f->store);
	f->loop = loop_free(f->loop);
	arena_done(&f->arena);
	rm_rf(f->dir);
}

static inline void fixture_answered(void *arg, int r, unsigned op)
{
	struct fixture *f = arg;

	f->r = r;
	f->op = op;
	loop_stop(f->loop);
}

static inline int commit(struct fixture *f, struct store_txn *t)
{
	store_commit(t, fixture_answered, f);
	loop_run(f->loop);
	return f->r;
}

static inline void fixture_blob(void *arg, int r, const struct blob_info *info)
{
	struct fixture *f = arg;

	f->r = r;
	f->info = *info;
	loop_stop(f->loop);
}

static inline void fixture_stop(void *arg)
{
	loop_stop(((struct fixture *)arg)->loop);
}

#define assert_str(s, z)                                                                                               \
	do {                                                                                                           \
		struct str s_ = (s);                                                                                   \
		assert_int_equal(s_.n, strlen(z));                                                                     \
		assert_memory_equal(s_.p, z, s_.n);                                                                    \
	} while (0)

/* For tests that run over each backend: BOTH(name) is the test on the RAM store and on SQLite. */
#pragma once

#include "store/store_fixture.h"

static inline struct fixture *fix(void **state)
{
	return *state;
}

static inline struct store_reader *rd(struct fixture *f)
{
	return store_reader(f->store);
}

/* The dead blobs, joined by blanks. */
static inline const char *dead(struct fixture *f)
{
	struct str *ids;
	size_t n;
	char *all = arena_dup(&f->arena, STR(""));

	assert_int_equal(store_dead_blobs(rd(f), &f->arena, 100, &ids, &n), 0);
	for (size_t i = 0; i < n; i++)
		all = arena_printf(&f->arena, "%s%s%.*s", all, i ? " " : "", STR_ARG(ids[i]));
	return all;
}

static inline int open_ram(void **state)
{
	struct fixture *f = xnew(struct fixture);

	fixture_open(f, false);
	*state = f;
	return 0;
}

static inline int open_sqlite(void **state)
{
	struct fixture *f = xnew(struct fixture);

	fixture_open(f, true);
	*state = f;
	return 0;
}

static inline int close_it(void **state)
{
	fixture_close(*state);
	free(*state);
	return 0;
}

#define BOTH(fn)                                                                                                       \
	{#fn " ram", fn, open_ram, close_it, NULL},                                                                    \
	{                                                                                                              \
#fn " sqlite", fn, open_sqlite, close_it, NULL                                                         \
	}

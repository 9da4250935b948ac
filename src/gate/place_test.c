/* The policy of worker counts, by table. */
#include "gate/place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const struct {
	const char *name;
	struct place_view v;
	unsigned want;
} rows[] = {
	{"nothing waits",
	 {.starting_limit = 50, .limit = 10, .memory_free_mb = 9999, .memory_mb = 128, .node_up = true},
	 0},
	{"one waits",
	 {.waiting = 1, .starting_limit = 50, .limit = 10, .memory_free_mb = 9999, .memory_mb = 128, .node_up = true},
	 1},
	{"no node", {.waiting = 1, .starting_limit = 50, .limit = 10, .memory_free_mb = 9999, .memory_mb = 128}, 0},
	{"those starting count",
	 {.waiting = 3,
	  .starting = 2,
	  .active = 2,
	  .starting_limit = 50,
	  .limit = 10,
	  .memory_free_mb = 9999,
	  .memory_mb = 128,
	  .node_up = true},
	 1},
	{"more start than wait",
	 {.waiting = 1,
	  .starting = 2,
	  .active = 2,
	  .starting_limit = 50,
	  .limit = 10,
	  .memory_free_mb = 9999,
	  .memory_mb = 128,
	  .node_up = true},
	 0},
	{"the account's limit",
	 {.waiting = 9,
	  .active = 8,
	  .starting_limit = 50,
	  .limit = 10,
	  .memory_free_mb = 9999,
	  .memory_mb = 128,
	  .node_up = true},
	 2},
	{"at the limit",
	 {.waiting = 9,
	  .active = 10,
	  .starting_limit = 50,
	  .limit = 10,
	  .memory_free_mb = 9999,
	  .memory_mb = 128,
	  .node_up = true},
	 0},
	{"over the limit",
	 {.waiting = 9,
	  .active = 12,
	  .starting_limit = 50,
	  .limit = 10,
	  .memory_free_mb = 9999,
	  .memory_mb = 128,
	  .node_up = true},
	 0},
	{"others start already",
	 {.waiting = 9,
	  .starting_all = 48,
	  .starting_limit = 50,
	  .limit = 99,
	  .memory_free_mb = 9999,
	  .memory_mb = 128,
	  .node_up = true},
	 2},
	{"too many start",
	 {.waiting = 9,
	  .starting_all = 50,
	  .starting_limit = 50,
	  .limit = 99,
	  .memory_free_mb = 9999,
	  .memory_mb = 128,
	  .node_up = true},
	 0},
	{"memory for two",
	 {.waiting = 9, .starting_limit = 50, .limit = 99, .memory_free_mb = 300, .memory_mb = 128, .node_up = true},
	 2},
	{"memory for none",
	 {.waiting = 9, .starting_limit = 50, .limit = 99, .memory_free_mb = 127, .memory_mb = 128, .node_up = true},
	 0},
};

static void decides(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		unsigned got = place_decide(&rows[i].v);

		if (got != rows[i].want)
			fail_msg("%s: want %u, got %u", rows[i].name, rows[i].want, got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(decides)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

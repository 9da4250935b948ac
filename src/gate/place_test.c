/* The policy of worker counts and its words, by table. */
#include "gate/crash.h"
#include "gate/place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

/* What a row does not say: a machine of two cores with room, an account with room. */
static struct place_view roomy(struct place_view v)
{
	v.node_up = true;
	v.concurrency = v.concurrency ? v.concurrency : 1;
	v.shared_limit = v.shared_limit ? v.shared_limit : 1000;
	v.cpus = 2;
	v.starts_limit = v.starts_limit ? v.starts_limit : 8;
	v.memory_all_mb = v.memory_all_mb ? v.memory_all_mb : 10000;
	v.memory_free_mb = v.memory_free_mb ? v.memory_free_mb : v.memory_all_mb;
	v.memory_mb = v.memory_mb ? v.memory_mb : 128;
	v.estimate_mb = v.estimate_mb ? v.estimate_mb : 128;
	return v;
}

#define BUSY_FN .ready = 4, .run_us = 100000, .start_us = 5000

static const struct {
	const char *name;
	struct place_view v;
	unsigned starts;
	enum wait_reason reason;
	uint64_t again_us;
} rows[] = {
	{"nothing waits", {0}, 0, WAIT_NONE, 0},
	{"one waits", {.waiting = 1}, 1, WAIT_STARTING, 0},
	{"one waits, one is coming", {.waiting = 1, .starting = 1}, 0, WAIT_STARTING, 0},
	{"three wait, one is coming", {.waiting = 3, .starting = 1}, 2, WAIT_STARTING, 0},

	/* Concurrency of a worker */
	{"ten to a worker: one for ten", {.waiting = 10, .concurrency = 10}, 1, WAIT_STARTING, 0},
	{"ten to a worker: two for eleven", {.waiting = 11, .concurrency = 10}, 2, WAIT_STARTING, 0},
	{"ten to a worker: one is coming for ten of eleven",
	 {.waiting = 11, .starting = 1, .concurrency = 10},
	 1,
	 WAIT_STARTING,
	 0},
	{"ten to a worker, one is coming", {.waiting = 10, .starting = 1, .concurrency = 10}, 0, WAIT_STARTING, 0},

	/* Starts at once */
	{"as many as may start", {.waiting = 100, .starts_limit = 8}, 8, WAIT_STARTS, 50000},
	{"the last quarter is for first workers", {BUSY_FN, .waiting = 100, .starts_limit = 8}, 6, WAIT_STARTS, 50000},
	{"a first worker among another's burst", {.waiting = 1, .starts = 7}, 1, WAIT_STARTING, 0},
	{"all slots are taken", {.waiting = 1, .starts = 8}, 0, WAIT_STARTS, 50000},
	{"more than all slots", {.waiting = 1, .starts = 20}, 0, WAIT_STARTS, 50000},

	/* Reserved concurrency */
	{"reserved: under its cap",
	 {.waiting = 9, .is_reserved = true, .reserved = 5, .group_running = 2},
	 3,
	 WAIT_RESERVED,
	 0},
	{"reserved: workers on their way count",
	 {.waiting = 9, .starting = 2, .is_reserved = true, .reserved = 5, .group_running = 2, .group_starting = 2},
	 1,
	 WAIT_RESERVED,
	 0},
	{"reserved: at its cap",
	 {BUSY_FN, .waiting = 9, .is_reserved = true, .reserved = 5, .group_running = 5},
	 0,
	 WAIT_RESERVED,
	 0},
	{"reserved: nothing at all", {.waiting = 1, .is_reserved = true, .reserved = 0}, 0, WAIT_RESERVED, 0},
	{"reserved: a guarantee, though the account is full",
	 {.waiting = 2,
	  .is_reserved = true,
	  .reserved = 5,
	  .shared_limit = 10,
	  .shared_running = 10,
	  .shared_active = 10},
	 2,
	 WAIT_STARTING,
	 0},
	{"reserved: ten to a worker, a cap of 15 is two workers",
	 {.waiting = 100, .concurrency = 10, .is_reserved = true, .reserved = 15},
	 2,
	 WAIT_RESERVED,
	 0},

	/* The account */
	{"the account's limit", {.waiting = 9, .shared_limit = 10, .shared_active = 8}, 2, WAIT_ACCOUNT, 0},
	{"the account is full", {.waiting = 9, .shared_limit = 10, .shared_active = 10}, 0, WAIT_ACCOUNT, 0},
	{"over the limit after it was lowered",
	 {.waiting = 9, .shared_limit = 10, .shared_active = 12},
	 0,
	 WAIT_ACCOUNT,
	 0},
	{"provisioned is not under the limit",
	 {.waiting = 3, .provisioned = 2, .shared_limit = 10, .shared_active = 10},
	 2,
	 WAIT_ACCOUNT,
	 0},

	/* Provisioned concurrency */
	{"provisioned without anybody waiting", {.provisioned = 3}, 3, WAIT_NONE, 0},
	{"provisioned: two are there, one is coming", {.provisioned = 3, .ready = 2, .starting = 1}, 0, WAIT_NONE, 0},
	{"provisioned: one has gone", {.provisioned = 3, .ready = 2}, 1, WAIT_NONE, 0},
	{"provisioned, and more wait", {.provisioned = 3, .waiting = 5}, 5, WAIT_STARTING, 0},

	/* Memory */
	{"memory for two", {.waiting = 9, .memory_free_mb = 300, .memory_all_mb = 1000}, 2, WAIT_NO_MEMORY, 0},
	{"no memory", {.waiting = 9, .memory_free_mb = 100, .memory_all_mb = 1000}, 0, WAIT_NO_MEMORY, 0},
	{"an eighth is kept for first workers",
	 {BUSY_FN, .waiting = 9, .memory_free_mb = 300, .memory_all_mb = 1000},
	 1,
	 WAIT_FAIR_SHARE,
	 0},
	{"measured small: many more fit",
	 {.waiting = 9, .memory_free_mb = 100, .memory_all_mb = 1000, .estimate_mb = 8, .starts_limit = 50},
	 9,
	 WAIT_STARTING,
	 0},
	{"more than the machine has", {.waiting = 1, .memory_mb = 10240}, 0, WAIT_TOO_LARGE, 0},
	{"more than another node, which is away, has",
	 {.waiting = 1, .memory_mb = 10240, .memory_could_mb = 10239},
	 0,
	 WAIT_TOO_LARGE,
	 0},
	{"a node that is away has it",
	 {.waiting = 1, .memory_mb = 10240, .memory_could_mb = 10240},
	 0,
	 WAIT_NO_PLACE,
	 0},

	/* Patience */
	{"sooner to wait: short runs",
	 {.waiting = 30, .ready = 4, .run_us = 100, .start_us = 5000},
	 0,
	 WAIT_BUSY,
	 5000},
	{"not with fewer than two workers a core",
	 {.waiting = 30, .ready = 3, .run_us = 100, .start_us = 5000},
	 6,
	 WAIT_STARTS,
	 50000},
	{"runs are longer than a start", {BUSY_FN, .waiting = 5}, 5, WAIT_STARTING, 0},
	{"not for longer than a start takes",
	 {.waiting = 5, .ready = 4, .run_us = 100, .start_us = 5000, .waited_us = 5000},
	 5,
	 WAIT_STARTING,
	 0},
	{"nothing is known yet", {.waiting = 5, .ready = 4}, 5, WAIT_STARTING, 0},

	/* Crashes */
	{"the first failure holds nobody up", {.waiting = 5, .crashes = 1}, 5, WAIT_STARTING, 0},
	{"backing off", {.waiting = 5, .crashes = 2, .backoff_us = 90000}, 0, WAIT_BACKING_OFF, 90000},
	{"one try when it is over", {.waiting = 5, .crashes = 2}, 1, WAIT_BACKING_OFF, 0},
	{"one try at a time", {.waiting = 5, .crashes = 2, .starting = 1}, 0, WAIT_BACKING_OFF, 0},
	{"crash-looping", {.waiting = 5, .crashes = 7, .backoff_us = 3200000}, 0, WAIT_CRASH_LOOPING, 3200000},
	{"provisioned backs off as well",
	 {.provisioned = 2, .crashes = 3, .backoff_us = 90000},
	 0,
	 WAIT_BACKING_OFF,
	 90000},
};

static void decides(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct place_view v = roomy(rows[i].v);
		struct place_decision d;

		place_decide(&v, &d);
		if (d.starts != rows[i].starts || d.reason != rows[i].reason || d.again_us != rows[i].again_us)
			fail_msg("%s: want %u, %s, %llu; got %u, %s, %llu", rows[i].name, rows[i].starts,
				 wait_reason_name(rows[i].reason), (unsigned long long)rows[i].again_us, d.starts,
				 wait_reason_name(d.reason), (unsigned long long)d.again_us);
	}
}

static void without_a_node(void **state)
{
	struct place_view v = roomy((struct place_view){.waiting = 1});
	struct place_decision d;

	v.node_up = false;
	place_decide(&v, &d);
	assert_int_equal(d.starts, 0);
	assert_int_equal(d.reason, WAIT_NO_NODE);
}

static void who_may_run(void **state)
{
	static const struct {
		const char *name;
		struct place_view v;
		enum wait_reason want;
	} runs[] = {
		{"room", {0}, WAIT_NONE},
		{"the account is full", {.shared_limit = 5, .shared_running = 5}, WAIT_ACCOUNT},
		{"workers on their way do not hold up",
		 {.shared_limit = 5, .shared_running = 4, .shared_active = 5},
		 WAIT_NONE},
		{"covered by provisioned",
		 {.shared_limit = 5, .shared_running = 5, .running = 1, .provisioned = 2},
		 WAIT_NONE},
		{"provisioned is used up",
		 {.shared_limit = 5, .shared_running = 5, .running = 2, .provisioned = 2},
		 WAIT_ACCOUNT},
		{"reserved", {.shared_limit = 5, .shared_running = 5, .is_reserved = true, .reserved = 1}, WAIT_NONE},
		{"reserved is used up", {.is_reserved = true, .reserved = 1, .group_running = 1}, WAIT_RESERVED},
	};

	for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
		struct place_view v = roomy(runs[i].v);

		if (place_may_run(&v) != runs[i].want)
			fail_msg("%s", runs[i].name);
	}
}

static void reckons_memory(void **state)
{
	assert_int_equal(place_estimate_kib(0, 128), 128 << 10);         /* nobody knows */
	assert_int_equal(place_estimate_kib(20 << 10, 128), 30 << 10);   /* half as much again */
	assert_int_equal(place_estimate_kib(2 << 10, 128), 8 << 10);     /* never less than that */
	assert_int_equal(place_estimate_kib(120 << 10, 128), 128 << 10); /* never more than its limit */
	assert_int_equal(place_memory_free_mb(1000, 1000, 0), 1000);
	assert_int_equal(place_memory_free_mb(1000, 1000, 400), 900); /* promised, not used: a quarter is believed */
	assert_int_equal(place_memory_free_mb(1000, 800, 4000), 0);   /* which may be all of it */
	assert_int_equal(place_memory_free_mb(1000, 800, 400), 700);  /* half as much again as is used */
	assert_int_equal(place_memory_free_mb(1000, 600, 400), 600);  /* not more than is promised, but that is gone */
	assert_int_equal(place_memory_free_mb(1000, 0, 0), 0);
}

static void backs_off(void **state)
{
	static const uint64_t want_ms[] = {0, 0, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000};

	for (unsigned n = 0; n < ARRAY_SIZE(want_ms); n++)
		assert_int_equal(crash_delay_us(n), want_ms[n] * 1000);
	assert_int_equal(crash_delay_us(UINT32_MAX), 30000000);
}

/* Every reason has a name and a sentence. */
static void says_why(void **state)
{
	static const struct {
		enum wait_reason reason;
		struct place_view v;
		const char *want;
	} texts[] = {
		{WAIT_STARTING,
		 {.starting = 2, .start_age_us = 12345, .start_stage = START_INIT},
		 "2 workers for it are starting, the first since 12 ms: it initialises."},
		{WAIT_BUSY,
		 {.ready = 1},
		 "Its 1 worker is busy, and one will be free sooner than another could start."},
		{WAIT_NO_NODE, {0}, "No node is connected that could run it."},
		{WAIT_TOO_LARGE,
		 {.memory_mb = 10240, .memory_all_mb = 2000},
		 "It asks for 10240 MB of memory, and the machine has 2000 MB for workers."},
		{WAIT_NO_MEMORY,
		 {.estimate_mb = 128, .memory_all_mb = 2000, .memory_free_mb = 9},
		 "No memory: another worker of it is reckoned with 128 MB, and of 2000 MB for workers 9 MB are left."},
		{WAIT_RESERVED,
		 {.reserved = 5, .group_running = 4, .group_starting = 1},
		 "Its reserved concurrency of 5 is used up: 4 invocations in hand, 1 worker starting."},
		{WAIT_CRASH_LOOPING,
		 {.crashes = 7, .backoff_us = 3200000},
		 "It has failed to start 7 times in a row; the next try is in 3200 ms."},
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct buf b = BUF_NULL;

		wait_text(&b, texts[i].reason, &texts[i].v);
		assert_string_equal(b.p, texts[i].want);
		buf_done(&b);
	}
	for (unsigned r = WAIT_NONE + 1; r < WAIT_REASON_COUNT; r++) {
		struct place_view v = {0};
		struct buf b = BUF_NULL;

		assert_true(wait_reason_name((enum wait_reason)r)[0] != '\0');
		wait_text(&b, (enum wait_reason)r, &v);
		assert_true(b.n > 10 && b.p[b.n - 1] == '.');
		buf_done(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decides),        cmocka_unit_test(without_a_node), cmocka_unit_test(who_may_run),
		cmocka_unit_test(reckons_memory), cmocka_unit_test(backs_off),      cmocka_unit_test(says_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

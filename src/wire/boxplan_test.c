/* Plans there and back, cut short at each byte, and every rule broken once. */
#include "wire/boxplan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define OP(k, ...)                                                                                                     \
	{                                                                                                              \
		.kind = BOX_##k, __VA_ARGS__                                                                           \
	}
#define TO(s)   .to = STR(s)
#define FROM(s) .from = STR(s)

static struct box_op good[] = {
	OP(CGROUP, .fd = 2),
	OP(ROOT, .value = 1 << 20),
	OP(DIR, TO("/etc")),
	OP(LINK, TO("/bin"), FROM("usr/bin")),
	OP(FILE, TO("/etc/hosts"), FROM("127.0.0.1 localhost\n")),
	OP(BIND, TO("/usr"), FROM("/usr"), .flags = BOX_EXEC | BOX_OPTIONAL),
	OP(TMPFS, TO("/tmp"), .value = 512 << 20),
	OP(PROC, TO("/proc")),
	OP(PIVOT),
	OP(HOSTNAME, FROM("wick")),
	OP(LOOPBACK),
	OP(LISTEN, .value = 9000),
	OP(WAIT, .fd = 3),
	OP(RLIMIT, .which = 7, .value = 1024),
	OP(LANDLOCK, TO("/"), .flags = BOX_WRITABLE),
	OP(RIGHTS, .value = BOX_PROFILE_WORKER),
};
static struct str good_argv[] = {STR("worker"), STR("")}, good_env[] = {STR("A=1"), STR("SECRET=hush")};

static struct boxplan good_plan(void)
{
	return (struct boxplan){.namespaces = BOX_NS_ALL,
				.n_fds = 4,
				.ops = good,
				.n_ops = ARRAY_SIZE(good),
				.argv = good_argv,
				.n_argv = 2,
				.env = good_env,
				.n_env = 2,
				.cwd = STR("/var/task")};
}

static void test_round_trip(void **state)
{
	struct boxplan p = good_plan(), q;
	struct buf b = BUF_NULL, again = BUF_NULL;
	struct arena a = ARENA_NULL;
	struct err err = ERR_NULL;

	boxplan_encode(&b, &p);
	if (boxplan_decode(&q, buf_str(&b), &a, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(q.n_ops, p.n_ops);
	assert_int_equal(q.ops[13].which, 7);
	assert_true(str_eqz(q.ops[4].from, "127.0.0.1 localhost\n"));
	assert_true(str_eqz(q.env[1], "SECRET=hush") && str_eqz(q.cwd, "/var/task"));
	boxplan_encode(&again, &q);
	assert_true(str_eq(buf_str(&b), buf_str(&again)));
	for (size_t n = 0; n < b.n; n++)
		assert_int_equal(boxplan_decode(&q, str_n(b.p, n), &a, NULL), -1);
	buf_addc(&b, 'x');
	assert_int_equal(boxplan_decode(&q, buf_str(&b), &a, NULL), -1);
	buf_done(&b);
	buf_done(&again);
	arena_done(&a);
}

static void test_print(void **state)
{
	struct boxplan p = good_plan();
	struct buf b = BUF_NULL;

	good[5].from = STR("/usr\033[2J");
	boxplan_print(&b, &p);
	good[5].from = STR("/usr");
	assert_non_null(strstr(b.p, "clone    user,mount,pid,ipc,uts,cgroup,net\n"));
	assert_non_null(strstr(b.p, "bind     /usr\\x1b[2J -> /usr ro,exec,optional\n"));
	assert_non_null(strstr(b.p, "file     20 bytes -> /etc/hosts\n"));
	assert_non_null(strstr(b.p, "rlimit   nofile 1024\n"));
	assert_non_null(strstr(b.p, "listen   127.0.0.1:9000\n"));
	assert_non_null(strstr(b.p, "env      SECRET\n"));
	assert_null(strstr(b.p, "hush"));
	buf_done(&b);
}

/* The good plan with one operation replaced. */
static const struct {
	size_t at;
	struct box_op op;
	const char *says;
} broken[] = {
	{0, OP(CGROUP, .fd = 1), "file descriptor 1"}, /* the output pipe */
	{0, OP(CGROUP, .fd = 4), "file descriptor 4"},
	{1, OP(ROOT), "value 0"},
	{0, OP(ROOT, .value = 1), "stands where it may not"}, /* twice */
	{1, OP(DIR, TO("/a")), "stands where it may not"},
	{2, OP(DIR, TO("a")), "is not absolute"},
	{2, OP(DIR, TO("/")), "is the root"},
	{2, OP(DIR, TO("/a/../b")), "empty, \".\" or \"..\""},
	{2, OP(DIR, TO("/a/./b")), "empty, \".\" or \"..\""},
	{2, OP(DIR, TO("/a//b")), "empty, \".\" or \"..\""},
	{2, OP(DIR, TO("/a/")), "empty, \".\" or \"..\""},
	{2, OP(DIR, TO("/a\0b")), "NUL"},
	{2, OP(DIR, TO("/a"), FROM("b")), "is not used"},
	{2, OP(DIR, TO("/a"), .flags = BOX_EXEC), "flags 0x2"},
	{2, OP(DIR, TO("/a"), .fd = 2), "file descriptor 2"},
	{2, OP(DIR, TO("/a"), .value = 2), "value 2"},
	{2, OP(DIR, TO("/a"), .which = 2), "2 is no limit"},
	{2, OP(ROOT, .value = 1), "stands where it may not"},
	{3, OP(LINK, TO("/bin")), "is empty"},
	{5, OP(BIND, TO("/usr"), FROM("usr")), "is not absolute"},
	{5, OP(BIND, TO("/usr"), FROM("/a/../usr")), "empty, \".\" or \"..\""},
	{5, OP(BIND, TO("/usr"), FROM("/usr"), .flags = 16), "flags 0x10"},
	{6, OP(TMPFS, TO("/tmp"), .value = UINT64_MAX), "out of range"},
	{8, OP(LOOPBACK), "stands where it may not"}, /* no PIVOT */
	{9, OP(HOSTNAME, FROM("a b")), "is not a name"},
	{9, OP(BIND, TO("/usr"), FROM("/usr")), "stands where it may not"},
	{11, OP(LISTEN, .value = 65536), "value 65536"},
	{13, OP(RLIMIT, .which = 16), "16 is no limit"},
	{14, OP(RIGHTS), "stands where it may not"},
	{15, OP(LOOPBACK), "last operation"},
	{15, OP(RIGHTS, .value = BOX_PROFILES), "out of range"},
	{15, OP(RIGHTS, .value = BOX_PROFILE_SNAPSHOT), "for workers only"},
};

static void expect(const struct boxplan *p, const char *says)
{
	struct err err = ERR_NULL;

	assert_int_equal(boxplan_check(p, &err), -1);
	if (!strstr(err.msg, says))
		fail_msg("%s, not %s", err.msg, says);
	err_done(&err);
}

static void test_operations(void **state)
{
	struct boxplan p = good_plan();

	assert_int_equal(boxplan_check(&p, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		struct box_op saved = good[broken[i].at];

		good[broken[i].at] = broken[i].op;
		expect(&p, broken[i].says);
		good[broken[i].at] = saved;
	}
}

static void test_plan(void **state)
{
	struct str no_name[] = {STR("=x")}, nul[] = {STR("a\0b")};
	struct boxplan p;

	p = good_plan(), p.namespaces = 128, expect(&p, "unknown namespaces");
	p = good_plan(), p.namespaces = BOX_NS_MOUNT, expect(&p, "without one of users");
	p = good_plan(), p.namespaces &= ~BOX_NS_NET, expect(&p, "needs a namespace");
	p = good_plan(), p.namespaces = 0, expect(&p, "needs a namespace");
	p = good_plan(), p.n_fds = 0, expect(&p, "file descriptors");
	p = good_plan(), p.n_fds = 9, expect(&p, "file descriptors");
	p = good_plan(), p.n_argv = 0, expect(&p, "argv is empty");
	p = good_plan(), p.argv = nul, p.n_argv = 1, expect(&p, "NUL");
	p = good_plan(), p.env = no_name, p.n_env = 1, expect(&p, "NAME=value");
	p = good_plan(), p.cwd = STR("tmp"), expect(&p, "working directory");
	p = good_plan(), p.n_ops = 0, expect(&p, "last operation");
}

/* What specialises a pooled box. */
static void test_second(void **state)
{
	struct box_op ops[] = {
		OP(CGROUP, .fd = 2),
		OP(LISTEN, .value = 9000),
		OP(BIND, TO("/var/task"), FROM("/code/a")),
		OP(TMPFS, TO("/tmp"), .value = 1),
		OP(UNMOUNT, TO("/code")),
		OP(BIND, TO("/opt"), FROM("/var/task")),
		OP(LANDLOCK, TO("/")),
		OP(RIGHTS),
	};
	struct boxplan p = good_plan();

	p.namespaces = 0, p.ops = ops, p.n_ops = ARRAY_SIZE(ops);
	assert_int_equal(boxplan_check(&p, NULL), 0);
	assert_false(boxplan_has_root(&p));
	p.n_ops--;
	expect(&p, "last operation");
	p.n_ops++;
	ops[4] = (struct box_op)OP(PIVOT);
	expect(&p, "needs a namespace");
	p.namespaces = BOX_NS_ALL;
	expect(&p, "stands where it may not");
	/* What forks from a worker. */
	ops[4] = (struct box_op)OP(PROC, TO("/proc"));
	assert_int_equal(boxplan_check(&p, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_print),  cmocka_unit_test(test_operations),
		cmocka_unit_test(test_plan),       cmocka_unit_test(test_second),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

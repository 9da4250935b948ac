/* Boxes on this machine: what is in one, what a second plan does to it, boxes in boxes, and how failures are said.
 * Where no user namespace can be made the tests are skipped. */
#include "box/box.h"

#include "base/mem.h"
#include "box/template.h"
#include "sys/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define OP(k, ...)                                                                                                     \
	{                                                                                                              \
		.kind = BOX_##k, __VA_ARGS__                                                                           \
	}
#define TO(s)   .to = STR(s)
#define FROM(s) .from = STR(s)

static struct str argv[] = {STR("worker")};

static struct boxplan plan_of(struct box_op *ops, size_t n, uint32_t namespaces)
{
	return (struct boxplan){.namespaces = namespaces,
				.n_fds = 2,
				.ops = ops,
				.n_ops = n,
				.argv = argv,
				.n_argv = 1,
				.cwd = STR("/tmp")};
}

/* In a box of this plan: the work's result is the exit status; what failed in box_enter is 100 and printed. */
static int run(const struct boxplan *p, int (*work)(void), char *said, size_t size)
{
	const int fds[2] = {0, 1};
	int out[2], pidfd, status;
	struct box_result res;
	struct err err = ERR_NULL;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(out), 0);
	fflush(stdout);
	pid = box_clone(p, false, &pidfd);
	if (pid == -EPERM || pid == -ENOSPC)
		skip();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (box_enter(p, fds, 2, &res, &err) < 0) {
			if (write(out[1], err.msg, strlen(err.msg)) < 0)
				_exit(101);
			_exit(100);
		}
		if (box_settle(p, &err) < 0)
			_exit(102);
		_exit(work());
	}
	close(out[1]);
	n = read(out[0], said, size - 1);
	said[MAX(n, 0)] = '\0';
	close(out[0]);
	close(pidfd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static bool file_has(const char *path, const char *text)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	return file_read(path, 1 << 16, &b) == 0 && str_find(buf_str(&b), str_from(text)) >= 0;
}

#define CHECK(n, what)                                                                                                 \
	do                                                                                                             \
		if (!(what))                                                                                           \
			return n;                                                                                      \
	while (0)

static int work_look(void)
{
	char name[64];
	pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
	pthread_mutexattr_t check;
	struct rlimit l;

	CHECK(1, getpid() == 1 && getuid() == 1000 && getgid() == 1000);
	CHECK(2, gethostname(name, sizeof(name)) == 0 && strcmp(name, "wick") == 0);
	CHECK(3, getcwd(name, sizeof(name)) && strcmp(name, "/tmp") == 0);
	CHECK(4, file_has("/etc/motd", "hello"));
	CHECK(5, open("/etc/motd", O_WRONLY) < 0 && open("/new", O_WRONLY | O_CREAT, 0600) < 0);
	CHECK(6, open("/tmp/new", O_WRONLY | O_CREAT, 0600) >= 0);
	CHECK(7, access("/proc/1/status", R_OK) == 0 && access("/usr/bin", R_OK) == 0 && access("/root", F_OK) < 0);
	CHECK(8, file_has("/proc/self/status", "CapEff:\t0000000000000000"));
	CHECK(9, file_has("/proc/self/status", "CapBnd:\t0000000000000000"));
	CHECK(10, file_has("/proc/self/status", "NoNewPrivs:\t1") && file_has("/proc/self/status", "Seccomp:\t2"));
	CHECK(11, getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_max == 64);
	CHECK(12, readlink("/lnk", name, sizeof(name)) == 4);
	CHECK(13, unshare(0x10000000) < 0 && errno == EPERM);
	CHECK(14, syscall(SYS_clone3, NULL, 0) < 0 && errno == ENOSYS);
	/* libc knows its thread by the new id. */
	pthread_mutexattr_init(&check);
	pthread_mutexattr_settype(&check, PTHREAD_MUTEX_ERRORCHECK);
	pthread_mutex_init(&m, &check);
	CHECK(15, pthread_mutex_lock(&m) == 0 && pthread_mutex_lock(&m) == EDEADLK && m.__data.__owner == gettid());
	CHECK(16, mount("none", "/tmp", "tmpfs", 0, NULL) < 0 && errno == EPERM);
	CHECK(17, open("/dev/null", O_WRONLY) >= 0);
	/* No core, wherever cores go; and that cannot be changed. */
	CHECK(18, setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) == 0 && getrlimit(RLIMIT_CORE, &l) == 0);
	CHECK(19, l.rlim_cur == 1 && l.rlim_max == 1);
	CHECK(20, getrlimit(RLIMIT_STACK, &l) == 0 && setrlimit(RLIMIT_STACK, &l) == 0);
	CHECK(21, file_has("/proc/sys/user/max_user_namespaces", "0\n"));
	return 0;
}

#define ROOT_OPS                                                                                                       \
	OP(ROOT, .value = 1 << 20), OP(DIR, TO("/etc")), OP(DIR, TO("/dev")), OP(DIR, TO("/var")),                     \
		OP(FILE, TO("/etc/motd"), FROM("hello")), OP(LINK, TO("/lnk"), FROM("/usr")),                          \
		OP(BIND, TO("/usr"), FROM("/usr"), .flags = BOX_EXEC),                                                 \
		OP(BIND, TO("/gone"), FROM("/does/not/exist"), .flags = BOX_OPTIONAL),                                 \
		OP(BIND, TO("/dev/null"), FROM("/dev/null"), .flags = BOX_WRITABLE | BOX_DEV),                         \
		OP(TMPFS, TO("/tmp"), .value = 1 << 20, .flags = BOX_EXEC), OP(PROC, TO("/proc"))
#define REST_OPS                                                                                                       \
	OP(PIVOT), OP(HOSTNAME, FROM("wick")), OP(LOOPBACK), OP(LISTEN, .value = 9000),                                \
		OP(RLIMIT, .which = RLIMIT_NOFILE, .value = 64), OP(RLIMIT, .which = RLIMIT_CORE)

static void test_worker(void **state)
{
	struct box_op ops[] = {ROOT_OPS,
			       REST_OPS,
			       OP(LANDLOCK, TO("/")),
			       OP(LANDLOCK, TO("/tmp"), .flags = BOX_WRITABLE),
			       OP(LANDLOCK, TO("/dev"), .flags = BOX_WRITABLE),
			       OP(RIGHTS, .value = BOX_PROFILE_WORKER)};
	struct boxplan p = plan_of(ops, ARRAY_SIZE(ops), BOX_NS_ALL);
	char said[256];

	assert_int_equal(run(&p, work_look, said, sizeof(said)), 0);
}

/* Where it fails it says which operation and why. */
static void test_failures(void **state)
{
	static const struct {
		struct box_op op;
		const char *says;
	} cases[] = {
		{OP(BIND, TO("/b"), FROM("/does/not/exist")), "bind /does/not/exist at /b: No such file"},
		{OP(DIR, TO("/not/there")), "dir /not/there: No such file"},
		{OP(DIR, TO("/lnk/x")), "dir /lnk/x: Too many levels"}, /* no way out through a link */
		{OP(TMPFS, TO("/lnk/x"), .value = 1), "tmpfs /lnk/x: Too many levels"},
		{OP(FILE, TO("/etc/motd"), FROM("twice")), "file /etc/motd: File exists"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct box_op ops[] = {ROOT_OPS, cases[i].op, REST_OPS, OP(RIGHTS)};
		struct boxplan p = plan_of(ops, ARRAY_SIZE(ops), BOX_NS_ALL);
		char said[256];

		assert_int_equal(run(&p, work_look, said, sizeof(said)), 100);
		if (!strstr(said, cases[i].says))
			fail_msg("said: %s", said);
	}
}

static char code_dir[64];

/* An unspecialised box gets its code by a second plan, loses sight of all other code, and every right. */
static int work_specialise(void)
{
	struct box_op ops[] = {OP(BIND, TO("/var/task"), FROM("/code/one"), .flags = BOX_EXEC),
			       OP(TMPFS, TO("/tmp"), .value = 4096), OP(UNMOUNT, TO("/code")), OP(LANDLOCK, TO("/")),
			       OP(RIGHTS)};
	struct boxplan p = plan_of(ops, ARRAY_SIZE(ops), 0);
	const int fds[2] = {0, 1};
	struct box_result res;
	struct err err = ERR_NULL;

	CHECK(1, file_has("/code/two/f", "other") && file_has("/proc/self/status", "NoNewPrivs:\t1"));
	if (box_enter(&p, fds, 2, &res, &err) < 0) {
		fprintf(stderr, "second plan: %s\n", err.msg);
		return 2;
	}
	CHECK(3, file_has("/var/task/f", "mine"));
	CHECK(4, access("/code/two", F_OK) < 0 && errno == ENOENT);
	CHECK(5, file_has("/proc/self/status", "CapEff:\t0000000000000000"));
	CHECK(6, mount("none", "/tmp", "tmpfs", 0, NULL) < 0 && umount2("/tmp", MNT_DETACH) < 0);
	CHECK(7, open("/var/task/f", O_WRONLY) < 0 && errno == EROFS);
	return 0;
}

static void make_code(const char *name, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", code_dir, name);
	assert_int_equal(mkdir_p(path, 0755), 0);
	snprintf(path, sizeof(path), "%s/%s/f", code_dir, name);
	assert_int_equal(file_write(path, str_from(text), 0644), 0);
}

static void test_pool(void **state)
{
	char said[256];

	strcpy(code_dir, "/tmp/wick-box-test-XXXXXX");
	assert_non_null(mkdtemp(code_dir));
	assert_int_equal(chmod(code_dir, 0755), 0);
	make_code("one", "mine");
	make_code("two", "other");

	struct box_op ops[] = {ROOT_OPS,
			       OP(DIR, TO("/var/task")),
			       {.kind = BOX_BIND, .to = STR("/code"), .from = str_from(code_dir), .flags = BOX_EXEC},
			       REST_OPS,
			       OP(RIGHTS, .value = BOX_PROFILE_POOL)};
	struct boxplan p = plan_of(ops, ARRAY_SIZE(ops), BOX_NS_ALL);

	assert_int_equal(run(&p, work_specialise, said, sizeof(said)), 0);
	assert_int_equal(rm_rf(code_dir), 0);
}

/* A worker that forks boxed workers of itself. */
static int work_fork(void)
{
	struct box_op ops[] = {OP(ROOT, .value = 1 << 20),
			       OP(DIR, TO("/etc")),
			       OP(DIR, TO("/dev")),
			       OP(BIND, TO("/etc/motd"), FROM("/etc/motd")),
			       OP(BIND, TO("/usr"), FROM("/usr"), .flags = BOX_EXEC),
			       OP(BIND, TO("/dev/null"), FROM("/dev/null"), .flags = BOX_WRITABLE | BOX_DEV),
			       OP(LINK, TO("/lnk"), FROM("/usr")),
			       OP(TMPFS, TO("/tmp"), .value = 1 << 20),
			       OP(PROC, TO("/proc")),
			       REST_OPS,
			       OP(LANDLOCK, TO("/")),
			       OP(LANDLOCK, TO("/tmp"), .flags = BOX_WRITABLE),
			       OP(LANDLOCK, TO("/dev"), .flags = BOX_WRITABLE),
			       OP(RIGHTS, .value = BOX_PROFILE_WORKER)};
	struct boxplan p = plan_of(ops, ARRAY_SIZE(ops), BOX_NS_ALL);
	char said[256];
	int r;

	CHECK(1, mount("none", "/tmp", "tmpfs", 0, NULL) < 0 && errno == EPERM);
	r = run(&p, work_look, said, sizeof(said));
	if (r)
		fprintf(stderr, "box in a box: %s\n", said);
	return r ? 50 + r : 0;
}

static int work_restored(void)
{
	CHECK(1, getpid() == 1 && access("/tmp/old", F_OK) < 0 && file_has("/proc/1/status", "Seccomp:\t2"));
	CHECK(2, open("/tmp/new", O_WRONLY | O_CREAT, 0600) >= 0 && open("/proc/self/comm", O_WRONLY) < 0);
	return 0;
}

/* On the root that is there, which takes less time. */
static int work_restore(void)
{
	struct box_op ops[] = {OP(PROC, TO("/proc")), OP(TMPFS, TO("/tmp"), .value = 1 << 20), OP(LOOPBACK),
			       OP(LISTEN, .value = 9000), OP(RIGHTS)};
	struct boxplan p = plan_of(ops, ARRAY_SIZE(ops), BOX_NS_ALL);
	char said[256];
	int r;

	CHECK(1, open("/tmp/old", O_WRONLY | O_CREAT, 0600) >= 0);
	r = run(&p, work_restored, said, sizeof(said));
	if (r)
		fprintf(stderr, "restored: %s\n", said);
	CHECK(2, access("/tmp/new", F_OK) < 0);
	return r ? 50 + r : 0;
}

static void test_snapshot(void **state)
{
	struct box_op ops[] = {ROOT_OPS, OP(PIVOT), OP(LOOPBACK), OP(RLIMIT, .which = RLIMIT_CORE),
			       OP(RIGHTS, .value = BOX_PROFILE_SNAPSHOT)};
	struct boxplan p = plan_of(ops, ARRAY_SIZE(ops), BOX_NS_ALL);
	char said[256];

	assert_int_equal(run(&p, work_fork, said, sizeof(said)), 0);
	assert_int_equal(run(&p, work_restore, said, sizeof(said)), 0);
}

/* Root becomes an ordinary user that can still box its children. */
static void test_drop(void **state)
{
	struct box_op ops[] = {ROOT_OPS, REST_OPS, OP(RIGHTS)};
	struct boxplan p = plan_of(ops, ARRAY_SIZE(ops), BOX_NS_ALL);
	int status;
	pid_t pid;

	if (geteuid() != 0)
		skip();
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		char said[256];

		if (box_drop_to(65534, 65534, NULL) < 0 || getuid() != 65534 || setuid(0) == 0 ||
		    !file_has("/proc/self/status", "CapPrm:\t0000000000000000"))
			_exit(60);
		_exit(run(&p, work_look, said, sizeof(said)));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int work_template(void)
{
	CHECK(1, file_has("/shared/f", "mine") && file_has("/var/task/f", "other"));
	CHECK(2, open("/shared/new", O_WRONLY | O_CREAT, 0600) < 0 && open("/new", O_WRONLY | O_CREAT, 0600) < 0);
	CHECK(3, access("/sys", F_OK) < 0 && access("/root", F_OK) < 0);
	return 0;
}

/* What workers have in common comes from the template: it is still there when its source has no name. */
static int use_template(void)
{
	char shared[128], own[128], gone[128], said[256];

	snprintf(gone, sizeof(gone), "%s/gone", code_dir);
	snprintf(shared, sizeof(shared), "%s/one", code_dir);
	snprintf(own, sizeof(own), "%s/two", code_dir);
	struct box_op ops[] = {OP(ROOT, .value = 1 << 20),
			       OP(DIR, TO("/var")),
			       {.kind = BOX_BIND, .to = STR("/shared"), .from = str_from(shared)},
			       OP(PROC, TO("/proc")),
			       OP(TMPFS, TO("/tmp"), .value = 4096),
			       {.kind = BOX_BIND, .to = STR("/var/task"), .from = str_from(own)},
			       OP(PIVOT),
			       OP(RIGHTS)};
	struct boxplan p = plan_of(ops, ARRAY_SIZE(ops), BOX_NS_ALL);

	if (template_begin(NULL) < 0)
		return 1;
	for (int i = 0; i < 3; i++) {
		int r = run(&p, work_template, said, sizeof(said));

		if (r) {
			fprintf(stderr, "worker %d: %d %s\n", i, r, said);
			return 10 + i;
		}
		if (i == 0 && rename(shared, gone) < 0)
			return 20;
	}
	/* Another plan has to make its own, which fails and is said as ever; the first is used on. */
	ops[1].to = STR("/srv");
	if (run(&p, work_template, said, sizeof(said)) != 100 || !strstr(said, "bind") || !strstr(said, "No such file"))
		return 30;
	ops[1].to = STR("/var");
	return run(&p, work_template, said, sizeof(said)) ? 40 : 0;
}

static void test_template(void **state)
{
	int status;
	pid_t pid;

	strcpy(code_dir, "/tmp/wick-box-test-XXXXXX");
	assert_non_null(mkdtemp(code_dir));
	make_code("one", "mine");
	make_code("two", "other");
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(use_template());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(rm_rf(code_dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_worker),   cmocka_unit_test(test_failures), cmocka_unit_test(test_pool),
		cmocka_unit_test(test_snapshot), cmocka_unit_test(test_template), cmocka_unit_test(test_drop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Control groups of this machine, v1 and v2, as far as it lets us: where no group can be made, those tests are skipped.
 * And finding them, from texts of other machines. */
#include "sys/cgroup.h"

#include "base/mem.h"
#include "sys/cgroup_find.h"
#include "sys/cgroup_host.h"
#include "sys/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static void free_hierarchies(struct cgroup_hierarchy *h, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(h[i].top);
		free(h[i].own);
	}
}

static void test_find_v1(void **state)
{
	struct cgroup_hierarchy h[CGROUP_HIERARCHIES_MAX];
	size_t n = cgroup_find(STR("20 1 8:1 / / rw - ext4 /dev/sda rw\n"
				   "30 25 0:26 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
				   "31 25 0:27 / /sys/fs/cgroup/net rw - cgroup cgroup rw,net_cls\n"
				   "32 25 0:28 /box /my\\040groups/memory rw shared:3 - cgroup none rw,memory\n"
				   "33 25 0:29 / /sys/fs/cgroup/named rw - cgroup none rw,name=systemd\n"
				   "broken\n34 25 0:30 / /x rw - cgroup\n"),
			       STR("4:memory:/box/a\n3:cpu,cpuacct:/\n1:name=systemd:/u\n"), h);

	assert_int_equal(n, 2);
	assert_int_equal(h[0].version, 1);
	assert_int_equal(h[0].what, CGROUP_CPU);
	assert_string_equal(h[0].own, "/sys/fs/cgroup/cpu,cpuacct");
	assert_int_equal(h[1].what, CGROUP_MEMORY);
	assert_string_equal(h[1].top, "/my groups/memory");
	assert_string_equal(h[1].own, "/my groups/memory/a");
	free_hierarchies(h, n);
}

static void test_find_v2(void **state)
{
	struct cgroup_hierarchy h[CGROUP_HIERARCHIES_MAX];
	size_t n = cgroup_find(STR("30 25 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"),
			       STR("0::/user.slice/user-1000.slice/user@1000.service/app.slice/wick.scope\n"), h);

	assert_int_equal(n, 1);
	assert_int_equal(h[0].version, 2);
	assert_string_equal(h[0].own,
			    "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/wick.scope");
	free_hierarchies(h, n);
	/* A mount that does not show where we are. */
	n = cgroup_find(STR("30 25 0:26 /boxes/b /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"), STR("0::/boxes/bb\n"), h);
	assert_int_equal(n, 1);
	assert_string_equal(h[0].own, "/sys/fs/cgroup");
	free_hierarchies(h, n);
	assert_int_equal(cgroup_find(STR(""), STR(""), h), 0);
}

/* The machine's own, but only those of one version. */
static struct cgroup_host *open_version(int version)
{
	_cleanup_(buf_done) struct buf mounts = BUF_NULL, own = BUF_NULL, some = BUF_NULL;
	char name[32];
	struct str rest, line;

	assert_int_equal(file_read("/proc/self/mountinfo", 1 << 20, &mounts), 0);
	assert_int_equal(file_read("/proc/self/cgroup", 1 << 20, &own), 0);
	for (rest = buf_str(&mounts); rest.n;) {
		bool v2;

		str_cut(rest, '\n', &line, &rest);
		v2 = str_find(line, STR(" - cgroup2 ")) >= 0;
		if (v2 == (version == 2)) {
			buf_add_str(&some, line);
			buf_addc(&some, '\n');
		}
	}
	snprintf(name, sizeof(name), "wick-test-%d", getpid());
	return cgroup_host_open_in(buf_str(&some), buf_str(&own), name, NULL);
}

/* A child in the group, which does what it is told and ends with 0. */
static pid_t child_in(const struct cgroup *c, void (*work)(void))
{
	int fds[CGROUP_JOIN_MAX], told[2];
	size_t n = cgroup_join_fds(c, fds);
	char byte;
	pid_t pid;

	assert_true(n > 0);
	assert_int_equal(pipe(told), 0);
	pid = fork();
	if (pid == 0) {
		for (size_t i = 0; i < n; i++)
			if (write(fds[i], "0", 1) != 1)
				_exit(9);
		close(told[0]);
		if (write(told[1], "", 1) != 1)
			_exit(9);
		close(told[1]);
		work();
		_exit(0);
	}
	close(told[1]);
	assert_int_equal(read(told[0], &byte, 1), 1);
	close(told[0]);
	return pid;
}

static void work_wait(void)
{
	for (;;)
		pause();
}

static void work_memory(void)
{
	const size_t n = 64 << 20;
	char *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (size_t i = 0; i < n; i += 4096)
		((volatile char *)p)[i] = 1;
}

static void work_fork(void)
{
	for (int i = 0; i < 8; i++) {
		pid_t pid = fork();

		if (pid == 0)
			work_wait();
		if (pid < 0) {
			kill(0, SIGKILL); /* its own process group, made below */
			_exit(0);
		}
	}
}

static void work_fork_bounded(void)
{
	setpgid(0, 0);
	work_fork();
	_exit(1);
}

static void check_limits(struct cgroup_host *h, struct cgroup *c)
{
	struct cgroup_stat st;
	int status;
	pid_t pid;

	if (cgroup_host_can(h) & CGROUP_MEMORY) {
		pid = child_in(c, work_memory);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		cgroup_stat(c, &st);
		assert_int_equal(st.oom_kills, 1);
		assert_true(st.memory_peak >= 15 << 20);
	}
	if (cgroup_host_can(h) & CGROUP_PIDS) {
		pid = child_in(c, work_fork_bounded);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		cgroup_stat(c, &st);
		assert_true(st.pids_denied > 0);
		cgroup_kill(c);
	}
}

static void wait_empty(const struct cgroup *c)
{
	while (!cgroup_empty(c))
		usleep(1000);
}

static void check_host(struct cgroup_host *h)
{
	const struct cgroup_limits limits = {.memory_bytes = 16 << 20, .pids = 4, .cpu_weight = 50};
	struct cgroup *c = cgroup_make(h, &limits, NULL);
	struct cgroup_stat st;
	int status;
	pid_t pid;

	assert_non_null(c);
	assert_true(cgroup_empty(c));
	check_limits(h, c);
	wait_empty(c);
	assert_int_equal(cgroup_reuse(c, &limits, NULL), 0);
	cgroup_stat(c, &st);
	assert_true(st.oom_kills == 0 || st.oom_kills == CGROUP_UNKNOWN);
	assert_true(st.pids_denied == 0 || st.pids_denied == CGROUP_UNKNOWN);
	pid = child_in(c, work_wait);
	assert_false(cgroup_empty(c));
	assert_int_equal(cgroup_reuse(c, &limits, NULL), -1);
	/* A frozen one dies too. */
	if (cgroup_host_can(h) & CGROUP_FREEZE)
		assert_int_equal(cgroup_freeze(c, true), 0);
	assert_int_equal(cgroup_kill(c), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	wait_empty(c);
	cgroup_remove(c);
	/* What is left at the end goes with the host. */
	c = cgroup_make(h, &limits, NULL);
	assert_non_null(c);
	pid = child_in(c, work_wait);
	cgroup_remove(c);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

static void test_groups(void **state, int version)
{
	struct cgroup_host *h = open_version(version);
	_cleanup_(freep) char *dir = NULL;

	if (!h)
		skip();
	assert_int_equal(cgroup_host_version(h), version);
	assert_true(cgroup_host_can(h) != 0);
	dir = xstrdup(h->places[0].dir);
	check_host(h);
	cgroup_host_close(h);
	assert_int_not_equal(access(dir, F_OK), 0);
}

static void test_groups_v1(void **state)
{
	test_groups(state, 1);
}

static void test_groups_v2(void **state)
{
	test_groups(state, 2);
}

static void test_none(void **state)
{
	const struct cgroup_limits limits = {.pids = 4};
	_cleanup_(err_done) struct err err = ERR_NULL;

	assert_null(cgroup_host_open_in(STR(""), STR(""), "x", &err));
	assert_non_null(err.msg);
	assert_int_equal(cgroup_host_can(NULL), 0);
	assert_int_equal(cgroup_host_version(NULL), 0);
	assert_null(cgroup_make(NULL, &limits, NULL));
	assert_null(cgroup_remove(NULL));
	assert_null(cgroup_host_close(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find_v1),   cmocka_unit_test(test_find_v2),   cmocka_unit_test(test_none),
		cmocka_unit_test(test_groups_v1), cmocka_unit_test(test_groups_v2),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

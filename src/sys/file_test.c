/* Files and sockets: in a folder of their own that is removed by what is tested. */
#include "sys/file.h"

#include "base/mem.h"
#include "sys/clock.h"
#include "sys/fdpass.h"

#include <stdarg.h>
#include <setjmp.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char dir[] = "/tmp/wick-file-test-XXXXXX";

static const char *at(const char *name)
{
	static char path[1024];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static int setup(void **state)
{
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	return rm_rf(dir);
}

static void test_read_write(void **state)
{
	struct buf b = BUF_NULL;
	struct stat st;

	assert_int_equal(file_write(at("f"), STR("hello"), 0640), 0);
	assert_int_equal(file_write(at("f"), STR("again"), 0640), 0);
	assert_int_equal(stat(at("f"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_int_equal(file_read(at("f"), 5, &b), 0);
	assert_true(str_eqz(buf_str(&b), "again"));
	assert_int_equal(file_read(at("f"), 4, &b), -EFBIG);
	assert_int_equal(file_read(at("none"), 4, &b), -ENOENT);
	assert_int_equal(file_write(at("none/f"), STR("x"), 0600), -ENOENT);
	buf_done(&b);
}

static void test_tree(void **state)
{
	_cleanup_(freep) char *deep = NULL;
	struct stat st;

	assert_int_equal(mkdir_p(at("a/b/c"), 0755), 0);
	assert_int_equal(mkdir_p(at("a/b/c"), 0755), 0);
	assert_int_equal(file_write(at("a/b/f"), STR("x"), 0600), 0);
	assert_int_equal(mkdir_p(at("a/b/f/g"), 0755), -ENOTDIR);
	assert_int_equal(mkdir_p(at("outside"), 0755), 0);
	assert_int_equal(file_write(at("outside/kept"), STR("x"), 0600), 0);
	assert_int_equal(symlink("../../outside", at("a/b/link")), 0);
	assert_int_equal(chmod(at("a/b/c"), 0), 0);
	for (int i = 0; i < 200; i++) {
		char *more = xasprintf("%s/d", deep ? deep : at("a"));

		free(deep);
		deep = more;
	}
	assert_int_equal(mkdir_p(deep, 0755), 0);
	assert_int_equal(rm_rf(at("a")), 0);
	assert_int_equal(rm_rf(at("a")), 0);
	assert_int_equal(lstat(at("a"), &st), -1);
	assert_int_equal(lstat(at("outside/kept"), &st), 0);
}

static void test_lock(void **state)
{
	int owner = 0, fd = lock_file(at("lock"), &owner);

	assert_true(fd >= 0);
	owner = 0;
	assert_int_equal(lock_file(at("lock"), &owner), -EWOULDBLOCK);
	assert_int_equal(owner, getpid());
	close(fd);
	fd = lock_file(at("lock"), &owner);
	assert_true(fd >= 0);
	close(fd);
}

static void listen_and_pass(const char *path)
{
	struct err e = ERR_NULL;
	int ls = unix_listen(path, &e), fds[FDPASS_MAX], p[2], in, out;
	struct stat st;
	char c[4];
	size_t n = 0;

	assert_null(e.msg);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	out = unix_connect(path, &e);
	assert_true(out >= 0);
	in = accept4(ls, NULL, NULL, SOCK_CLOEXEC);
	assert_int_equal(unix_listen(path, &e), -1); /* in use */
	assert_int_equal(pipe(p), 0);
	assert_int_equal(fd_send(out, "ab", 2, p, 2), 2);
	assert_int_equal(fd_recv(in, c, sizeof(c), fds, &n), 2);
	assert_int_equal(n, 2);
	assert_int_equal(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
	assert_int_equal(write(fds[1], "x", 1), 1);
	assert_int_equal(read(p[0], c, 1), 1);
	assert_int_equal(fd_send(out, "", 0, p, 1), -EINVAL);
	for (int i = 0; i < 2; i++) {
		close(p[i]);
		close(fds[i]);
	}
	close(out);
	close(in);
	close(ls);
	ls = unix_listen(path, &e); /* stale now */
	assert_true(ls >= 0);
	close(ls);
	err_done(&e);
}

static void test_sockets(void **state)
{
	char name[121];
	struct err e = ERR_NULL;

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	listen_and_pass(at("sock"));
	assert_int_equal(mkdir_p(at(name), 0700), 0);
	strcpy(name + 110, "/sock");
	name[110] = '\0';
	assert_int_equal(mkdir_p(at(name), 0700), 0);
	name[110] = '/';
	listen_and_pass(at(name));
	assert_int_equal(unix_connect(at("none"), &e), -1);
	err_done(&e);
}

static void test_clock(void **state)
{
	uint64_t t = clock_mono_us();
	uint8_t a[16] = {0}, b[16] = {0};

	assert_true(clock_mono_us() >= t);
	assert_true(clock_wall_ms() > 1600000000000);
	random_bytes(a, sizeof(a));
	random_bytes(b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_write), cmocka_unit_test(test_tree),  cmocka_unit_test(test_lock),
		cmocka_unit_test(test_sockets),    cmocka_unit_test(test_clock),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

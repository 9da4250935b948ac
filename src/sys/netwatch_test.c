/* Notices of a network of the test's own, in which it may change things. */
#include "sys/netwatch.h"

#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	struct loop *loop;
	unsigned changes;
	bool late;
};

static void on_change(void *arg)
{
	struct fixture *x = arg;

	x->changes++;
	loop_stop(x->loop);
}

static void on_late(void *arg)
{
	struct fixture *x = arg;

	x->late = true;
	loop_stop(x->loop);
}

static void set_up(bool up)
{
	struct ifreq ifr = {.ifr_name = "lo"};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	ifr.ifr_flags = up ? IFF_UP : 0;
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &ifr), 0);
	close(fd);
}

static void changes_are_told(void **state)
{
	struct fixture x = {.loop = loop_new()};
	struct netwatch *w;
	struct timer *t;

	if (unshare(getuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET) < 0)
		skip(); /* a sandbox that lets nobody have a network of their own */
	w = netwatch_new(x.loop, on_change, &x);
	assert_non_null(w);
	t = timer_new(x.loop, on_late, &x);
	timer_set(t, 10000);
	for (unsigned i = 0; i < 3; i++) {
		x.changes = 0;
		set_up(i % 2 == 0);
		loop_run(x.loop);
		assert_false(x.late);
		assert_int_equal(x.changes, 1);
	}
	timer_free(t);
	netwatch_free(w);
	loop_free(x.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(changes_are_told)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

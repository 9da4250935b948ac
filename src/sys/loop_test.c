/* The loop: hooks, timers, watches, wake-ups, pool work; and children, whose end comes through it. */
#include "sys/loop.h"

#include "sys/child.h"
#include "sys/fdpass.h"
#include "base/buf.h"

#include <stdarg.h>
#include <setjmp.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define ARG(s) (char *)(s)

struct state {
	struct loop *loop;
	struct timer *timer;
	struct wake *wake;
	struct loop_hook *hook;
	struct watch *watch;
	struct child *child;
	struct child_exit ex;
	int fired, hooked, worked, woken, exited, fd;
	struct buf got;
};

static void hook(void *arg)
{
	struct state *s = arg;

	if (s->hooked++ == 0)
		loop_again(s->loop);
	if (s->hooked == 2)
		s->hook = loop_hook_free(s->hook);
}

static void fire(void *arg)
{
	struct state *s = arg;

	if (++s->fired < 3) {
		timer_set(s->timer, 0);
		return;
	}
	s->timer = timer_free(s->timer);
	loop_stop(s->loop);
}

static void test_timer_hook(void **unused)
{
	struct state s = {.loop = loop_new()};

	s.hook = loop_hook_new(s.loop, hook, &s);
	s.timer = timer_new(s.loop, fire, &s);
	timer_set(s.timer, 0);
	loop_run(s.loop);
	assert_int_equal(s.fired, 3);
	assert_int_equal(s.hooked, 2);
	loop_free(s.loop);
}

static void woken(void *arg)
{
	struct state *s = arg;

	s->woken++;
	s->wake = wake_free(s->wake);
}

static void work(void *arg)
{
	struct state *s = arg;

	wake_send(s->wake);
	s->worked++;
}

static void worked(void *arg)
{
	struct state *s = arg;

	s->worked++;
}

static void test_work_wake(void **unused)
{
	struct state s = {.loop = loop_new()};

	s.wake = wake_new(s.loop, woken, &s);
	loop_work(s.loop, work, worked, &s);
	loop_run(s.loop);
	assert_int_equal(s.worked, 2);
	assert_int_equal(s.woken, 1);
	loop_free(s.loop);
}

static void readable(void *arg, int events)
{
	struct state *s = arg;
	char *p = buf_reserve(&s->got, 100);
	ssize_t r = read(s->fd, p, 100);

	if (r > 0) {
		s->got.n += (size_t)r;
		return;
	}
	assert_true(r == 0);
	s->watch = watch_free(s->watch);
}

static void test_watch(void **unused)
{
	struct state s = {.loop = loop_new()};
	int pair[2];

	assert_int_equal(unix_pair(pair), 0);
	s.fd = pair[0];
	s.watch = watch_new(s.loop, pair[0], WATCH_READ, readable, &s);
	assert_int_equal(write(pair[1], "hello", 5), 5);
	close(pair[1]);
	loop_run(s.loop);
	assert_true(str_eqz(buf_str(&s.got), "hello"));
	buf_done(&s.got);
	close(pair[0]);
	loop_free(s.loop);
}

static void exited(void *arg, const struct child_exit *ex)
{
	struct state *s = arg;

	s->exited++;
	s->ex = *ex;
	s->child = child_free(s->child);
}

static void run_child(struct state *s, const struct child_spec *spec)
{
	struct err e = ERR_NULL;

	s->loop = loop_new();
	s->child = child_start(s->loop, spec, exited, s, &e);
	assert_null(e.msg);
	assert_non_null(s->child);
}

static void test_child_output(void **unused)
{
	char *argv[] = {ARG("sh"), ARG("-c"), ARG("echo $X; pwd; echo err >&2; ls /proc/self/fd | wc -l >&7; exit 3"),
			NULL};
	char *envp[] = {ARG("X=value"), ARG("PATH=/usr/bin:/bin"), NULL};
	struct state s = {0};
	char text[200] = "";
	int p[2];
	ssize_t n = 0, r;

	assert_int_equal(pipe(p), 0);
	/* The targets overlap the sources on purpose. */
	run_child(&s, &(struct child_spec){.path = "/bin/sh",
					   .argv = argv,
					   .envp = envp,
					   .cwd = "/usr",
					   .fds = (struct child_fd[]){{p[1], 7}, {p[1], 1}, {p[1], 2}, {p[1], p[0]}},
					   .n_fds = 4,
					   .new_session = true,
					   .die_with_parent = true});
	close(p[1]);
	loop_run(s.loop);
	assert_int_equal(s.exited, 1);
	assert_true(WIFEXITED(s.ex.status));
	assert_int_equal(WEXITSTATUS(s.ex.status), 3);
	assert_true(s.ex.max_rss_kib > 0);
	while ((r = read(p[0], text + n, sizeof(text) - 1 - (size_t)n)) > 0)
		n += r;
	/* 0, 1, 2, 7, p[0] and ls's own. */
	assert_string_equal(text, "value\n/usr\nerr\n6\n");
	close(p[0]);
	loop_free(s.loop);
}

static void test_child_killed(void **unused)
{
	char *argv[] = {ARG("sh"), ARG("-c"), ARG("sleep 1000 & wait"), NULL};
	struct state s = {0};
	struct child_spec spec = {.path = "/bin/sh", .argv = argv, .new_session = true};

	run_child(&s, &spec);
	child_kill(s.child, SIGKILL);
	loop_run(s.loop);
	assert_int_equal(s.exited, 1);
	assert_true(WIFSIGNALED(s.ex.status));
	loop_free(s.loop);
	/* One that is freed while it runs is killed and reaped, and nobody is told. */
	s = (struct state){0};
	run_child(&s, &spec);
	s.child = child_free(s.child);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	loop_run(s.loop);
	assert_int_equal(s.exited, 0);
	loop_free(s.loop);
}

static void test_child_errors(void **unused)
{
	char *argv[] = {ARG("x"), NULL};
	struct loop *l = loop_new();
	struct err e = ERR_NULL;

	assert_null(child_start(l, &(struct child_spec){.path = "/nowhere/x", .argv = argv}, exited, NULL, &e));
	assert_string_equal(e.msg, "start /nowhere/x: run: No such file or directory");
	assert_null(child_start(l, &(struct child_spec){.path = "/bin/sh", .argv = argv, .cwd = "/nowhere"}, exited,
				NULL, &e));
	assert_string_equal(e.msg, "start /bin/sh: change folder: No such file or directory");
	err_done(&e);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	loop_run(l);
	loop_free(l);
}

static void on_signal(void *arg, int signo)
{
	struct state *s = arg;

	s->fired = signo;
	loop_stop(s->loop);
}

static void test_signal(void **unused)
{
	struct state s = {.loop = loop_new()};
	struct signal_watch *w = signal_watch_new(s.loop, SIGUSR1, on_signal, &s);

	raise(SIGUSR1);
	loop_run(s.loop);
	assert_int_equal(s.fired, SIGUSR1);
	signal_watch_free(w);
	loop_free(s.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_timer_hook),   cmocka_unit_test(test_work_wake),
		cmocka_unit_test(test_watch),        cmocka_unit_test(test_child_output),
		cmocka_unit_test(test_child_killed), cmocka_unit_test(test_child_errors),
		cmocka_unit_test(test_signal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

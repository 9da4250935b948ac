/* The loop of a zygote, told over its socket as a node does: workers and what they answer, children of its own and
 * their end, nothing of one worker's environment in the next, messages that make no sense, a node that is gone. */
#include "box/zygote.h"

#include "base/mem.h"
#include "sys/fdpass.h"
#include "wire/frame.h"
#include "wire/zygote.h"

#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define PLAIN 0x5a /* added to each letter of a secret, so that looking for it does not find the look */

extern char **environ;

struct told {
	pid_t zygote;
	int control;
};

static bool in_memory(const char *from, const char *to, const uint8_t *hidden, size_t n)
{
	for (const char *p = from; p + n <= to; p++) {
		size_t i = 0;

		while (i < n && (uint8_t)p[i] == (uint8_t)(hidden[i] - PLAIN))
			i++;
		if (i == n)
			return true;
	}
	return false;
}

/* Looks through all memory that can be read and written; hidden.n 0: is there more of it than can be looked through? */
static bool remembers(struct str hidden)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	static char line[512];
	bool found = false;

	while (maps && fgets(line, sizeof(line), maps)) {
		unsigned long from, to;
		char mode[8];

		if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) != 3 || strncmp(mode, "rw", 2) != 0)
			continue;
		if (!hidden.n)
			found = found || to - from > 1ul << 32;
		else
			found = found || in_memory((char *)from, (char *)to, (const uint8_t *)hidden.p, hidden.n);
	}
	if (maps)
		fclose(maps);
	return found;
}

/* What a worker does: the first word of its plan. */
static void run(void *arg, const struct zygote_worker *w)
{
	struct str what = w->plan->argv[0];

	if (str_eqz(what, "print")) {
		printf("%s %d %d\n", environ[0], getpid(), (int)w->n_fds);
		return;
	}
	if (str_eqz(what, "look")) {
		printf("%s\n", remembers(w->plan->argv[1]) ? "found" : "nothing");
		return;
	}
	if (str_eqz(what, "wait"))
		pause();
	_exit(7);
}

static const struct zygote_runtime runtime = {.program = "test", .run = run};

static void start(struct told *t, bool own_children)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	fflush(stdout);
	t->zygote = fork();
	if (t->zygote == 0) {
		close(pair[0]);
		alarm(60);
		_exit(zygote_serve(pair[1], own_children, &runtime, NULL) ? 1 : 0);
	}
	close(pair[1]);
	t->control = pair[0];
}

static void stop(struct told *t)
{
	int status;

	close(t->control);
	assert_int_equal(waitpid(t->zygote, &status, 0), t->zygote);
	assert_int_equal(status, 0);
}

static char answer_bytes[ZYGOTE_HEADER_SIZE + ZYGOTE_TEXT_MAX];

static struct zygote_packet receive(struct told *t, int *pidfd)
{
	struct zygote_packet p = {0};
	int fds[FDPASS_MAX];
	size_t n_fds;
	ssize_t n = fd_recv(t->control, answer_bytes, sizeof(answer_bytes), fds, &n_fds);

	assert_true(n > 0 && zygote_decode(&p, str_n(answer_bytes, (size_t)n)));
	assert_true(n_fds <= 1);
	if (pidfd)
		*pidfd = n_fds ? fds[0] : -1;
	else if (n_fds)
		close(fds[0]);
	return p;
}

#define TMPFS_OPS                                                                                                      \
	{.kind = BOX_ROOT, .value = 1 << 20}, {.kind = BOX_PROC, .to = STR("/proc")},                                  \
	{                                                                                                              \
		.kind = BOX_PIVOT                                                                                      \
	}

struct started {
	int lane, output, pidfd;
	pid_t pid;
};

/* Asks for a worker that does what argv says; false: there are no user namespaces here. */
static bool ask(struct told *t, const char *what, const char *word, const char *env, struct started *ret)
{
	struct box_op ops[] = {TMPFS_OPS, {.kind = BOX_RIGHTS}};
	struct str argv[] = {str_from(what), str_from(word)}, envs[] = {str_from(env)};
	const struct boxplan plan = {.namespaces = BOX_NS_ALL,
				     .n_fds = 2,
				     .ops = ops,
				     .n_ops = ARRAY_SIZE(ops),
				     .argv = argv,
				     .n_argv = 2,
				     .env = envs,
				     .n_env = 1,
				     .cwd = STR("/")};
	_cleanup_(buf_done) struct buf text = BUF_NULL, packet = BUF_NULL;
	struct zygote_packet p = {.type = ZYGOTE_FORK, .id = {9}};
	int lane[2], output[2];

	boxplan_encode(&text, &plan);
	p.text = buf_str(&text);
	zygote_encode(&packet, &p);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, lane), 0);
	assert_int_equal(pipe2(output, O_CLOEXEC), 0);
	assert_int_equal(fd_send(t->control, packet.p, packet.n, (int[]){lane[1], output[1]}, 2), packet.n);
	close(lane[1]);
	close(output[1]);
	p = receive(t, &ret->pidfd);
	ret->lane = lane[0], ret->output = output[0], ret->pid = p.pid;
	assert_int_equal(p.id[0], 9);
	if (p.type == ZYGOTE_FORKED && ret->pidfd >= 0)
		return true;
	close(lane[0]);
	close(output[0]);
	return false;
}

static void finish(struct started *s, char *said, size_t size)
{
	size_t at = 0;
	ssize_t n;

	while (at + 1 < size && (n = read(s->output, said + at, size - 1 - at)) > 0)
		at += (size_t)n;
	said[at] = '\0';
	close(s->output);
	close(s->lane);
	close(s->pidfd);
}

static void read_boxed(struct started *s)
{
	uint8_t header[FRAME_HEADER_SIZE];

	assert_int_equal(recv(s->lane, header, sizeof(header), MSG_WAITALL), sizeof(header));
	assert_int_equal(header[8], FRAME_BOXED);
}

/* The zygote's parent is the worker's parent. */
static void test_sibling(void **state)
{
	struct told t;
	struct started s;
	char said[256];
	int status;

	start(&t, false);
	if (!ask(&t, "print", "", "A=first", &s)) {
		stop(&t);
		skip();
	}
	read_boxed(&s);
	finish(&s, said, sizeof(said));
	assert_string_equal(said, "A=first 1 2\n");
	assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
	assert_int_equal(status, 0);
	stop(&t);
}

static void test_own_children(void **state)
{
	struct told t;
	struct started s, other;
	struct zygote_packet p;
	char said[256];

	start(&t, true);
	if (!ask(&t, "exit", "", "A=b", &s)) {
		stop(&t);
		skip();
	}
	finish(&s, said, sizeof(said));
	p = receive(&t, NULL);
	assert_int_equal(p.type, ZYGOTE_EXITED);
	assert_true(WIFEXITED(p.status) && WEXITSTATUS(p.status) == 7 && p.id[0] == 9 && p.pid == s.pid);
	/* One that waits holds up nobody. */
	assert_true(ask(&t, "wait", "", "A=b", &s) && ask(&t, "print", "", "A=c", &other));
	finish(&other, said, sizeof(said));
	assert_string_equal(said, "A=c 1 2\n");
	p = receive(&t, NULL);
	assert_true(p.type == ZYGOTE_EXITED && p.pid == other.pid && p.status == 0);
	kill(s.pid, SIGKILL);
	p = receive(&t, NULL);
	assert_true(p.type == ZYGOTE_EXITED && p.pid == s.pid && WIFSIGNALED(p.status));
	finish(&s, said, sizeof(said));
	stop(&t);
}

static void test_secrets(void **state)
{
	static const char secret[] = "wick-secret-of-the-first-worker"; /* not in memory that can be written */
	char hidden[sizeof(secret)], env[1200], said[1300];
	struct told t;
	struct started s;

	if (remembers(STR(""))) /* a sanitizer's shadow */
		skip();
	/* Before the secret is in what it is a copy of. */
	start(&t, false);
	snprintf(env, sizeof(env), "S=%01000d%s", 0, secret); /* past what the next message writes over */
	for (size_t i = 0; i < sizeof(secret); i++)
		hidden[i] = (char)(secret[i] ? secret[i] + PLAIN : '\0');
	if (!ask(&t, "print", "", env, &s)) {
		stop(&t);
		skip();
	}
	finish(&s, said, sizeof(said));
	assert_non_null(strstr(said, "wick-secret"));
	waitpid(s.pid, NULL, 0);
	assert_true(ask(&t, "look", hidden, env, &s)); /* it does find what is there */
	finish(&s, said, sizeof(said));
	assert_string_equal(said, "found\n");
	waitpid(s.pid, NULL, 0);
	assert_true(ask(&t, "look", hidden, "A=b", &s));
	finish(&s, said, sizeof(said));
	assert_string_equal(said, "nothing\n");
	waitpid(s.pid, NULL, 0);
	stop(&t);
}

static void test_nonsense(void **state)
{
	struct told t;
	struct zygote_packet p = {.type = ZYGOTE_FORK, .id = {1}, .text = STR("no plan")};
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	start(&t, false);
	assert_int_equal(send(t.control, "x", 1, 0), 1);
	assert_int_equal(receive(&t, NULL).type, ZYGOTE_FAILED);
	zygote_encode(&b, &p);
	assert_int_equal(send(t.control, b.p, b.n, 0), b.n);
	p = receive(&t, NULL);
	assert_true(p.type == ZYGOTE_FAILED && p.id[0] == 1 && str_find(p.text, STR("not a box plan")) >= 0);
	buf_clear(&b);
	p = (struct zygote_packet){.type = ZYGOTE_EXITED, .id = {2}};
	zygote_encode(&b, &p);
	assert_int_equal(send(t.control, b.p, b.n, 0), b.n);
	p = receive(&t, NULL);
	assert_true(p.type == ZYGOTE_FAILED && p.id[0] == 2);
	stop(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sibling),
		cmocka_unit_test(test_own_children),
		cmocka_unit_test(test_secrets),
		cmocka_unit_test(test_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

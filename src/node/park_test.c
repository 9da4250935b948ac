/* Parking, with the real wick-park and a stand-in for CUDA's driver (test/flow/standin/libcuda.c): there and back, what
 * the driver refuses, hangs and crashes, machines without a driver or with an old one, who is told and who is not.
 * WICK_TEST_LIBEXEC: folder of wick-park. WICK_TEST_CUDA, WICK_TEST_CUDA_OLD: the stand-ins. */
#include "node/park.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "sys/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define GUARD_MS  60000 /* a test that waits longer has failed */
#define LIMIT_MS  30000
#define WORKERS   3
#define RUNNING   0
#define LOCKED    1
#define PARKED    2
#define FILE_SIZE ((size_t)65536)

/* The stand-in is mapped here, and so in the workers, which are forks. */
static void *cuda_handle;

struct answers {
	struct told *t;
	int n;
	bool ok;
	uint64_t us;
	char *error;
};

struct told {
	struct loop *l;
	struct park *park;
	struct timer *guard;
	char dir[64];
	char *file, *log;
	int pids[WORKERS]; /* processes that are there to be parked */
	struct answers answers[8];
	int wanted, given, lost_wanted, n_lost, lost[WORKERS];
	char *why;
	bool others; /* this process has children that are not of struct told */
};

static void guard(void *arg)
{
	fail_msg("nothing has happened for %d ms", GUARD_MS);
}

static void stop_if_all(struct told *t)
{
	if (t->given >= t->wanted && t->n_lost >= t->lost_wanted)
		loop_stop(t->l);
}

static void lost(void *arg, int pid, const char *why)
{
	struct told *t = arg;

	assert_true(t->n_lost < WORKERS);
	t->lost[t->n_lost++] = pid;
	free(t->why);
	t->why = xstrdup(why);
	stop_if_all(t);
}

static void done(void *arg, bool ok, uint64_t us, const char *error)
{
	struct answers *a = arg;

	assert_true(ok == !error);
	free(a->error);
	*a = (struct answers){.t = a->t, .n = a->n + 1, .ok = ok, .us = us, .error = error ? xstrdup(error) : NULL};
	a->t->given++;
	stop_if_all(a->t);
}

static void start(struct told *t, const char *cuda, const char *faults, uint64_t limit_ms)
{
	struct park_conf conf = {.libexec = getenv("WICK_TEST_LIBEXEC"), .limit_ms = limit_ms, .lost = lost, .arg = t};

	assert_non_null(conf.libexec);
	*t = (struct told){.l = loop_new(), .dir = "/tmp/wick-park-XXXXXX"};
	assert_non_null(mkdtemp(t->dir));
	t->file = xasprintf("%s/states", t->dir);
	t->log = xasprintf("%s/calls", t->dir);
	setenv("WICK_CUDA", cuda, 1);
	setenv("WICK_STANDIN_CUDA", t->file, 1);
	setenv("WICK_STANDIN_CUDA_LOG", t->log, 1);
	setenv("WICK_STANDIN_CUDA_FAULTS", faults, 1);
	for (size_t i = 0; i < ARRAY_SIZE(t->answers); i++)
		t->answers[i].t = t;
	fflush(stdout);
	for (size_t i = 0; i < WORKERS; i++) {
		t->pids[i] = fork();
		if (t->pids[i] == 0) {
			alarm(GUARD_MS / 1000 * 2);
			pause();
			_exit(0);
		}
	}
	t->guard = timer_new(t->l, guard, t);
	timer_set(t->guard, GUARD_MS);
	t->park = park_new(t->l, &conf);
}

/* Runs until so many more answers and losses have come. */
static void await(struct told *t, int answers, int losses)
{
	t->wanted = t->given + answers;
	t->lost_wanted = t->n_lost + losses;
	timer_set(t->guard, GUARD_MS);
	loop_run(t->l);
	assert_int_equal(t->given, t->wanted);
	assert_int_equal(t->n_lost, t->lost_wanted);
}

static void ask(struct told *t, int worker, bool on, size_t slot)
{
	int before = t->given;

	park_ask(t->park, t->pids[worker], on, done, &t->answers[slot]);
	assert_int_equal(t->given, before);
}

/* The state that the driver has of a process. */
static int state_of_pid(const struct told *t, int wanted)
{
	FILE *f = fopen(t->file, "r");
	int pid, state, found = RUNNING;

	while (f && fscanf(f, "%d %d", &pid, &state) == 2)
		if (pid == wanted)
			found = state;
	if (f)
		fclose(f);
	return found;
}

static int state_of(const struct told *t, int worker)
{
	return state_of_pid(t, t->pids[worker]);
}

static size_t calls(const struct told *t, const char *call)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	struct str rest, line;
	size_t n = 0;

	file_read(t->log, FILE_SIZE, &b);
	for (rest = buf_str(&b); rest.n; n += str_starts(line, str_from(call)))
		str_cut(rest, '\n', &line, &rest);
	return n;
}

/* Descriptors and children of this process: what a test began with must be what it ends with. */
static size_t open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void stop(struct told *t)
{
	park_free(t->park);
	for (size_t i = 0; i < WORKERS; i++) {
		kill(t->pids[i], SIGKILL);
		assert_int_equal(waitpid(t->pids[i], NULL, 0), t->pids[i]);
	}
	assert_int_equal(waitpid(-1, NULL, WNOHANG), t->others ? 0 : -1);
	timer_free(t->guard);
	loop_free(t->l);
	for (size_t i = 0; i < ARRAY_SIZE(t->answers); i++)
		free(t->answers[i].error);
	rm_rf(t->dir);
	free(t->file);
	free(t->log);
	free(t->why);
}

static const char *cuda(void)
{
	return getenv("WICK_TEST_CUDA");
}

static void test_there_and_back(void **unused)
{
	size_t files = open_files();
	struct err err = ERR_NULL;
	struct told t;

	start(&t, cuda(), "", LIMIT_MS);
	assert_int_equal(park_start(t.park, &err), 0);
	assert_int_equal(park_start(t.park, &err), 0);
	ask(&t, 0, true, 0);
	ask(&t, 1, true, 1);
	await(&t, 2, 0);
	assert_true(t.answers[0].ok && t.answers[1].ok && t.answers[0].us > 0);
	assert_int_equal(state_of(&t, 0), PARKED);
	assert_int_equal(state_of(&t, 1), PARKED);
	assert_int_equal(state_of(&t, 2), RUNNING);
	ask(&t, 0, false, 0);
	ask(&t, 1, true, 1); /* is so already */
	ask(&t, 2, false, 2);
	await(&t, 3, 0);
	assert_true(t.answers[0].ok && t.answers[1].ok && t.answers[2].ok);
	assert_int_equal(state_of(&t, 0), RUNNING);
	assert_int_equal(state_of(&t, 1), PARKED);
	assert_int_equal(calls(&t, "lock"), 2);
	assert_int_equal(calls(&t, "checkpoint"), 2);
	assert_int_equal(calls(&t, "restore"), 1);
	assert_int_equal(calls(&t, "unlock"), 1);
	assert_null(park_unsupported(t.park));
	stop(&t);
	assert_int_equal(open_files(), files);
}

/* Asked in the same turn: one after the other, in order. */
static void test_order(void **unused)
{
	struct told t;

	start(&t, cuda(), "", LIMIT_MS);
	for (size_t i = 0; i < 6; i++)
		ask(&t, 0, i % 2 == 0, i);
	await(&t, 6, 0);
	for (size_t i = 0; i < 6; i++)
		assert_true(t.answers[i].n == 1 && t.answers[i].ok);
	assert_int_equal(state_of(&t, 0), RUNNING);
	assert_int_equal(calls(&t, "checkpoint"), 3);
	assert_int_equal(calls(&t, "restore"), 3);
	stop(&t);
}

static void test_refused(void **unused)
{
	static const struct {
		const char *faults, *error;
		bool on;
		int after;
	} cases[] = {
		{"lock=600", "lock: device not ready (CUDA_ERROR_NOT_READY)", true, RUNNING},
		{"checkpoint=801", "checkpoint: operation not supported (CUDA_ERROR_NOT_SUPPORTED)", true, RUNNING},
		{"checkpoint=12345", "checkpoint: an error of the CUDA driver (12345)", true, RUNNING},
		{"checkpoint=999 unlock=999",
		 "it stays locked (unlock: unknown error (CUDA_ERROR_UNKNOWN)): checkpoint: unknown error", true,
		 LOCKED},
		{"state=1", "state: invalid argument (CUDA_ERROR_INVALID_VALUE)", true, RUNNING},
		{"restore=999", "restore: unknown error (CUDA_ERROR_UNKNOWN)", false, PARKED},
		{"unlock=999", "unlock: unknown error", false, LOCKED},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct told t;
		FILE *f;

		start(&t, cuda(), cases[i].faults, LIMIT_MS);
		f = fopen(t.file, "w");
		assert_non_null(f);
		fprintf(f, "%d %d\n", t.pids[0], cases[i].on ? RUNNING : PARKED);
		fclose(f);
		ask(&t, 0, cases[i].on, 0);
		await(&t, 1, 0);
		assert_false(t.answers[0].ok);
		assert_non_null(strstr(t.answers[0].error, cases[i].error));
		assert_int_equal(state_of(&t, 0), cases[i].after);
		stop(&t);
	}
}

/* A process that is gone, and after that error one that is not. */
static void test_no_process(void **unused)
{
	struct told t;
	int pid;

	start(&t, cuda(), "", LIMIT_MS);
	pid = fork();
	if (pid == 0)
		_exit(0);
	waitpid(pid, NULL, 0);
	park_ask(t.park, pid, true, done, &t.answers[0]);
	ask(&t, 0, true, 1);
	await(&t, 2, 0);
	assert_false(t.answers[0].ok);
	assert_non_null(strstr(t.answers[0].error, "is not there"));
	assert_true(t.answers[1].ok);
	stop(&t);
}

/* A worker's first process starts the one that uses CUDA, on a thread at that, and this one starts two more: one that
 * does and one that does not. */
struct tree_pipes {
	int say, hold; /* pids and the end of this are read by the test; ends with the test's end */
};

static void say_pid(const struct tree_pipes *p)
{
	int pid = (int)getpid();

	if (write(p->say, &pid, sizeof(pid)) != sizeof(pid))
		_exit(1);
}

static _noreturn_ void wait_for_end(const struct tree_pipes *p)
{
	char c;

	close(p->say);
	_exit(read(p->hold, &c, 1) == 0 ? 0 : 1);
}

static void *start_users(void *arg)
{
	const struct tree_pipes *p = arg;

	if (fork() != 0)
		return NULL;
	say_pid(p);
	if (fork() == 0)
		say_pid(p);
	else if (fork() == 0)
		dlclose(cuda_handle);
	wait_for_end(p);
}

/* Returns the first process; users NULL: it is the only one. */
static int start_worker(int *users, int *hold)
{
	int said[2], held[2], pid;
	char c;

	assert_int_equal(pipe(said), 0);
	assert_int_equal(pipe(held), 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		struct tree_pipes p = {said[1], held[0]};
		pthread_t thread;

		close(held[1]);
		if (users && (pthread_create(&thread, NULL, start_users, &p) != 0 || pthread_join(thread, NULL) != 0))
			_exit(1);
		dlclose(cuda_handle);
		wait_for_end(&p);
	}
	close(said[1]);
	close(held[0]);
	for (size_t i = 0; users && i < 2; i++)
		assert_int_equal(read(said[0], &users[i], sizeof(int)), sizeof(int));
	/* Its end: each has let go of what it does not use. */
	assert_int_equal(read(said[0], &c, 1), 0);
	close(said[0]);
	*hold = held[1];
	return pid;
}

static void test_tree(void **unused)
{
	size_t files = open_files();
	struct told t;
	int users[2], hold, worker = start_worker(users, &hold);

	start(&t, cuda(), "", LIMIT_MS);
	t.others = true;
	park_ask(t.park, worker, true, done, &t.answers[0]);
	await(&t, 1, 0);
	assert_true(t.answers[0].ok);
	assert_int_equal(state_of_pid(&t, users[0]), PARKED);
	assert_int_equal(state_of_pid(&t, users[1]), PARKED);
	assert_int_equal(calls(&t, "lock"), 2);
	assert_int_equal(calls(&t, "checkpoint"), 2);
	park_ask(t.park, worker, false, done, &t.answers[0]);
	await(&t, 1, 0);
	assert_true(t.answers[0].ok);
	assert_int_equal(state_of_pid(&t, users[0]), RUNNING);
	assert_int_equal(state_of_pid(&t, users[1]), RUNNING);
	stop(&t);

	/* The second cannot be parked: the first, which was, is woken again. */
	start(&t, cuda(), "checkpoint@2=999", LIMIT_MS);
	t.others = true;
	park_ask(t.park, worker, true, done, &t.answers[0]);
	await(&t, 1, 0);
	assert_false(t.answers[0].ok);
	assert_non_null(strstr(t.answers[0].error, "process "));
	assert_non_null(strstr(t.answers[0].error, ": checkpoint: unknown error (CUDA_ERROR_UNKNOWN)"));
	assert_int_equal(calls(&t, "checkpoint"), 2);
	assert_int_equal(calls(&t, "restore"), 1);
	assert_int_equal(calls(&t, "unlock"), 2);
	assert_int_equal(state_of_pid(&t, users[0]), RUNNING);
	assert_int_equal(state_of_pid(&t, users[1]), RUNNING);
	stop(&t);
	close(hold);
	assert_int_equal(waitpid(worker, NULL, 0), worker);
	assert_int_equal(open_files(), files);
}

/* Nothing of this worker is on a device. */
static void test_no_cuda(void **unused)
{
	struct told t;
	int hold, worker = start_worker(NULL, &hold);

	start(&t, cuda(), "", LIMIT_MS);
	t.others = true;
	park_ask(t.park, worker, true, done, &t.answers[0]);
	await(&t, 1, 0);
	assert_false(t.answers[0].ok);
	assert_non_null(strstr(t.answers[0].error, "do not use CUDA"));
	assert_int_equal(calls(&t, "lock"), 0);
	stop(&t);
	close(hold);
	assert_int_equal(waitpid(worker, NULL, 0), worker);
}

static void test_hang(void **unused)
{
	struct told t;

	start(&t, cuda(), "", LIMIT_MS);
	ask(&t, 0, true, 0);
	await(&t, 1, 0);
	assert_true(t.answers[0].ok);
	stop(&t);
	/* The limit counts for the start too, so it is not made too short for a busy machine. */
	start(&t, cuda(), "checkpoint=hang", 2000);
	ask(&t, 0, true, 0);
	ask(&t, 1, false, 1); /* behind it: goes on with a new wick-park */
	await(&t, 2, 0);
	assert_false(t.answers[0].ok);
	assert_non_null(strstr(t.answers[0].error, "was not parked within 2000 ms"));
	assert_true(t.answers[1].ok);
	/* The process was locked when wick-park was killed, and can be woken all the same. */
	assert_int_equal(state_of(&t, 0), LOCKED);
	ask(&t, 0, false, 0);
	await(&t, 1, 0);
	assert_true(t.answers[0].ok);
	assert_int_equal(state_of(&t, 0), RUNNING);
	stop(&t);
}

static void test_hanging_start(void **unused)
{
	struct told t;

	start(&t, cuda(), "init=hang", 500);
	ask(&t, 0, true, 0);
	ask(&t, 1, true, 1);
	await(&t, 2, 0);
	assert_non_null(strstr(t.answers[0].error, "did not start within 500 ms"));
	assert_string_equal(t.answers[0].error, t.answers[1].error);
	assert_null(park_unsupported(t.park));
	stop(&t);
}

static void test_crash(void **unused)
{
	struct told t;

	start(&t, cuda(), "restore=crash", LIMIT_MS);
	for (int i = 0; i < WORKERS; i++)
		ask(&t, i, true, (size_t)i);
	await(&t, WORKERS, 0);
	park_forget(t.park, t.pids[2]);
	ask(&t, 0, false, 0);
	await(&t, 1, 2);
	assert_false(t.answers[0].ok);
	assert_non_null(strstr(t.answers[0].error, "wick-park was ended by signal 6"));
	/* Those that are parked and not forgotten, each once. */
	assert_int_equal(t.n_lost, 2);
	assert_int_equal(t.lost[0] + t.lost[1], t.pids[0] + t.pids[1]);
	assert_non_null(strstr(t.why, "signal 6"));
	/* What is parked can be woken by the next one. */
	setenv("WICK_STANDIN_CUDA_FAULTS", "", 1);
	ask(&t, 0, false, 0);
	await(&t, 1, 0);
	assert_true(t.answers[0].ok);
	assert_int_equal(state_of(&t, 0), RUNNING);
	stop(&t);
}

/* wick-park is killed while it has nothing to do. */
static void test_killed(void **unused)
{
	_cleanup_(freep) char *path = xasprintf("/proc/self/task/%d/children", (int)getpid());
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	struct told t;
	struct str rest, one;
	int helper = 0;

	start(&t, cuda(), "", LIMIT_MS);
	ask(&t, 0, true, 0);
	await(&t, 1, 0);
	assert_int_equal(file_read(path, FILE_SIZE, &b), 0);
	for (rest = buf_str(&b); rest.n;) {
		uint64_t pid;
		bool worker = false;

		str_cut(rest, ' ', &one, &rest);
		if (!str_to_u64(one, &pid))
			continue;
		for (size_t i = 0; i < WORKERS; i++)
			worker = worker || (int)pid == t.pids[i];
		if (!worker)
			helper = (int)pid;
	}
	assert_true(helper > 0);
	kill(helper, SIGKILL);
	await(&t, 0, 1);
	assert_int_equal(t.lost[0], t.pids[0]);
	assert_non_null(strstr(t.why, "signal 9"));
	stop(&t);
}

static void unsupported(const char *library, const char *faults, const char *why)
{
	struct err err = ERR_NULL;
	struct told t;

	start(&t, library, faults, LIMIT_MS);
	assert_null(park_unsupported(t.park));
	ask(&t, 0, true, 0);
	ask(&t, 1, true, 1);
	await(&t, 2, 0);
	assert_non_null(park_unsupported(t.park));
	assert_non_null(strstr(park_unsupported(t.park), why));
	assert_string_equal(t.answers[0].error, park_unsupported(t.park));
	assert_string_equal(t.answers[1].error, park_unsupported(t.park));
	assert_int_equal(park_start(t.park, &err), -1);
	assert_string_equal(err.msg, park_unsupported(t.park));
	err_done(&err);
	/* Known from now on, without a process. */
	ask(&t, 0, true, 0);
	await(&t, 1, 0);
	assert_string_equal(t.answers[0].error, park_unsupported(t.park));
	assert_int_equal(calls(&t, "lock"), 0);
	stop(&t);
}

static void test_unsupported(void **unused)
{
	unsupported("/nonexistent/libcuda.so.1", "", "/nonexistent/libcuda.so.1");
	unsupported(getenv("WICK_TEST_CUDA_OLD"), "version=12040",
		    "the CUDA driver (12.4) has no cuCheckpointProcessGetState");
	unsupported(cuda(), "version=12070", "12.7");
	unsupported(cuda(), "init=100", "does not start: no CUDA-capable device is detected (CUDA_ERROR_NO_DEVICE)");
}

static void test_no_program(void **unused)
{
	struct err err = ERR_NULL;
	struct told t;
	struct park_conf conf;

	start(&t, cuda(), "", LIMIT_MS);
	park_free(t.park);
	conf = (struct park_conf){.libexec = t.dir, .limit_ms = LIMIT_MS};
	t.park = park_new(t.l, &conf);
	assert_int_equal(park_start(t.park, &err), -1);
	assert_non_null(strstr(err.msg, "wick-park is not installed"));
	err_done(&err);
	ask(&t, 0, true, 0);
	await(&t, 1, 0);
	assert_non_null(strstr(t.answers[0].error, "wick-park is not installed"));
	stop(&t);
}

/* A program that is not wick-park, or one that has lost its mind. */
static void test_nonsense(void **unused)
{
	static const struct {
		const char *script, *why;
	} cases[] = {
		{"echo hello; cat", "nobody understands"},
		{"echo ok 1 1 running; cat", "nobody asked for"},
		{"echo ready 12080; echo ready 12080; cat", "nobody asked for"},
		{"echo ready 12080; read a; echo ok 1 1 checkpointed; cat", "nobody asked for"},
		{"printf 'ready 12080\\nhalf'; read a; exit 3", "ended with status 3"},
		{"head -c 100000 /dev/zero; cat", "nobody understands"},
		{"exit 0", "ended with status 0"},
		{"exec >&-; read a", "ended by signal 9"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct told t;
		struct park_conf conf;
		_cleanup_(freep) char *path = NULL, *text = xasprintf("#!/bin/sh\n%s\n", cases[i].script);

		start(&t, cuda(), "", LIMIT_MS);
		park_free(t.park);
		path = xasprintf("%s/wick-park", t.dir);
		assert_int_equal(file_write(path, str_from(text), 0755), 0);
		conf = (struct park_conf){.libexec = t.dir, .limit_ms = LIMIT_MS};
		t.park = park_new(t.l, &conf);
		ask(&t, 0, true, 0);
		await(&t, 1, 0);
		assert_false(t.answers[0].ok);
		assert_non_null(strstr(t.answers[0].error, cases[i].why));
		stop(&t);
	}
}

static void turn_over(void *l)
{
	loop_stop(l);
}

static void test_forget(void **unused)
{
	size_t files = open_files();
	struct told t;

	start(&t, cuda(), "", LIMIT_MS);
	ask(&t, 0, true, 0);
	ask(&t, 1, true, 1);
	park_forget(t.park, t.pids[0]);
	await(&t, 1, 0);
	assert_int_equal(t.answers[0].n, 0);
	assert_int_equal(state_of(&t, 0), RUNNING);
	assert_int_equal(state_of(&t, 1), PARKED);
	stop(&t);

	/* Under way: the answer is nobody's, and the next ask gets its own. */
	start(&t, cuda(), "checkpoint=hang", 2000);
	ask(&t, 0, true, 0);
	while (calls(&t, "checkpoint") == 0) {
		struct timer *turn = timer_new(t.l, turn_over, t.l);

		timer_set(turn, 1);
		loop_run(t.l);
		timer_free(turn);
	}
	park_forget(t.park, t.pids[0]);
	ask(&t, 1, false, 1);
	await(&t, 1, 0);
	assert_int_equal(t.answers[0].n, 0);
	assert_true(t.answers[1].ok);
	/* Freed with one that waits. */
	ask(&t, 1, true, 1);
	stop(&t);
	assert_int_equal(open_files(), files);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_order),
		cmocka_unit_test(test_tree),           cmocka_unit_test(test_no_cuda),
		cmocka_unit_test(test_refused),        cmocka_unit_test(test_no_process),
		cmocka_unit_test(test_hang),           cmocka_unit_test(test_hanging_start),
		cmocka_unit_test(test_crash),          cmocka_unit_test(test_killed),
		cmocka_unit_test(test_unsupported),    cmocka_unit_test(test_no_program),
		cmocka_unit_test(test_nonsense),       cmocka_unit_test(test_forget),
	};

	signal(SIGPIPE, SIG_IGN);
	cuda_handle = dlopen(cuda(), RTLD_NOW);
	assert_non_null(cuda_handle);
	loop_free(loop_new()); /* what libuv opens once for the process is open before descriptors are counted */
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* wick-python: the zygote of Python functions. CPython is started and modules of the machine are imported once; each
 * worker is a fork of that, put into its box (box/zygote.c) and then run by bootstrap.py with its own environment.
 * With SnapStart a worker that has initialised its function becomes the parent of that function's workers, by the
 * same protocol.
 *
 * Plan's argv[0]: "worker"; "snapshot", with the socket of its own FORK messages as third descriptor; "restore", forked
 * from a snapshot. */
#include "base/err.h"
#include "base/mem.h"
#include "box/zygote.h"
#include "runtime/python/atfork.h"
#include "runtime/python/ends.h"
#include "runtime/python/interpreter.h"
#include "runtime/python/lane_module.h"
#include "runtime/python/pages.h"
#include "runtime/python/process_module.h"

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM_NAME     "wick-python"
#define SNAPSHOT_CONTROL 2 /* index of the descriptor in the plan */

struct python {
	char *loaded;
	int control; /* of a snapshot */
};

/* Workers see the memory of the zygote, and their /proc/self/environ is where its environment was: nothing of it may
 * be a secret, or differ from one zygote to the next. */
static void clear_environment(void)
{
	static const char *const plain[][2] = {
		{"PATH", "/usr/local/bin:/usr/bin:/bin"}, {"LANG", "C.UTF-8"}, {"TZ", ":UTC"}, {"HOME", "/tmp"}};

	for (char **e = environ; *e; e++)
		mem_wipe(*e, strlen(*e));
	clearenv();
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
		setenv(plain[i][0], plain[i][1], 1);
}

static int load(void *arg, struct str import, struct err *err)
{
	struct python *p = arg;

	if (interpreter_start(err) < 0)
		return -1;
	ends_setup();
	if (interpreter_preload(import, &p->loaded, err) < 0)
		return -1;
	pages_settle();
	return 0;
}

static const char *loaded(void *arg)
{
	struct python *p = arg;

	return p->loaded;
}

/* As os.fork and libc's fork do, from the outside in. */
static void before(void *arg)
{
	interpreter_before_fork();
	atfork_prepare();
}

static void in_parent(void *arg)
{
	atfork_parent();
	interpreter_after_fork_in_parent();
}

static void in_child(void *arg)
{
	atfork_child();
	interpreter_after_fork_in_child();
}

static void run(void *arg, const struct zygote_worker *w);

static const struct zygote_runtime runtime = {
	.program = PROGRAM_NAME,
	.load = load,
	.loaded = loaded,
	.before = before,
	.in_parent = in_parent,
	.in_child = in_child,
	.run = run,
};

static void serve_snapshot(void *arg)
{
	struct python *p = arg;

	zygote_serve(p->control, true, &runtime, p);
}

/* The interpreter took the zygote's locale; the worker's may be another. C is Python's C.UTF-8 in any case. */
static void take_locale(void)
{
	static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
	const char *want = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(names) && !(want && *want); i++)
		want = getenv(names[i]);
	if (want && *want && strcmp(want, "C") != 0 && strcmp(want, "POSIX") != 0 &&
	    strcmp(want, setlocale(LC_CTYPE, NULL)) != 0)
		setlocale(LC_CTYPE, "");
}

static void run(void *arg, const struct zygote_worker *w)
{
	struct python *p = arg;
	struct str how = w->plan->n_argv ? w->plan->argv[0] : STR_NULL;
	const char *function = str_eqz(how, "worker")     ? "worker"
			       : str_eqz(how, "snapshot") ? "snapshot"
			       : str_eqz(how, "restore")  ? "restore"
							  : NULL;
	int r;

	if (!function || (strcmp(function, "snapshot") == 0 && w->n_fds <= SNAPSHOT_CONTROL)) {
		fprintf(stderr, PROGRAM_NAME ": a plan this program does not know: \"%.*s\"\n", STR_ARG(how));
		_exit(2);
	}
	r = lane_open(w->lane);
	if (r < 0) {
		fprintf(stderr, PROGRAM_NAME ": no lane: %s\n", strerror(-r));
		_exit(2);
	}
	if (w->n_fds > SNAPSHOT_CONTROL)
		p->control = w->fds[SNAPSHOT_CONTROL];
	take_locale();
	r = interpreter_run(function);
	fflush(NULL);
	_exit(r);
}

int main(int argc, char **argv)
{
	struct python p = {.control = -1};

	if (argc > 1 && strcmp(argv[1], "--version") == 0) {
		printf(PROGRAM_NAME " %s, Python %s\n", WICK_VERSION, Py_GetVersion());
		return 0;
	}
	if (argc < 2 || strcmp(argv[1], "--zygote") != 0) {
		fprintf(stderr, PROGRAM_NAME ": wick-node starts this program, as a zygote\n");
		return 2;
	}
	clear_environment();
	process_module_serve(serve_snapshot, &p);
	return zygote_main(argc, argv, &runtime, &p);
}

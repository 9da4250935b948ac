/* wick-park: parks and wakes the CUDA processes of one machine. It opens the driver once, which costs seconds, and then
 * serves any number of processes one after the other; started by wick-node (node/park.c) when the first worker that may
 * be parked starts.
 *
 *	wick-park [--lock-ms N]      requests on standard input, answers on standard output: wire/park.h
 *	WICK_CUDA                    for tests: another library in the place of libcuda.so.1
 *
 * PID is a worker's first process; what is parked is all of its processes that use CUDA. A process is parked by lock
 * (its calls of CUDA wait from then on; what runs on the device is finished) and checkpoint (its device memory goes to
 * host memory, its devices are given back), and woken by restore and unlock. All state is the driver's and the
 * process's own, none is here. A call of the driver may hang; nothing is done about that here: the
 * node has a deadline and kills this process. It keeps the node's rights, for the driver must reach other processes,
 * and reads nothing but the node's lines. It ends when its input does. */
#include "base/err.h"
#include "base/mem.h"
#include "node/park/cuda.h"
#include "node/park/tree.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "wire/park.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM       "wick-park"
#define LOCK_MS       10000
#define LOCK_MS_MAX   3600000
#define TEXT_MAX      PARK_LINE_MAX
#define CUDA_WITH_ALL 12080 /* the first version with the checkpoint functions */

struct driver {
#define MEMBER(name, parameters) CUresult(*name) parameters;
	CUDA_FUNCTIONS(MEMBER)
#undef MEMBER
	unsigned lock_ms;
	struct str library; /* what processes that use CUDA have mapped: the beginning of the file's name */
};

/* "lock: device not ready (CUDA_ERROR_NOT_READY)". Driver functions give no text for numbers they do not know. */
static int fail(const struct driver *d, struct err *err, const char *what, CUresult r)
{
	const char *name = NULL, *text = NULL;

	if (d->cuGetErrorName(r, &name) != CUDA_SUCCESS || !name)
		name = NULL;
	if (d->cuGetErrorString(r, &text) != CUDA_SUCCESS || !text)
		text = "an error of the CUDA driver";
	return name ? err_set(err, 0, "%s: %s (%s)", what, text, name) : err_set(err, 0, "%s: %s (%d)", what, text, r);
}

/* *version 0 where the library is none of a driver's. */
static int open_driver(struct driver *d, int *version, struct err *err)
{
	const char *named = getenv("WICK_CUDA"), *path = named && *named ? named : CUDA_LIBRARY, *lacks = NULL;
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL); /* never closed: the driver has threads */
	CUresult r;

	*version = 0;
	d->library = path == named ? str_from(strrchr(path, '/') ? strrchr(path, '/') + 1 : path) : STR(CUDA_FILE);
	if (!library)
		return err_set(err, 0, "the CUDA driver is not here: %s", dlerror());
#define LOOK_UP(name, parameters)                                                                                      \
	d->name = (CUresult(*) parameters)dlsym(library, #name);                                                       \
	if (!d->name && !lacks)                                                                                        \
		lacks = #name;
	CUDA_FUNCTIONS(LOOK_UP)
#undef LOOK_UP
	if (d->cuDriverGetVersion && d->cuDriverGetVersion(version) != CUDA_SUCCESS)
		*version = 0;
	if (lacks)
		return err_set(err, 0, "the CUDA driver (%d.%d) has no %s; 12.8 and later do", *version / 1000,
			       *version % 1000 / 10, lacks);
	if (*version < CUDA_WITH_ALL)
		return err_set(err, 0, "the CUDA driver is of version %d.%d; processes can be parked from 12.8 on",
			       *version / 1000, *version % 1000 / 10);
	r = d->cuInit(0);
	return r == CUDA_SUCCESS ? 0 : fail(d, err, "the CUDA driver does not start", r);
}

static const char *state_name(CUprocessState s)
{
	switch (s) {
	case CU_PROCESS_STATE_RUNNING:
		return "running";
	case CU_PROCESS_STATE_LOCKED:
		return "locked";
	case CU_PROCESS_STATE_CHECKPOINTED:
		return "checkpointed";
	case CU_PROCESS_STATE_FAILED:
		return "failed";
	case CU_PROCESS_STATE_CHECKPOINTING:
		return "checkpointing";
	case CU_PROCESS_STATE_RESTORING:
		return "restoring";
	}
	return "other"; /* of a driver that is newer than this list */
}

/* The processes of a worker, all of which are parked or woken together. */
struct group {
	int pids[TREE_MAX];
	CUprocessState states[TREE_MAX];
	size_t n;
};

/* Names the process where there are several; of one the node knows whom it asked for. */
static int fail_of(const struct driver *d, const struct group *g, size_t i, const char *what, CUresult r,
		   struct err *err)
{
	fail(d, err, what, r);
	return g->n == 1 ? -1 : err_wrap(err, "process %d", g->pids[i]);
}

static int get_states(const struct driver *d, struct group *g, struct err *err)
{
	for (size_t i = 0; i < g->n; i++) {
		CUresult r = d->cuCheckpointProcessGetState(g->pids[i], &g->states[i]);

		if (r != CUDA_SUCCESS)
			return fail_of(d, g, i, "state", r, err);
	}
	return 0;
}

/* What they have in common. */
static const char *state_of(const struct group *g)
{
	for (size_t i = 1; i < g->n; i++)
		if (g->states[i] != g->states[0])
			return "mixed";
	return state_name(g->states[0]);
}

/* All are locked before the memory of the first goes: they may share some. */
static int park(const struct driver *d, struct group *g, struct err *err)
{
	CUcheckpointLockArgs lock = {.timeoutMs = d->lock_ms};

	for (size_t i = 0; i < g->n; i++) {
		CUresult r;

		if (g->states[i] == CU_PROCESS_STATE_LOCKED || g->states[i] == CU_PROCESS_STATE_CHECKPOINTED)
			continue;
		r = d->cuCheckpointProcessLock(g->pids[i], &lock);
		if (r != CUDA_SUCCESS)
			return fail_of(d, g, i, "lock", r, err);
		g->states[i] = CU_PROCESS_STATE_LOCKED;
	}
	for (size_t i = 0; i < g->n; i++) {
		CUresult r;

		if (g->states[i] == CU_PROCESS_STATE_CHECKPOINTED)
			continue;
		r = d->cuCheckpointProcessCheckpoint(g->pids[i], NULL);
		if (r != CUDA_SUCCESS)
			return fail_of(d, g, i, "checkpoint", r, err);
		g->states[i] = CU_PROCESS_STATE_CHECKPOINTED;
	}
	return 0;
}

static int wake(const struct driver *d, struct group *g, struct err *err)
{
	for (size_t i = 0; i < g->n; i++) {
		CUresult r;

		if (g->states[i] == CU_PROCESS_STATE_LOCKED || g->states[i] == CU_PROCESS_STATE_RUNNING)
			continue;
		r = d->cuCheckpointProcessRestore(g->pids[i], NULL);
		if (r != CUDA_SUCCESS)
			return fail_of(d, g, i, "restore", r, err);
		g->states[i] = CU_PROCESS_STATE_LOCKED;
	}
	for (size_t i = 0; i < g->n; i++) {
		CUresult r;

		if (g->states[i] == CU_PROCESS_STATE_RUNNING)
			continue;
		r = d->cuCheckpointProcessUnlock(g->pids[i], NULL);
		if (r != CUDA_SUCCESS)
			return fail_of(d, g, i, "unlock", r, err);
		g->states[i] = CU_PROCESS_STATE_RUNNING;
	}
	return 0;
}

/* A worker that cannot be parked runs on; where that cannot be had either the text says so. */
static int park_or_wake(const struct driver *d, struct group *g, struct err *err)
{
	_cleanup_(err_done) struct err second = ERR_NULL;

	if (park(d, g, err) == 0)
		return 0;
	if (wake(d, g, &second) < 0)
		err_wrap(err, "it stays %s (%s)", state_of(g), second.msg);
	return -1;
}

/* What the processes are is asked first: to park what is parked, or to wake what is awake, is done already and no
 * error; and those whose helper ended between two calls are only locked, from where both ways are open. */
static int serve(const struct driver *d, const struct park_request *q, struct group *g, struct err *err)
{
	bool on = q->verb == PARK_VERB_PARK;
	CUprocessState done = on ? CU_PROCESS_STATE_CHECKPOINTED : CU_PROCESS_STATE_RUNNING;
	int r;

	if (tree_find(q->pid, d->library, g->pids, &g->n, err) < 0 || get_states(d, g, err) < 0)
		return -1;
	if (q->verb == PARK_VERB_STATE)
		return 0;
	r = on ? park_or_wake(d, g, err) : wake(d, g, err);
	if (r < 0 || get_states(d, g, err) < 0)
		return -1;
	return strcmp(state_of(g), state_name(done)) == 0 ? 0 : err_set(err, 0, "it is %s after that", state_of(g));
}

static int answer(const struct park_answer *a)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	park_answer_format(&b, a);
	return write_all(STDOUT_FILENO, b.p, b.n);
}

static int take_line(const struct driver *d, struct str line)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	struct park_answer a = {.said = PARK_ERROR, .text = STR("that is none of park PID, wake PID, state PID")};
	struct park_request q;
	struct group g = {.n = 0};
	uint64_t begun = clock_mono_us();

	if (!park_request_parse(&q, line))
		return answer(&a);
	a.pid = q.pid;
	if (serve(d, &q, &g, &err) == 0) {
		a.said = PARK_OK;
		a.us = clock_mono_us() - begun;
		a.state = str_from(state_of(&g));
	} else {
		a.text = str_from(err.msg);
	}
	return answer(&a);
}

/* Until the input ends. -1: err. */
static int run(const struct driver *d, struct err *err)
{
	char text[TEXT_MAX];
	size_t n = 0;

	for (;;) {
		ssize_t got = read(STDIN_FILENO, text + n, sizeof(text) - n);
		char *end;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_set(err, errno, "read requests");
		if (got == 0)
			return n ? err_set(err, 0, "the input ends in the middle of a line") : 0;
		n += (size_t)got;
		while ((end = memchr(text, '\n', n))) {
			int r = take_line(d, str_n(text, (size_t)(end - text)));

			if (r < 0)
				return err_set(err, -r, "write an answer");
			n -= (size_t)(end + 1 - text);
			memmove(text, end + 1, n);
		}
		if (n == sizeof(text))
			return err_set(err, 0, "a line is longer than %d bytes", TEXT_MAX);
	}
}

static int parse_args(struct driver *d, int argc, char **argv, struct err *err)
{
	uint64_t ms = LOCK_MS;

	if (argc != 1 && (argc != 3 || strcmp(argv[1], "--lock-ms") != 0 || !str_to_u64(str_from(argv[2]), &ms) ||
			  ms < 1 || ms > LOCK_MS_MAX))
		return err_set(err, 0,
			       "expected nothing or --lock-ms N, 1 to %d (this program is started by wick-node)",
			       LOCK_MS_MAX);
	d->lock_ms = (unsigned)ms;
	return 0;
}

int main(int argc, char **argv)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	struct driver driver = {0};
	struct park_answer a = {.said = PARK_READY};
	int version, r;

	signal(SIGPIPE, SIG_IGN);
	r = parse_args(&driver, argc, argv, &err);
	if (r == 0) {
		if (open_driver(&driver, &version, &err) < 0) {
			a.said = PARK_UNSUPPORTED;
			a.text = str_from(err.msg);
			return answer(&a) < 0 ? 1 : 0;
		}
		a.version = (uint64_t)version;
		r = answer(&a) < 0 ? err_set(&err, 0, "standard output cannot be written") : run(&driver, &err);
	}
	if (r < 0)
		fprintf(stderr, PROGRAM ": %s\n", err.msg);
	return r < 0 ? 1 : 0;
}

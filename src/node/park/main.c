/* wick-park: parks and wakes the CUDA processes of one machine. It opens the driver once, which costs seconds, and then
 * serves any number of processes one after the other; started by wick-node (node/park.c) when the first worker that may
 * be parked starts.
 *
 *	wick-park [--lock-ms N]      requests on standard input, answers on standard output: wire/park.h
 *	WICK_CUDA                    for tests: another library in the place of libcuda.so.1
 *
 * A process is parked by lock (its calls of CUDA wait from then on; what runs on the device is finished) and checkpoint
 * (its device memory goes to host memory, its devices are given back), and woken by restore and unlock. All state is
 * the driver's and the process's own, none is here. A call of the driver may hang; nothing is done about that here: the
 * node has a deadline and kills this process. It keeps the node's rights, for the driver must reach other processes,
 * and reads nothing but the node's lines. It ends when its input does. */
#include "base/err.h"
#include "base/mem.h"
#include "node/park/cuda.h"
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
	}
	return "other"; /* of a driver that is newer than this list */
}

static int get_state(const struct driver *d, int pid, CUprocessState *ret, struct err *err)
{
	CUresult r = d->cuCheckpointProcessGetState(pid, ret);

	return r == CUDA_SUCCESS ? 0 : fail(d, err, "state", r);
}

/* A process that cannot be parked runs on: where its lock cannot be taken back the node must end it, so the text says
 * so. */
static int park(const struct driver *d, int pid, CUprocessState now, struct err *err)
{
	CUcheckpointLockArgs lock = {.timeoutMs = d->lock_ms};
	CUresult r, back;

	if (now != CU_PROCESS_STATE_LOCKED) {
		r = d->cuCheckpointProcessLock(pid, &lock);
		if (r != CUDA_SUCCESS)
			return fail(d, err, "lock", r);
	}
	r = d->cuCheckpointProcessCheckpoint(pid, NULL);
	if (r == CUDA_SUCCESS)
		return 0;
	fail(d, err, "checkpoint", r);
	back = d->cuCheckpointProcessUnlock(pid, NULL);
	if (back != CUDA_SUCCESS)
		err_wrap(err, "it stays locked (unlock failed with %d)", back);
	return -1;
}

static int wake(const struct driver *d, int pid, CUprocessState now, struct err *err)
{
	CUresult r;

	if (now != CU_PROCESS_STATE_LOCKED) {
		r = d->cuCheckpointProcessRestore(pid, NULL);
		if (r != CUDA_SUCCESS)
			return fail(d, err, "restore", r);
	}
	r = d->cuCheckpointProcessUnlock(pid, NULL);
	return r == CUDA_SUCCESS ? 0 : fail(d, err, "unlock", r);
}

/* What the process was before is asked first: to park one that is parked, or to wake one that is awake, is done already
 * and no error; and one whose helper ended between two calls is only locked, from where both ways are open. */
static int serve(const struct driver *d, const struct park_request *q, CUprocessState *state, struct err *err)
{
	CUprocessState done = q->verb == PARK_VERB_PARK ? CU_PROCESS_STATE_CHECKPOINTED : CU_PROCESS_STATE_RUNNING;
	int r;

	if (get_state(d, q->pid, state, err) < 0)
		return -1;
	if (q->verb == PARK_VERB_STATE || *state == done)
		return 0;
	r = q->verb == PARK_VERB_PARK ? park(d, q->pid, *state, err) : wake(d, q->pid, *state, err);
	if (r < 0 || get_state(d, q->pid, state, err) < 0)
		return -1;
	return *state == done ? 0 : err_set(err, 0, "it is %s after that", state_name(*state));
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
	CUprocessState state = CU_PROCESS_STATE_RUNNING;
	uint64_t begun = clock_mono_us();

	if (!park_request_parse(&q, line))
		return answer(&a);
	a.pid = q.pid;
	if (serve(d, &q, &state, &err) == 0) {
		a.said = PARK_OK;
		a.us = clock_mono_us() - begun;
		a.state = str_from(state_name(state));
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

/* A stand-in for libcuda.so.1, for tests on machines without a GPU: the calls that wick-park makes, with the states of
 * processes in a file. It refuses what CUDA's reference says is refused: a call in the wrong state, reserved bytes that
 * are not zero, a process that does not exist; and calls before cuInit, of which the driver needs it for restoring
 * only.
 *
 *   WICK_STANDIN_CUDA         the file: a line "PID STATE" (0 running, 1 locked, 2 checkpointed, 3 failed) for each
 *                             process that was ever not running; a test may read and write it between calls
 *   WICK_STANDIN_CUDA_FAULTS  what goes wrong: "CALL=HOW" with blanks between. CALL is init, version, state, lock,
 *                             checkpoint, restore or unlock; HOW is a CUresult that it returns, hang, crash, or for
 *                             version the number; CALL@N=HOW is only the Nth such call. "lock=600" is a process whose
 *                             work does not end in time
 *   WICK_STANDIN_CUDA_LOG     a file: each call of a process appends a line "CALL PID"
 *
 * Built a second time with WITHOUT_CHECKPOINT: a driver that is too old to have these calls. */
#include "node/park/cuda.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROCESSES_MAX 4096
#define VERSION       12080

/* Meant to be looked up by dlsym, so no header declares them. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

static int started;

static CUresult go_wrong(const char *how)
{
	if (strncmp(how, "hang", 4) == 0)
		for (;;)
			pause();
	if (strncmp(how, "crash", 5) == 0) {
		signal(SIGABRT, SIG_DFL);
		abort();
	}
	return atoi(how);
}

/* The fault of a call, or none. */
static CUresult fault(const char *call, CUresult none)
{
	static struct {
		const char *call;
		long n;
	} counts[8]; /* there are seven calls */
	const char *at = getenv("WICK_STANDIN_CUDA_FAULTS");
	size_t n = strlen(call), c = 0;

	while (counts[c].call && strcmp(counts[c].call, call) != 0)
		c++;
	counts[c].call = call;
	counts[c].n++;
	while (at && *at) {
		const char *is = strchr(at, '=');

		if (is && strncmp(at, call, n) == 0 &&
		    (at + n == is || (at[n] == '@' && strtol(at + n + 1, NULL, 10) == counts[c].n)))
			return go_wrong(is + 1);
		at += strcspn(at, " ");
		at += strspn(at, " ");
	}
	return none;
}

CUresult cuInit(unsigned flags)
{
	CUresult r = fault("init", CUDA_SUCCESS);

	if (flags)
		return CUDA_ERROR_INVALID_VALUE;
	started = r == CUDA_SUCCESS;
	return r;
}

CUresult cuDriverGetVersion(int *version)
{
	*version = fault("version", VERSION);
	return CUDA_SUCCESS;
}

static const struct {
	CUresult error;
	const char *name, *text;
} errors[] = {
	{CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
	{CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
	{CUDA_ERROR_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
	{CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
	{CUDA_ERROR_ILLEGAL_STATE, "CUDA_ERROR_ILLEGAL_STATE",
	 "the operation cannot be performed in the present state"},
	{CUDA_ERROR_NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
	{CUDA_ERROR_NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
	{CUDA_ERROR_UNKNOWN, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

CUresult cuGetErrorName(CUresult error, const char **text)
{
	*text = NULL;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (errors[i].error == error)
			*text = errors[i].name;
	return *text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorString(CUresult error, const char **text)
{
	*text = NULL;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (errors[i].error == error)
			*text = errors[i].text;
	return *text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

#ifndef WITHOUT_CHECKPOINT
struct process {
	int pid, state;
};

static size_t load(struct process *all)
{
	const char *path = getenv("WICK_STANDIN_CUDA");
	FILE *f = path ? fopen(path, "re") : NULL;
	size_t n = 0;

	while (f && n < PROCESSES_MAX && fscanf(f, "%d %d", &all[n].pid, &all[n].state) == 2)
		n++;
	if (f)
		fclose(f);
	return n;
}

static CUresult save(const struct process *all, size_t n)
{
	const char *path = getenv("WICK_STANDIN_CUDA");
	char other[4096];
	FILE *f;

	if (!path || snprintf(other, sizeof(other), "%s.new", path) >= (int)sizeof(other))
		return CUDA_ERROR_UNKNOWN;
	f = fopen(other, "we");
	for (size_t i = 0; f && i < n; i++)
		fprintf(f, "%d %d\n", all[i].pid, all[i].state);
	/* A reader sees the file of before or of after. */
	return f && fclose(f) == 0 && rename(other, path) == 0 ? CUDA_SUCCESS : CUDA_ERROR_UNKNOWN;
}

static void note(const char *call, int pid)
{
	const char *path = getenv("WICK_STANDIN_CUDA_LOG");
	FILE *f = path ? fopen(path, "ae") : NULL;

	if (f) {
		fprintf(f, "%s %d\n", call, pid);
		fclose(f);
	}
}

/* A call that takes a process from one state to another; to < 0: that only asks, *state is what it is in. */
static CUresult step(const char *call, int pid, int from, int to, int *state)
{
	static struct process all[PROCESSES_MAX];
	size_t n, i = 0;
	CUresult r;

	note(call, pid);
	r = fault(call, CUDA_SUCCESS);
	if (r != CUDA_SUCCESS)
		return r;
	if (!started)
		return CUDA_ERROR_NOT_INITIALIZED;
	if (pid <= 0 || kill(pid, 0) < 0)
		return CUDA_ERROR_INVALID_VALUE;
	n = load(all);
	while (i < n && all[i].pid != pid)
		i++;
	if (i == n) {
		if (n == PROCESSES_MAX)
			return CUDA_ERROR_UNKNOWN;
		all[n++] = (struct process){pid, CU_PROCESS_STATE_RUNNING};
	}
	if (to < 0) {
		*state = all[i].state;
		return CUDA_SUCCESS;
	}
	if (all[i].state != from)
		return CUDA_ERROR_ILLEGAL_STATE;
	all[i].state = to;
	return save(all, n);
}

CUresult cuCheckpointProcessGetState(int pid, CUprocessState *state)
{
	int now = CU_PROCESS_STATE_RUNNING;
	CUresult r = step("state", pid, 0, -1, &now);

	*state = (CUprocessState)now;
	return r;
}

CUresult cuCheckpointProcessLock(int pid, CUcheckpointLockArgs *args)
{
	if (args && args->reserved0)
		return CUDA_ERROR_INVALID_VALUE;
	for (size_t i = 0; args && i < sizeof(args->reserved1) / sizeof(args->reserved1[0]); i++)
		if (args->reserved1[i])
			return CUDA_ERROR_INVALID_VALUE;
	return step("lock", pid, CU_PROCESS_STATE_RUNNING, CU_PROCESS_STATE_LOCKED, NULL);
}

CUresult cuCheckpointProcessCheckpoint(int pid, void *args)
{
	return step("checkpoint", pid, CU_PROCESS_STATE_LOCKED, CU_PROCESS_STATE_CHECKPOINTED, NULL);
}

CUresult cuCheckpointProcessRestore(int pid, void *args)
{
	return step("restore", pid, CU_PROCESS_STATE_CHECKPOINTED, CU_PROCESS_STATE_LOCKED, NULL);
}

CUresult cuCheckpointProcessUnlock(int pid, void *args)
{
	return step("unlock", pid, CU_PROCESS_STATE_LOCKED, CU_PROCESS_STATE_RUNNING, NULL);
}
#endif

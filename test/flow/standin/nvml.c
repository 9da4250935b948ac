/* A stand-in for NVIDIA's management library, with the layouts and numbers of its nvml.h (version 13): answers what a
 * file says, named by WICK_STANDIN_NVML and read anew at each call, so that a test changes a card while somebody looks
 * at it. Its lines are words with '=' between name and value:
 *
 *   driver=550.54                                        version; init=CODE: nvmlInit fails
 *   card=0 uuid=GPU-1 name=NVIDIA_H200 pci=1 minor=0 total=143771 used=10 util=5 temp=40 power=120 major=9 lesser=0
 *        mig=1 lost=1 fails=16                           '_' in a name is a blank; memory in MiB; pci: the bus; fails:
 *                                                        what nvmlDeviceGetMemoryInfo returns
 *   instance=0 uuid=MIG-1 name=NVIDIA_H200_MIG_1g.18gb memory=18000 gi=1 ci=0      of card 0, in order
 *   process=0 pid=123 memory=512                         on card 0; without memory: it is not available
 *   client=0 pid=124 memory=512                          the same of a client of MPS
 *   hang=memory, crash=memory                            the call nvmlDeviceGetMemoryInfo does that; also count, init
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SUCCESS           0
#define UNINITIALIZED     1
#define NOT_SUPPORTED     3
#define INVALID_ARGUMENT  2
#define NOT_FOUND         6
#define INSUFFICIENT_SIZE 7
#define GPU_IS_LOST       15

#define LINE_BYTES     1024
#define PER_CARD       100
#define FIRST_INSTANCE 1000

typedef struct card *card;

struct memory {
	unsigned long long total, free, used;
};
struct utilization {
	unsigned gpu, memory;
};
struct pci {
	char legacy[16];
	unsigned domain, bus, device, device_id, subsystem_id;
	char bus_id[32];
};
struct process {
	unsigned pid;
	unsigned long long memory;
	unsigned gpu_instance, compute_instance;
};
struct attributes {
	unsigned multiprocessors, copy_engines, decoders, encoders, jpeg, ofa, gpu_slices, compute_slices;
	unsigned long long memory_mb;
};

static int started;

/* The value of a word of a line. */
static int word(const char *line, const char *name, char *ret, size_t n)
{
	size_t len = strlen(name);

	for (const char *at = line; *at;) {
		size_t end = strcspn(at, " \n");

		if (strncmp(at, name, len) == 0 && at[len] == '=') {
			snprintf(ret, n, "%.*s", (int)(end - len - 1), at + len + 1);
			return 1;
		}
		at += end;
		at += strspn(at, " \n");
	}
	return 0;
}

/* The nth line whose first word is name=value; value NULL: any. */
static int find(const char *name, const char *value, unsigned nth, char *ret)
{
	FILE *f = fopen(getenv("WICK_STANDIN_NVML") ? getenv("WICK_STANDIN_NVML") : "/nonexistent", "re");
	char line[LINE_BYTES], text[LINE_BYTES];
	size_t len = strlen(name);
	int found = 0;

	while (f && !found && fgets(line, sizeof(line), f)) {
		if (strncmp(line, name, len) != 0 || line[len] != '=' || !word(line, name, text, sizeof(text)))
			continue;
		if (value && strcmp(text, value) != 0)
			continue;
		if (nth-- == 0)
			found = 1;
	}
	if (f)
		fclose(f);
	if (found && ret)
		strcpy(ret, line);
	return found;
}

static void misbehave(const char *call)
{
	if (find("hang", call, 0, NULL))
		for (;;)
			pause();
	if (find("crash", call, 0, NULL))
		abort();
}

static unsigned number_of(card c)
{
	return (unsigned)(uintptr_t)c;
}

/* The line that says what this handle is. */
static int line_of(card c, char *line)
{
	unsigned n = number_of(c);
	char text[16];

	if (!started)
		return UNINITIALIZED;
	if (n >= FIRST_INSTANCE) {
		snprintf(text, sizeof(text), "%u", (n - FIRST_INSTANCE) / PER_CARD);
		return find("instance", text, (n - FIRST_INSTANCE) % PER_CARD, line) ? SUCCESS : NOT_FOUND;
	}
	snprintf(text, sizeof(text), "%u", n - 1);
	if (!find("card", text, 0, line))
		return GPU_IS_LOST;
	return word(line, "lost", text, sizeof(text)) ? GPU_IS_LOST : SUCCESS;
}

static int number(card c, const char *name, unsigned long long *ret)
{
	char line[LINE_BYTES], text[64];
	int r = line_of(c, line);

	if (r != SUCCESS)
		return r;
	if (!word(line, name, text, sizeof(text)))
		return NOT_SUPPORTED;
	*ret = strtoull(text, NULL, 10);
	return SUCCESS;
}

static int small(card c, const char *name, unsigned *ret)
{
	unsigned long long v;
	int r = number(c, name, &v);

	if (r == SUCCESS)
		*ret = (unsigned)v;
	return r;
}

static int text(card c, const char *name, char *ret, unsigned n)
{
	char line[LINE_BYTES], value[256];
	int r = line_of(c, line);

	if (r != SUCCESS)
		return r;
	if (!word(line, name, value, sizeof(value)))
		return NOT_SUPPORTED;
	for (char *p = value; *p; p++)
		if (*p == '_')
			*p = ' ';
	return snprintf(ret, n, "%s", value) < (int)n ? SUCCESS : INSUFFICIENT_SIZE;
}

int nvmlInit_v2(void)
{
	char line[LINE_BYTES], code[16];

	misbehave("init");
	if (find("init", NULL, 0, line) && word(line, "init", code, sizeof(code)))
		return atoi(code);
	started = 1;
	return SUCCESS;
}

int nvmlShutdown(void)
{
	if (!started)
		return UNINITIALIZED;
	started = 0;
	return SUCCESS;
}

const char *nvmlErrorString(int code)
{
	return code == GPU_IS_LOST ? "GPU is lost" : "Stand-in error";
}

int nvmlSystemGetDriverVersion(char *ret, unsigned n)
{
	char line[LINE_BYTES];

	if (!find("driver", NULL, 0, line))
		return NOT_SUPPORTED;
	return word(line, "driver", ret, n) ? SUCCESS : NOT_SUPPORTED;
}

int nvmlDeviceGetCount_v2(unsigned *n)
{
	misbehave("count");
	if (!started)
		return UNINITIALIZED;
	*n = 0;
	while (find("card", NULL, *n, NULL))
		(*n)++;
	return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned i, card *ret)
{
	*ret = (card)(uintptr_t)(i + 1);
	return SUCCESS;
}

int nvmlDeviceGetName(card c, char *ret, unsigned n)
{
	return text(c, "name", ret, n);
}

int nvmlDeviceGetUUID(card c, char *ret, unsigned n)
{
	return text(c, "uuid", ret, n);
}

int nvmlDeviceGetMinorNumber(card c, unsigned *ret)
{
	return small(c, "minor", ret);
}

int nvmlDeviceGetPciInfo_v3(card c, struct pci *ret)
{
	memset(ret, 0, sizeof(*ret));
	return small(c, "pci", &ret->bus);
}

int nvmlDeviceGetMemoryInfo(card c, struct memory *ret)
{
	unsigned long long total = 0, used = 0;
	int r;

	misbehave("memory");
	if (number(c, "fails", &total) == SUCCESS)
		return (int)total;
	r = number(c, "total", &total);
	if (r != SUCCESS)
		return r;
	number(c, "used", &used);
	*ret = (struct memory){.total = total << 20, .used = used << 20, .free = (total - used) << 20};
	return SUCCESS;
}

int nvmlDeviceGetCudaComputeCapability(card c, int *major, int *minor)
{
	unsigned m = 0, n = 0;
	int r = small(c, "major", &m);

	small(c, "lesser", &n);
	*major = (int)m;
	*minor = (int)n;
	return r;
}

int nvmlDeviceGetUtilizationRates(card c, struct utilization *ret)
{
	ret->memory = 0;
	return small(c, "util", &ret->gpu);
}

int nvmlDeviceGetTemperature(card c, int sensor, unsigned *ret)
{
	return sensor == 0 ? small(c, "temp", ret) : INVALID_ARGUMENT;
}

int nvmlDeviceGetPowerUsage(card c, unsigned *ret)
{
	int r = small(c, "power", ret);

	*ret *= 1000;
	return r;
}

static int processes(card c, const char *section, unsigned *n, struct process *ret)
{
	char line[LINE_BYTES], which[16], value[32];
	unsigned room = *n;

	snprintf(which, sizeof(which), "%u", number_of(c) - 1);
	for (*n = 0; find(section, which, *n, line); (*n)++) {
		if (*n >= room)
			continue;
		ret[*n] = (struct process){.memory = ~0ull, .gpu_instance = ~0u, .compute_instance = ~0u};
		if (word(line, "pid", value, sizeof(value)))
			ret[*n].pid = (unsigned)strtoul(value, NULL, 10);
		if (word(line, "memory", value, sizeof(value)))
			ret[*n].memory = strtoull(value, NULL, 10) << 20;
	}
	return *n > room ? INSUFFICIENT_SIZE : SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(card c, unsigned *n, struct process *ret)
{
	return processes(c, "process", n, ret);
}

int nvmlDeviceGetMPSComputeRunningProcesses_v3(card c, unsigned *n, struct process *ret)
{
	return processes(c, "client", n, ret);
}

int nvmlDeviceGetMigMode(card c, unsigned *current, unsigned *pending)
{
	int r = small(c, "mig", current);

	*pending = *current;
	return r;
}

int nvmlDeviceGetMaxMigDeviceCount(card c, unsigned *n)
{
	*n = 7;
	return SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(card c, unsigned i, card *ret)
{
	char which[16];

	snprintf(which, sizeof(which), "%u", number_of(c) - 1);
	if (!find("instance", which, i, NULL))
		return NOT_FOUND;
	*ret = (card)(uintptr_t)(FIRST_INSTANCE + (number_of(c) - 1) * PER_CARD + i);
	return SUCCESS;
}

int nvmlDeviceGetGpuInstanceId(card c, unsigned *ret)
{
	return small(c, "gi", ret);
}

int nvmlDeviceGetComputeInstanceId(card c, unsigned *ret)
{
	return small(c, "ci", ret);
}

int nvmlDeviceGetAttributes_v2(card c, struct attributes *ret)
{
	unsigned long long memory = 0;
	int r = number(c, "memory", &memory);

	*ret = (struct attributes){.memory_mb = memory, .gpu_slices = 1};
	return r;
}

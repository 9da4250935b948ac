/* Reads /proc. Owns nothing; a process that ends meanwhile reads as using nothing. Descendants are found through the
 * children of each main thread, which is where an interpreter forks. */
#include "node/usage.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CHILDREN_MAX  256
#define DEPTH_MAX     8
#define ANCESTORS_MAX 1024

/* The head of a file of /proc, NUL-terminated. */
static ssize_t read_proc(const char *path, char *p, size_t n)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		return -1;
	got = read(fd, p, n - 1);
	close(fd);
	p[MAX(got, 0)] = '\0';
	return got;
}

static size_t children_of(int pid, int *pids, size_t max)
{
	char path[64], text[8192], *at = text;
	size_t n = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	if (read_proc(path, text, sizeof(text)) <= 0)
		return 0;
	while (n < max) {
		char *end;
		long v = strtol(at, &end, 10);

		if (end == at)
			break;
		/* A number cut off by the end of the buffer is none. */
		if (*end == ' ')
			pids[n++] = (int)v;
		at = end;
	}
	return n;
}

static uint64_t rss_of(int pid)
{
	unsigned long size, resident, shared;
	char path[64], text[256];

	snprintf(path, sizeof(path), "/proc/%d/statm", pid);
	if (read_proc(path, text, sizeof(text)) <= 0)
		return 0;
	if (sscanf(text, "%lu %lu %lu", &size, &resident, &shared) != 3 || resident < shared)
		return 0;
	return (uint64_t)(resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}

static uint64_t pss_of(int pid)
{
	static const char *const fields[] = {"\nPss_Anon:", "\nPss_Shmem:", "\nSwapPss:"};
	char path[64], text[4096];
	uint64_t sum = 0;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	if (read_proc(path, text, sizeof(text)) <= 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		const char *at = strstr(text, fields[i]);

		if (at)
			sum += strtoull(at + strlen(fields[i]), NULL, 10);
	}
	return sum;
}

static uint64_t sum_of(int pid, uint64_t (*of)(int pid), unsigned depth)
{
	int pids[CHILDREN_MAX];
	uint64_t sum = of(pid);
	size_t n;

	if (!sum || depth == DEPTH_MAX)
		return sum;
	n = children_of(pid, pids, CHILDREN_MAX);
	for (size_t i = 0; i < n; i++)
		sum += sum_of(pids[i], of, depth + 1);
	return sum;
}

uint64_t usage_rss_kib(int pid)
{
	return sum_of(pid, rss_of, 0);
}

uint64_t usage_pss_kib(int pid)
{
	return sum_of(pid, pss_of, 0);
}

static void signal_from(int pid, int signo, unsigned depth)
{
	int pids[CHILDREN_MAX];
	size_t n = depth == DEPTH_MAX ? 0 : children_of(pid, pids, CHILDREN_MAX);

	kill(pid, signo);
	for (size_t i = 0; i < n; i++)
		signal_from(pids[i], signo, depth + 1);
}

void usage_signal_tree(int pid, int signo)
{
	signal_from(pid, signo, 0);
}

uint64_t usage_available_mb(void)
{
	char text[4096];
	const char *at;

	if (read_proc("/proc/meminfo", text, sizeof(text)) <= 0)
		return 0;
	at = strstr(text, "MemAvailable:");
	return at ? strtoull(at + strlen("MemAvailable:"), NULL, 10) / 1024 : 0;
}

static int parent_of(int pid)
{
	char path[64], text[512], *at;
	int parent = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (read_proc(path, text, sizeof(text)) <= 0)
		return 0;
	at = strrchr(text, ')'); /* its name may hold anything */
	return at && sscanf(at, ") %*c %d", &parent) == 1 ? parent : 0;
}

bool usage_is_below(int pid, int ancestor)
{
	for (unsigned i = 0; pid > 1 && i < ANCESTORS_MAX; i++) {
		if (pid == ancestor)
			return true;
		pid = parent_of(pid);
	}
	return false;
}

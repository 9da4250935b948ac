/* What a zygote has loaded stays as it is for its life, and each fork copies its page tables: 8 bytes for every page of
 * 4 KiB, 2 to 3 ms for 50 MB. So free memory goes back first, and then runs of 2 MiB become huge pages, which a fork
 * copies as one entry each. A worker that writes to one gets a small page of its own, as ever.
 *
 * All of it is advice: a kernel that cannot (before Linux 6.1, or short of such pages) leaves everything as it was. */
#include "runtime/python/pages.h"

#include "base/util.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#define HUGE_PAGE  ((uintptr_t)2 << 20)
#define RANGES_MAX 256

struct range {
	uintptr_t from, to;
};

/* Anonymous, writable, private, large enough. */
static bool parse(const char *line, struct range *ret)
{
	unsigned long from, to, offset, inode;
	char rights[8], device[16];

	if (sscanf(line, "%lx-%lx %7s %lx %15s %lu", &from, &to, rights, &offset, device, &inode) != 6)
		return false;
	if (inode || strcmp(rights, "rw-p") != 0 || strstr(line, "[stack"))
		return false;
	ret->from = (from + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
	ret->to = to & ~(HUGE_PAGE - 1);
	return ret->from < ret->to;
}

void pages_settle(void)
{
	struct range ranges[RANGES_MAX];
	char line[4096 + 128];
	size_t n = 0;
	FILE *f;

	malloc_trim(0);
	f = fopen("/proc/self/maps", "re");
	if (!f)
		return;
	while (n < RANGES_MAX && fgets(line, sizeof(line), f))
		if (parse(line, &ranges[n]))
			n++;
	fclose(f);
	for (size_t i = 0; i < n; i++)
		for (uintptr_t at = ranges[i].from; at < ranges[i].to; at += HUGE_PAGE)
			madvise((void *)at, HUGE_PAGE, MADV_COLLAPSE);
}

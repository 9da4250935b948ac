/* What a running worker uses, read from /proc: a cheap figure that may be too high, and an exact one. */
#pragma once

#include "base/util.h"

/* Memory that is its own, of a process and the processes it started, in KiB; 0 when it is gone. Pages that a fork
 * shares are counted in each. */
uint64_t usage_rss_kib(int pid);
/* The same with every shared page counted by its share. Costs the kernel a walk over the page tables. */
uint64_t usage_pss_kib(int pid);
/* Children of the calling process, zombies included: their number, of which max at most are in pids. */
size_t usage_children(int *pids, size_t max);

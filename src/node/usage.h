/* What the kernel tells of processes under /proc: what a worker uses, and who belongs to it. */
#pragma once

#include "base/util.h"

/* Memory that is its own, of a process and the processes it started, in KiB; 0 when it is gone. Pages that a fork
 * shares are counted in each. */
uint64_t usage_rss_kib(int pid);
/* The same with every shared page counted by its share. Costs the kernel a walk over the page tables. */
uint64_t usage_pss_kib(int pid);
/* A signal to a process and to all that it started. */
void usage_signal_tree(int pid, int signo);
/* Memory of the machine that could be used now, in MiB (proc_meminfo(5), MemAvailable); 0: not known. */
uint64_t usage_available_mb(void);
/* Is pid this ancestor, or was it started by it or by one that it started? In a pid namespace its first process becomes
 * the parent of orphans, so nothing of a box gets away from it. */
bool usage_is_below(int pid, int ancestor);

/* What the kernel tells of processes under /proc: what a worker uses, and who belongs to it. */
#pragma once

#include "base/util.h"

/* Memory that is its own, of a process and the processes it started, in KiB; 0 when it is gone. Pages that a fork
 * shares are counted in each. */
uint64_t usage_rss_kib(int pid);
/* The same with every shared page counted by its share. Costs the kernel a walk over the page tables. */
uint64_t usage_pss_kib(int pid);
/* Children of the calling process, zombies included: their number, of which max at most are in pids. */
size_t usage_children(int *pids, size_t max);

/* Ends (SIGKILL) every other process whose first environment held a variable that begins with text ("NAME=value...");
 * of those that this user may look at. Returns how many. */
size_t usage_kill_by_env(const char *text);

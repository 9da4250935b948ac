/* Control groups, version 1 or 2, whichever the machine has: groups under one parent of this program's own, with limits
 * of memory, processes and a share of CPU; freezing; counts. Ordinary users often have none: cgroup_host_open then
 * fails and err says why, and each of memory, pids, cpu and freezing may be missing by itself (cgroup_host_can).
 * Everything blocks for well under a millisecond, but removing a group that was used (cgroup_remove) and the first
 * open. */
#pragma once

#include "base/err.h"
#include "base/buf.h"

#define CGROUP_MEMORY 1u /* memory limit and counts */
#define CGROUP_PIDS   2u
#define CGROUP_CPU    4u
#define CGROUP_FREEZE 8u

#define CGROUP_JOIN_MAX 4 /* v1: one hierarchy for each of the above; v2: one */
#define CGROUP_UNKNOWN  UINT64_MAX

struct cgroup_limits {
	uint64_t memory_bytes; /* 0: none. Swap included where the kernel counts it */
	uint32_t pids;         /* processes and threads; 0: no limit */
	uint32_t cpu_weight;   /* 1 to 10000, 100 is the usual; 0: leave it (v1: the hierarchy is not joined then) */
};

struct cgroup_stat {
	/* CGROUP_UNKNOWN where it cannot be told; counts are since cgroup_make or cgroup_reuse. */
	uint64_t memory, memory_peak; /* bytes as the limit counts them: page cache and tmpfs included */
	uint64_t memory_denied;       /* times the limit was hit; some kernels do not count it (v1: stays 0) */
	uint64_t oom_kills;           /* processes the kernel ended for it */
	uint64_t pids, pids_denied;   /* forks refused */
};

struct cgroup_host;
struct cgroup;

/* A parent group `name` below the caller's own group, in every hierarchy that can be written (v2: the caller may be
 * moved into a leaf of its group, as the kernel demands). What an earlier run of the same name left there is killed
 * and removed: choose a name that no other running program has. NULL: no kind of group can be made, err says why. */
struct cgroup_host *cgroup_host_open(const char *name, struct err *err);
struct cgroup_host *cgroup_host_close(struct cgroup_host *h); /* kills and removes what is left; always NULL */
uint32_t cgroup_host_can(const struct cgroup_host *h);        /* CGROUP_*; 0 for NULL */
int cgroup_host_version(const struct cgroup_host *h);         /* 1 or 2; 0 for NULL */

/* NULL: err. Limits that the host cannot set (cgroup_host_can) are left out in silence. */
struct cgroup *cgroup_make(struct cgroup_host *h, const struct cgroup_limits *l, struct err *err);
/* An empty group gets new limits and counts from zero: groups are pooled, making one costs much more. -1: err; then
 * remove it and make another. */
int cgroup_reuse(struct cgroup *c, const struct cgroup_limits *l, struct err *err);
/* Kills what is in it, closes, removes the folders (later with the host, where the kernel is not done yet). NULL. */
struct cgroup *cgroup_remove(struct cgroup *c);

/* Files a process writes "0" to in order to join: open as long as the group lives, the group's own. A process moves
 * itself: moving another one takes a lock of the whole system. Returns how many. */
size_t cgroup_join_fds(const struct cgroup *c, int fds[static CGROUP_JOIN_MAX]);

int cgroup_freeze(struct cgroup *c, bool frozen); /* -ENOTSUP; done soon after it returns, not always before */
int cgroup_kill(struct cgroup *c);                /* SIGKILL to all in it, frozen ones too; -errno */
bool cgroup_empty(const struct cgroup *c);        /* no process in it, zombies aside */
void cgroup_stat(const struct cgroup *c, struct cgroup_stat *ret);
int cgroup_set_memory(struct cgroup *c, uint64_t bytes); /* -errno */

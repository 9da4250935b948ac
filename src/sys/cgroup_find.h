/* Where control groups are on this machine: read from mountinfo and the caller's own cgroup file, nothing is changed.
 */
#pragma once

#include "base/str.h"

#include "sys/cgroup.h"

/* One mounted hierarchy, and the caller's own group in it. */
struct cgroup_hierarchy {
	int version;
	uint32_t what; /* v1: CGROUP_* that it serves; v2: 0, its files say */
	char *top;     /* folder where it is mounted */
	char *own;     /* folder of the caller's group: top, or below it */
};

#define CGROUP_HIERARCHIES_MAX 5

/* mountinfo, cgroup: texts of /proc/self/mountinfo and /proc/self/cgroup. Returns how many; the strings are the
 * caller's. v1 hierarchies that serve nothing of CGROUP_* are left out. */
size_t cgroup_find(struct str mountinfo, struct str cgroup, struct cgroup_hierarchy ret[static CGROUP_HIERARCHIES_MAX]);

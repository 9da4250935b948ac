/* The parent of a program's control groups, and the files of both: what cgroup.c and cgroup_host.c share. */
#pragma once

#include "base/str.h"
#include "sys/cgroup.h"

/* The parent group's folder in one hierarchy. */
struct cgroup_place {
	uint32_t what; /* CGROUP_* that this hierarchy limits */
	char *dir;
};

struct cgroup_host {
	int version;
	struct cgroup_place places[CGROUP_JOIN_MAX];
	size_t n;
	uint64_t made;  /* groups, for their names */
	char **dropped; /* folders to remove when the kernel lets us */
	size_t n_dropped;
};

/* group "": the parent itself. */
char *cgroup_file(const struct cgroup_place *p, const char *group, const char *file);
int cgroup_write(const struct cgroup_place *p, const char *group, const char *file, const char *text);
int cgroup_read(const struct cgroup_place *p, const char *group, const char *file, struct buf *ret);
int cgroup_signal(const struct cgroup_place *p, const char *group); /* SIGKILL; how many got it, or -errno */

void cgroup_host_drop(struct cgroup_host *h, char *dir); /* removed now or later; dir is taken over */
void cgroup_host_tidy(struct cgroup_host *h);            /* removes what could not be before */

/* Below other texts than /proc/self/mountinfo and /proc/self/cgroup: for tests. */
struct cgroup_host *cgroup_host_open_in(struct str mountinfo, struct str cgroup, const char *name, struct err *err);

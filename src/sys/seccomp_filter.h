/* Filters of system calls, made once (slow: libseccomp) and loaded by each child (fast). */
#pragma once

#include "base/err.h"

struct seccomp_filter {
	void *code;
	unsigned short n; /* instructions */
};

/* What ordinary programs need; not what looks into other processes, changes the machine or its namespaces, or widens
 * what the kernel shows of itself. boxes: and what it takes to clone boxed children: one clone into all namespaces,
 * mounts, pivot_root, the name of the host. */
int seccomp_filter_build(struct seccomp_filter *ret, bool boxes, struct err *err);
int seccomp_filter_load(const struct seccomp_filter *p); /* needs no_new_privs; -errno */

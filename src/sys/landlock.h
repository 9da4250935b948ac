/* Landlock: which folders and files a process may still reach, for good. By whatever the kernel has of it. */
#pragma once

#include "base/util.h"

/* A rule set; -ENOTSUP where the kernel has no Landlock. The caller closes it. */
int landlock_new(void);
/* fd: below it (or it, a file) may be read and executed, written too if writable. -errno. */
int landlock_allow(int rules, int fd, bool writable);
int landlock_enforce(int rules); /* on the calling thread; needs no_new_privs. -errno */

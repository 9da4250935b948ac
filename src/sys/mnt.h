/* Mounts by file descriptors: a tree is made or copied unattached, given its flags, then attached. Needs Linux 5.12.
 * All return an fd (close-on-exec, the caller's) or 0; negative errno. */
#pragma once

#include "base/util.h"

#define MNT_WRITABLE 1u
#define MNT_EXEC     2u
#define MNT_DEV      4u

/* A new tmpfs that holds at most so many bytes and, if not 0, files; mode: of its root. Unattached. */
int mnt_tmpfs(uint64_t bytes, uint64_t files, unsigned mode, unsigned flags);
int mnt_proc(unsigned flags); /* of the caller's pid namespace */
/* A copy of what is mounted at fd and below it, private. Flags that are locked stay, whatever is asked for. */
int mnt_copy(int fd, unsigned flags);
int mnt_copy_as_is(int fd);       /* the same, with the flags that it has */
int mnt_attach(int tree, int at); /* at: an fd of the mount point (O_PATH) */
/* root (a directory of an attached mount) becomes /, read-only; the old one is gone. Leaves the cwd at /. */
int mnt_pivot(int root);
int mnt_detach(const char *path); /* what is mounted there, and below it; the last part is no symbolic link */
/* Opens (O_PATH) a path below root, which is absolute; no symbolic link is followed, none leads out. */
int mnt_open_below(int root, const char *path);

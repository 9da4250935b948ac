/* Files: whole reads and writes, folders, locks. Errors: negative errno unless an err is asked for. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

int file_read(const char *path, size_t limit, struct buf *ret); /* -EFBIG past limit */
/* Atomically and durably (temporary file, fsync, rename, fsync of the folder). */
int file_write(const char *path, struct str data, unsigned mode);
int write_all(int fd, const void *p, size_t n); /* blocking fd */
int pwrite_all(int fd, const void *p, size_t n, uint64_t at);
int mkdir_p(const char *path, unsigned mode); /* folders above it that are missing get 0755 */
int rm_rf(const char *path);                  /* 0 when it was not there; never follows links */
int fd_set_nonblock(int fd);
/* Takes the lock file (a lock of the open file; close-on-exec) and writes the pid into it: the fd that holds it;
 * -EWOULDBLOCK when another process has it, whose pid is then in *owner. */
int lock_file(const char *path, int *owner);
char *self_dir(void); /* folder of the running executable; malloc'd */
/* Path of the program in the first of the folders (with ':' between) that has it; malloc'd. NULL: none has. */
char *file_find_program(const char *folders, const char *name);

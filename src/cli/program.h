/* Running a small program to its end and taking what it says. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

/* argv[0] is a path. out (may be NULL) gets what it wrote to standard output and error, at most 1 MiB. The exit
 * status; -1: not started, killed, or not done within limit_ms (it is killed then). */
int program_run(const char *const *argv, unsigned limit_ms, struct buf *out);
/* Folders with Wick's own programs, ':' between: WICK_LIBEXEC, else those of the tree this one was built in come before
 * the installed one. malloc'd. */
char *program_folders(void);
/* Path of one of them; malloc'd. NULL: it is not there, and err says where it was looked for. */
char *program_find(const char *name, struct err *err);

/* Running a small program to its end and taking what it says. */
#pragma once

#include "base/buf.h"

/* argv[0] is a path. out (may be NULL) gets what it wrote to standard output and error, at most 64 KiB. The exit
 * status; -1: not started, killed, or not done within limit_ms (it is killed then). */
int program_run(const char *const *argv, unsigned limit_ms, struct buf *out);

/* The one CPython of the process, and bootstrap.py in it. */
#pragma once

#include "base/err.h"
#include "base/str.h"

/* Starts CPython and runs bootstrap.py, which defines the functions that are called below. */
int interpreter_start(struct err *err);
/* preload(names): imports modules of the machine; the names that were, malloc'ed. */
int interpreter_preload(struct str names, char **ret, struct err *err);
/* Around a fork. What CPython does there is for processes with threads, and to run hooks: it is left out where there
 * are neither (bootstrap.py says so), since each page it writes to is one more that the worker does not share. */
void interpreter_before_fork(void);
void interpreter_after_fork_in_parent(void);
void interpreter_after_fork_in_child(void);
/* Calls a function of bootstrap.py that does not come back: it ends the process. Returns the exit status where an
 * exception that is none of a handler's came out. */
int interpreter_run(const char *function);

/* An error that a person must understand: a message that each caller on the way up puts its own context
 * before ("deploy thumb: open template.yaml: No such file or directory").
 *
 * Wick has three kinds of error. Broken program: assert, the supervisor starts the process anew. Errors
 * between rooms: negative errno (pass it up) or a positive X_E_* of the function's contract (handle it).
 * Errors for people (set-up, settings, command line): this object. */
#pragma once

#include "base/util.h"

struct err {
	char *msg; /* NULL: no error */
	int code;  /* errno, or 0 */
};

#define ERR_NULL ((struct err){0})

void err_done(struct err *e);
/* Sets the message; with code != 0, ": strerror(code)" follows it. Returns -1, so that a function can end
 * in `return err_set(...)`. e may be NULL (then only the -1 counts). */
int err_set(struct err *e, int code, const char *fmt, ...) _printf_(3, 4);
int err_wrap(struct err *e, const char *fmt, ...) _printf_(2, 3); /* "context: old message" */

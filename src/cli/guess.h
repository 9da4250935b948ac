/* What code on disk wants to be run as: its runtime and its handler, found by looking. */
#pragma once

#include "base/err.h"
#include "base/util.h"

struct guess {
	char *runtime; /* "python3.11", "nodejs20.x", "provided.al2023", "native", "web" */
	char *handler;
	char *command; /* what a web function starts; NULL: none found, or of another runtime */
};

/* path: a file, a folder or a .zip. runtime: NULL, or the one to look for. -1: err says what was looked for. */
int guess_code(const char *path, const char *runtime, struct guess *ret, struct err *err);
void guess_done(struct guess *g);
/* Files of source that make no name for a function: "handler.py", "index.js", "bootstrap". */
bool guess_is_entry(const char *name);

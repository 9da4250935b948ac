/* Whether source files can be read by what will run them. */
#pragma once

#include "base/buf.h"

/* Python and JavaScript files among paths; others pass. False: `out` has the errors, each with file and line. */
bool syntax_check(const char *const *paths, size_t n, struct buf *out);
/* The same of all below a folder (or of one file), but for packages of others (site-packages, node_modules). */
bool syntax_check_tree(const char *path, struct buf *out);

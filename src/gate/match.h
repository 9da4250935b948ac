/* Which row of a table of operations a method and a path name. Pure. */
#pragma once

#include "gate/req.h"

#define MATCH_ARGS 4 /* as many {} as struct req has room for */

/* The row whose method and pattern fit, its {} decoded into the arena; NULL: none. Paths are compared as they came;
 * one '/' at the end is as good as none. *known says whether the path fits a row of another method; NULL allowed. */
const struct operation *match_operation(const struct operation *rows, size_t n, struct str method, struct str path,
					struct arena *a, struct str args[static MATCH_ARGS], bool *known);

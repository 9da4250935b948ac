/* The processes of a worker that use CUDA. CUDA parks single processes, and a worker's is often not its first: pid 1 of
 * a box that runs a native, provided or web function only starts the function's process, and that may start more. */
#pragma once

#include "base/err.h"
#include "base/str.h"

#define TREE_MAX 256 /* processes of a worker that are looked at */

/* pid and its descendants that have a file mapped whose name begins with library ("libcuda.so"); the parents first.
 * -1: err: there is no such process, none of them has, or there are too many. */
int tree_find(int pid, struct str library, int ret[static TREE_MAX], size_t *n, struct err *err);

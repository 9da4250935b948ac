/* The modules that a Python source names in its import statements, as far as that can be told without running it: a
 * guess for what to load before it runs. Pure, fuzzed. Source: The Python Language Reference 3.11, "7.11. The import
 * statement". */
#pragma once

#include "base/str.h"

/* Calls each once for every top-level name that an import statement names ("numpy" for `import numpy.linalg as l`),
 * with repetitions. Relative imports are left out. Statements within strings may be taken for real ones. */
void py_imports(struct str source, void (*each)(void *arg, struct str name), void *arg);

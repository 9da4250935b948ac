/* Any text as Python source: names only, never an empty one. */
#include "wire/py_imports.h"

#include <stdlib.h>

static void each(void *arg, struct str name)
{
	if (!name.n)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	py_imports(str_n(data, size), each, NULL);
	return 0;
}

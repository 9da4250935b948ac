/* Any bytes as the beginning of a file. */
#include "wire/execfile.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct execfile x;

	execfile_look(&x, str_n(data, size));
	if (x.interpreter.n)
		assert(x.interpreter.p >= (const char *)data &&
		       x.interpreter.p + x.interpreter.n <= (const char *)data + size);
	execfile_machine_name(x.machine);
	return 0;
}

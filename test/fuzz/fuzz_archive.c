/* archive_check over any bytes: refuses or accepts, and stays within its limits. */
#include "sys/archive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct archive_limits lim = {.max_bytes = 1 << 20, .max_files = 100};
	struct archive_totals t = {0};
	struct err e = ERR_NULL;

	if (archive_check(str_n(data, size), &lim, &t, &e) == 0 && (t.bytes > lim.max_bytes || t.files > lim.max_files))
		__builtin_trap();
	err_done(&e);
	return 0;
}

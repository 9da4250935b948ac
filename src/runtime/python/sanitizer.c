/* Only in builds with AddressSanitizer: CPython keeps much until the process ends, which is no leak of ours, and a
 * function that crashes must be seen to die by its signal. */
#include "box/sanitizer.h"

const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
	return "detect_leaks=0:handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_abort=0:handle_sigill=0";
}

/* The zygote as well, whatever the environment says of leaks. */
static __attribute__((constructor)) void keep_quiet(void)
{
	sanitizer_boxed();
}

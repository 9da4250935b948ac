/* Only in builds with AddressSanitizer: its search for leaks looks into /proc, which wick-net cannot when it ends. */
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

/* Builds with AddressSanitizer only; sanitizer_none.c is for all others. Owns one flag. */
#include "box/sanitizer.h"

static int boxed;

int __lsan_is_turned_off(void);

/* Asked by the sanitizer when a process ends. */
int __lsan_is_turned_off(void)
{
	return boxed;
}

void sanitizer_boxed(void)
{
	boxed = 1;
}

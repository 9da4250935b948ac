/* Builds without AddressSanitizer: nothing to tell. */
#include "box/sanitizer.h"

void sanitizer_boxed(void)
{
}

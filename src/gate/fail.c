/* The table of refusals. Constant. */
#include "gate/fail.h"

#define FAIL_ROW(name, status, s3, lambda, message) [FAIL_##name] = {status, s3, lambda, message},
static const struct fail_info rows[FAIL_COUNT] = {FAILS(FAIL_ROW)};
#undef FAIL_ROW

const struct fail_info *fail_info(enum fail f)
{
	return &rows[f < FAIL_COUNT ? f : FAIL_INTERNAL];
}

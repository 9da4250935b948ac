/* Which rights are left in a box, by profile. */
#pragma once

#include "base/err.h"
#include "wire/boxplan.h"

/* Makes the filters, some milliseconds of work; a zygote calls it once, before it clones. */
int rights_prepare(struct err *err);
/* The last step of a box: what the profile does not need is gone for good. -1: err. */
int rights_give_up(enum box_profile profile, struct err *err);

/* A net namespace made ahead, while a zygote has nothing to do: to make one takes as long as all else of a clone. */
#pragma once

#include "wire/boxplan.h"

bool spare_wanted(void); /* there is none, and one can be made */
void spare_make(void);
/* Before a clone: true if the child goes into the spare one, which is no more then: CLONE_NEWNET is left out. */
bool spare_take(const struct boxplan *p);
bool spare_taken(void); /* by the last clone, asked in its child: lo is up already */

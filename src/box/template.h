/* What the roots of a zygote's workers have in common is made once, by the zygote, and copied by each worker in one
 * call: a box of thirty mounts takes half the time then. A zygote has namespaces of users and mounts of its own for it.
 */
#pragma once

#include "box/ops.h"

/* At the start of a zygote, single-threaded. Where the machine gives no namespaces to spare, each box makes all of its
 * root by itself. -1: err. */
int template_begin(struct err *err);
/* In the zygote, before a clone: makes or finds what this plan begins with. In the child it is taken by the next call.
 */
void template_choose(const struct boxplan *p);
/* In the child: the copy becomes the new root. How many operations, from ROOT on, that has done; 0: none. */
size_t template_take(struct box *b);
/* In the child: there are none of them any more. */
void template_end(void);

/* Doing a plan: the public APIs, in the order buckets, functions, permissions, triggers. Doing it again changes what
 * differs and nothing else. */
#pragma once

#include "cli/client.h"
#include "cli/plan.h"

/* Says each thing that was done on standard output, or into report (an object for --json) when that is not NULL. */
int plan_apply(struct plan *p, struct client *c, json_t *report, struct err *err);

/* Doing a plan: the public APIs, in the order buckets, functions, permissions, triggers. Doing it again changes what
 * differs and nothing else. */
#pragma once

#include "cli/client.h"
#include "cli/plan.h"

/* Says each thing that was done on standard output, or into report (an object for --json) when that is not NULL. */
int plan_apply(struct plan *p, struct client *c, json_t *report, struct err *err);
/* Only the code of the plan's first function, which is deployed already: packs and sends it. conf: its configuration as
 * it was last seen, replaced by the newest. 1: sent; 0: the server has this code; -1: err. */
int plan_apply_code(struct plan *p, struct client *c, json_t **conf, struct err *err);

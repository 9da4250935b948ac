/* Control groups for workers, pooled: making one costs the kernel a third of a millisecond. Loop thread. */
#pragma once

#include "base/err.h"
#include "sys/cgroup.h"

struct groups; /* NULL where the machine lets this user have none: every function here takes that */

struct groups *groups_open(const char *name);
struct groups *groups_free(struct groups *gs);
uint32_t groups_can(const struct groups *gs); /* CGROUP_* */
struct cgroup *groups_take(struct groups *gs, uint64_t memory_mb);
/* Nothing may be left in it but what is ending. Always NULL. */
struct cgroup *groups_give(struct groups *gs, struct cgroup *c);

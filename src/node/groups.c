/* Control groups for workers. Those that are given back empty are kept for the next workers, FREE_MAX at most; one that
 * still holds something is removed with what is in it. Owns the host group and the free ones. Where groups cannot be
 * had, that is said once, and limits are watched instead (node/usage.h). */
#include "node/groups.h"

#include "base/mem.h"
#include "sys/log.h"

#define FREE_MAX      128
#define PROCESSES_MAX 1024 /* and threads, of one worker: as AWS Lambda ("Lambda quotas") */

struct groups {
	struct cgroup_host *host;
	struct cgroup *free[FREE_MAX];
	size_t n_free;
};

struct groups *groups_open(const char *name)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	struct cgroup_host *host = cgroup_host_open(name, &err);
	struct groups *gs;

	if (!host) {
		log_warn("no control groups (%s): memory of workers is watched, not enforced by the kernel", err.msg);
		return NULL;
	}
	gs = xnew(struct groups);
	gs->host = host;
	return gs;
}

struct groups *groups_free(struct groups *gs)
{
	if (!gs)
		return NULL;
	while (gs->n_free)
		cgroup_remove(gs->free[--gs->n_free]);
	cgroup_host_close(gs->host);
	free(gs);
	return NULL;
}

uint32_t groups_can(const struct groups *gs)
{
	return gs ? cgroup_host_can(gs->host) : 0;
}

struct cgroup *groups_take(struct groups *gs, uint64_t memory_mb)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	const struct cgroup_limits limits = {.memory_bytes = memory_mb << 20, .pids = PROCESSES_MAX};
	struct cgroup *c;

	if (!gs)
		return NULL;
	while (gs->n_free) {
		c = gs->free[--gs->n_free];
		if (cgroup_reuse(c, &limits, &err) == 0)
			return c;
		err_done(&err);
		err = ERR_NULL;
		cgroup_remove(c);
	}
	c = cgroup_make(gs->host, &limits, &err);
	if (!c)
		log_warn("a worker runs without a control group: %s", err.msg);
	return c;
}

struct cgroup *groups_give(struct groups *gs, struct cgroup *c)
{
	if (!c)
		return NULL;
	if (gs->n_free < FREE_MAX && cgroup_empty(c)) {
		cgroup_freeze(c, false);
		gs->free[gs->n_free++] = c;
		return NULL;
	}
	return cgroup_remove(c);
}

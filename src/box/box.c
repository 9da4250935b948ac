/* A box: the clone, then the plan's operations in a straight line. Whatever fails ends it, with the operation and the
 * reason in the message: a half-built box is never used. The plan was checked when it was decoded and is checked again.
 * Owns nothing but what the child must know of its life outside. */
#include "box/box.h"

#include "box/ops.h"
#include "box/spare.h"
#include "box/template.h"
#include "sys/clock.h"
#include "sys/ns.h"

#include <linux/sched.h>
#include <sys/resource.h>
#include <unistd.h>

#define BOX_UID     1000
#define INOTIFY_MAX 16 /* of the 128 that all boxes of one user have together, as the kernel counts them */

#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif

/* What the child must know of its life outside: read before the clone, used after it. */
static uid_t outer_uid;
static gid_t outer_gid;
static uint64_t cloned_us;

static void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

pid_t box_clone(const struct boxplan *p, bool as_sibling, int *pidfd)
{
	static const unsigned long flags[] = {CLONE_NEWUSER, CLONE_NEWNS,     CLONE_NEWPID, CLONE_NEWIPC,
					      CLONE_NEWUTS,  CLONE_NEWCGROUP, CLONE_NEWNET};
	unsigned long all = as_sibling ? CLONE_PARENT : 0;

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (p->namespaces & (1u << i))
			all |= flags[i];
	outer_uid = geteuid();
	outer_gid = getegid();
	cloned_us = clock_mono_us();
	template_choose(p);
	if (spare_take(p))
		all &= ~(unsigned long)CLONE_NEWNET;
	return ns_clone(all, pidfd);
}

int box_enter(const struct boxplan *p, const int *fds, size_t n_fds, struct box_result *ret, struct err *err)
{
	struct box b = {.plan = p, .fds = fds, .root = -1, .landlock = -1, .result = ret, .at = "/"};
	uint64_t begun_us = p->namespaces ? cloned_us : clock_mono_us();
	int r = 0;

	*ret = (struct box_result){.listen_fd = -1};
	if (boxplan_check(p, err) < 0)
		return -1;
	if (n_fds != p->n_fds)
		return err_set(err, 0, "box plan: %zu file descriptors came, %u were said", n_fds, p->n_fds);
	/* A process group reaches beyond a pid namespace: kill(0, SIGKILL) would end the zygote and its other workers.
	 */
	if (p->namespaces)
		setsid();
	if (p->namespaces & BOX_NS_USER)
		r = ns_map_self(BOX_UID, BOX_UID, outer_uid, outer_gid);
	if (r >= 0 && p->namespaces & BOX_NS_USER && p->ops[p->n_ops - 1].value != BOX_PROFILE_SNAPSHOT)
		r = ns_limit("max_user_namespaces", 0);
	if (r >= 0 && p->namespaces & BOX_NS_USER)
		r = ns_limit("max_inotify_instances", INOTIFY_MAX);
	if (r < 0)
		return err_set(err, -r, "map the user of the box");
	if (!boxplan_makes_root(p))
		r = box_open_root(&b);
	if (r < 0)
		return err_set(err, -r, "root of the box");
	for (size_t i = 0; i < p->n_ops && r == 0; i++) {
		size_t done = p->ops[i].kind == BOX_ROOT ? template_take(&b) : 0;

		if (done)
			i += done - 1;
		else
			r = box_do(&b, i, err);
	}
	template_end();
	closep(&b.root);
	closep(&b.landlock);
	if (r < 0)
		closep(&ret->listen_fd);
	ret->us = clock_mono_us() - begun_us;
	return r < 0 ? -1 : 0;
}

int box_settle(const struct boxplan *p, struct err *err)
{
	for (size_t i = 0; i < p->n_ops; i++) {
		const struct box_op *op = &p->ops[i];
		int r = op->kind == BOX_RLIMIT && op->which == RLIMIT_NOFILE ? box_rlimit(op) : 0;

		if (r < 0)
			return err_set(err, -r, "operation %zu, %s", i, box_op_name(op->kind));
	}
	return 0;
}

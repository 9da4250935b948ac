/* Putting a worker into its box. A library below the runtimes' programs (a zygote boxes its own child, so the room is
 * below src/runtime) and the heart of wick-box. Everything here is called by single-threaded programs; between
 * box_clone and box_enter the child shares nothing but what fork shares.
 *
 *	pid = box_clone(plan, parent, &pidfd);
 *	if (pid == 0 && box_enter(plan, fds, n, &res, &err) < 0) ...say err on the lane, exit...
 *	...send BOXED with res.listen_fd...; box_settle(plan, &err);
 */
#pragma once

#include "wire/boxplan.h"

#include <sys/types.h>

/* One clone with every namespace of the plan (CLONE_PARENT when as_sibling: the caller's parent becomes the child's).
 * Like _Fork: no atfork handlers are run, but libc's idea of the thread's id is mended in the child. -errno. */
pid_t box_clone(const struct boxplan *p, bool as_sibling, int *pidfd);

struct box_result {
	int listen_fd; /* of LISTEN; -1: none */
	uint64_t us;   /* time it took */
	bool landlocked;
};
/* In the child: the plan's operations in order, each checked again. fds: as they came with the plan. Leaves the cwd at
 * the plan's. -1: err names the operation and the reason; the process is good for nothing but to say so and exit. */
int box_enter(const struct boxplan *p, const int *fds, size_t n_fds, struct box_result *ret, struct err *err);
/* After BOXED is sent: the limit of open files. It also bounds the descriptors under way in sockets, those of all boxes
 * of one user counted together: with it in force, one box could keep the others from handing out their listening
 * socket. */
int box_settle(const struct boxplan *p, struct err *err);

/* Started as root: becomes this user and group, with no others and no capability, and stays dumpable (its children
 * write their own uid_map). */
int box_drop_to(uid_t uid, gid_t gid, struct err *err);

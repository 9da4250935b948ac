/* Giving up rights: on the way from root to an ordinary user, and at the end of a box. Owns the filters of system
 * calls, made once a process and kept, so that each box only loads one. */
#include "box/rights.h"

#include "box/box.h"
#include "sys/caps.h"
#include "sys/seccomp_filter.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

static struct seccomp_filter programs[BOX_PROFILES];

/* What may be mounted later in a pooled box; and to give that up in turn. */
#define POOL_CAPS (1ull << CAP_SYS_ADMIN | 1ull << CAP_SETPCAP)

int rights_prepare(struct err *err)
{
	if (programs[BOX_PROFILE_WORKER].code)
		return 0;
	if (seccomp_filter_build(&programs[BOX_PROFILE_SNAPSHOT], true, err) < 0)
		return -1;
	return seccomp_filter_build(&programs[BOX_PROFILE_WORKER], false, err);
}

int rights_give_up(enum box_profile profile, struct err *err)
{
	int r;

	if (rights_prepare(err) < 0)
		return -1;
	r = caps_limit(profile == BOX_PROFILE_POOL ? POOL_CAPS : 0);
	if (r < 0)
		return err_set(err, -r, "give up capabilities");
	if (profile == BOX_PROFILE_POOL)
		return 0;
	r = seccomp_filter_load(&programs[profile]);
	return r < 0 ? err_set(err, -r, "load the filter of system calls") : 0;
}

int box_drop_to(uid_t uid, gid_t gid, struct err *err)
{
	int r;

	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return err_set(err, errno, "become user %u, group %u", uid, gid);
	r = caps_limit(0);
	if (r < 0)
		return err_set(err, -r, "give up capabilities");
	/* A child's /proc/self belongs to root otherwise, and it could not write its uid_map. */
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0 ? err_set(err, errno, "stay dumpable") : 0;
}

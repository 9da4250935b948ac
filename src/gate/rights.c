/* What the gate can no longer do once it serves: become another user, gain rights by exec, leave a core file with
 * secrets, be traced by others of its user. As root with a user named (or one called "wick"), it becomes that user;
 * as root without one it keeps its uid, which owns the data, but no capability. Fails when a named user does not exist.
 */
#include "gate/rights.h"

#include "base/str.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int become_user(const char *name, struct err *err)
{
	bool named = name && name[0];
	struct passwd *pw;

	if (getuid() != 0)
		return 0;
	errno = 0;
	pw = getpwnam(named ? name : "wick");
	if (!pw)
		return named ? err_set(err, errno, "no user '%s' on this machine (setting user)", name) : 0;
	if (setgroups(0, NULL) < 0 || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0)
		return err_set(err, errno, "become user '%s'", pw->pw_name);
	return 0;
}

static int drop_capabilities(struct err *err)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}};

	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	if (syscall(SYS_capset, &header, none) < 0)
		return err_set(err, errno, "drop capabilities");
	return 0;
}

int rights_drop(const struct gate_conf *c, struct err *err)
{
	if (become_user(c->s.user, err) < 0 || drop_capabilities(err) < 0)
		return -1;
	/* Becoming another user has cleared this; without it the gate would outlive a supervisor that was killed. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return err_set(err, errno, "die with the supervisor");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(err, errno, "set no_new_privs");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_set(err, errno, "set undumpable");
	return 0;
}

/* wick doctor: what boxes need of this machine. Namespaces are not asked about but tried, the way a zygote does it: as
 * an ordinary user (a child gives up root), all of them in one clone, and a process file system of the new pid
 * namespace mounted in it, which is what containers around Wick most often forbid. Nothing is left behind. */
#include "cli/doctor.h"

#include "cli/program.h"
#include "sys/cgroup.h"
#include "sys/file.h"
#include "sys/landlock.h"
#include "sys/ns.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define BOX_ID 64646 /* as the setting box_uid is, unless it says another */
#define ALL_SPACES                                                                                                     \
	(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP)
#define NODE_LIMIT_MS 10000

enum step { STEP_DROP, STEP_CLONE, STEP_MAP, STEP_MOUNT, STEP_FINE };

/* What a try came to: how far, and why not further. */
struct attempt {
	enum step step;
	int error;
};

static struct attempt in_box(uid_t uid, gid_t gid)
{
	int r = ns_map_self(1000, 1000, uid, gid);

	if (r < 0)
		return (struct attempt){STEP_MAP, -r};
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return (struct attempt){STEP_MOUNT, errno};
	return (struct attempt){STEP_FINE, 0};
}

static void put(int fd, struct attempt a)
{
	ssize_t n = write(fd, &a, sizeof(a));

	_exit(n == sizeof(a) ? 0 : 1);
}

/* In a child: becomes what a zygote is, then makes a box and goes. */
static void try_box(int fd)
{
	uid_t uid = geteuid() == 0 ? BOX_ID : geteuid();
	gid_t gid = geteuid() == 0 ? BOX_ID : getegid();
	int pidfd = -1;
	pid_t pid;

	if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0))
		put(fd, (struct attempt){STEP_DROP, errno});
	prctl(PR_SET_DUMPABLE, 1);
	pid = ns_clone(ALL_SPACES, &pidfd);
	if (pid < 0)
		put(fd, (struct attempt){STEP_CLONE, (int)-pid});
	if (pid == 0)
		put(fd, in_box(uid, gid));
	waitpid(pid, NULL, 0);
	_exit(0);
}

static struct attempt attempt(void)
{
	struct attempt a = {STEP_DROP, ECHILD};
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return (struct attempt){STEP_DROP, errno};
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		try_box(ends[1]);
	close(ends[1]);
	if (pid < 0 || read(ends[0], &a, sizeof(a)) != sizeof(a))
		a = (struct attempt){STEP_DROP, pid < 0 ? errno : ECHILD};
	close(ends[0]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return a;
}

/* A number of /proc/sys, or -1. */
static int64_t sysctl(const char *path)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	struct str line, rest;
	int64_t n;

	if (file_read(path, 64, &b) < 0)
		return -1;
	str_cut(buf_str(&b), '\n', &line, &rest);
	return str_to_i64(str_trim(line), &n) ? n : -1;
}

static const char *mend_namespaces(struct attempt a)
{
	if (a.step == STEP_MOUNT)
		return "the process file system is masked, as in a container: run it with --security-opt "
		       "systempaths=unconfined (Docker) or --privileged";
	if (sysctl("/proc/sys/user/max_user_namespaces") == 0)
		return "sysctl user.max_user_namespaces=15000";
	if (sysctl("/proc/sys/kernel/unprivileged_userns_clone") == 0)
		return "sysctl kernel.unprivileged_userns_clone=1";
	if (sysctl("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1)
		return "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile with `userns,` "
		       "for "
		       "Wick's programs";
	if (a.step == STEP_CLONE && a.error == ENOSPC)
		return "sysctl user.max_user_namespaces, user.max_pid_namespaces and their siblings: raise them";
	return "in a container: --security-opt seccomp=unconfined (Docker) or --privileged; else ask what forbids "
	       "unshare -Urpmiun --mount-proc true";
}

static void check_namespaces(struct doctor *d)
{
	static const char *const steps[] = {"becoming an ordinary user", "the clone into new namespaces",
					    "the map of users", "mounting /proc"};
	struct attempt a = attempt();

	if (a.step == STEP_FINE)
		doctor_say(d, OK, "boxes", NULL, "namespaces work: a process was put into new ones");
	else
		doctor_say(d, FAIL, "boxes", mend_namespaces(a), "no function can run: %s failed: %s", steps[a.step],
			   strerror(a.error));
}

static void check_cgroups(struct doctor *d)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} kinds[] = {{CGROUP_MEMORY, "memory"},
		     {CGROUP_PIDS, "processes"},
		     {CGROUP_CPU, "CPU"},
		     {CGROUP_FREEZE, "freezing"}};
	struct err err = ERR_NULL;
	struct cgroup_host *host = cgroup_host_open("wick-doctor", &err);
	_cleanup_(buf_done) struct buf have = BUF_NULL, lack = BUF_NULL;
	uint32_t can = cgroup_host_can(host);

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct buf *b = can & kinds[i].bit ? &have : &lack;

		buf_printf(b, "%s%s", b->n ? ", " : "", kinds[i].name);
	}
	if (!host)
		doctor_say(d, WARN, "cgroups", "start Wick as root, or by systemd with Delegate=yes",
			   "memory limits are watched, not enforced: %s", err.msg);
	else
		doctor_say(d, lack.n ? WARN : OK, "cgroups", "start Wick as root, or by systemd with Delegate=yes",
			   "version %d limits %s%s%s", cgroup_host_version(host), buf_cstr(&have),
			   lack.n ? "; only watched: " : "", buf_cstr(&lack));
	cgroup_host_close(host);
	err_done(&err);
}

static void check_landlock(struct doctor *d)
{
	int fd = landlock_new();

	if (fd >= 0)
		close(fd);
	doctor_say(d, fd >= 0 ? OK : WARN, "landlock", "boxes hold without it; Linux 5.13 and lsm=landlock have it",
		   "%s", fd >= 0 ? "is there: a second wall inside the box" : "this kernel has none, or it is off");
}

static void check_tun(struct doctor *d)
{
	bool there = access("/dev/net/tun", R_OK | W_OK) == 0;

	doctor_say(d, there ? OK : WARN, "network", "modprobe tun; in a container: --device /dev/net/tun", "%s",
		   there ? "functions can have the tag wick:network=internet"
			 : "no usable /dev/net/tun: functions with the tag wick:network=internet cannot run");
}

/* As a box finds it: in its PATH, below /usr. */
static void check_nodejs(struct doctor *d)
{
	static const char *const places[] = {"/usr/local/bin/node", "/usr/bin/node"};
	const char *argv[] = {NULL, "--version", NULL};
	_cleanup_(buf_done) struct buf out = BUF_NULL;
	struct str version, rest;

	for (size_t i = 0; i < ARRAY_SIZE(places) && !argv[0]; i++)
		if (access(places[i], X_OK) == 0)
			argv[0] = places[i];
	if (!argv[0]) {
		doctor_say(d, WARN, "nodejs", "apt install nodejs",
			   "no node in /usr/bin: Node.js functions cannot run");
		return;
	}
	if (program_run(argv, NODE_LIMIT_MS, &out) != 0) {
		doctor_say(d, WARN, "nodejs", "apt install --reinstall nodejs", "%s does not start", argv[0]);
		return;
	}
	str_cut(buf_str(&out), '\n', &version, &rest);
	doctor_say(d, OK, "nodejs", NULL, "%s is %.*s", argv[0], STR_ARG(version));
}

void doctor_boxes(struct doctor *d)
{
	check_namespaces(d);
	check_cgroups(d);
	check_landlock(d);
	check_tun(d);
	check_nodejs(d);
}

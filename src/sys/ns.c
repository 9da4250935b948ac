/* The clone that makes a box. libc's fork cannot be asked for namespaces, so the system call is made here and what
 * fork does beside it is done by hand: the kernel writes the child's thread id where libc keeps it (pthread_mutex,
 * raise and others read it there), and the list of robust mutexes is registered again. Owns nothing. */
#include "sys/ns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PR_GET_TID_ADDRESS
#define PR_GET_TID_ADDRESS 40
#endif

static void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* Where libc keeps the thread's id: it told the kernel when the thread began. NULL: this kernel does not say, or it is
 * not what we think. */
static pid_t *tid_address(void)
{
	pid_t *at = NULL;

	if (prctl(PR_GET_TID_ADDRESS, &at, 0, 0, 0) < 0 || !at || *at != (pid_t)syscall(SYS_gettid))
		return NULL;
	return at;
}

pid_t ns_clone(unsigned long flags, int *pidfd)
{
	pid_t *tid = tid_address();
	void *robust = NULL;
	size_t robust_size = 0;
	long r;

	if (!tid)
		return -ENOSYS;
	syscall(SYS_get_robust_list, 0, &robust, &robust_size);
	flags |= CLONE_PIDFD | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD;
	/* The child's stack is this one, copied. The last two arguments change places between processors. */
#if defined(__x86_64__)
	r = syscall(SYS_clone, flags, NULL, pidfd, tid, 0);
#else
	r = syscall(SYS_clone, flags, NULL, pidfd, 0, tid);
#endif
	if (r < 0)
		return -errno;
	if (r == 0 && robust)
		syscall(SYS_set_robust_list, robust, robust_size);
	return (pid_t)r;
}

int ns_unshare_mounts(void)
{
	return unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 ? -errno : 0;
}

int ns_unshare_net(void)
{
	return unshare(CLONE_NEWNET) < 0 ? -errno : 0;
}

static int write_file(const char *path, const char *text)
{
	_cleanup_(closep) int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

int ns_map_self(uid_t uid, gid_t gid, uid_t outer_uid, gid_t outer_gid)
{
	char text[64];
	int r;

	snprintf(text, sizeof(text), "%u %u 1", uid, outer_uid);
	r = write_file("/proc/self/uid_map", text);
	if (r < 0)
		return r;
	/* The kernel wants this before it lets the unprivileged map a group. */
	r = write_file("/proc/self/setgroups", "deny");
	if (r < 0)
		return r;
	snprintf(text, sizeof(text), "%u %u 1", gid, outer_gid);
	return write_file("/proc/self/gid_map", text);
}

int ns_limit(const char *name, unsigned most)
{
	char path[64], text[16];
	int r;

	snprintf(path, sizeof(path), "/proc/sys/user/%s", name);
	snprintf(text, sizeof(text), "%u", most);
	r = write_file(path, text);
	/* A second lock on doors that others close too: a machine that lets nobody write there goes without. */
	return r == -ENOENT || r == -EROFS || r == -EACCES || r == -EPERM ? 0 : r;
}

int ns_loopback_up(void)
{
	_cleanup_(closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};

	if (fd < 0)
		return -errno;
	return ioctl(fd, SIOCSIFFLAGS, &ifr) < 0 ? -errno : 0;
}

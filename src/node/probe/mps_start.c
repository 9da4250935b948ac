/* The MPS daemon, its server and its clients meet in /dev/shm, and a box has one of its own. So the daemon sees, as
 * /dev/shm, a folder that is bound into the boxes of its clients as theirs: nothing else of the machine's shared memory
 * is in it. Needs a mount namespace; an ordinary user gets one with a namespace of users in which he is himself. */
#include "node/probe/mps_start.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok ? 0 : -1;
}

static int make_namespace(void)
{
	_cleanup_(freep) char *uids = xasprintf("%u %u 1", getuid(), getuid());
	_cleanup_(freep) char *gids = xasprintf("%u %u 1", getgid(), getgid());

	if (unshare(CLONE_NEWNS) == 0)
		return 0;
	if (errno != EPERM || unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return -1;
	return put("/proc/self/setgroups", "deny") < 0 || put("/proc/self/uid_map", uids) < 0 ||
			       put("/proc/self/gid_map", gids) < 0
		       ? -1
		       : 0;
}

int mps_start(const char *folder, const char *program)
{
	_cleanup_(freep) char *shm = xasprintf("%s/shm", folder), *path = xstrdup(program);
	char flag[] = "-f";
	char *argv[] = {path, flag, NULL};

	if (make_namespace() < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
	    mount(shm, "/dev/shm", NULL, MS_BIND, NULL) < 0) {
		fprintf(stderr, "give %s the shared memory %s: %s\n", program, shm, strerror(errno));
		return 1;
	}
	execv(path, argv);
	fprintf(stderr, "start %s: %s\n", program, strerror(errno));
	return 1;
}

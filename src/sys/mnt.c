/* Mounts. Owns nothing: descriptors are the callers'. The new mount calls take descriptors, so what was checked is what
 * is mounted; setting flags on the unattached copy only adds restrictions, so flags that the kernel locked (copies from
 * a more privileged mount namespace) stay as they are without being asked for. */
#include "sys/mnt.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

static void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static uint64_t attributes(unsigned flags)
{
	uint64_t a = MOUNT_ATTR_NOSUID;

	if (!(flags & MNT_WRITABLE))
		a |= MOUNT_ATTR_RDONLY;
	if (!(flags & MNT_EXEC))
		a |= MOUNT_ATTR_NOEXEC;
	if (!(flags & MNT_DEV))
		a |= MOUNT_ATTR_NODEV;
	return a;
}

static int set_number(int fs, const char *key, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	return fsconfig(fs, FSCONFIG_SET_STRING, key, text, 0);
}

int mnt_tmpfs(uint64_t bytes, uint64_t files, unsigned mode, unsigned flags)
{
	_cleanup_(closep) int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	char text[16];
	int r;

	if (fs < 0)
		return -errno;
	snprintf(text, sizeof(text), "%o", mode);
	if (set_number(fs, "size", bytes) < 0 || (files && set_number(fs, "nr_inodes", files) < 0) ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "mode", text, 0) < 0 ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	r = fsmount(fs, FSMOUNT_CLOEXEC, (unsigned)attributes(flags));
	return r < 0 ? -errno : r;
}

int mnt_proc(unsigned flags)
{
	_cleanup_(closep) int fs = fsopen("proc", FSOPEN_CLOEXEC);
	int r;

	if (fs < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	r = fsmount(fs, FSMOUNT_CLOEXEC, (unsigned)attributes(flags));
	return r < 0 ? -errno : r;
}

int mnt_copy(int fd, unsigned flags)
{
	_cleanup_(closep) int tree =
		open_tree(fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
	/* Private: nothing that is mounted outside later comes in. */
	struct mount_attr attr = {.attr_set = attributes(flags), .propagation = MS_PRIVATE};

	if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0)
		return -errno;
	return steal_fd(&tree);
}

int mnt_copy_as_is(int fd)
{
	int tree = open_tree(fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);

	return tree < 0 ? -errno : tree;
}

int mnt_attach(int tree, int at)
{
	return move_mount(tree, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0 ? -errno : 0;
}

int mnt_pivot(int root)
{
	struct mount_attr attr = {.attr_set = attributes(0) & ~(uint64_t)MOUNT_ATTR_NOEXEC};

	/* The old root comes to lie on top of the new one, from where it is taken away. */
	if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 ||
	    chdir("/") < 0 || mount_setattr(AT_FDCWD, "/", 0, &attr, sizeof(attr)) < 0)
		return -errno;
	return 0;
}

int mnt_detach(const char *path)
{
	return umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
}

int mnt_open_below(int root, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long r;

	path += strspn(path, "/");
	r = syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof(how));
	return r < 0 ? -errno : (int)r;
}

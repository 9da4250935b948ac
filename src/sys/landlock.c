/* Landlock, by the bare system calls. Owns nothing. Rights that this kernel's version does not know are left out of the
 * rule set, as they cannot be asked for. */
#include "sys/landlock.h"

#include <errno.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Rights by the version that brought them. */
#define READ  (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define V1    ((1ull << 13) - 1)
#define V2    (1ull << 13) /* refer */
#define V3    (1ull << 14) /* truncate */
#define V5    (1ull << 15) /* ioctl of devices */
#define FILES (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | V3 | V5)

static uint64_t handled(void)
{
	static uint64_t known;
	long version;

	if (known)
		return known;
	version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (version < 1)
		return 0;
	known = V1 | (version >= 2 ? V2 : 0) | (version >= 3 ? V3 : 0) | (version >= 5 ? V5 : 0);
	return known;
}

int landlock_new(void)
{
	struct landlock_ruleset_attr attr = {.handled_access_fs = handled()};
	long r;

	if (!attr.handled_access_fs)
		return -ENOTSUP;
	r = syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	return r < 0 ? -errno : (int)r;
}

int landlock_allow(int rules, int fd, bool writable)
{
	struct landlock_path_beneath_attr attr = {
		.allowed_access = handled() & (writable ? UINT64_MAX : READ),
		.parent_fd = fd,
	};
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		attr.allowed_access &= FILES;
	return syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &attr, 0) < 0 ? -errno : 0;
}

int landlock_enforce(int rules)
{
	return syscall(SYS_landlock_restrict_self, rules, 0) < 0 ? -errno : 0;
}

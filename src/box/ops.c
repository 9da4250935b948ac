/* The operations of a plan. Owns for as long as a box is made the new root and the rule set; what an operation opens it
 * closes. Every path below the new root is opened without following a symbolic link; what fails says which operation
 * and why. */
#include "box/ops.h"

#include "box/box.h"
#include "box/rights.h"
#include "box/sanitizer.h"
#include "box/spare.h"
#include "sys/landlock.h"
#include "sys/mnt.h"
#include "sys/ns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORDS_MAX      512
#define LISTEN_BACKLOG 128
#define ROOT_FILES     4096       /* inodes of the new root: mount points, links and small files only */
#define TMPFS_FILE     (4u << 10) /* a tmpfs holds as many files as it holds of these bytes */

static void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* A path as a C string; the plan's rules bound its length. */
static char *path_of(struct str s, char text[static 4096])
{
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return text;
}

/* The folder that holds `to`, and its last part. The caller closes the folder unless it is the root. */
static int open_parent(const struct box *b, struct str to, char text[static 4096], const char **name)
{
	char *slash;

	path_of(to, text);
	slash = strrchr(text, '/');
	*slash = '\0';
	*name = slash + 1;
	return text[0] ? mnt_open_below(b->root, text) : fcntl(b->root, F_DUPFD_CLOEXEC, 3);
}

/* Opens the mount point `to`, made as a folder or an empty file where it is missing; by another worker at the same
 * time, maybe, where the root is a copy of a template. */
static int open_point(const struct box *b, struct str to, bool folder)
{
	_cleanup_(closep) int parent = -1;
	char text[4096];
	const char *name;
	int fd;

	fd = mnt_open_below(b->root, path_of(to, text));
	if (fd != -ENOENT)
		return fd;
	parent = open_parent(b, to, text, &name);
	if (parent < 0)
		return parent;
	if (folder) {
		if (mkdirat(parent, name, 0755) < 0 && errno != EEXIST)
			return -errno;
	} else {
		_cleanup_(closep) int file =
			openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);

		if (file < 0 && errno != EEXIST)
			return -errno;
	}
	return mnt_open_below(b->root, path_of(to, text));
}

static int attach(const struct box *b, int tree, struct str to, bool folder)
{
	_cleanup_(closep) _unused_ int owned = tree;
	_cleanup_(closep) int at = -1;

	if (tree < 0)
		return tree;
	at = open_point(b, to, folder);
	return at < 0 ? at : mnt_attach(tree, at);
}

static int do_cgroup(struct box *b, const struct box_op *op)
{
	return write(b->fds[op->fd], "0", 1) < 0 ? -errno : 0;
}

int box_set_root(struct box *b, int tree)
{
	_cleanup_(closep) int owned = tree, at = -1;
	int r;

	if (tree < 0)
		return tree;
	at = open(b->at, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (at < 0)
		return -errno;
	r = mnt_attach(tree, at);
	if (r >= 0)
		b->root = steal_fd(&owned);
	return r;
}

/* What is bound is opened by its old path. */
static int do_root(struct box *b, const struct box_op *op)
{
	return box_set_root(b, mnt_tmpfs(op->value, ROOT_FILES, 0755, MNT_WRITABLE | MNT_EXEC));
}

static int do_dir(struct box *b, const struct box_op *op)
{
	_cleanup_(closep) int parent = -1;
	char text[4096];
	const char *name;

	parent = open_parent(b, op->to, text, &name);
	if (parent < 0)
		return parent;
	return mkdirat(parent, name, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

static int do_link(struct box *b, const struct box_op *op)
{
	_cleanup_(closep) int parent = -1;
	char text[4096], from[4096];
	const char *name;

	parent = open_parent(b, op->to, text, &name);
	if (parent < 0)
		return parent;
	return symlinkat(path_of(op->from, from), parent, name) < 0 ? -errno : 0;
}

static int do_file(struct box *b, const struct box_op *op)
{
	_cleanup_(closep) int parent = -1, fd = -1;
	char text[4096];
	const char *name;
	ssize_t n;

	parent = open_parent(b, op->to, text, &name);
	if (parent < 0)
		return parent;
	fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
	if (fd < 0)
		return -errno;
	n = op->from.n ? write(fd, op->from.p, op->from.n) : 0;
	return n < 0 ? -errno : (size_t)n < op->from.n ? -ENOSPC : 0;
}

static unsigned mount_flags(uint32_t flags)
{
	return (flags & BOX_WRITABLE ? MNT_WRITABLE : 0) | (flags & BOX_EXEC ? MNT_EXEC : 0) |
	       (flags & BOX_DEV ? MNT_DEV : 0);
}

static int do_bind(struct box *b, const struct box_op *op)
{
	_cleanup_(closep) int from = -1;
	char text[4096];
	struct stat st;

	from = open(path_of(op->from, text), O_PATH | O_CLOEXEC);
	if (from < 0)
		return errno == ENOENT && op->flags & BOX_OPTIONAL ? 0 : -errno;
	if (fstat(from, &st) < 0)
		return -errno;
	return attach(b, mnt_copy(from, mount_flags(op->flags)), op->to, S_ISDIR(st.st_mode));
}

static int do_tmpfs(struct box *b, const struct box_op *op)
{
	uint64_t files = MAX(op->value / TMPFS_FILE, 64);

	return attach(b, mnt_tmpfs(op->value, files, 01777, mount_flags(op->flags) | MNT_WRITABLE), op->to, true);
}

/* Lists the keyrings of the host's user that the box runs as: covered by a device that cannot be opened. */
static int hide_keys(const struct box *b, struct str proc)
{
	_cleanup_(closep) int null = -1, tree = -1, at = -1;
	char text[4096 + 8];

	memcpy(path_of(proc, text) + proc.n, "/keys", sizeof("/keys"));
	at = mnt_open_below(b->root, text);
	if (at == -ENOENT) /* a kernel without keyrings */
		return 0;
	if (at < 0)
		return at;
	null = open("/dev/null", O_PATH | O_CLOEXEC);
	if (null < 0)
		return -errno;
	tree = mnt_copy(null, 0);
	return tree < 0 ? tree : mnt_attach(tree, at);
}

/* Read-only: no worker lowers its own oom_score_adj, and nothing below /proc/sys is asked for. But who boxes children
 * of its own lets them write their uid_map, and must see all of /proc: the kernel lets it mount nothing less covered.
 */
static int do_proc(struct box *b, const struct box_op *op)
{
	bool boxes = b->plan->ops[b->plan->n_ops - 1].value == BOX_PROFILE_SNAPSHOT;
	int r = attach(b, mnt_proc(boxes ? MNT_WRITABLE : 0), op->to, true);

	return r < 0 || boxes ? r : hide_keys(b, op->to);
}

int box_open_root(struct box *b)
{
	closep(&b->root);
	b->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return b->root < 0 ? -errno : 0;
}

static int do_pivot(struct box *b, const struct box_op *op)
{
	int r = mnt_pivot(b->root);

	return r < 0 ? r : box_open_root(b);
}

static int do_unmount(struct box *b, const struct box_op *op)
{
	char text[4096];

	return mnt_detach(path_of(op->to, text));
}

static int do_hostname(struct box *b, const struct box_op *op)
{
	return sethostname(op->from.p, op->from.n) < 0 ? -errno : 0;
}

static int do_loopback(struct box *b, const struct box_op *op)
{
	return spare_taken() ? 0 : ns_loopback_up();
}

static int do_listen(struct box *b, const struct box_op *op)
{
	_cleanup_(closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_in sa = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)op->value),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};

	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, LISTEN_BACKLOG) < 0)
		return -errno;
	closep(&b->result->listen_fd);
	b->result->listen_fd = steal_fd(&fd);
	return 0;
}

/* Who was waited for says a NUL, or in words why it cannot be; the code tells that it is not the box that failed. */
static int await(const struct box *b, size_t i, struct err *err)
{
	char words[WORDS_MAX];
	ssize_t n;

	do
		n = read(b->fds[b->plan->ops[i].fd], words, sizeof(words));
	while (n < 0 && errno == EINTR);
	if (n > 0 && words[0] == '\0')
		return 0;
	if (n > 0)
		err_set(err, 0, "%.*s", (int)n, words);
	else
		err_set(err, n < 0 ? errno : EPIPE, "operation %zu, %s", i, box_op_name(BOX_WAIT));
	err->code = ENETDOWN;
	return -1;
}

/* Never above what is left of the limit: raising it takes rights that nobody here has. A core of 1 byte is none and
 * goes nowhere; with 0 the kernel still gives it to a program of the host, where cores are piped to one. */
int box_rlimit(const struct box_op *op)
{
	uint64_t value = op->which == RLIMIT_CORE ? MAX(op->value, 1u) : op->value;
	struct rlimit old, l;

	if (getrlimit((__rlimit_resource_t)op->which, &old) < 0)
		return -errno;
	l.rlim_cur = l.rlim_max = (rlim_t)MIN(value, (uint64_t)old.rlim_max);
	return setrlimit((__rlimit_resource_t)op->which, &l) < 0 ? -errno : 0;
}

static int do_rlimit(struct box *b, const struct box_op *op)
{
	return op->which == RLIMIT_NOFILE ? 0 : box_rlimit(op); /* box_settle */
}

/* The rules are gathered, RIGHTS enforces them. */
static int do_landlock(struct box *b, const struct box_op *op)
{
	_cleanup_(closep) int at = -1;
	char text[4096];

	if (b->landlock < 0)
		b->landlock = landlock_new();
	if (b->landlock == -ENOTSUP || b->landlock == -EOPNOTSUPP)
		return 0;
	if (b->landlock < 0)
		return b->landlock;
	at = open(path_of(op->to, text), O_PATH | O_CLOEXEC);
	if (at < 0)
		return -errno;
	return landlock_allow(b->landlock, at, op->flags & BOX_WRITABLE);
}

static int (*const doers[BOX_OP_KINDS])(struct box *, const struct box_op *) = {
	[BOX_CGROUP] = do_cgroup,   [BOX_ROOT] = do_root,         [BOX_DIR] = do_dir,
	[BOX_LINK] = do_link,       [BOX_FILE] = do_file,         [BOX_BIND] = do_bind,
	[BOX_TMPFS] = do_tmpfs,     [BOX_PROC] = do_proc,         [BOX_PIVOT] = do_pivot,
	[BOX_UNMOUNT] = do_unmount, [BOX_HOSTNAME] = do_hostname, [BOX_LOOPBACK] = do_loopback,
	[BOX_LISTEN] = do_listen,   [BOX_RLIMIT] = do_rlimit,     [BOX_LANDLOCK] = do_landlock,
};

/* The last operation: the cwd while it can still be reached, then Landlock (which needs no_new_privs), then the filter,
 * which forbids what all of the above is made of. */
static int end_rights(struct box *b, const struct box_op *op, struct err *err)
{
	char text[4096];
	int r;

	if (chdir(path_of(b->plan->cwd, text)) < 0)
		return err_set(err, errno, "working directory %s", text);
	if (b->landlock >= 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
			return err_set(err, errno, "no_new_privs");
		r = landlock_enforce(b->landlock);
		if (r < 0)
			return err_set(err, -r, "Landlock");
		b->result->landlocked = true;
	}
	sanitizer_boxed();
	return rights_give_up((enum box_profile)op->value, err);
}

int box_do(struct box *b, size_t i, struct err *err)
{
	const struct box_op *op = &b->plan->ops[i];
	int r;

	if (op->kind == BOX_RIGHTS) {
		if (end_rights(b, op, err) == 0)
			return 0;
		return err_wrap(err, "operation %zu, %s", i, box_op_name(op->kind));
	}
	if (op->kind == BOX_WAIT)
		return await(b, i, err);
	r = doers[op->kind](b, op);
	if (r >= 0)
		return 0;
	if (op->kind == BOX_BIND)
		return err_set(err, -r, "operation %zu, %s %.*s at %.*s", i, box_op_name(op->kind), STR_ARG(op->from),
			       STR_ARG(op->to));
	return err_set(err, -r, "operation %zu, %s %.*s", i, box_op_name(op->kind), STR_ARG(op->to));
}

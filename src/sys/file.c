/* Files: whole reads, durable writes, folders, locks. Owns nothing between calls. Failures are the kernel's, as
 * negative errno; a file that cannot be written whole leaves what stood there before. */
#include "sys/file.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_STEP ((size_t)65536)

static void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

int file_read(const char *path, size_t limit, struct buf *ret)
{
	_cleanup_(closep) int fd = -1;
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (;;) {
		/* One byte past the limit tells a file that is too large from one that just fits. */
		size_t want = limit - b.n < READ_STEP ? limit - b.n + 1 : READ_STEP;
		ssize_t r = read(fd, buf_reserve(&b, want), want);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		b.n += (size_t)r;
		if (b.n > limit)
			return -EFBIG;
	}
	b.p[b.n] = '\0';
	buf_done(ret);
	*ret = b;
	b = BUF_NULL;
	return 0;
}

static int fsync_parent(const char *path)
{
	_cleanup_(freep) char *dir = xstrdup(path);
	_cleanup_(closep) int fd = -1;
	char *slash = strrchr(dir, '/');

	if (slash == dir)
		slash[1] = '\0';
	else if (slash)
		*slash = '\0';
	fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return fsync(fd) < 0 ? -errno : 0;
}

static int write_new(const char *path, struct str data, unsigned mode)
{
	_cleanup_(closep) int fd = -1;
	int r;

	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	r = write_all(fd, data.p, data.n);
	if (r == 0 && fchmod(fd, mode) < 0)
		r = -errno;
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	return r;
}

int file_write(const char *path, struct str data, unsigned mode)
{
	static unsigned serial;
	_cleanup_(freep) char *tmp = NULL;
	int r;

	tmp = xasprintf("%s.%d.%u.tmp", path, (int)getpid(), __atomic_add_fetch(&serial, 1, __ATOMIC_RELAXED));
	r = write_new(tmp, data, mode);
	if (r == -EEXIST) {
		/* Left by a process of the same number that died while it wrote. */
		unlink(tmp);
		r = write_new(tmp, data, mode);
	}
	if (r == 0 && rename(tmp, path) < 0)
		r = -errno;
	if (r < 0) {
		unlink(tmp);
		return r;
	}
	return fsync_parent(path);
}

int write_all(int fd, const void *p, size_t n)
{
	const char *at = p;

	while (n > 0) {
		ssize_t w = write(fd, at, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -errno;
		at += w;
		n -= (size_t)w;
	}
	return 0;
}

int pwrite_all(int fd, const void *p, size_t n, uint64_t at)
{
	const char *from = p;

	while (n > 0) {
		ssize_t w = pwrite(fd, from, n, (off_t)at);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -errno;
		from += w;
		at += (uint64_t)w;
		n -= (size_t)w;
	}
	return 0;
}

static int mkdir_one(const char *path, unsigned mode)
{
	struct stat st;

	if (mkdir(path, mode) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	if (stat(path, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int mkdir_p(const char *path, unsigned mode)
{
	_cleanup_(freep) char *p = xstrdup(path);
	int r;

	for (char *s = p + 1; *p && *s; s++) {
		if (*s != '/')
			continue;
		*s = '\0';
		r = mkdir_one(p, 0755);
		if (r < 0)
			return r;
		*s = '/';
	}
	return mkdir_one(p, mode);
}

/* Removal. Each level of a tree costs an fd while it is being emptied, and a tree may be deeper than the fds a
 * process may have: a folder that lies too deep is moved up to the top, where it is emptied in a later round. */
#define RM_DEPTH_MAX 24

struct rm {
	int top;
	unsigned moved;
	bool again;
};

static int rm_entries(struct rm *rm, int fd, unsigned depth);

static int open_dir_at(int dir, const char *name)
{
	_cleanup_(closep) int path_fd = -1;
	char proc[64];
	int fd;

	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 || errno != EACCES)
		return fd < 0 ? -errno : fd;
	/* A folder of ours without permissions; by an O_PATH fd, so that no link is followed meanwhile. */
	path_fd = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (path_fd < 0)
		return -errno;
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", path_fd);
	if (chmod(proc, 0700) < 0)
		return -errno;
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int rm_dir_at(struct rm *rm, int dir, const char *name, unsigned depth)
{
	char up[32];
	int fd, r;

	if (depth > RM_DEPTH_MAX) {
		do
			snprintf(up, sizeof(up), ".rm-%u", rm->moved++);
		while (renameat2(dir, name, rm->top, up, RENAME_NOREPLACE) < 0 && errno == EEXIST);
		rm->again = true;
		return 0;
	}
	fd = open_dir_at(dir, name);
	if (fd < 0)
		return fd;
	r = rm_entries(rm, fd, depth);
	if (r < 0)
		return r;
	return unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

static int rm_entry(struct rm *rm, int dir, const struct dirent *e, unsigned depth)
{
	if (e->d_type != DT_DIR) {
		if (unlinkat(dir, e->d_name, 0) == 0 || errno == ENOENT)
			return 0;
		if (errno != EISDIR && errno != EPERM)
			return -errno;
	}
	return rm_dir_at(rm, dir, e->d_name, depth + 1);
}

/* Takes fd. Removes as much as it can and returns the first error. */
static int rm_entries(struct rm *rm, int fd, unsigned depth)
{
	struct stat st;
	struct dirent *e;
	int first = 0;
	DIR *d;

	if (fstat(fd, &st) == 0 && (st.st_mode & 0300) != 0300)
		fchmod(fd, 0700);
	d = fdopendir(fd);
	if (!d) {
		first = -errno;
		close(fd);
		return first;
	}
	while ((e = readdir(d))) {
		int r;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		r = rm_entry(rm, dirfd(d), e, depth);
		if (r < 0 && first == 0)
			first = r;
	}
	closedir(d);
	return first;
}

int rm_rf(const char *path)
{
	_cleanup_(closep) int top = -1;
	struct rm rm = {0};
	int r;

	if (unlink(path) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	top = open_dir_at(AT_FDCWD, path);
	if (top < 0)
		return top;
	rm.top = top;
	do {
		int fd = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		rm.again = false;
		if (fd < 0)
			return -errno;
		r = rm_entries(&rm, fd, 0);
	} while (rm.again);
	if (r < 0)
		return r;
	return rmdir(path) < 0 && errno != ENOENT ? -errno : 0;
}

int fd_set_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	if (flags & O_NONBLOCK)
		return 0;
	return fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

int lock_file(const char *path, int *owner)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	_cleanup_(closep) int fd = -1;
	char text[32] = {0};
	int n;

	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	/* Of the open file, not of the process: it lasts as long as the fd. */
	if (fcntl(fd, F_OFD_SETLK, &whole) < 0) {
		int e = errno == EACCES || errno == EAGAIN ? EWOULDBLOCK : errno;

		*owner = pread(fd, text, sizeof(text) - 1, 0) > 0 ? atoi(text) : 0;
		return -e;
	}
	n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n)
		return -errno;
	*owner = (int)getpid();
	return steal_fd(&fd);
}

char *self_dir(void)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *slash;

	if (n <= 0)
		return xstrdup(".");
	path[n] = '\0';
	slash = strrchr(path, '/');
	if (slash == path)
		slash++;
	if (slash)
		*slash = '\0';
	return xstrdup(path);
}

char *file_find_program(const char *folders, const char *name)
{
	struct str rest = str_from(folders), dir;

	while (rest.n) {
		_cleanup_(freep) char *path = NULL;

		str_cut(rest, ':', &dir, &rest);
		path = xasprintf("%.*s/%s", STR_ARG(dir), name);
		if (dir.n && access(path, X_OK) == 0)
			return steal(&path);
	}
	return NULL;
}

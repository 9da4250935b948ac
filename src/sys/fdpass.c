/* Unix sockets and SCM_RIGHTS. Owns nothing: every fd made or received here is the caller's. All fds are
 * close-on-exec from birth, so that a child started by another part of the program cannot inherit one. */
#include "sys/fdpass.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 256

static void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* A socket address holds 107 bytes of path; a longer one is reached through its folder's fd, kept in *dir for as
 * long as the address is used. */
static int set_address(const char *path, struct sockaddr_un *ret, int *dir, struct err *err)
{
	const char *slash = strrchr(path, '/');
	char parent[4096];
	int n;

	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	n = snprintf(ret->sun_path, sizeof(ret->sun_path), "%s", path);
	if (n > 0 && (size_t)n < sizeof(ret->sun_path))
		return 0;
	if (n == 0 || !slash || (size_t)(slash - path) >= sizeof(parent))
		return err_set(err, ENAMETOOLONG, "socket %s", path);
	memcpy(parent, path, (size_t)(slash - path));
	parent[slash - path] = '\0';
	*dir = open(parent[0] ? parent : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*dir < 0)
		return err_set(err, errno, "folder of socket %s", path);
	n = snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s", *dir, slash + 1);
	if ((size_t)n >= sizeof(ret->sun_path))
		return err_set(err, ENAMETOOLONG, "socket %s", path);
	return 0;
}

static int unix_socket(struct err *err)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd < 0 ? err_set(err, errno, "unix socket") : fd;
}

/* A socket file that nobody listens on any more is removed; one in use, or anything else, is left. */
static int remove_stale(const char *path, const struct sockaddr_un *sa, struct err *err)
{
	_cleanup_(closep) int fd = -1;
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_set(err, errno, "socket %s", path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, EEXIST, "socket %s", path);
	fd = unix_socket(err);
	if (fd < 0)
		return -1;
	if (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0 || errno == EAGAIN)
		return err_set(err, EADDRINUSE, "socket %s", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return err_set(err, errno, "stale socket %s", path);
	return 0;
}

int unix_listen(const char *path, struct err *err)
{
	_cleanup_(closep) int fd = -1, dir = -1;
	struct sockaddr_un sa;

	if (set_address(path, &sa, &dir, err) < 0 || remove_stale(path, &sa, err) < 0)
		return -1;
	fd = unix_socket(err);
	if (fd < 0)
		return -1;
	/* The mode of the socket's inode becomes that of the file: no moment at which others may connect. */
	if (fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, BACKLOG) < 0)
		return err_set(err, errno, "listen on %s", path);
	return steal_fd(&fd);
}

int unix_connect(const char *path, struct err *err)
{
	_cleanup_(closep) int fd = -1, dir = -1;
	struct sockaddr_un sa;

	if (set_address(path, &sa, &dir, err) < 0)
		return -1;
	fd = unix_socket(err);
	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return err_set(err, errno, "connect to %s", path);
	return steal_fd(&fd);
}

int unix_pair(int ret[static 2])
{
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ret) < 0 ? -errno : 0;
}

union control {
	struct cmsghdr align;
	char room[CMSG_SPACE(sizeof(int) * FDPASS_MAX)];
};

ssize_t fd_send(int sock, const void *p, size_t n, const int *fds, size_t n_fds)
{
	struct iovec iov = {.iov_base = (void *)p, .iov_len = n};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	union control c = {0};
	ssize_t r;

	/* Rights ride on a byte; without one the kernel would drop them in silence. */
	if (n_fds > FDPASS_MAX || (n_fds > 0 && n == 0))
		return -EINVAL;
	if (n_fds > 0) {
		struct cmsghdr *h;

		msg.msg_control = c.room;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		h = CMSG_FIRSTHDR(&msg);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(h), fds, sizeof(int) * n_fds);
	}
	do
		r = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

static void take_fds(struct msghdr *msg, int fds[static FDPASS_MAX], size_t *n_fds)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(msg); h; h = CMSG_NXTHDR(msg, h)) {
		size_t n;

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		n = MIN(n, FDPASS_MAX - *n_fds);
		memcpy(fds + *n_fds, CMSG_DATA(h), n * sizeof(int));
		*n_fds += n;
	}
}

ssize_t fd_recv(int sock, void *p, size_t n, int fds[static FDPASS_MAX], size_t *n_fds)
{
	struct iovec iov = {.iov_base = p, .iov_len = n};
	union control c = {0};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = c.room, .msg_controllen = sizeof(c.room)};
	ssize_t r;

	*n_fds = 0;
	do
		r = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	take_fds(&msg, fds, n_fds);
	if (msg.msg_flags & MSG_CTRUNC) {
		/* The peer sent more than the contract allows: which ones are missing cannot be known. */
		for (size_t i = 0; i < *n_fds; i++)
			close(fds[i]);
		*n_fds = 0;
		return -EPROTO;
	}
	return r;
}

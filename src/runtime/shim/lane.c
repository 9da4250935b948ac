/* Bytes of frames in and out of the lane's socket. The gate is trusted: garbage from it, and its closing of the lane,
 * end the process, and with it (pid 1) the box. */
#include "runtime/shim/lane.h"

#include "wire/json.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define READ_SIZE     (64u << 10)
#define SOCKET_BUFFER (4 << 20) /* as much of it as the system allows */

static void want(struct shim_lane *l)
{
	poller_change(l->poller, &l->watch, EPOLLIN | (l->out.n > l->out_at ? EPOLLOUT : 0));
}

bool lane_is_full(const struct shim_lane *l)
{
	return l->out.n - l->out_at >= LANE_QUEUE_FULL;
}

/* False: the socket takes no more now. */
static bool send_queue(struct shim_lane *l)
{
	while (l->out_at < l->out.n) {
		ssize_t n = send(l->watch.fd, l->out.p + l->out_at, l->out.n - l->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			return false;
		if (n < 0 && errno != EINTR)
			_exit(0);
		if (n > 0)
			l->out_at += (size_t)n;
	}
	buf_clear(&l->out);
	if (l->out.cap > 4 * READ_SIZE)
		buf_done(&l->out);
	l->out_at = 0;
	return true;
}

void lane_say(struct shim_lane *l, enum frame_type type, const uint8_t id[static 16], const struct buf *meta,
	      struct str body)
{
	uint8_t header[FRAME_HEADER_SIZE];
	struct iovec iov[3] = {{header, sizeof(header)},
			       {meta ? meta->p : NULL, meta ? meta->n : 0},
			       {(void *)(uintptr_t)body.p, body.n}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 3};
	ssize_t n = 0;

	frame_header(header, (uint8_t)type, id, iov[1].iov_len, body.n);
	if (l->out.n == 0) {
		do
			n = sendmsg(l->watch.fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		while (n < 0 && errno == EINTR);
		if (n < 0 && errno != EAGAIN)
			_exit(0);
		n = MAX(n, 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(iov); i++) {
		size_t skip = MIN((size_t)n, iov[i].iov_len);

		if (iov[i].iov_len > skip)
			buf_add(&l->out, (char *)iov[i].iov_base + skip, iov[i].iov_len - skip);
		n -= (ssize_t)skip;
	}
	if (lane_is_full(l))
		l->was_full = true;
	want(l);
}

void lane_say_piped(struct shim_lane *l, const uint8_t id[static 16], int pipe, size_t n)
{
	uint8_t header[FRAME_HEADER_SIZE];
	ssize_t r = -1;

	frame_header(header, FRAME_CHUNK, id, 0, n);
	if (l->out.n == 0)
		r = send(l->watch.fd, header, sizeof(header), MSG_NOSIGNAL | MSG_DONTWAIT | MSG_MORE);
	if (r < (ssize_t)sizeof(header))
		buf_add(&l->out, header + MAX(r, 0), sizeof(header) - (size_t)MAX(r, 0));
	while (n > 0 && l->out.n == 0) {
		r = splice(pipe, NULL, l->watch.fd, NULL, n, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
		if (r <= 0)
			break;
		n -= (size_t)r;
	}
	while (n > 0) { /* the socket takes no more now */
		r = read(pipe, buf_reserve(&l->out, n), n);
		if (r <= 0)
			_exit(1);
		l->out.n += (size_t)r;
		n -= (size_t)r;
	}
	if (lane_is_full(l))
		l->was_full = true;
	want(l);
}

void lane_say_window(struct shim_lane *l, const uint8_t id[static 16], size_t bytes)
{
	struct buf meta = BUF_NULL;

	frame_meta_add_u64(&meta, FRAME_KEY_WINDOW, bytes);
	lane_say(l, FRAME_WINDOW_MORE, id, &meta, STR_NULL);
	buf_done(&meta);
}

void lane_flush(struct shim_lane *l)
{
	while (!send_queue(l)) {
		struct pollfd p = {.fd = l->watch.fd, .events = POLLOUT};

		poll(&p, 1, -1);
	}
}

static void take_frames(struct shim_lane *l)
{
	size_t at = 0;

	for (;;) {
		struct str rest = str_sub(buf_str(&l->in), at, SIZE_MAX);
		int64_t size = frame_size(rest);
		struct frame f;

		if (size < 0)
			_exit(1);
		if (size == 0 || rest.n < (uint64_t)size) {
			buf_consume(&l->in, at);
			if (size > READ_SIZE)
				buf_reserve(&l->in, (size_t)size - rest.n);
			return;
		}
		if (!frame_parse(rest, &f))
			_exit(1);
		at += (size_t)size;
		l->events->frame(l->arg, &f);
	}
}

static void lane_ready(struct watch *w, uint32_t events)
{
	struct shim_lane *l = container_of(w, struct shim_lane, watch);
	ssize_t n;

	if (!l->events) /* it is another's to read: only its end is told */
		_exit(0);
	if (events & EPOLLOUT) {
		send_queue(l);
		want(l);
		if (l->was_full && l->out.n - l->out_at < LANE_QUEUE_FULL / 2) {
			l->was_full = false;
			l->events->room(l->arg);
		}
	}
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	if (!l->in.n && l->in.cap > 8 * READ_SIZE)
		buf_done(&l->in);
	buf_reserve(&l->in, READ_SIZE);
	n = recv(w->fd, l->in.p + l->in.n, l->in.cap - l->in.n - 1, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		_exit(0);
	l->in.n += (size_t)n;
	take_frames(l);
}

int lane_open(struct shim_lane *l, struct poller *p, int fd, const struct lane_events *events, void *arg)
{
	const int size = SOCKET_BUFFER;

	*l = (struct shim_lane){.watch = {.fd = fd, .ready = lane_ready}, .poller = p, .events = events, .arg = arg};
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0)
		return -errno;
	return poller_watch(p, &l->watch, events ? EPOLLIN : 0);
}

void lane_error_body(struct buf *b, const char *type, struct str message)
{
	buf_adds(b, "{\"errorMessage\":");
	json_write_string(b, message);
	buf_adds(b, ",\"errorType\":");
	json_write_string(b, str_from(type));
	buf_addc(b, '}');
}

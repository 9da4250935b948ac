/* The near end of a lane whose worker is on this machine: this file is passed twice by every invocation, so it is
 * careful with system calls: an INVOKE is one sendmsg; a RESULT is one read of the log pipe (usually EAGAIN) and one or
 * two of the socket.
 *
 * The lane owns its socket, its pipe, its buffers and the queue of what the socket did not take; the events of
 * invocations stay the caller's, also while they wait in the queue. The worker is not trusted: what it sends is checked
 * for its form, an answer to an INVOKE that was not sent to its end is none, and anything else than frames ends the
 * lane as LANE_BROKEN. How much is read of its output before something else is done is bounded by the size of the pipe:
 * what was printed before a frame was sent is in the pipe by then.
 *
 * Handlers may free the lane; `busy` keeps its memory until the outermost call into this file has returned. */
#include "link/lane_inside.h"

#include "base/mem.h"
#include "sys/fdpass.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define READ_SIZE     4096u        /* first read, and what an idle lane keeps; longer frames say their length */
#define STREAM_READ   (128u << 10) /* the same while large CHUNKs come */
#define KEEP_SIZE     (64u << 10)  /* a buffer beyond this is given back after its frame */
#define TURN_SIZE     (1u << 20)   /* read in one turn of the loop, before others have theirs */
#define PIPE_SIZE     (64u << 10)
#define SOCKET_BUFFER (1 << 20)

/* A frame that the socket has not taken whole yet. */
struct lane_out {
	struct list_link on_lane;
	enum frame_type type;
	uint8_t id[16];
	struct buf own;  /* header, meta and, where it was copied, the body */
	struct str body; /* an INVOKE's, where it is the caller's */
	size_t sent;     /* of both */
};

DEFINE_LIST(out_list, struct lane_out, on_lane)

struct local {
	struct lane lane; /* first */
	struct loop *loop;
	int sock, pipe;
	struct watch *sock_watch, *pipe_watch; /* pipe_watch NULL: the pipe has ended */
	struct buf in;                         /* bytes read and not yet handed on */
	size_t in_frame;                       /* of them the end of the frame that is handed on now; 0: none is */
	struct out_list out;
	size_t queued; /* bytes in out, not sent */
	bool writing;  /* the loop watches for room in the socket */
	bool paused;
	uint8_t last[16]; /* the INVOKE that was the last thing sent ... */
	bool last_is_invoke, reset;
	bool boxed;    /* BOXED or READY has come: no more file descriptors do */
	int listen_fd; /* came, and is not handed on yet */
	size_t pipe_size, read_size;
};

/* Reads what is in the pipe, a pipe's capacity at most. */
static void pipe_read(struct local *ln)
{
	char bytes[PIPE_SIZE];
	size_t total = 0;

	while (ln->pipe >= 0 && !ln->lane.dead && total < ln->pipe_size) {
		ssize_t n = read(ln->pipe, bytes, sizeof(bytes));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			ln->pipe_watch = watch_free(ln->pipe_watch);
			close(steal_fd(&ln->pipe));
			return;
		}
		total += (size_t)n;
		ln->lane.handler->output(ln->lane.arg, str_n(bytes, (size_t)n));
	}
}

static void lane_end(struct local *ln, enum lane_end how)
{
	if (ln->lane.ended || ln->lane.dead)
		return;
	ln->lane.ended = true;
	ln->sock_watch = watch_free(ln->sock_watch);
	pipe_read(ln);
	if (ln->lane.dead)
		return;
	ln->pipe_watch = watch_free(ln->pipe_watch);
	ln->lane.handler->ended(ln->lane.arg, how);
}

/* ---- sending ---- */

static size_t out_left(const struct lane_out *o)
{
	return o->own.n + o->body.n - o->sent;
}

static void out_drop(struct local *ln, struct lane_out *o)
{
	ln->queued -= out_left(o);
	out_list_remove(&ln->out, o);
	buf_done(&o->own);
	free(o);
}

/* What the socket takes of head and body from `sent` on; -1: nothing now (EAGAIN), or nothing any more. */
static ssize_t send_two(const struct local *ln, struct str head, struct str body, size_t sent)
{
	size_t in_head = MIN(sent, head.n), in_body = sent - in_head;
	struct iovec iov[2] = {
		{(void *)(uintptr_t)(head.p + in_head), head.n - in_head},
		{body.n ? (void *)(uintptr_t)(body.p + in_body) : NULL, body.n - in_body},
	};
	size_t skip = iov[0].iov_len ? 0 : 1;
	struct msghdr msg = {.msg_iov = iov + skip, .msg_iovlen = 2 - skip};
	ssize_t n;

	do
		n = sendmsg(ln->sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n;
}

/* A worker that is gone is noticed by reading, which also gives what it said before. */
static void set_watches(struct local *ln)
{
	int read = ln->paused ? 0 : WATCH_READ;

	if (ln->sock_watch)
		watch_set(ln->sock_watch, ln->writing ? read | WATCH_WRITE : read);
	if (ln->pipe_watch)
		watch_set(ln->pipe_watch, read);
}

static void watch_room(struct local *ln, bool on)
{
	if (ln->writing == on || !ln->sock_watch)
		return;
	ln->writing = on;
	set_watches(ln);
}

static void local_pause(struct lane *base, bool on)
{
	struct local *ln = (struct local *)base;

	if (ln->paused == on)
		return;
	ln->paused = on;
	set_watches(ln);
}

static void sent_whole(struct local *ln, enum frame_type type, const uint8_t id[static 16])
{
	ln->last_is_invoke = type == FRAME_INVOKE;
	if (ln->last_is_invoke)
		memcpy(ln->last, id, sizeof(ln->last));
}

/* What the socket does not take is queued. */
static void local_out(struct lane *base, enum frame_type type, const uint8_t id[static 16], struct str body,
		      bool borrowed)
{
	struct local *ln = (struct local *)base;
	size_t sent = 0, whole = ln->lane.head.n + body.n;
	bool room = ln->out.n == 0 && !ln->lane.ended;
	struct lane_out *o;

	while (room && sent < whole) {
		ssize_t n = send_two(ln, buf_str(&ln->lane.head), body, sent);

		room = n >= 0;
		if (room)
			sent += (size_t)n;
		else
			watch_room(ln, errno == EAGAIN);
	}
	if (sent == whole) {
		sent_whole(ln, type, id);
		return;
	}
	o = xnew(struct lane_out);
	o->type = type;
	memcpy(o->id, id, sizeof(o->id));
	buf_add_str(&o->own, buf_str(&ln->lane.head));
	o->sent = sent;
	if (borrowed)
		o->body = body;
	else
		buf_add_str(&o->own, body);
	out_list_push(&ln->out, o);
	ln->queued += out_left(o);
}

static void lane_write(struct local *ln)
{
	struct lane_out *o;

	while ((o = out_list_first(&ln->out))) {
		ssize_t n = send_two(ln, buf_str(&o->own), o->body, o->sent);

		if (n < 0) {
			watch_room(ln, errno == EAGAIN);
			break;
		}
		o->sent += (size_t)n;
		ln->queued -= (size_t)n;
		if (out_left(o) == 0) {
			sent_whole(ln, o->type, o->id);
			out_drop(ln, o);
		}
	}
	if (!ln->out.n)
		watch_room(ln, false);
	lane_wake_waiters(&ln->lane);
}

static bool local_full(const struct lane *base)
{
	return ((const struct local *)base)->queued > LANE_QUEUE_MAX;
}

/* ---- receiving ---- */

/* An answer: whether its INVOKE had been sent to its end. What else waits for the worker under this id is dropped. */
static bool lane_answered(struct local *ln, const struct frame *f)
{
	struct lane_out *o = out_list_first(&ln->out);

	if (ln->last_is_invoke && memcmp(ln->last, f->id, sizeof(ln->last)) == 0)
		ln->last_is_invoke = false;
	while (o) {
		struct lane_out *next = out_list_next(o);

		if (memcmp(o->id, f->id, sizeof(o->id)) == 0) {
			if (o->type == FRAME_INVOKE)
				return false;
			if (o->sent == 0)
				out_drop(ln, o);
		}
		o = next;
	}
	return true;
}

static bool lane_boxed(struct local *ln, const struct frame *f)
{
	uint64_t us = 0;
	int fd = steal_fd(&ln->listen_fd);

	if (ln->boxed)
		return false;
	ln->boxed = true;
	frame_meta_u64(f, FRAME_KEY_BOX_US, &us);
	if (ln->lane.handler->boxed)
		ln->lane.handler->boxed(ln->lane.arg, fd, us);
	else if (fd >= 0)
		close(fd);
	return true;
}

/* False: no worker may send this. */
static bool lane_frame(struct local *ln, const struct frame *f)
{
	switch (f->type) {
	case FRAME_BOXED:
		return lane_boxed(ln, f);
	case FRAME_READY:
		ln->boxed = true;
		break;
	case FRAME_RESULT:
	case FRAME_ERROR:
		if (!lane_answered(ln, f))
			return false;
		ln->read_size = READ_SIZE;
		break;
	case FRAME_CHUNK:
		if (f->body.n > FRAME_CHUNK_MAX)
			return false;
		if (f->body.n >= FRAME_CHUNK_MAX / 4)
			ln->read_size = STREAM_READ;
		ln->lane.handler->frame(ln->lane.arg, f);
		return true;
	case FRAME_WINDOW_MORE:
		ln->lane.handler->frame(ln->lane.arg, f);
		return true;
	case FRAME_HEAD:
	case FRAME_END:
		break;
	case FRAME_INVOKE:
	case FRAME_CANCEL:
		return false;
	default: /* of a worker that is newer */
		return true;
	}
	pipe_read(ln);
	if (!ln->lane.dead)
		ln->lane.handler->frame(ln->lane.arg, f);
	return true;
}

/* Hands on the whole frames in the buffer. Returns how many bytes of the next one are missing; 0 when the lane is
 * over. */
static size_t lane_frames(struct local *ln)
{
	size_t at = 0, missing = 0;

	while (!ln->lane.dead && !ln->lane.ended) {
		struct str rest = str_sub(buf_str(&ln->in), at, SIZE_MAX);
		int64_t size = frame_size(rest);
		struct frame f;
		bool ok;

		if (size == 0)
			break;
		if (size < 0 || size > (int64_t)LANE_BODY_MAX + FRAME_META_MAX) {
			lane_end(ln, LANE_BROKEN);
			return 0;
		}
		if (rest.n < (size_t)size) {
			missing = (size_t)size - rest.n;
			break;
		}
		if (!frame_parse(str_sub(rest, 0, (size_t)size), &f)) {
			lane_end(ln, LANE_BROKEN);
			return 0;
		}
		at += (size_t)size;
		ln->in_frame = at;
		ok = lane_frame(ln, &f);
		ln->in_frame = 0;
		if (!ln->in.p) /* kept by the handler */
			at = 0;
		if (!ok) {
			lane_end(ln, LANE_BROKEN);
			return 0;
		}
	}
	if (ln->lane.dead || ln->lane.ended)
		return 0;
	buf_consume(&ln->in, at);
	if (!ln->in.n && ln->in.cap > KEEP_SIZE && ln->read_size == READ_SIZE)
		buf_done(&ln->in);
	return MAX(missing, ln->read_size);
}

/* Only the first frame may bring a file descriptor. */
static ssize_t lane_recv(struct local *ln, char *to, size_t room)
{
	int fds[FDPASS_MAX];
	size_t n_fds;
	ssize_t n;

	if (ln->boxed) {
		do
			n = recv(ln->sock, to, room, MSG_DONTWAIT);
		while (n < 0 && errno == EINTR);
		return n < 0 ? -errno : n;
	}
	n = fd_recv(ln->sock, to, room, fds, &n_fds);
	for (size_t i = 0; i < n_fds; i++) {
		if (i == 0 && ln->listen_fd < 0)
			ln->listen_fd = fds[i];
		else
			close(fds[i]);
	}
	return n;
}

/* An INVOKE that waits, with nothing behind it that the caller has given away. */
static bool invoke_waits(const struct local *ln, const uint8_t *id)
{
	bool waits = false;

	for (const struct lane_out *o = out_list_first(&ln->out); o; o = out_list_next(o))
		if (!id || memcmp(o->id, id, sizeof(o->id)) == 0)
			waits = o->type == FRAME_INVOKE || (!id && waits);
	return waits;
}

static bool local_unread(const struct lane *base, const uint8_t id[static 16])
{
	const struct local *ln = (const struct local *)base;

	if (ln->reset && ln->last_is_invoke && memcmp(ln->last, id, sizeof(ln->last)) == 0)
		return true;
	return invoke_waits(ln, id);
}

static void lane_read(struct local *ln)
{
	size_t want = ln->read_size, total = 0;

	while (!ln->lane.dead && !ln->lane.ended && !ln->paused && total < TURN_SIZE) {
		char *to = buf_reserve(&ln->in, want);
		size_t room = ln->in.cap - ln->in.n - 1;
		ssize_t n = lane_recv(ln, to, room);

		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			/* A reset says that the worker went with bytes of ours unread. */
			ln->reset = n < 0;
			lane_end(ln, (ln->reset && ln->last_is_invoke) || invoke_waits(ln, NULL) ? LANE_UNREAD
												 : LANE_CLOSED);
			return;
		}
		ln->in.n += (size_t)n;
		total += (size_t)n;
		want = lane_frames(ln);
		if (!want || (size_t)n < room)
			return;
	}
}

static void lane_on_sock(void *arg, int events)
{
	struct local *ln = arg;

	lane_enter(&ln->lane);
	if (events & WATCH_WRITE)
		lane_write(ln);
	if (events & ~WATCH_WRITE)
		lane_read(ln);
	lane_leave(&ln->lane);
}

static void lane_on_pipe(void *arg, int events)
{
	struct local *ln = arg;

	lane_enter(&ln->lane);
	pipe_read(ln);
	lane_leave(&ln->lane);
}

static void local_drain(struct lane *base)
{
	pipe_read((struct local *)base);
}

static struct buf local_keep(struct lane *base)
{
	struct local *ln = (struct local *)base;
	struct buf kept = BUF_NULL;

	if (ln->in_frame && ln->in_frame == ln->in.n) {
		kept = ln->in;
		ln->in = BUF_NULL;
		ln->in_frame = 0;
	}
	return kept;
}

static void local_close(struct lane *base)
{
	struct local *ln = (struct local *)base;

	ln->sock_watch = watch_free(ln->sock_watch);
	ln->pipe_watch = watch_free(ln->pipe_watch);
	if (ln->sock >= 0)
		close(steal_fd(&ln->sock));
	if (ln->pipe >= 0)
		close(steal_fd(&ln->pipe));
	if (ln->listen_fd >= 0)
		close(steal_fd(&ln->listen_fd));
	while (out_list_first(&ln->out))
		out_drop(ln, out_list_first(&ln->out));
}

static void local_free(struct lane *base)
{
	struct local *ln = (struct local *)base;

	buf_done(&ln->in);
	free(ln);
}

static const struct lane_ops local_ops = {
	.out = local_out,
	.full = local_full,
	.unread = local_unread,
	.drain = local_drain,
	.pause = local_pause,
	.keep = local_keep,
	.close = local_close,
	.free = local_free,
};

struct lane *lane_new(struct loop *l, int sock, int log_pipe, const struct lane_handler *h, void *arg)
{
	struct local *ln = xnew(struct local);
	int size = SOCKET_BUFFER, pipe_size;

	*ln = (struct local){.lane = {.ops = &local_ops, .handler = h, .arg = arg},
			     .loop = l,
			     .sock = sock,
			     .pipe = log_pipe,
			     .listen_fd = -1,
			     .read_size = READ_SIZE};
	setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	fd_set_nonblock(sock);
	fd_set_nonblock(log_pipe);
	pipe_size = fcntl(log_pipe, F_GETPIPE_SZ);
	ln->pipe_size = pipe_size > 0 ? (size_t)pipe_size : PIPE_SIZE;
	ln->sock_watch = watch_new(l, sock, WATCH_READ, lane_on_sock, ln);
	ln->pipe_watch = watch_new(l, log_pipe, WATCH_READ, lane_on_pipe, ln);
	if (!ln->sock_watch || !ln->pipe_watch)
		__builtin_trap(); /* no socket and no pipe: a broken caller */
	return &ln->lane;
}

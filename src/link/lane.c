/* The gate's end of a lane: this file is passed twice by every invocation, so it is careful with system calls: an
 * INVOKE is one sendmsg; a RESULT is one read of the log pipe (usually EAGAIN) and one or two of the socket.
 *
 * The lane owns its socket, its pipe, its buffers and the queue of what the socket did not take; the events of
 * invocations stay the caller's, also while they wait in the queue. The worker is not trusted: what it sends is checked
 * for its form, an answer to an INVOKE that was not sent to its end is none, and anything else than frames ends the
 * lane as LANE_BROKEN. How much is read of its output before something else is done is bounded by the size of the pipe:
 * what was printed before a frame was sent is in the pipe by then.
 *
 * Handlers may free the lane; `busy` keeps its memory until the outermost call into this file has returned. */
#include "link/lane.h"

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
	struct buf own;  /* header, meta and, but for an INVOKE, the body */
	struct str body; /* an INVOKE's; the caller's */
	size_t sent;     /* of both */
};

DEFINE_LIST(out_list, struct lane_out, on_lane)

struct lane {
	struct loop *loop;
	int sock, pipe;
	struct watch *sock_watch, *pipe_watch; /* pipe_watch NULL: the pipe has ended */
	const struct lane_handler *handler;
	void *arg;
	struct buf in;   /* bytes read and not yet handed on */
	struct buf head; /* header and meta of what is being sent */
	struct out_list out;
	size_t queued; /* bytes in out, not sent */
	bool writing;  /* the loop watches for room in the socket */
	struct lane_waiters waiters;
	uint8_t last[16]; /* the INVOKE that was the last thing sent ... */
	bool last_is_invoke, reset;
	bool boxed;    /* BOXED or READY has come: no more file descriptors do */
	int listen_fd; /* came, and is not handed on yet */
	size_t pipe_size, read_size;
	unsigned busy; /* calls of this file that still use the lane */
	bool dead;     /* freed while busy */
	bool ended;
};

static void lane_leave(struct lane *ln)
{
	if (--ln->busy == 0 && ln->dead) {
		buf_done(&ln->in);
		free(ln);
	}
}

/* Reads what is in the pipe, a pipe's capacity at most. */
static void pipe_read(struct lane *ln)
{
	char bytes[PIPE_SIZE];
	size_t total = 0;

	while (ln->pipe >= 0 && !ln->dead && total < ln->pipe_size) {
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
		ln->handler->output(ln->arg, str_n(bytes, (size_t)n));
	}
}

static void lane_end(struct lane *ln, enum lane_end how)
{
	if (ln->ended || ln->dead)
		return;
	ln->ended = true;
	ln->sock_watch = watch_free(ln->sock_watch);
	pipe_read(ln);
	if (ln->dead)
		return;
	ln->pipe_watch = watch_free(ln->pipe_watch);
	ln->handler->ended(ln->arg, how);
}

/* ---- sending ---- */

static size_t out_left(const struct lane_out *o)
{
	return o->own.n + o->body.n - o->sent;
}

static void out_drop(struct lane *ln, struct lane_out *o)
{
	ln->queued -= out_left(o);
	out_list_remove(&ln->out, o);
	buf_done(&o->own);
	free(o);
}

/* What the socket takes of head and body from `sent` on; -1: nothing now (EAGAIN), or nothing any more. */
static ssize_t send_two(const struct lane *ln, struct str head, struct str body, size_t sent)
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
static void watch_room(struct lane *ln, bool on)
{
	if (ln->writing == on || !ln->sock_watch)
		return;
	ln->writing = on;
	watch_set(ln->sock_watch, on ? WATCH_READ | WATCH_WRITE : WATCH_READ);
}

static void sent_whole(struct lane *ln, enum frame_type type, const uint8_t id[static 16])
{
	ln->last_is_invoke = type == FRAME_INVOKE;
	if (ln->last_is_invoke)
		memcpy(ln->last, id, sizeof(ln->last));
}

/* Sends the frame whose header and meta stand in ln->head, and queues what the socket does not take. */
static void lane_out(struct lane *ln, enum frame_type type, const uint8_t id[static 16], struct str body)
{
	size_t sent = 0, whole = ln->head.n + body.n;
	bool room = ln->out.n == 0 && !ln->ended;
	struct lane_out *o;

	while (room && sent < whole) {
		ssize_t n = send_two(ln, buf_str(&ln->head), body, sent);

		room = n >= 0;
		if (room)
			sent += (size_t)n;
		else
			watch_room(ln, errno == EAGAIN);
	}
	if (sent == whole) {
		sent_whole(ln, type, id);
		if (ln->head.cap > KEEP_SIZE)
			buf_done(&ln->head);
		return;
	}
	o = xnew(struct lane_out);
	o->type = type;
	memcpy(o->id, id, sizeof(o->id));
	buf_add_str(&o->own, buf_str(&ln->head));
	o->sent = sent;
	if (type == FRAME_INVOKE)
		o->body = body;
	else
		buf_add_str(&o->own, body);
	out_list_push(&ln->out, o);
	ln->queued += out_left(o);
}

static void wake_waiters(struct lane *ln)
{
	struct lane_waiter *w;

	while (!ln->dead && !lane_full(ln) && (w = lane_waiters_pop(&ln->waiters)))
		w->fn(w->arg);
}

static void lane_write(struct lane *ln)
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
	wake_waiters(ln);
}

bool lane_full(const struct lane *ln)
{
	return ln->queued > LANE_QUEUE_MAX;
}

void lane_wait(struct lane *ln, struct lane_waiter *w)
{
	if (!lane_waiters_linked(w))
		lane_waiters_push(&ln->waiters, w);
}

void lane_unwait(struct lane_waiter *w)
{
	if (lane_waiters_linked(w))
		lane_waiters_remove(w->on_lane.owner, w);
}

/* ---- receiving ---- */

/* An answer: whether its INVOKE had been sent to its end. What else waits for the worker under this id is dropped. */
static bool lane_answered(struct lane *ln, const struct frame *f)
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

static bool lane_boxed(struct lane *ln, const struct frame *f)
{
	uint64_t us = 0;
	int fd = steal_fd(&ln->listen_fd);

	if (ln->boxed)
		return false;
	ln->boxed = true;
	frame_meta_u64(f, FRAME_KEY_BOX_US, &us);
	if (ln->handler->boxed)
		ln->handler->boxed(ln->arg, fd, us);
	else if (fd >= 0)
		close(fd);
	return true;
}

/* False: no worker may send this. */
static bool lane_frame(struct lane *ln, const struct frame *f)
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
		ln->handler->frame(ln->arg, f);
		return true;
	case FRAME_WINDOW_MORE:
		ln->handler->frame(ln->arg, f);
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
	if (!ln->dead)
		ln->handler->frame(ln->arg, f);
	return true;
}

/* Hands on the whole frames in the buffer. Returns how many bytes of the next one are missing; 0 when the lane is
 * over. */
static size_t lane_frames(struct lane *ln)
{
	size_t at = 0, missing = 0;

	while (!ln->dead && !ln->ended) {
		struct str rest = str_sub(buf_str(&ln->in), at, SIZE_MAX);
		int64_t size = frame_size(rest);
		struct frame f;

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
		if (!lane_frame(ln, &f)) {
			lane_end(ln, LANE_BROKEN);
			return 0;
		}
	}
	if (ln->dead || ln->ended)
		return 0;
	buf_consume(&ln->in, at);
	if (!ln->in.n && ln->in.cap > KEEP_SIZE && ln->read_size == READ_SIZE)
		buf_done(&ln->in);
	return MAX(missing, ln->read_size);
}

/* Only the first frame may bring a file descriptor. */
static ssize_t lane_recv(struct lane *ln, char *to, size_t room)
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
static bool invoke_waits(const struct lane *ln, const uint8_t *id)
{
	bool waits = false;

	for (const struct lane_out *o = out_list_first(&ln->out); o; o = out_list_next(o))
		if (!id || memcmp(o->id, id, sizeof(o->id)) == 0)
			waits = o->type == FRAME_INVOKE || (!id && waits);
	return waits;
}

bool lane_unread(const struct lane *ln, const uint8_t id[static 16])
{
	if (ln->reset && ln->last_is_invoke && memcmp(ln->last, id, sizeof(ln->last)) == 0)
		return true;
	return invoke_waits(ln, id);
}

static void lane_read(struct lane *ln)
{
	size_t want = ln->read_size, total = 0;

	while (!ln->dead && !ln->ended && total < TURN_SIZE) {
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
	struct lane *ln = arg;

	ln->busy++;
	if (events & WATCH_WRITE)
		lane_write(ln);
	if (events & ~WATCH_WRITE)
		lane_read(ln);
	lane_leave(ln);
}

static void lane_on_pipe(void *arg, int events)
{
	struct lane *ln = arg;

	ln->busy++;
	pipe_read(ln);
	lane_leave(ln);
}

struct lane *lane_new(struct loop *l, int sock, int log_pipe, const struct lane_handler *h, void *arg)
{
	struct lane *ln = xnew(struct lane);
	int size = SOCKET_BUFFER, pipe_size;

	*ln = (struct lane){.loop = l,
			    .sock = sock,
			    .pipe = log_pipe,
			    .handler = h,
			    .arg = arg,
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
	return ln;
}

struct lane *lane_free(struct lane *ln)
{
	if (!ln || ln->dead)
		return NULL;
	ln->dead = true;
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
	while (lane_waiters_pop(&ln->waiters))
		;
	buf_done(&ln->head);
	if (!ln->busy) {
		buf_done(&ln->in);
		free(ln);
	}
	return NULL;
}

static void head_begin(struct lane *ln)
{
	buf_clear(&ln->head);
	buf_reserve(&ln->head, FRAME_HEADER_SIZE);
	ln->head.n = FRAME_HEADER_SIZE;
}

void lane_send_invoke(struct lane *ln, const struct lane_invoke *in)
{
	static const struct {
		enum frame_key key;
		size_t offset;
	} texts[] = {
		{FRAME_KEY_ARN, offsetof(struct lane_invoke, arn)},
		{FRAME_KEY_TRACE, offsetof(struct lane_invoke, trace)},
		{FRAME_KEY_CLIENT_CONTEXT, offsetof(struct lane_invoke, client_context)},
	};

	head_begin(ln);
	frame_meta_add_u64(&ln->head, FRAME_KEY_DEADLINE_MS, in->deadline_ms);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		const struct str *s = (const struct str *)((const char *)in + texts[i].offset);

		if (s->p)
			frame_meta_add(&ln->head, (uint16_t)texts[i].key, *s);
	}
	if (in->stream)
		frame_meta_add_u64(&ln->head, FRAME_KEY_STREAM, 1);
	buf_add_str(&ln->head, in->more);
	frame_header((uint8_t *)ln->head.p, FRAME_INVOKE, in->id, ln->head.n - FRAME_HEADER_SIZE, in->event.n);
	if (in->end && !in->event.n) {
		/* One system call for both. When the worker is gone with bytes of it unread, those may be END's alone.
		 */
		frame_header((uint8_t *)buf_reserve(&ln->head, FRAME_HEADER_SIZE), FRAME_END, in->id, 0, 0);
		ln->head.n += FRAME_HEADER_SIZE;
		lane_out(ln, in->again ? FRAME_INVOKE : FRAME_END, in->id, STR_NULL);
		return;
	}
	lane_out(ln, FRAME_INVOKE, in->id, in->event);
	if (in->end)
		lane_send(ln, FRAME_END, in->id, STR_NULL, STR_NULL);
}

void lane_send(struct lane *ln, enum frame_type type, const uint8_t id[static 16], struct str meta, struct str body)
{
	head_begin(ln);
	buf_add_str(&ln->head, meta);
	frame_header((uint8_t *)ln->head.p, (uint8_t)type, id, meta.n, body.n);
	lane_out(ln, type, id, body);
}

void lane_drain_output(struct lane *ln)
{
	ln->busy++;
	pipe_read(ln);
	lane_leave(ln);
}

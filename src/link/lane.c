/* The gate's end of a lane: this file is passed twice by every invocation, so it is careful with system calls: an
 * INVOKE is one sendmsg; a RESULT is one read of the log pipe (usually EAGAIN) and one or two of the socket.
 *
 * The lane owns its socket, its pipe and its buffers; the event of the invocation under way stays the caller's. The
 * worker is not trusted: what it sends is checked for its form and for its turn (a RESULT only answers the INVOKE
 * under way), and anything else ends the lane as LANE_BROKEN. How much is read of its output before something else is
 * done is bounded by the size of the pipe: what was printed before a frame was sent is in the pipe by then.
 *
 * Handlers may free the lane; `busy` keeps its memory until the outermost call into this file has returned. */
#include "link/lane.h"

#include "base/mem.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define READ_SIZE     4096u       /* first read, and what an idle lane keeps; longer frames say their length */
#define KEEP_SIZE     (64u << 10) /* a buffer beyond this is given back after its frame */
#define PIPE_SIZE     (64u << 10)
#define SOCKET_BUFFER (1 << 20)

enum turn { TURN_INIT, TURN_IDLE, TURN_RUN };

struct lane {
	struct loop *loop;
	int sock, pipe;
	struct watch *sock_watch, *pipe_watch; /* pipe_watch NULL: the pipe has ended */
	const struct lane_handler *handler;
	void *arg;
	struct buf in;    /* bytes read and not yet handed on */
	struct buf head;  /* header and meta of the INVOKE under way */
	struct str event; /* its body; the caller's */
	size_t sent;      /* of both */
	uint8_t id[16];
	enum turn turn;
	size_t pipe_size;
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

/* Whether the worker may say this now; if so, whose turn it is next. */
static bool lane_turn(struct lane *ln, const struct frame *f)
{
	static const uint8_t no_id[16];
	bool answers = ln->turn == TURN_RUN && ln->sent == ln->head.n + ln->event.n &&
		       memcmp(f->id, ln->id, sizeof(ln->id)) == 0;

	switch (f->type) {
	case FRAME_READY:
		if (ln->turn != TURN_INIT)
			return false;
		ln->turn = TURN_IDLE;
		return true;
	case FRAME_ERROR:
		if (ln->turn == TURN_INIT)
			return memcmp(f->id, no_id, sizeof(no_id)) == 0;
		if (answers)
			ln->turn = TURN_IDLE;
		return answers;
	case FRAME_RESULT:
		if (answers)
			ln->turn = TURN_IDLE;
		return answers;
	case FRAME_CHUNK:
		return answers;
	default:
		return true;
	}
}

static bool lane_is_for_us(uint8_t type)
{
	return type == FRAME_READY || type == FRAME_RESULT || type == FRAME_ERROR || type == FRAME_CHUNK;
}

static void lane_frame(struct lane *ln, const struct frame *f)
{
	if (!lane_turn(ln, f)) {
		lane_end(ln, LANE_BROKEN);
		return;
	}
	if (!lane_is_for_us(f->type))
		return;
	pipe_read(ln);
	if (ln->dead)
		return;
	if (ln->turn == TURN_IDLE) {
		ln->event = STR_NULL;
		ln->sent = ln->head.n;
	}
	ln->handler->frame(ln->arg, f);
}

/* Hands on the whole frames in the buffer. Returns how many bytes of the next one are missing; 0 when the lane is
 * over. */
static size_t lane_frames(struct lane *ln)
{
	size_t at = 0, missing = READ_SIZE;

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
			missing = MAX((size_t)size - rest.n, (size_t)READ_SIZE);
			break;
		}
		if (!frame_parse(str_sub(rest, 0, (size_t)size), &f)) {
			lane_end(ln, LANE_BROKEN);
			return 0;
		}
		at += (size_t)size;
		lane_frame(ln, &f);
	}
	if (ln->dead || ln->ended)
		return 0;
	buf_consume(&ln->in, at);
	if (!ln->in.n && ln->in.cap > KEEP_SIZE)
		buf_done(&ln->in);
	return missing;
}

static void lane_read(struct lane *ln)
{
	size_t want = READ_SIZE;

	while (!ln->dead && !ln->ended) {
		char *to = buf_reserve(&ln->in, want);
		size_t room = ln->in.cap - ln->in.n - 1;
		ssize_t n = recv(ln->sock, to, room, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			/* A reset says that the worker went with bytes of ours unread: an INVOKE it never took. */
			bool unread = ln->turn == TURN_RUN && (n < 0 || ln->sent < ln->head.n + ln->event.n);

			lane_end(ln, unread ? LANE_UNREAD : LANE_CLOSED);
			return;
		}
		ln->in.n += (size_t)n;
		want = lane_frames(ln);
		if (!want || (size_t)n < room)
			return;
	}
}

/* A worker that is gone is noticed by reading, which also gives what it said before. */
static void lane_write(struct lane *ln)
{
	while (ln->sent < ln->head.n + ln->event.n) {
		size_t in_head = MIN(ln->sent, ln->head.n), in_event = ln->sent - in_head;
		struct iovec iov[2] = {
			{ln->head.p + in_head, ln->head.n - in_head},
			{(void *)(uintptr_t)(ln->event.p + in_event), ln->event.n - in_event},
		};
		size_t skip = iov[0].iov_len ? 0 : 1;
		struct msghdr msg = {.msg_iov = iov + skip, .msg_iovlen = 2 - skip};
		ssize_t n = sendmsg(ln->sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			watch_set(ln->sock_watch, errno == EAGAIN ? WATCH_READ | WATCH_WRITE : WATCH_READ);
			return;
		}
		ln->sent += (size_t)n;
	}
	watch_set(ln->sock_watch, WATCH_READ);
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

	*ln = (struct lane){.loop = l, .sock = sock, .pipe = log_pipe, .handler = h, .arg = arg};
	setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
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
	buf_done(&ln->head);
	if (!ln->busy) {
		buf_done(&ln->in);
		free(ln);
	}
	return NULL;
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

	if (ln->turn != TURN_IDLE)
		__builtin_trap();
	ln->turn = TURN_RUN;
	memcpy(ln->id, in->id, sizeof(ln->id));
	buf_clear(&ln->head);
	buf_reserve(&ln->head, FRAME_HEADER_SIZE);
	ln->head.n = FRAME_HEADER_SIZE;
	frame_meta_add_u64(&ln->head, FRAME_KEY_DEADLINE_MS, in->deadline_ms);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		const struct str *s = (const struct str *)((const char *)in + texts[i].offset);

		if (s->p)
			frame_meta_add(&ln->head, (uint16_t)texts[i].key, *s);
	}
	frame_header((uint8_t *)ln->head.p, FRAME_INVOKE, in->id, ln->head.n - FRAME_HEADER_SIZE, in->event.n);
	ln->event = in->event;
	ln->sent = 0;
	if (!ln->ended)
		lane_write(ln);
}

void lane_drain_output(struct lane *ln)
{
	ln->busy++;
	pipe_read(ln);
	lane_leave(ln);
}

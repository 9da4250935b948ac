/* One end of the link over a unix socket. A message is one frame; its fds ride on its first byte and their number
 * stands in its meta, so that the receiver knows which of the fds that came belong to which frame.
 *
 * A peer owns its socket, the messages that wait to be sent (with duplicates of their fds) and the fds received for
 * frames that are not whole yet. Whatever goes wrong on the connection (end, error, no frame, body that is no JSON)
 * takes it down with a reason; the dialling side dials again, slower each time. Messages do not survive the
 * connection: both sides know from `down` that they must say everything anew.
 *
 * Handlers may free the peer; `busy` keeps its memory until the outermost call into this file has returned. */
#include "link/peer.h"

#include "base/list.h"
#include "base/mem.h"
#include "sys/fdpass.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE     (64u << 10)
#define MESSAGE_MAX   (16u << 20)
#define FDS_WAITING   64 /* received, and not yet claimed by a frame */
#define DIAL_FIRST_MS 10
#define DIAL_MAX_MS   1000
#define SOCKET_BUFFER (1 << 20)

struct message {
	struct list_link on_queue;
	struct buf bytes;
	size_t sent;
	int fds[FDPASS_MAX];
	size_t n_fds;
};

DEFINE_LIST(message_list, struct message, on_queue)

struct peer {
	struct loop *loop;
	char *path; /* NULL: accepted, not dialled */
	int fd;     /* -1: down */
	struct watch *watch;
	struct timer *timer; /* to dial, or to say that it is up */
	uint64_t wait_ms;    /* before the next dialling */
	const struct peer_handler *handler;
	void *arg;
	struct buf in;
	int fds[FDS_WAITING];
	size_t n_fds;
	struct message_list out;
	unsigned busy;
	bool up, dead;
};

static void close_fds(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
}

static void message_free(struct message *m)
{
	close_fds(m->fds, m->n_fds);
	buf_done(&m->bytes);
	free(m);
}

static void peer_leave(struct peer *p)
{
	if (--p->busy == 0 && p->dead) {
		buf_done(&p->in);
		free(p->path);
		free(p);
	}
}

static void peer_close(struct peer *p)
{
	struct message *m;

	p->up = false;
	p->watch = watch_free(p->watch);
	if (p->fd >= 0)
		close(steal_fd(&p->fd));
	close_fds(p->fds, p->n_fds);
	p->n_fds = 0;
	while ((m = message_list_pop(&p->out)))
		message_free(m);
}

static void peer_dial_later(struct peer *p)
{
	timer_set(p->timer, p->wait_ms);
	p->wait_ms = MIN(p->wait_ms ? p->wait_ms * 2 : DIAL_FIRST_MS, (uint64_t)DIAL_MAX_MS);
}

/* The connection is over; called with busy held. */
static void peer_down(struct peer *p, const char *reason)
{
	bool was_up = p->up;

	if (p->dead)
		return;
	peer_close(p);
	if (was_up && p->handler->down)
		p->handler->down(p->arg, p, reason);
	if (p->dead)
		return;
	if (p->path)
		peer_dial_later(p);
	else
		peer_free(p);
}

/* Takes what the frame names from the fds that wait. */
static bool peer_take_fds(struct peer *p, const struct frame *f, int fds[static FDPASS_MAX], size_t *n_fds)
{
	uint64_t n = 0;

	frame_meta_u64(f, LINK_KEY_FDS, &n);
	if (n > p->n_fds || n > FDPASS_MAX)
		return false;
	memcpy(fds, p->fds, sizeof(int) * n);
	p->n_fds -= n;
	memmove(p->fds, p->fds + n, sizeof(int) * p->n_fds);
	*n_fds = n;
	return true;
}

static void peer_message(struct peer *p, const struct frame *f)
{
	_cleanup_json_ json_t *body = NULL;
	int fds[FDPASS_MAX];
	size_t n_fds = 0;

	if (f->body.n) {
		body = json_parse(f->body, NULL);
		if (!body) {
			peer_down(p, "a message's body is no JSON");
			return;
		}
	}
	if (!peer_take_fds(p, f, fds, &n_fds)) {
		peer_down(p, "a message came without its file descriptors");
		return;
	}
	p->handler->message(p->arg, p, f->type, f->id, body, fds, n_fds);
}

/* Hands on every whole frame; how many bytes the next one lacks. */
static size_t peer_messages(struct peer *p)
{
	size_t at = 0, missing = READ_SIZE;

	while (!p->dead && p->fd >= 0) {
		struct str rest = str_sub(buf_str(&p->in), at, SIZE_MAX);
		int64_t size = frame_size(rest);
		struct frame f;

		if (size == 0)
			break;
		if (size < 0 || size > (int64_t)MESSAGE_MAX) {
			peer_down(p, "the other side does not speak the link's protocol");
			return 0;
		}
		if (rest.n < (size_t)size) {
			missing = MAX((size_t)size - rest.n, (size_t)READ_SIZE);
			break;
		}
		if (!frame_parse(str_sub(rest, 0, (size_t)size), &f)) {
			peer_down(p, "a message is malformed");
			return 0;
		}
		at += (size_t)size;
		peer_message(p, &f);
	}
	if (p->dead || p->fd < 0)
		return 0;
	buf_consume(&p->in, at);
	if (!p->in.n)
		buf_done(&p->in);
	return missing;
}

static void peer_read(struct peer *p)
{
	size_t want = READ_SIZE;

	while (want && !p->dead && p->fd >= 0) {
		int fds[FDPASS_MAX];
		size_t n_fds = 0;
		char *to = buf_reserve(&p->in, want);
		ssize_t n = fd_recv(p->fd, to, want, fds, &n_fds);

		if (n == -EAGAIN)
			break;
		if (p->n_fds + n_fds > FDS_WAITING) {
			close_fds(fds, n_fds);
			n = -EPROTO;
		} else if (n_fds) {
			memcpy(p->fds + p->n_fds, fds, sizeof(int) * n_fds);
			p->n_fds += n_fds;
		}
		if (n <= 0) {
			peer_down(p, n == 0 ? "closed by the other side" : strerror((int)-n));
			return;
		}
		p->in.n += (size_t)n;
		want = peer_messages(p);
	}
	if (!p->dead && !p->in.n)
		buf_done(&p->in);
}

/* An error here ends the connection by way of the reading side, after whatever the other side said last. */
static void peer_write(struct peer *p)
{
	struct message *m;

	while ((m = message_list_first(&p->out))) {
		size_t n_fds = m->sent ? 0 : m->n_fds;
		ssize_t n = fd_send(p->fd, m->bytes.p + m->sent, m->bytes.n - m->sent, m->fds, n_fds);

		if (n < 0) {
			if (n != -EAGAIN)
				shutdown(p->fd, SHUT_RDWR);
			watch_set(p->watch, n == -EAGAIN ? WATCH_READ | WATCH_WRITE : WATCH_READ);
			return;
		}
		m->sent += (size_t)n;
		close_fds(m->fds, n_fds);
		m->n_fds -= n_fds;
		if (m->sent == m->bytes.n) {
			message_list_remove(&p->out, m);
			message_free(m);
		}
	}
	watch_set(p->watch, WATCH_READ);
}

static void peer_on_fd(void *arg, int events)
{
	struct peer *p = arg;

	p->busy++;
	if (events & WATCH_WRITE)
		peer_write(p);
	if (events & ~WATCH_WRITE)
		peer_read(p);
	peer_leave(p);
}

static bool peer_connect(struct peer *p)
{
	p->fd = unix_connect(p->path, NULL);
	return p->fd >= 0;
}

static void peer_on_timer(void *arg)
{
	struct peer *p = arg;
	int size = SOCKET_BUFFER;

	if (p->fd < 0 && !peer_connect(p)) {
		peer_dial_later(p);
		return;
	}
	setsockopt(p->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	p->watch = watch_new(p->loop, p->fd, WATCH_READ, peer_on_fd, p);
	if (!p->watch)
		__builtin_trap(); /* no socket: a broken caller */
	p->wait_ms = 0;
	p->up = true;
	p->busy++;
	if (p->handler->up)
		p->handler->up(p->arg, p);
	peer_leave(p);
}

static struct peer *peer_new(struct loop *l, int fd, const char *path, const struct peer_handler *h, void *arg)
{
	struct peer *p = xnew(struct peer);

	*p = (struct peer){.loop = l, .fd = fd, .path = path ? xstrdup(path) : NULL, .handler = h, .arg = arg};
	p->timer = timer_new(l, peer_on_timer, p);
	timer_set(p->timer, 0);
	return p;
}

struct peer *peer_dial(struct loop *l, const char *path, const struct peer_handler *h, void *arg)
{
	return peer_new(l, -1, path, h, arg);
}

struct peer *peer_accept(struct loop *l, int fd, const struct peer_handler *h, void *arg)
{
	return peer_new(l, fd, NULL, h, arg);
}

struct peer *peer_free(struct peer *p)
{
	if (!p || p->dead)
		return NULL;
	p->dead = true;
	peer_close(p);
	p->timer = timer_free(p->timer);
	p->busy++;
	peer_leave(p);
	return NULL;
}

bool peer_is_up(const struct peer *p)
{
	return p && p->up;
}

bool peer_send(struct peer *p, enum link_message type, const uint8_t id[static 16], const json_t *body, const int *fds,
	       size_t n_fds)
{
	_cleanup_(buf_done) struct buf text = BUF_NULL;
	struct message *m;

	if (!peer_is_up(p) || n_fds > FDPASS_MAX)
		return false;
	m = xnew(struct message);
	for (size_t i = 0; i < n_fds; i++) {
		m->fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
		if (m->fds[i] < 0) {
			message_free(m);
			return false;
		}
		m->n_fds++;
	}
	if (body)
		json_write(&text, body);
	buf_reserve(&m->bytes, FRAME_HEADER_SIZE + 32 + text.n);
	m->bytes.n = FRAME_HEADER_SIZE;
	if (n_fds)
		frame_meta_add_u64(&m->bytes, LINK_KEY_FDS, n_fds);
	frame_header((uint8_t *)m->bytes.p, (uint8_t)type, id, m->bytes.n - FRAME_HEADER_SIZE, text.n);
	buf_add_str(&m->bytes, buf_str(&text));
	message_list_push(&p->out, m);
	if (p->out.n == 1)
		peer_write(p);
	return true;
}

/* Streams between a worker's lane and a client's connection. Owned by their invocation.
 *
 * The answer: pieces (CHUNK) are kept in `in` until the client's connection takes them, by pull(); what it has taken
 * is given back to the worker as window. The worker may never be more than FRAME_WINDOW ahead, so that is what `in`
 * holds at most. The reply begins with the first of the answer (HEAD, or a CHUNK without one), while the run goes on;
 * when the run is over, the flow comes to reply.c, which calls stream_over(), and the rest goes out.
 *
 * The request's body: the connection is read only while the worker has given window for more and reads its socket; so
 * the connection's own buffer, and then the client, wait.
 *
 * A client that leaves makes CANCEL of the answer; the run is metered until its RESULT, as any. */
#include "gate/stream.h"

#include "base/mem.h"
#include "gate/flow.h"
#include "gate/reply.h"
#include "gate/worker.h"

#define GIVE_BACK (FRAME_WINDOW / 4) /* window is given back in such pieces: a frame each */
#define KEEP_SIZE (128u << 10)       /* what a stream that rests keeps */

struct stream {
	struct invocation *inv;
	const struct stream_ops *ops;
	struct str meta;

	/* The answer */
	struct buf in; /* of the function, not taken yet */
	size_t in_at;
	struct buf wire; /* the same as it goes to the client */
	size_t wire_at;
	uint64_t window; /* bytes that the worker may still send */
	uint64_t owed;   /* bytes taken, not given back to it yet */
	bool begun;      /* begin() has run */
	bool replied;    /* and the reply was given to the connection */
	bool over, finished, cut;
	bool gone; /* nobody takes anything any more */

	/* The request's body */
	bool has_body, may_tunnel, tunnel, again;
	struct str body; /* gathered, not sent yet */
	uint64_t credit; /* bytes that the worker takes */
	bool body_over, end_sent;
	struct lane_waiter waiter;
};

static bool runs(const struct stream *s)
{
	return s->inv->state == INVOCATION_RUNNING && s->inv->worker && s->inv->worker->lane;
}

static void say(struct stream *s, enum frame_type type, struct str meta, struct str body)
{
	lane_send(s->inv->worker->lane, type, s->inv->r->id, meta, body);
}

/* ---- the request's body ---- */

static void send_end(struct stream *s)
{
	if (!s->body_over || s->body.n || s->end_sent || !runs(s) || s->gone)
		return;
	/* Of a request that may become a tunnel, the end is the client's end of the connection. */
	if (s->may_tunnel && !s->tunnel)
		return;
	s->end_sent = true;
	say(s, FRAME_END, STR_NULL, STR_NULL);
}

/* Sends what the worker takes now of bytes; how many. */
static size_t send_bytes(struct stream *s, struct str bytes)
{
	struct lane *lane = s->inv->worker->lane;
	size_t sent = 0;

	while (sent < bytes.n && s->credit) {
		struct str piece = str_sub(bytes, sent, MIN(s->credit, (uint64_t)FRAME_CHUNK_MAX));

		if (lane_full(lane)) {
			lane_wait(lane, &s->waiter);
			break;
		}
		say(s, FRAME_CHUNK, STR_NULL, piece);
		s->credit -= piece.n;
		sent += piece.n;
	}
	return sent;
}

/* The worker takes more: from what was gathered, or from the connection. */
static void body_on(void *arg)
{
	struct stream *s = arg;

	if (!s->has_body || s->gone || !runs(s))
		return;
	s->body = str_sub(s->body, send_bytes(s, s->body), s->body.n);
	send_end(s);
	if (!s->body_over && s->inv->r->ex)
		http_exchange_resume(s->inv->r->ex);
}

bool stream_takes_body(const struct req *r)
{
	return r->inv && r->inv->stream && r->inv->stream->has_body;
}

size_t stream_take(struct stream *s, struct str bytes)
{
	if (s->gone || s->over)
		return bytes.n;
	return runs(s) && !s->body.n ? send_bytes(s, bytes) : 0;
}

void stream_body_over(struct stream *s)
{
	s->body_over = true;
	send_end(s);
}

/* ---- the answer ---- */

static void give_back(struct stream *s, size_t n)
{
	struct buf meta = BUF_NULL;

	s->owed += n;
	if (s->owed < GIVE_BACK || !runs(s))
		return;
	frame_meta_add_u64(&meta, FRAME_KEY_WINDOW, s->owed);
	say(s, FRAME_WINDOW_MORE, buf_str(&meta), STR_NULL);
	buf_done(&meta);
	s->window += s->owed;
	s->owed = 0;
}

static void wake_client(struct stream *s)
{
	if (s->replied && s->inv->r->ex)
		http_exchange_resume(s->inv->r->ex);
}

/* Takes up to cap bytes off the front of b. */
static size_t take_front(struct buf *b, size_t *at, uint8_t *p, size_t cap)
{
	size_t n = MIN(b->n - *at, cap);

	memcpy(p, b->p + *at, n);
	*at += n;
	if (*at == b->n) {
		*at = 0;
		if (b->cap > KEEP_SIZE)
			buf_done(b);
		buf_clear(b);
	}
	return n;
}

static void finish(struct stream *s)
{
	struct invocation *inv = s->inv;

	s->finished = true;
	if (s->ops->finish)
		s->cut = !s->ops->finish(inv->r, &s->wire);
	else
		s->cut = inv->error_kind != NULL || inv->r->fail != FAIL_NONE;
}

/* The connection takes more of the answer. */
static ssize_t pull(void *arg, uint8_t *p, size_t cap)
{
	struct stream *s = arg;
	size_t n;

	if (s->wire.n)
		return (ssize_t)take_front(&s->wire, &s->wire_at, p, cap);
	if (s->in.n && !s->ops->wrap) {
		n = take_front(&s->in, &s->in_at, p, cap);
		give_back(s, n);
		return (ssize_t)n;
	}
	if (s->in.n) {
		n = MIN(s->in.n - s->in_at, cap);
		s->ops->wrap(&s->wire, str_n(s->in.p + s->in_at, n));
		take_front(&s->in, &s->in_at, p, n);
		give_back(s, n);
	} else if (s->over && !s->finished) {
		finish(s);
	} else if (!s->over) {
		return 0;
	}
	if (s->wire.n)
		return (ssize_t)take_front(&s->wire, &s->wire_at, p, cap);
	return s->cut ? HTTP_PULL_ERROR : HTTP_PULL_END;
}

static void reply_now(struct stream *s)
{
	struct req *r = s->inv->r;

	if (!s->begun || s->replied || !r->ex)
		return;
	s->replied = true;
	if (r->reply_body.kind == HTTP_BODY_PULL) {
		r->reply_body.pull = pull;
		r->reply_body.pull_arg = s;
	}
	reply_send(r);
}

/* The status decides whether there is a body at all. */
static void begin_reply(struct stream *s)
{
	struct req *r = s->inv->r;
	struct str length = reply_take_header(r, "Content-Length");
	struct http_body body = {.kind = HTTP_BODY_PULL, .length = HTTP_LENGTH_UNKNOWN, .duplex = true};
	uint64_t n;

	if (length.n && str_to_u64(length, &n) && n != HTTP_LENGTH_UNKNOWN)
		body.length = n;
	else if (r->status == 204 || r->status == 304)
		body.kind = HTTP_BODY_BYTES;
	if (r->status == 204)
		body.kind = HTTP_BODY_BYTES;
	r->reply_body = body;
}

static bool begin(struct stream *s, const struct frame *head)
{
	struct req *r = s->inv->r;

	if (!s->ops->begin(r, head, &s->wire))
		return false;
	s->begun = true;
	s->tunnel = r->status == 101;
	if (s->tunnel) {
		/* From here on the client's bytes are the tunnel's. */
		r->body_ended = s->body_over = false;
		s->has_body = true;
	}
	begin_reply(s);
	reply_now(s);
	return true;
}

static bool take_chunk(struct stream *s, struct str piece)
{
	if (!s->begun && (s->ops->http || !begin(s, NULL)))
		return false;
	if (piece.n > s->window)
		return false;
	s->window -= piece.n;
	if (s->gone) {
		give_back(s, piece.n);
		return true;
	}
	if (s->in_at && s->in_at >= s->in.n / 2) {
		buf_consume(&s->in, s->in_at);
		s->in_at = 0;
	}
	buf_add_str(&s->in, piece);
	reply_now(s);
	wake_client(s);
	return true;
}

static bool take_window(struct stream *s, const struct frame *f)
{
	uint64_t n;

	if (!frame_meta_u64(f, FRAME_KEY_WINDOW, &n) || n > FRAME_WINDOW - s->credit)
		return false;
	s->credit += n;
	body_on(s);
	return true;
}

bool stream_frame(struct invocation *inv, const struct frame *f)
{
	struct stream *s = inv->stream;

	if (!s || inv->state != INVOCATION_RUNNING)
		return false;
	switch ((enum frame_type)f->type) {
	case FRAME_HEAD:
		return !s->begun && begin(s, f);
	case FRAME_CHUNK:
		return take_chunk(s, f->body);
	case FRAME_WINDOW_MORE:
		return take_window(s, f);
	case FRAME_END: /* RESULT follows */
		return s->begun;
	case FRAME_INVOKE:
	case FRAME_READY:
	case FRAME_RESULT:
	case FRAME_ERROR:
	case FRAME_BOXED:
	case FRAME_CANCEL:
	case FRAME_LOG:
	case FRAME_LATE:
	case FRAME_OVER:
		break;
	}
	return false;
}

/* ---- life ---- */

void stream_new(struct invocation *inv, const struct stream_ops *ops, struct str meta)
{
	struct stream *s = xnew(struct stream);

	s->inv = inv;
	s->ops = ops;
	s->meta = meta;
	s->body_over = true;
	s->gone = !inv->r->ex;
	s->waiter = (struct lane_waiter){.fn = body_on, .arg = s};
	inv->stream = s;
}

void stream_body(struct stream *s, struct str body, bool may_tunnel, bool again)
{
	s->has_body = true;
	s->body = body;
	s->body_over = s->inv->r->body_ended;
	s->may_tunnel = may_tunnel;
	s->again = again;
}

void stream_free(struct stream *s)
{
	if (!s)
		return;
	lane_unwait(&s->waiter);
	buf_done(&s->in);
	buf_done(&s->wire);
	free(s);
}

void stream_fill_invoke(struct stream *s, struct lane_invoke *in)
{
	in->stream = !s->ops->http;
	in->more = s->meta;
	if (s->ops->http)
		in->event = STR_NULL;
	in->end = s->has_body && s->body_over && !s->body.n && !s->may_tunnel;
	in->again = s->again;
	s->end_sent = in->end;
}

void stream_run_begins(struct stream *s)
{
	s->window = FRAME_WINDOW;
	s->credit = FRAME_WINDOW;
	body_on(s);
}

bool stream_over(struct stream *s)
{
	s->over = true;
	lane_unwait(&s->waiter);
	if (!s->begun)
		return false;
	reply_now(s);
	wake_client(s);
	return true;
}

void stream_client_gone(struct stream *s, bool sent)
{
	size_t left = s->in.n - s->in_at;

	if (s->gone)
		return;
	s->gone = true;
	lane_unwait(&s->waiter);
	buf_done(&s->in);
	buf_done(&s->wire);
	s->in_at = s->wire_at = 0;
	if (!runs(s))
		return;
	if (!sent)
		say(s, FRAME_CANCEL, STR_NULL, STR_NULL);
	give_back(s, left);
}

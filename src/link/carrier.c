/* Frames across the link, each once and in order, over one HTTP/2 stream after another.
 *
 * A carrier owns what it was given to send until the other side has acknowledged it: a queue of blocks, the first
 * `acked`, the next to be sent `sent`, both as positions in the whole run of bytes since it was made (or restarted).
 * It is bounded by who fills it: carrier_full. A long body may stay its sender's (a borrowed block): copying 6 MiB
 * before the first byte goes out would take as long as a twentieth of them on a gigabit network. What comes in is
 * handed on as whole frames, from the piece that came where a frame lies whole in it (most do), else from a buffer.
 *
 * The other side is not trusted: an acknowledgement of what was not sent, a frame that is too long or none at all break
 * the carrier. Handlers may free it; `busy` keeps its memory until the outermost call into this file has returned. */
#include "link/carrier.h"

#include "base/list.h"
#include "base/mem.h"
#include "sys/clock.h"

#include <string.h>

#define SEGMENT_HEADER 12
#define SEGMENT_MAX    (1u << 24)
#define BLOCK_SIZE     (4u << 10)
#define BORROW_MIN     (64u << 10) /* less is copied sooner than it is kept an eye on */
#define KEEP_SIZE      (64u << 10) /* a buffer beyond this is given back after its frame */
#define UNSENT_MAX     (1u << 20)
#define UNACKED_MAX    (8u << 20)
#define ACK_BYTES      (256u << 10)
#define ACK_MS         200

struct block {
	struct block *next;
	const char *p; /* its own bytes, or somebody's (cap 0) */
	size_t n, cap;
	char bytes[];
};

struct carrier {
	struct carriers *set;
	const struct carrier_handler *handler;
	void *arg;
	size_t body_max;
	struct h2_stream *stream;
	struct list_link on_owing; /* has received what it has not acknowledged */
	/* Out */
	struct block *first, *last, *spare;
	uint64_t first_at;    /* position of the first block's first byte */
	uint64_t acked, sent; /* positions */
	uint64_t end;         /* what there is */
	struct block *at;     /* holds the byte at `sent`; NULL: to be found */
	size_t at_in;
	unsigned n_borrowed; /* blocks */
	bool used;           /* it has had a stream: on the next one the other side says where to go on */
	bool knows;          /* where */
	bool introduced;     /* the first segment of this stream is sent */
	bool was_full;
	/* In */
	uint64_t received, told; /* bytes; the last that was acknowledged */
	uint8_t header[SEGMENT_HEADER];
	size_t header_n;
	size_t segment; /* bytes that are left of the current one */
	bool greeted;   /* the first segment of this stream came */
	struct buf in;
	unsigned busy;
	bool dead, broken;
};

DEFINE_LIST(owing_list, struct carrier, on_owing)

struct carriers {
	struct timer *timer;
	struct owing_list owing;
	bool waits;
};

static void put_le(uint8_t *p, uint64_t v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t get_le(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < n; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

/* ---- all of them ---- */

static void acknowledge_all(void *arg)
{
	struct carriers *cs = arg;
	struct carrier *c;

	cs->waits = false;
	while ((c = owing_list_pop(&cs->owing)))
		if (c->stream)
			h2_wake(c->stream);
}

struct carriers *carriers_new(struct loop *l)
{
	struct carriers *cs = xnew(struct carriers);

	cs->timer = timer_new(l, acknowledge_all, cs);
	return cs;
}

struct carriers *carriers_free(struct carriers *cs)
{
	if (!cs)
		return NULL;
	timer_free(cs->timer);
	free(cs);
	return NULL;
}

static void owe(struct carrier *c)
{
	struct carriers *cs = c->set;

	if (c->received - c->told >= ACK_BYTES && c->stream)
		h2_wake(c->stream);
	if (owing_list_linked(c))
		return;
	owing_list_push(&cs->owing, c);
	if (!cs->waits)
		timer_set(cs->timer, ACK_MS);
	cs->waits = true;
}

static void owes_nothing(struct carrier *c)
{
	c->told = c->received;
	if (owing_list_linked(c))
		owing_list_remove(&c->set->owing, c);
}

/* ---- out: the queue ---- */

static void drop_blocks(struct carrier *c)
{
	struct block *b = c->first, *next;

	for (; b; b = next) {
		next = b->next;
		free(b);
	}
	c->first = c->last = c->at = NULL;
	c->n_borrowed = 0;
}

static struct block *block_alloc(size_t cap)
{
	struct block *b = xmalloc(sizeof(*b) + cap);

	*b = (struct block){.cap = cap};
	b->p = b->bytes;
	return b;
}

static void block_push(struct carrier *c, struct block *b)
{
	b->next = NULL;
	if (c->last)
		c->last->next = b;
	else
		c->first = b;
	c->last = b;
}

static struct block *block_new(struct carrier *c, size_t n)
{
	struct block *b = steal(&c->spare);

	if (b && b->cap < n) {
		free(b);
		b = NULL;
	}
	if (!b)
		b = block_alloc(MAX(n, BLOCK_SIZE - sizeof(struct block)));
	b->n = 0;
	block_push(c, b);
	return b;
}

static void queue_borrowed(struct carrier *c, struct str s)
{
	struct block *b = block_alloc(0);

	b->p = s.p;
	b->n = s.n;
	block_push(c, b);
	c->n_borrowed++;
	c->end += s.n;
}

void carrier_own(struct carrier *c)
{
	for (struct block **at = &c->first; c->n_borrowed && *at; at = &(*at)->next) {
		struct block *old = *at, *b;

		if (old->cap)
			continue;
		b = block_alloc(old->n);
		memcpy(b->bytes, old->p, old->n);
		b->n = old->n;
		b->next = old->next;
		*at = b;
		if (c->last == old)
			c->last = b;
		if (c->at == old)
			c->at = b;
		c->n_borrowed--;
		free(old);
	}
}

static void queue_bytes(struct carrier *c, struct str s)
{
	struct block *b = c->last;
	size_t n = b && b->cap > b->n ? MIN(b->cap - b->n, s.n) : 0;

	if (n) {
		memcpy(b->bytes + b->n, s.p, n);
		b->n += n;
	}
	if (n < s.n) {
		b = block_new(c, s.n - n);
		memcpy(b->bytes, s.p + n, s.n - n);
		b->n = s.n - n;
	}
	c->end += s.n;
}

/* What was acknowledged is dropped. A small last block is kept for the next frame. */
static void queue_drop(struct carrier *c)
{
	struct block *b;

	while ((b = c->first) && c->first_at + b->n <= c->acked) {
		c->first_at += b->n;
		c->first = b->next;
		if (c->at == b)
			c->at = NULL;
		if (!c->first)
			c->last = NULL;
		if (!b->cap)
			c->n_borrowed--;
		if (!c->spare && b->cap && b->cap <= BLOCK_SIZE)
			c->spare = b;
		else
			free(b);
	}
}

static bool find_at(struct carrier *c)
{
	uint64_t at = c->first_at;

	if (c->at && c->at_in < c->at->n)
		return true;
	if (c->at && c->at->next) {
		c->at = c->at->next;
		c->at_in = 0;
		return true;
	}
	for (c->at = c->first; c->at && at + c->at->n <= c->sent; c->at = c->at->next)
		at += c->at->n;
	c->at_in = (size_t)(c->sent - at);
	return c->at != NULL;
}

static size_t take_bytes(struct carrier *c, char *to, size_t room)
{
	size_t got = 0;

	while (got < room && c->sent < c->end && find_at(c)) {
		size_t n = MIN(c->at->n - c->at_in, room - got);

		memcpy(to + got, c->at->p + c->at_in, n);
		got += n;
		c->at_in += n;
		c->sent += n;
	}
	return got;
}

static bool may_send(const struct carrier *c)
{
	return c->knows && c->sent < c->end;
}

static bool has_news(const struct carrier *c)
{
	return !c->introduced || c->received != c->told;
}

size_t carrier_pull(struct carrier *c, char *to, size_t room)
{
	uint8_t *header = (uint8_t *)to;
	size_t n = 0;

	if (room <= SEGMENT_HEADER || (!may_send(c) && !has_news(c)))
		return 0;
	if (c->introduced && c->knows)
		n = take_bytes(c, to + SEGMENT_HEADER, room - SEGMENT_HEADER);
	put_le(header, n, 4);
	put_le(header + 4, c->received, 8);
	c->introduced = true;
	owes_nothing(c);
	return SEGMENT_HEADER + n;
}

/* ---- in ---- */

static void carrier_leave(struct carrier *c)
{
	if (--c->busy == 0 && c->dead) {
		buf_done(&c->in);
		free(c);
	}
}

static void break_off(struct carrier *c, unsigned status)
{
	if (c->dead || c->broken)
		return;
	c->broken = true;
	carrier_detach(c);
	c->handler->broken(c->arg, status);
}

/* The other side has so many bytes. */
static bool acknowledged(struct carrier *c, uint64_t n)
{
	if (n < c->acked || n > c->end || (c->knows && n > c->sent))
		return false;
	c->acked = n;
	if (!c->greeted) {
		c->greeted = true;
		if (!c->knows) { /* it goes on from there */
			c->knows = true;
			c->sent = n;
			c->at = NULL;
		}
		if (c->stream && may_send(c))
			h2_wake(c->stream);
	}
	queue_drop(c);
	return true;
}

/* Hands on the whole frames of p: how many bytes that was; missing: what the next one needs beyond p. -1: no frames. */
static ssize_t frames(struct carrier *c, struct str p, size_t *missing)
{
	size_t at = 0;

	*missing = 0;
	while (!c->dead && !c->broken) {
		struct str rest = str_sub(p, at, SIZE_MAX);
		int64_t size = frame_size(rest);
		struct frame f;

		if (size == 0)
			break;
		if (size < 0 || size > (int64_t)(c->body_max + FRAME_META_MAX + FRAME_HEADER_SIZE))
			return -1;
		if (rest.n < (size_t)size) {
			*missing = (size_t)size - rest.n;
			break;
		}
		if (!frame_parse(str_sub(rest, 0, (size_t)size), &f) || f.body.n > c->body_max)
			return -1;
		at += (size_t)size;
		c->handler->frame(c->arg, &f);
	}
	return (ssize_t)at;
}

static bool take_frames(struct carrier *c, struct str piece)
{
	size_t missing;
	ssize_t n;

	if (!c->in.n) {
		n = frames(c, piece, &missing);
		if (n < 0)
			return false;
		piece = str_sub(piece, (size_t)n, SIZE_MAX);
		if (c->dead || c->broken || !piece.n)
			return true;
		buf_reserve(&c->in, piece.n + missing);
		buf_add_str(&c->in, piece);
		return true;
	}
	buf_add_str(&c->in, piece);
	n = frames(c, buf_str(&c->in), &missing);
	if (n < 0)
		return false;
	if (c->dead || c->broken)
		return true;
	buf_consume(&c->in, (size_t)n);
	if (missing)
		buf_reserve(&c->in, missing);
	else if (!c->in.n && c->in.cap > KEEP_SIZE)
		buf_done(&c->in);
	return true;
}

/* Gathers the header of a segment. */
static bool take_header(struct carrier *c, struct str *bytes)
{
	size_t n = MIN(SEGMENT_HEADER - c->header_n, bytes->n);

	memcpy(c->header + c->header_n, bytes->p, n);
	c->header_n += n;
	*bytes = str_sub(*bytes, n, SIZE_MAX);
	if (c->header_n < SEGMENT_HEADER)
		return true;
	c->header_n = 0;
	c->segment = get_le(c->header, 4);
	if (c->segment > SEGMENT_MAX || (!c->greeted && c->segment))
		return false;
	return acknowledged(c, get_le(c->header + 4, 8));
}

static bool take_all(struct carrier *c, struct str bytes)
{
	while (bytes.n && !c->dead && !c->broken) {
		size_t n;

		if (!c->segment) {
			if (!take_header(c, &bytes))
				return false;
			continue;
		}
		n = MIN(c->segment, bytes.n);
		c->segment -= n;
		c->received += n;
		owe(c);
		if (!take_frames(c, str_sub(bytes, 0, n)))
			return false;
		bytes = str_sub(bytes, n, SIZE_MAX);
	}
	return true;
}

/* In a pull: the stream is told by the return of it. */
static void say_room(struct carrier *c)
{
	if (c->was_full && !carrier_full(c)) {
		c->was_full = false;
		if (c->handler->room)
			c->handler->room(c->arg);
	}
}

bool carrier_input(struct carrier *c, struct str bytes)
{
	bool ok;

	c->busy++;
	ok = take_all(c, bytes);
	if (ok && !c->dead && !c->broken)
		say_room(c);
	carrier_leave(c);
	return ok;
}

/* ---- the stream ---- */

static void on_head(void *arg, struct h2_stream *s, unsigned status, const struct kv *headers, size_t n)
{
	struct carrier *c = arg;

	if (status == 200)
		return;
	c->busy++;
	break_off(c, status);
	carrier_leave(c);
}

static void on_data(void *arg, struct h2_stream *s, struct str bytes)
{
	struct carrier *c = arg;

	c->busy++;
	h2_consumed(s, bytes.n);
	if (!carrier_input(c, bytes))
		break_off(c, 0);
	carrier_leave(c);
}

/* A connection that is lost is not the carrier's end; a stream that the other side gives up is. */
static void on_closed(void *arg, struct h2_stream *s, uint32_t code)
{
	struct carrier *c = arg;

	if (c->stream != s)
		return;
	c->stream = NULL;
	c->busy++;
	if (code != H2_LOST)
		break_off(c, CARRIER_GIVEN_UP);
	carrier_leave(c);
}

static void on_end(void *arg, struct h2_stream *s)
{
	struct carrier *c = arg;

	c->busy++;
	break_off(c, CARRIER_GIVEN_UP);
	carrier_leave(c);
}

static size_t on_pull(void *arg, struct h2_stream *s, char *to, size_t room)
{
	struct carrier *c = arg;
	size_t n;

	c->busy++;
	n = carrier_pull(c, to, room);
	say_room(c);
	carrier_leave(c);
	return n;
}

static const struct h2_stream_handler stream_handler = {
	.head = on_head,
	.data = on_data,
	.end = on_end,
	.closed = on_closed,
	.pull = on_pull,
};

void carrier_begin(struct carrier *c)
{
	carrier_detach(c);
	c->knows = !c->used;
	c->used = true;
	c->introduced = c->greeted = false;
	c->header_n = 0;
	c->segment = 0;
}

void carrier_request(struct carrier *c, struct h2 *conn, const char *path, const struct kv *headers, size_t n)
{
	carrier_begin(c);
	c->stream = h2_request(conn, "POST", path, headers, n, &stream_handler, c);
	if (c->stream)
		h2_wake(c->stream);
}

void carrier_respond(struct carrier *c, struct h2_stream *s, const struct kv *headers, size_t n)
{
	carrier_begin(c);
	c->stream = s;
	h2_respond(s, 200, headers, n, &stream_handler, c);
	h2_wake(s);
}

void carrier_detach(struct carrier *c)
{
	struct h2_stream *s = steal(&c->stream);

	if (s)
		h2_drop(s, H2_CANCEL);
}

bool carrier_attached(const struct carrier *c)
{
	return c->stream != NULL;
}

/* ---- beginning and end ---- */

struct carrier *carrier_new(struct carriers *cs, size_t body_max, const struct carrier_handler *h, void *arg)
{
	struct carrier *c = xnew(struct carrier);

	*c = (struct carrier){.set = cs, .body_max = body_max, .handler = h, .arg = arg, .knows = true};
	return c;
}

static void forget_all(struct carrier *c)
{
	drop_blocks(c);
	free(steal(&c->spare));
	if (owing_list_linked(c))
		owing_list_remove(&c->set->owing, c);
}

struct carrier *carrier_free(struct carrier *c)
{
	if (!c || c->dead)
		return NULL;
	c->dead = true;
	carrier_detach(c);
	forget_all(c);
	c->busy++;
	carrier_leave(c);
	return NULL;
}

void carrier_handle(struct carrier *c, const struct carrier_handler *h, void *arg)
{
	c->handler = h;
	c->arg = arg;
}

void carrier_restart(struct carrier *c)
{
	carrier_detach(c);
	forget_all(c);
	c->first_at = c->acked = c->sent = c->end = c->received = c->told = 0;
	c->used = c->broken = c->was_full = false;
	c->knows = true;
	buf_done(&c->in);
}

static void queued(struct carrier *c)
{
	if (carrier_full(c))
		c->was_full = true;
	if (c->stream && may_send(c))
		h2_wake(c->stream);
}

void carrier_send(struct carrier *c, enum frame_type type, const uint8_t id[static 16], struct str meta,
		  struct str more, struct str body)
{
	uint8_t header[FRAME_HEADER_SIZE];

	frame_header(header, (uint8_t)type, id, meta.n + more.n, body.n);
	queue_bytes(c, str_n((const char *)header, sizeof(header)));
	queue_bytes(c, meta);
	queue_bytes(c, more);
	queue_bytes(c, body);
	queued(c);
}

void carrier_send_encoded(struct carrier *c, struct str head, struct str body, bool borrowed)
{
	queue_bytes(c, head);
	if (borrowed && body.n >= BORROW_MIN)
		queue_borrowed(c, body);
	else
		queue_bytes(c, body);
	queued(c);
}

bool carrier_full(const struct carrier *c)
{
	return c->end - c->sent > UNSENT_MAX || c->end - c->acked > UNACKED_MAX;
}

bool carrier_drained(const struct carrier *c)
{
	return c->acked == c->end;
}

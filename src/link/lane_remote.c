/* The gate's end of a lane whose worker is on a remote node: frames on a carrier. The node holds the worker's socket:
 * it has checked what the worker says, runs its clock, and tells when its end is over, with the INVOKEs it never read.
 *
 * The lane owns its carrier; a long event stays its caller's while it is on its way, as the contract of lane.h has it.
 * A node is trusted with its own workers and no more: what it sends is checked for its form
 * as a worker's is, and a carrier that breaks is a lane that was broken. */
#include "link/carrier.h"
#include "link/lane_inside.h"

#include "base/mem.h"

#include <string.h>

/* An INVOKE that was sent and is not answered yet. */
struct sent {
	uint64_t number; /* of all on this lane, from 1 */
	uint8_t id[16];
};

struct remote {
	struct lane lane; /* first */
	struct carrier *carrier;
	struct buf unread; /* ids, 16 bytes each */
	struct buf sent;   /* struct sent */
	uint64_t n_sent;
	bool boxed;
};

static void remote_end(struct remote *ln, enum lane_end how)
{
	if (ln->lane.ended || ln->lane.dead)
		return;
	ln->lane.ended = true;
	carrier_own(ln->carrier); /* whose events they are may end with it */
	ln->lane.handler->ended(ln->lane.arg, how);
}

static void over(struct remote *ln, const struct frame *f)
{
	struct str value;
	uint16_t key;
	uint64_t how = LANE_CLOSED, came = UINT64_MAX;

	for (size_t at = 0; frame_meta_next(f, &at, &key, &value);)
		if (key == FRAME_KEY_UNREAD && value.n == 16)
			buf_add_str(&ln->unread, value);
	frame_meta_u64(f, FRAME_KEY_HOW, &how);
	frame_meta_u64(f, FRAME_KEY_INVOKES, &came);
	for (size_t at = 0; at < ln->sent.n; at += sizeof(struct sent)) {
		const struct sent *s = (const struct sent *)(ln->sent.p + at);

		if (s->number > came)
			buf_add(&ln->unread, s->id, sizeof(s->id));
	}
	remote_end(ln, how == LANE_UNREAD || how == LANE_BROKEN ? (enum lane_end)how : LANE_CLOSED);
}

static void boxed(struct remote *ln, const struct frame *f)
{
	uint64_t us = 0;

	if (ln->boxed)
		return;
	ln->boxed = true;
	frame_meta_u64(f, FRAME_KEY_BOX_US, &us);
	if (ln->lane.handler->boxed)
		ln->lane.handler->boxed(ln->lane.arg, -1, us);
}

static void is_answered(struct remote *ln, const uint8_t id[static 16])
{
	struct sent *all = (struct sent *)ln->sent.p;
	size_t n = ln->sent.n / sizeof(*all);

	for (size_t i = 0; i < n; i++) {
		if (memcmp(all[i].id, id, sizeof(all[i].id)) != 0)
			continue;
		all[i] = all[n - 1];
		ln->sent.n -= sizeof(*all);
		return;
	}
}

static void hand_on(struct remote *ln, const struct frame *f)
{
	const struct lane_handler *h = ln->lane.handler;

	switch (f->type) {
	case FRAME_RESULT:
	case FRAME_ERROR:
		is_answered(ln, f->id);
		carrier_own(ln->carrier); /* its event goes now; a node that has not read all of it may answer */
		h->frame(ln->lane.arg, f);
		break;
	case FRAME_READY:
	case FRAME_HEAD:
	case FRAME_CHUNK:
	case FRAME_END:
	case FRAME_WINDOW_MORE:
		h->frame(ln->lane.arg, f);
		break;
	case FRAME_BOXED:
		boxed(ln, f);
		break;
	case FRAME_LOG:
		h->output(ln->lane.arg, f->body);
		break;
	case FRAME_LATE:
		if (h->late)
			h->late(ln->lane.arg, f->id);
		break;
	case FRAME_OVER:
		over(ln, f);
		break;
	default: /* of a node that is newer */
		break;
	}
}

static void on_frame(void *arg, const struct frame *f)
{
	struct remote *ln = arg;

	if (ln->lane.ended)
		return;
	lane_enter(&ln->lane);
	hand_on(ln, f);
	lane_leave(&ln->lane);
}

static void on_room(void *arg)
{
	struct remote *ln = arg;

	lane_enter(&ln->lane);
	lane_wake_waiters(&ln->lane);
	lane_leave(&ln->lane);
}

static void on_broken(void *arg, unsigned status)
{
	struct remote *ln = arg;

	lane_enter(&ln->lane);
	remote_end(ln, status ? LANE_CLOSED : LANE_BROKEN);
	lane_leave(&ln->lane);
}

static const struct carrier_handler carrier_events = {
	.frame = on_frame,
	.room = on_room,
	.broken = on_broken,
};

/* The head may be two frames, INVOKE and END. */
static void remote_out(struct lane *base, enum frame_type type, const uint8_t id[static 16], struct str body,
		       bool borrowed)
{
	struct remote *ln = (struct remote *)base;

	if (ln->lane.ended)
		return;
	if (borrowed) { /* an INVOKE, with its END or not */
		struct sent s = {.number = ++ln->n_sent};

		memcpy(s.id, id, sizeof(s.id));
		buf_add(&ln->sent, &s, sizeof(s));
	}
	carrier_send_encoded(ln->carrier, buf_str(&ln->lane.head), body, borrowed);
}

static bool remote_full(const struct lane *base)
{
	return carrier_full(((const struct remote *)base)->carrier);
}

static bool remote_unread(const struct lane *base, const uint8_t id[static 16])
{
	const struct remote *ln = (const struct remote *)base;

	for (size_t at = 0; at < ln->unread.n; at += 16)
		if (memcmp(ln->unread.p + at, id, 16) == 0)
			return true;
	return false;
}

/* What the worker printed comes before what it is printed before. */
static void remote_drain(struct lane *base)
{
}

static void remote_pause(struct lane *base, bool on)
{
}

static void remote_close(struct lane *base)
{
	struct remote *ln = (struct remote *)base;

	ln->carrier = carrier_free(ln->carrier);
}

static void remote_free(struct lane *base)
{
	struct remote *ln = (struct remote *)base;

	buf_done(&ln->unread);
	buf_done(&ln->sent);
	free(ln);
}

static const struct lane_ops remote_ops = {
	.out = remote_out,
	.full = remote_full,
	.unread = remote_unread,
	.drain = remote_drain,
	.pause = remote_pause,
	.close = remote_close,
	.free = remote_free,
};

struct lane *lane_new_remote(struct carrier *c, const struct lane_handler *h, void *arg)
{
	struct remote *ln = xnew(struct remote);

	*ln = (struct remote){.lane = {.ops = &remote_ops, .handler = h, .arg = arg}, .carrier = c};
	carrier_handle(c, &carrier_events, ln);
	return &ln->lane;
}

struct carrier *lane_carrier(const struct lane *ln)
{
	return ln->ops == &remote_ops ? ((const struct remote *)ln)->carrier : NULL;
}

/* What both kinds of lanes share: how frames are put together, who waits for room, and when the memory goes. The lane
 * of a worker on this machine is in lane_local.c, that of one on a remote node in lane_remote.c.
 *
 * Handlers may free the lane; `busy` keeps its memory until the outermost call has returned. Nothing can fail. */
#include "link/lane_inside.h"

#include "base/mem.h"

#define KEEP_SIZE (64u << 10) /* a buffer beyond this is given back after its frame */

void lane_enter(struct lane *ln)
{
	ln->busy++;
}

void lane_leave(struct lane *ln)
{
	if (--ln->busy == 0 && ln->dead)
		ln->ops->free(ln);
}

struct lane *lane_free(struct lane *ln)
{
	if (!ln || ln->dead)
		return NULL;
	lane_enter(ln);
	ln->dead = true;
	ln->ops->close(ln);
	while (lane_waiters_pop(&ln->waiters))
		;
	buf_done(&ln->head);
	lane_leave(ln);
	return NULL;
}

/* ---- who waits ---- */

bool lane_full(const struct lane *ln)
{
	return ln->ops->full(ln);
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

void lane_wake_waiters(struct lane *ln)
{
	struct lane_waiter *w;

	while (!ln->dead && !lane_full(ln) && (w = lane_waiters_pop(&ln->waiters)))
		w->fn(w->arg);
}

/* ---- frames ---- */

static void head_begin(struct lane *ln)
{
	buf_clear(&ln->head);
	buf_reserve(&ln->head, FRAME_HEADER_SIZE);
	ln->head.n = FRAME_HEADER_SIZE;
}

static void out(struct lane *ln, enum frame_type type, const uint8_t id[static 16], struct str body, bool borrowed)
{
	ln->ops->out(ln, type, id, body, borrowed);
	if (ln->head.cap > KEEP_SIZE)
		buf_done(&ln->head);
}

static void add_meta(struct lane *ln, const struct lane_invoke *in)
{
	static const struct {
		enum frame_key key;
		size_t offset;
	} texts[] = {
		{FRAME_KEY_ARN, offsetof(struct lane_invoke, arn)},
		{FRAME_KEY_TRACE, offsetof(struct lane_invoke, trace)},
		{FRAME_KEY_CLIENT_CONTEXT, offsetof(struct lane_invoke, client_context)},
	};

	frame_meta_add_u64(&ln->head, FRAME_KEY_DEADLINE_MS, in->deadline_ms);
	if (in->limit_ms)
		frame_meta_add_u64(&ln->head, FRAME_KEY_LIMIT_MS, in->limit_ms);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		const struct str *s = (const struct str *)((const char *)in + texts[i].offset);

		if (s->p)
			frame_meta_add(&ln->head, (uint16_t)texts[i].key, *s);
	}
	if (in->stream)
		frame_meta_add_u64(&ln->head, FRAME_KEY_STREAM, 1);
	buf_add_str(&ln->head, in->more);
}

void lane_send_invoke(struct lane *ln, const struct lane_invoke *in)
{
	head_begin(ln);
	add_meta(ln, in);
	frame_header((uint8_t *)ln->head.p, FRAME_INVOKE, in->id, ln->head.n - FRAME_HEADER_SIZE, in->event.n);
	if (in->end && !in->event.n) {
		/* One system call for both. When the worker is gone with bytes of it unread, those may be END's alone.
		 */
		frame_header((uint8_t *)buf_reserve(&ln->head, FRAME_HEADER_SIZE), FRAME_END, in->id, 0, 0);
		ln->head.n += FRAME_HEADER_SIZE;
		out(ln, in->again ? FRAME_INVOKE : FRAME_END, in->id, STR_NULL, true);
		return;
	}
	out(ln, FRAME_INVOKE, in->id, in->event, true);
	if (in->end)
		lane_send(ln, FRAME_END, in->id, STR_NULL, STR_NULL);
}

void lane_send(struct lane *ln, enum frame_type type, const uint8_t id[static 16], struct str meta, struct str body)
{
	head_begin(ln);
	buf_add_str(&ln->head, meta);
	frame_header((uint8_t *)ln->head.p, (uint8_t)type, id, meta.n, body.n);
	out(ln, type, id, body, false);
}

bool lane_unread(const struct lane *ln, const uint8_t id[static 16])
{
	return ln->ops->unread(ln, id);
}

void lane_drain_output(struct lane *ln)
{
	lane_enter(ln);
	ln->ops->drain(ln);
	lane_leave(ln);
}

struct buf lane_keep(struct lane *ln)
{
	return ln->ops->keep(ln);
}

void lane_pause(struct lane *ln, bool on)
{
	ln->ops->pause(ln, on);
}

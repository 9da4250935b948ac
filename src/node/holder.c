/* Frames between a worker's lane and the carrier to its gate. This file is passed four times by every invocation, so it
 * looks only at what it must: an INVOKE is taken apart (its limit is kept here, its deadline put into this machine's
 * time), an answer gets how long it took; everything else goes through as it is.
 *
 * The holder owns the lane, the carrier, and a record of each invocation in hand. The worker is not trusted: the lane
 * checks what it says, and fields that only a node may say are taken out. The gate is trusted with its own workers, but
 * not to keep to the protocol: frames that are none for a worker are dropped, and too long ones break the carrier.
 *
 * Backpressure: while the carrier is full, neither the socket nor the pipe is read, so that a worker whose gate is away
 * waits in its write. Its limit still runs. When its process is gone the rest is read in any case: that is no more than
 * the kernel's buffers. */
#include "node/holder.h"

#include "base/mem.h"
#include "sys/clock.h"
#include "sys/log.h"

#include <string.h>

/* Keys from here on are the node's and the gate's between themselves. */
#define KEY_OF_NODES FRAME_KEY_LIMIT_MS
#define CLOSE_MS     2000 /* a worker whose lane was closed has this long to leave */

struct run {
	struct list_link on_holder;
	uint8_t id[16];
	uint64_t began_us;
	uint64_t limit_us; /* by the monotonic clock; 0: none */
};

DEFINE_LIST(run_list, struct run, on_holder)

struct holder {
	struct holder_conf conf;
	struct lane *lane;       /* NULL: over */
	struct carrier *carrier; /* NULL: the gate has broken it */
	struct run_list runs;
	struct timer *deadline;
	uint64_t deadline_us;
	uint64_t invokes;     /* that came from the gate */
	unsigned concurrency; /* 0: not initialised */
	bool late, paused, exited;
	struct buf meta, field; /* scratch */
};

static struct run *find_run(const struct holder *h, const uint8_t *id)
{
	struct run *r = run_list_first(&h->runs);

	while (r && memcmp(r->id, id, 16) != 0)
		r = run_list_next(r);
	return r;
}

static void run_over(struct holder *h, struct run *r)
{
	run_list_remove(&h->runs, r);
	free(r);
}

/* ---- to the gate ---- */

static void pause_lane(struct holder *h, bool on)
{
	if (h->paused == on || !h->lane)
		return;
	h->paused = on;
	lane_pause(h->lane, on);
}

static void to_gate(struct holder *h, enum frame_type type, const uint8_t id[static 16], struct str meta,
		    struct str more, struct str body)
{
	if (!h->carrier)
		return;
	carrier_send(h->carrier, type, id, meta, more, body);
	if (!h->exited && carrier_full(h->carrier))
		pause_lane(h, true);
}

/* The meta without what a worker may not say; as it is, nearly always. */
static struct str clean_meta(struct holder *h, const struct frame *f)
{
	bool clean = true;
	struct str value;
	uint16_t key;

	for (size_t at = 0; clean && frame_meta_next(f, &at, &key, &value);)
		clean = key < KEY_OF_NODES;
	if (clean)
		return f->meta;
	buf_clear(&h->meta);
	for (size_t at = 0; frame_meta_next(f, &at, &key, &value);)
		if (key < KEY_OF_NODES)
			frame_meta_add(&h->meta, key, value);
	return buf_str(&h->meta);
}

static struct str field_u64(struct holder *h, enum frame_key key, uint64_t value)
{
	buf_clear(&h->field);
	frame_meta_add_u64(&h->field, (uint16_t)key, value);
	return buf_str(&h->field);
}

static void answered(struct holder *h, const struct frame *f, struct str meta)
{
	struct run *r = find_run(h, f->id);
	uint64_t us;

	if (!r) {
		to_gate(h, f->type, f->id, meta, STR_NULL, f->body);
		return;
	}
	us = clock_mono_us() - r->began_us;
	run_over(h, r);
	to_gate(h, f->type, f->id, meta, field_u64(h, FRAME_KEY_RUN_US, us), f->body);
}

static void lane_frame(void *arg, const struct frame *f)
{
	struct str meta = clean_meta(arg, f);
	struct holder *h = arg;
	uint64_t at_once = 1;

	if (f->type == FRAME_RESULT || f->type == FRAME_ERROR) {
		answered(h, f, meta);
		return;
	}
	if (f->type == FRAME_READY) {
		frame_meta_u64(f, FRAME_KEY_CONCURRENCY, &at_once);
		h->concurrency = (unsigned)MAX(MIN(at_once, (uint64_t)UINT16_MAX), (uint64_t)1);
	}
	to_gate(h, f->type, f->id, meta, STR_NULL, f->body);
}

static void lane_boxed(void *arg, int listen_fd, uint64_t box_us)
{
	static const uint8_t no_id[16];
	struct holder *h = arg;

	to_gate(h, FRAME_BOXED, no_id, field_u64(h, FRAME_KEY_BOX_US, box_us), STR_NULL, STR_NULL);
	if (listen_fd >= 0)
		h->conf.handler->listening(h->conf.arg, h, listen_fd);
}

static void lane_output(void *arg, struct str bytes)
{
	static const uint8_t no_id[16];

	to_gate(arg, FRAME_LOG, no_id, STR_NULL, STR_NULL, bytes);
}

/* The last the gate hears: how it ended, which INVOKEs were not read, and how many came here at all, so that it knows
 * of those that are still on their way. */
static void say_over(struct holder *h, enum lane_end how)
{
	static const uint8_t no_id[16];
	struct run *r;

	buf_clear(&h->meta);
	frame_meta_add_u64(&h->meta, FRAME_KEY_HOW, (uint64_t)how);
	frame_meta_add_u64(&h->meta, FRAME_KEY_INVOKES, h->invokes);
	while ((r = run_list_first(&h->runs))) {
		if (lane_unread(h->lane, r->id))
			frame_meta_add(&h->meta, FRAME_KEY_UNREAD, str_n(r->id, sizeof(r->id)));
		run_over(h, r);
	}
	timer_stop(h->deadline);
	h->lane = lane_free(h->lane);
	to_gate(h, FRAME_OVER, no_id, buf_str(&h->meta), STR_NULL, STR_NULL);
}

static void lane_ended(void *arg, enum lane_end how)
{
	struct holder *h = arg;

	say_over(h, how);
	if (!h->exited)
		h->conf.handler->stop(h->conf.arg, h, how == LANE_BROKEN ? 0 : CLOSE_MS,
				      how == LANE_BROKEN ? "it spoke no frames" : "its lane has ended");
}

static const struct lane_handler lane_events = {
	.frame = lane_frame,
	.boxed = lane_boxed,
	.output = lane_output,
	.ended = lane_ended,
};

/* ---- limits ---- */

static void set_deadline(struct holder *h, uint64_t at_us)
{
	uint64_t now = clock_mono_us();

	if (h->deadline_us && h->deadline_us <= at_us)
		return;
	h->deadline_us = at_us;
	timer_set(h->deadline, at_us > now ? (at_us - now + 999) / 1000 : 1);
}

/* One that rings too early looks again, one that rings for nobody does nothing: so a warm worker's timer is not touched
 * by most of its runs. */
static void on_deadline(void *arg)
{
	uint64_t now = clock_mono_us(), next = 0;
	struct holder *h = arg;

	h->deadline_us = 0;
	for (struct run *r = run_list_first(&h->runs); r && !h->late; r = run_list_next(r)) {
		if (!r->limit_us)
			continue;
		if (r->limit_us <= now) {
			h->late = true;
			to_gate(h, FRAME_LATE, r->id, STR_NULL, STR_NULL, STR_NULL);
		} else if (!next || r->limit_us < next) {
			next = r->limit_us;
		}
	}
	if (h->late)
		h->conf.handler->stop(h->conf.arg, h, 0, "an invocation is over its time");
	else if (next)
		set_deadline(h, next);
}

/* ---- from the gate ---- */

/* When the run will be ended, by this machine's clock: exactly where the limit is known, else by what the clocks were
 * seen to differ. */
static uint64_t deadline(const struct holder *h, uint64_t gates_ms, uint64_t limit_ms)
{
	return limit_ms ? (uint64_t)clock_wall_ms() + limit_ms : gates_ms + (uint64_t)*h->conf.clock_off_ms;
}

static void invoke(struct holder *h, const struct frame *f)
{
	uint64_t limit_ms = 0, ms;
	struct str value;
	struct run *r;
	uint16_t key;

	h->invokes++;
	if (!h->lane)
		return; /* OVER has said so, by its number */
	if (find_run(h, f->id)) {
		log_warn("a gateway sent an INVOKE twice; ignored");
		return;
	}
	buf_clear(&h->meta);
	frame_meta_u64(f, FRAME_KEY_LIMIT_MS, &limit_ms);
	limit_ms = MIN(limit_ms, (uint64_t)UINT32_MAX);
	for (size_t at = 0; frame_meta_next(f, &at, &key, &value);) {
		if (key == FRAME_KEY_DEADLINE_MS && frame_meta_u64(f, key, &ms))
			frame_meta_add_u64(&h->meta, key, deadline(h, ms, limit_ms));
		else if (key < KEY_OF_NODES)
			frame_meta_add(&h->meta, key, value);
	}
	h->conf.handler->thaw(h->conf.arg, h);
	r = xnew(struct run);
	memcpy(r->id, f->id, sizeof(r->id));
	r->began_us = clock_mono_us();
	run_list_push(&h->runs, r);
	if (limit_ms) {
		r->limit_us = r->began_us + limit_ms * 1000;
		set_deadline(h, r->limit_us);
	}
	lane_send(h->lane, FRAME_INVOKE, f->id, buf_str(&h->meta), f->body);
}

static void carrier_frame(void *arg, const struct frame *f)
{
	struct holder *h = arg;

	switch (f->type) {
	case FRAME_INVOKE:
		invoke(h, f);
		break;
	case FRAME_CHUNK:
	case FRAME_END:
	case FRAME_WINDOW_MORE:
	case FRAME_CANCEL:
		/* Those of answered ones are late, which is nobody's fault. */
		if (h->lane && find_run(h, f->id))
			lane_send(h->lane, f->type, f->id, f->meta, f->body);
		break;
	default:
		log_debug("a gateway sent frame %u to a worker; ignored", (unsigned)f->type);
		break;
	}
}

static void carrier_room(void *arg)
{
	pause_lane(arg, false);
}

static void carrier_broken(void *arg, unsigned status)
{
	struct holder *h = arg;
	bool leaves = status == CARRIER_GIVEN_UP && !h->runs.n;

	h->carrier = carrier_free(h->carrier);
	pause_lane(h, false);
	if (!h->lane || h->exited)
		return;
	/* An idle one leaves by itself when its lane closes. */
	if (leaves)
		h->lane = lane_free(h->lane);
	h->conf.handler->stop(h->conf.arg, h, leaves ? CLOSE_MS : 0, "the gateway has given it up");
}

static const struct carrier_handler carrier_events = {
	.frame = carrier_frame,
	.room = carrier_room,
	.broken = carrier_broken,
};

/* ---- its life ---- */

struct holder *holder_new(const struct holder_conf *conf, int lane, int log_pipe)
{
	struct holder *h = xnew(struct holder);

	h->conf = *conf;
	h->carrier = carrier_new(conf->carriers, LANE_BODY_MAX, &carrier_events, h);
	h->deadline = timer_new(conf->loop, on_deadline, h);
	h->lane = lane_new(conf->loop, lane, log_pipe, &lane_events, h);
	return h;
}

struct holder *holder_free(struct holder *h)
{
	struct run *r;

	if (!h)
		return NULL;
	lane_free(h->lane);
	carrier_free(h->carrier);
	timer_free(h->deadline);
	while ((r = run_list_pop(&h->runs)))
		free(r);
	buf_done(&h->meta);
	buf_done(&h->field);
	free(h);
	return NULL;
}

void holder_attach(struct holder *h, struct h2_stream *s)
{
	if (h->carrier)
		carrier_respond(h->carrier, s, NULL, 0);
	else
		h2_reset(s, H2_CANCEL);
}

void holder_detach(struct holder *h)
{
	if (h->carrier)
		carrier_detach(h->carrier);
}

bool holder_attached(const struct holder *h)
{
	return h->carrier && carrier_attached(h->carrier);
}

void holder_close(struct holder *h)
{
	if (!h->lane)
		return;
	lane_drain_output(h->lane);
	if (h->lane)
		say_over(h, LANE_CLOSED);
}

void holder_exited(struct holder *h)
{
	h->exited = true;
	pause_lane(h, false);
}

bool holder_settled(const struct holder *h)
{
	return !h->lane && (!h->carrier || carrier_drained(h->carrier));
}

bool holder_is_busy(const struct holder *h)
{
	return h->runs.n > 0;
}

bool holder_is_idle(const struct holder *h)
{
	return h->concurrency && !h->runs.n && h->lane && h->carrier && !h->late;
}

unsigned holder_concurrency(const struct holder *h)
{
	return h->concurrency;
}

void holder_restart(struct holder *h)
{
	carrier_restart(h->carrier);
	h->invokes = 0;
	pause_lane(h, false);
}

struct carrier *holder_carrier(struct holder *h)
{
	return h->carrier;
}

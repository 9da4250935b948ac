/* Workers as the gate sees them. A worker is owned by the pool from START until both its lane has ended and the node
 * has reported its exit (or is gone itself); it is freed nowhere else. What a worker says comes in as lane events, in
 * the loop's turn, and is checked for its turn here; what it did to its invocations is decided here, why is told in
 * AWS's words. A worker can fail at any moment: at the start, while initialising, idle, or with invocations in hand. */
#include "gate/worker.h"

#include "base/id.h"
#include "base/mem.h"
#include "gate/crash.h"
#include "gate/flow.h"
#include "gate/fn.h"
#include "gate/front.h"
#include "gate/logs.h"
#include "gate/node.h"
#include "gate/queue.h"
#include "gate/reap.h"
#include "gate/stream.h"
#include "link/carrier.h"
#include "model/limits.h"
#include "sys/clock.h"
#include "sys/log.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_MAX_BYTES  (256 * 1024) /* a longer line is stored in pieces */
#define WORDS_MAX       2048         /* last words that are kept */
#define KEYS_MARGIN_MS  3600000      /* a worker is not given work with keys that end sooner */
#define KILL_WAIT_MS    5000
#define REMOTE_GRACE_US 2000000ull
#define STARTS_MAX      3 /* nodes that could not start a worker for an invocation, before it is told so */
#define TRIES_MAX       2 /* an invocation that two workers died without reading is answered with an error */

void worker_free(struct worker *w)
{
	node_leave(w);
	pool_remove(w);
	front_unlisten(w->door);
	front_unlisten(w->init_door);
	lane_free(w->lane);
	timer_free(w->deadline);
	arena_done(&w->arena);
	buf_done(&w->line);
	buf_done(&w->words);
	buf_done(&w->init_error);
	free(w->device_error);
	fn_unref(w->fn);
	free(w);
}

/* ---- output ---- */

static void keep_words(struct worker *w, struct str line)
{
	buf_add_str(&w->words, str_sub(line, line.n > WORDS_MAX ? line.n - WORDS_MAX : 0, WORDS_MAX));
	buf_addc(&w->words, '\n');
	if (w->words.n > 4 * WORDS_MAX)
		buf_consume(&w->words, w->words.n - WORDS_MAX);
}

/* A line of a worker that runs one invocation is that invocation's; of several, nobody can tell whose it is. */
static void log_line(struct worker *w, struct str line)
{
	keep_words(w, line);
	if (w->runs.n == 1)
		invocation_log(run_list_first(&w->runs), line);
	else
		logs_add(w->g->logs, w->fn->def.name, clock_wall_ms(), NULL, line);
}

static void output(void *arg, struct str bytes)
{
	struct worker *w = arg;
	struct str line;

	while (bytes.n) {
		bool whole = str_cut(bytes, '\n', &line, &bytes);

		if (whole && w->line.n == 0) {
			log_line(w, line);
			continue;
		}
		while (line.n) {
			size_t room = LINE_MAX_BYTES - w->line.n, n = MIN(room, line.n);

			buf_add(&w->line, line.p, n);
			line = str_sub(line, n, line.n);
			if (w->line.n == LINE_MAX_BYTES) {
				log_line(w, buf_str(&w->line));
				buf_clear(&w->line);
			}
		}
		if (whole) {
			log_line(w, buf_str(&w->line));
			buf_clear(&w->line);
		}
	}
}

static void flush_line(struct worker *w)
{
	if (w->line.n)
		log_line(w, buf_str(&w->line));
	buf_done(&w->line);
}

/* ---- invocations in hand ---- */

struct invocation *worker_invocation(const struct worker *w, const uint8_t id[static 16])
{
	struct invocation *inv = run_list_first(&w->runs);

	while (inv && memcmp(inv->r->id, id, 16) != 0)
		inv = run_list_next(inv);
	return inv;
}

static void update_room(struct worker *w)
{
	bool room = w->state == WORKER_BUSY && w->runs.n < w->concurrency && !w->retiring && !w->away;

	if (room == roomy_list_linked(w))
		return;
	if (room)
		roomy_list_push(&w->fn->roomy, w);
	else
		roomy_list_remove(&w->fn->roomy, w);
}

void worker_run(struct worker *w, struct invocation *inv)
{
	assert((w->state == WORKER_IDLE || w->state == WORKER_BUSY) && w->runs.n < w->concurrency);
	pool_thaw(w);
	run_list_push(&w->runs, inv);
	pool_run_began(w->fn);
	inv->worker = w;
	inv->state = INVOCATION_PLACED;
	inv->cold = !w->used;
	inv->placed_us = clock_mono_us();
	if (inv->cold && w->asked_us >= inv->queued_us) {
		uint64_t boxed_us = w->boxed_us ? w->boxed_us : w->started_us;

		inv->box_us = w->box_us;
		inv->usage.start_us = boxed_us - w->asked_us - MIN(w->box_us, boxed_us - w->asked_us);
		inv->usage.init_us = w->ready_us - boxed_us;
	}
	if (w->state == WORKER_IDLE)
		worker_set_state(w, WORKER_BUSY, "given an invocation");
	update_room(w);
}

/* A deadline that rings too early looks again, one that rings for nobody does nothing: so a warm worker's timer is not
 * touched by most of its runs. */
static void set_deadline(struct worker *w, uint64_t at_us)
{
	uint64_t now = clock_mono_us();

	if (w->deadline_us && w->deadline_us <= at_us)
		return;
	w->deadline_us = at_us;
	timer_set(w->deadline, at_us > now ? (at_us - now + 999) / 1000 : 1);
}

/* A remote node ends a run that takes too long by its own clock. The gate waits a little longer for its word, and
 * answers without it when the node is away. */
static uint64_t deadline_of(const struct invocation *inv)
{
	bool remote = inv->worker->node && inv->worker->node->link;

	return inv->run_began_us + inv->fn->def.timeout_s * 1000000ull + (remote ? REMOTE_GRACE_US : 0);
}

void worker_run_begins(struct worker *w, struct invocation *inv)
{
	inv->state = INVOCATION_RUNNING;
	inv->run_began_us = clock_mono_us();
	set_deadline(w, deadline_of(inv));
}

/* Takes the invocation from the worker, whatever became of it. */
static void take(struct worker *w, struct invocation *inv)
{
	run_list_remove(&w->runs, inv);
	pool_run_ended(w->fn);
	if (w->late == inv)
		w->late = NULL;
	w->used = true;
	update_room(w);
}

void worker_forget(struct worker *w, struct invocation *inv)
{
	take(w, inv);
	inv->worker = NULL;
}

static void average(uint64_t *avg, uint64_t sample)
{
	*avg = *avg ? (*avg * 7 + sample) / 8 : MAX(sample, (uint64_t)1);
}

/* As take, when it ran. For placing, a worker was taken until now: on a far node by the way there and back, too. */
static void release(struct worker *w, struct invocation *inv)
{
	uint64_t now = clock_mono_us();

	flush_line(w);
	if (!inv->run_ended_us)
		inv->run_ended_us = now;
	inv->usage.max_memory_mb = (w->max_rss_kib + 1023) / 1024;
	average(&w->fn->run_us, now - inv->run_began_us);
	take(w, inv);
}

/* Of its function, its keys: no more work, but what it has in hand it may finish. */
void worker_retire(struct worker *w, const char *reason)
{
	if (w->state == WORKER_IDLE) {
		worker_end(w, reason);
		return;
	}
	w->retiring = true;
	update_room(w);
}

/* An invocation has been answered: what is next for its worker? */
static void next_run(struct worker *w)
{
	if (w->state != WORKER_BUSY)
		return;
	if (w->runs.n == 0)
		worker_set_state(w, WORKER_IDLE, "answered");
	if (w->retiring || w->fn->stale || w->g->draining)
		worker_retire(w, "the function was changed");
	else if (w->keys_expire_ms - clock_wall_ms() < KEYS_MARGIN_MS)
		worker_retire(w, "its keys grow old");
	queue_pump(w->fn);
}

struct meta {
	struct str error_type, imports;
	uint64_t max_rss_kib, run_us;
};

/* What a remote node measured, which cannot be longer than it took from here. */
static void run_took(const struct worker *w, struct invocation *inv, uint64_t us)
{
	if (w->node && w->node->link && us)
		inv->run_ended_us = MIN(inv->run_began_us + us, clock_mono_us());
}

static void answered(struct worker *w, const struct frame *f, struct invocation *inv, const struct meta *m)
{
	char type[96];

	run_took(w, inv, m->run_us);
	release(w, inv);
	if (f->body.n > LIMIT_PAYLOAD_SYNC) {
		invocation_error(inv, USAGE_FUNCTION_ERROR, "Function.ResponseSizeTooLarge",
				 "Response payload size exceeded maximum allowed payload size (%llu bytes).",
				 LIMIT_PAYLOAD_SYNC);
	} else if (f->type == FRAME_ERROR) {
		snprintf(type, sizeof(type), "%.*s", STR_ARG(m->error_type));
		invocation_over(inv, USAGE_FUNCTION_ERROR, type, f->body);
	} else {
		invocation_over(inv, USAGE_OK, NULL, f->body);
	}
	next_run(w);
	req_continue(inv->r);
}

/* ---- its end ---- */

static const char *signal_text(int signo, char out[static 32])
{
	const char *d = sigdescr_np(signo);

	snprintf(out, 32, "%s", d ? d : "unknown signal");
	for (char *c = out; *c; c++)
		*c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
	return out;
}

struct end {
	enum usage_status status;
	const char *type;
	struct buf text;
};

/* Why a worker is gone that should not be. */
static void describe_end(const struct worker *w, bool starting, struct end *ret)
{
	char text[32];

	*ret = (struct end){.status = starting ? USAGE_INIT_ERROR : USAGE_EXITED, .type = "Runtime.ExitError"};
	if (w->node_gone) {
		ret->status = USAGE_KILLED;
		ret->type = "Runtime.NodeGone";
		buf_adds(&ret->text, "The node that ran the function is gone");
	} else if (w->out_of_memory) {
		ret->status = USAGE_OUT_OF_MEMORY;
		ret->type = "Runtime.OutOfMemory";
		buf_printf(&ret->text, "Runtime exited with error: signal: killed (it used more than its %u MB)",
			   w->fn->def.memory_mb);
	} else if (w->device_type) {
		ret->status = strcmp(w->device_type, "OutOfDeviceMemory") == 0 ? USAGE_OUT_OF_MEMORY : USAGE_KILLED;
		ret->type = w->device_type;
		buf_printf(&ret->text, "The worker was ended: %s", w->device_error);
	} else if (w->late) {
		ret->status = USAGE_KILLED;
		ret->type = "Runtime.Killed";
		buf_adds(&ret->text, "The worker was ended because another invocation that it had in hand timed out");
	} else if (w->exit_signal) {
		buf_printf(&ret->text, "Runtime exited with error: signal: %s", signal_text(w->exit_signal, text));
	} else if (w->exit_status) {
		buf_printf(&ret->text, "Runtime exited with error: exit status %d", w->exit_status);
	} else {
		buf_adds(&ret->text, "Runtime exited without providing a reason");
	}
}

static struct str last_words(const struct worker *w)
{
	struct str s = buf_str(&w->words);

	return str_sub(s, s.n > WORDS_MAX ? s.n - WORDS_MAX : 0, WORDS_MAX);
}

/* Its node's fault, not the function's: those it was started for stay in the queue, which finds them another place.
 * False: one has seen that too often. Of workers that were started side by side each is for another of them. */
static bool start_elsewhere(struct worker *w)
{
	struct invocation *inv = invocation_list_first(&w->fn->queue);

	for (unsigned n = w->concurrency; inv && n > 0; inv = invocation_list_next(inv)) {
		if (inv->failed_start_us > w->asked_us)
			continue;
		if (inv->failed_starts + 1 >= STARTS_MAX)
			return false;
		inv->failed_starts++;
		inv->failed_start_us = clock_mono_us();
		n--;
	}
	return true;
}

/* A worker that never became ready answers for those it was started for, and the function for what it is: one that
 * cannot start is backed off (crash.c). */
static void fail_start(struct worker *w)
{
	struct fn *fn = w->fn;
	struct invocation *inv;
	struct end end = {0};

	if (w->node_at_fault && start_elsewhere(w))
		return;
	if (!w->init_error.n || w->out_of_memory || w->device_type)
		describe_end(w, true, &end);
	if (end.text.n)
		crash_failed(fn, w->asked_us, str_from(end.type), buf_str(&end.text), last_words(w));
	else
		crash_failed_doc(fn, w->asked_us, str_from(w->init_error_type), buf_str(&w->init_error), last_words(w));
	for (unsigned n = w->concurrency; n > 0 && (inv = invocation_list_first(&fn->queue)); n--) {
		queue_remove(inv);
		inv->usage.init_us = w->started_us ? clock_mono_us() - w->started_us : 0;
		inv->words = arena_str(&inv->r->arena, last_words(w));
		if (end.text.n)
			invocation_error(inv, end.status, end.type, "%s", end.text.p);
		else
			invocation_over(inv, USAGE_INIT_ERROR, w->init_error_type, buf_str(&w->init_error));
		req_continue(inv->r);
	}
	buf_done(&end.text);
}

static void fail_run(struct worker *w, struct invocation *inv)
{
	bool late = w->late == inv;
	struct end end;

	if (!late && w->lane && lane_unread(w->lane, inv->r->id) && inv->tries + 1 < TRIES_MAX) {
		take(w, inv);
		queue_put_back(inv);
		req_continue(inv->r);
		return;
	}
	describe_end(w, false, &end);
	release(w, inv);
	inv->words = arena_str(&inv->r->arena, last_words(w));
	if (late) {
		invocation_logf(inv, "%s Task timed out after %u.00 seconds", inv->r->id_text, w->fn->def.timeout_s);
		invocation_error(inv, USAGE_TIMEOUT, "Sandbox.Timedout", "Task timed out after %u.00 seconds",
				 w->fn->def.timeout_s);
	} else {
		if (w->out_of_memory)
			inv->usage.max_memory_mb = MAX(inv->usage.max_memory_mb, w->fn->def.memory_mb);
		invocation_error(inv, end.status, end.type, "%s", end.text.p);
	}
	buf_done(&end.text);
	req_continue(inv->r);
}

/* Both the lane's end and the exit are known: what it had in hand is answered, and it is gone. */
static void bury(struct worker *w)
{
	struct invocation *late = w->late, *inv;
	struct gate *g = w->g;
	struct fn *fn;

	if (!w->lane_over || !w->exited)
		return;
	fn = fn_ref(w->fn);
	flush_line(w);
	/* The one it was killed for last: the others are told that there was one. */
	while ((inv = run_list_first(&w->runs)) && (inv != late || (inv = run_list_next(inv))))
		fail_run(w, inv);
	if (late)
		fail_run(w, late);
	if (!w->ready_us && !w->node_gone)
		fail_start(w);
	worker_free(w);
	if (!fn->stale)
		queue_pump(fn);
	fn_unref(fn);
	queue_room(g);
}

/* ---- events of the lane ---- */

static void ready(struct worker *w, const struct frame *f)
{
	uint64_t at_once = 1;

	w->ready_us = clock_mono_us();
	frame_meta_u64(f, FRAME_KEY_CONCURRENCY, &at_once);
	w->concurrency = (unsigned)MIN(MAX(at_once, (uint64_t)1), (uint64_t)w->fn->opt.concurrency);
	w->fn->concurrency = w->concurrency;
	average(&w->fn->start_us, w->ready_us - w->asked_us);
	timer_stop(w->deadline);
	w->deadline_us = 0;
	flush_line(w);
	crash_over(w->fn);
	node_worked(w);
	worker_set_state(w, WORKER_IDLE, "initialised");
	if (w->fn->stale) {
		worker_end(w, "the function was changed");
	} else {
		if (w->node && !node_may_run(w->node, w->fn))
			worker_end(w, "its node is drained, or has lost a label");
		queue_pump(w->fn);
	}
	queue_room(w->g);
}

static void init_failed(struct worker *w, const struct frame *f, struct str type)
{
	snprintf(w->init_error_type, sizeof(w->init_error_type), "%.*s", STR_ARG(type));
	buf_clear(&w->init_error);
	buf_add_str(&w->init_error, f->body);
}

static void read_meta(const struct frame *f, struct meta *ret)
{
	struct str value;
	uint16_t key;

	*ret = (struct meta){0};
	for (size_t at = 0; frame_meta_next(f, &at, &key, &value);) {
		if (key == FRAME_KEY_ERROR_TYPE)
			ret->error_type = value;
		else if (key == FRAME_KEY_IMPORTS)
			ret->imports = value;
		else if (key == FRAME_KEY_MAX_RSS_KIB)
			frame_meta_u64(f, key, &ret->max_rss_kib);
		else if (key == FRAME_KEY_RUN_US)
			frame_meta_u64(f, key, &ret->run_us);
	}
}

static void out_of_turn(struct worker *w, const struct frame *f)
{
	if (w->state == WORKER_ENDING)
		return;
	log_warn("worker %s of %.*s sent frame %u while %s, where it may not; it is ended", w->id_text,
		 STR_ARG(w->fn->def.name), f->type, worker_state_name(w->state));
	worker_end(w, "spoke out of turn");
}

/* Of an invocation in hand. One that is over its time is answered when its worker is gone. */
static void run_frame(struct worker *w, const struct frame *f, struct invocation *inv, const struct meta *m)
{
	if (inv == w->late)
		return;
	switch (f->type) {
	case FRAME_RESULT:
	case FRAME_ERROR:
		answered(w, f, inv, m);
		break;
	case FRAME_HEAD:
	case FRAME_CHUNK:
	case FRAME_END:
	case FRAME_WINDOW_MORE:
		if (!stream_frame(inv, f))
			out_of_turn(w, f);
		break;
	default:
		out_of_turn(w, f);
		break;
	}
}

/* Word of a remote worker's exit may overtake what it said before on its lane. */
static struct invocation *in_hand(const struct worker *w, const uint8_t id[static 16])
{
	return w->state == WORKER_BUSY || w->exited ? worker_invocation(w, id) : NULL;
}

static void lane_frame(void *arg, const struct frame *f)
{
	static const uint8_t none[16];
	struct worker *w = arg;
	struct invocation *inv = in_hand(w, f->id);
	struct meta m;

	read_meta(f, &m);
	if (m.max_rss_kib) {
		w->max_rss_kib = (uint32_t)MIN(m.max_rss_kib, (uint64_t)UINT32_MAX);
		if (w->max_rss_kib != w->fn->memory_kib)
			pool_measured(w, w->max_rss_kib);
	}
	if (m.imports.n)
		nodes_learnt(w, m.imports);
	if (inv)
		run_frame(w, f, inv, &m);
	else if (f->type == FRAME_READY && w->state == WORKER_INIT)
		ready(w, f);
	else if (f->type == FRAME_ERROR && memcmp(f->id, none, 16) == 0 && !w->ready_us)
		init_failed(w, f, m.error_type);
	else
		out_of_turn(w, f);
}

static void lane_boxed(void *arg, int listen_fd, uint64_t box_us)
{
	struct worker *w = arg;

	w->boxed_us = clock_mono_us();
	w->box_us = box_us;
	if (listen_fd >= 0)
		w->door = front_listen(w->g, listen_fd);
}

static void lane_ended(void *arg, enum lane_end how)
{
	struct worker *w = arg;

	w->lane_over = true;
	w->lane_end = how;
	if (w->state != WORKER_ENDING)
		worker_set_state(w, WORKER_ENDING, "its lane has ended");
	nodes_stop_worker(w, how == LANE_BROKEN ? "broken lane" : "lane ended", how == LANE_BROKEN ? 0 : 2000);
	bury(w);
}

static void run_is_late(struct worker *w, struct invocation *inv)
{
	w->late = inv;
	worker_retire(w, "an invocation timed out");
	inv->run_ended_us = clock_mono_us();
	w->deadline_us = 0;
	set_deadline(w, inv->run_ended_us + KILL_WAIT_MS * 1000);
}

/* A remote node ends it. */
static void lane_late(void *arg, const uint8_t id[static 16])
{
	struct worker *w = arg;
	struct invocation *inv = in_hand(w, id);

	if (inv && !w->late)
		run_is_late(w, inv);
}

static const struct lane_handler lane_events = {
	.frame = lane_frame,
	.boxed = lane_boxed,
	.output = output,
	.late = lane_late,
	.ended = lane_ended,
};

/* ---- deadlines ---- */

/* It was to be killed and still is there: the node is not waited for any longer. */
static void cut(struct worker *w)
{
	log_warn("worker %s of %.*s was to be killed %d ms ago and is still there; it is given up", w->id_text,
		 STR_ARG(w->fn->def.name), KILL_WAIT_MS);
	if (w->lane) {
		lane_drain_output(w->lane);
		w->lane = lane_free(w->lane);
	}
	w->lane_over = w->exited = true;
	if (w->state != WORKER_ENDING)
		worker_set_state(w, WORKER_ENDING, "given up");
	bury(w);
}

static void init_too_long(struct worker *w)
{
	if (w->overdue) {
		cut(w);
		return;
	}
	w->overdue = true;
	if (!w->init_error.n) { /* else it has said itself what it waits for */
		buf_printf(&w->init_error,
			   "{\"errorType\":\"Sandbox.Timedout\",\"errorMessage\":\"Initialisation did not end within "
			   "%g seconds\"}",
			   (double)w->g->conf.s.init_limit_ms / 1000);
		snprintf(w->init_error_type, sizeof(w->init_error_type), "Sandbox.Timedout");
	}
	set_deadline(w, clock_mono_us() + KILL_WAIT_MS * 1000);
	nodes_stop_worker(w, "initialisation took too long", 0);
}

/* First the worker is killed; its invocations are answered when its lane has ended, so that all it printed is in the
 * log. Should the node not manage that, the second call gives it up. */
static void deadline(void *arg)
{
	struct worker *w = arg;
	struct invocation *inv = run_list_first(&w->runs);

	w->deadline_us = 0;
	if (w->state == WORKER_INIT && w->ready_us) {
		worker_end(w, "it was not woken in time");
		return;
	}
	if (!w->ready_us) {
		init_too_long(w);
		return;
	}
	if (w->late) {
		cut(w);
		return;
	}
	if (!inv || inv->state != INVOCATION_RUNNING)
		return;
	if (clock_mono_us() < deadline_of(inv)) {
		set_deadline(w, deadline_of(inv));
		return;
	}
	run_is_late(w, inv);
	nodes_stop_worker(w, "timeout", 0);
	if (w->away) /* nobody there could say that it is gone; it is told when it is back */
		cut(w);
}

/* ---- what others ask of it ---- */

static struct worker *worker_new(struct fn *fn, bool provisioned)
{
	struct worker *w = xnew(struct worker);
	struct gate *g = fn->g;

	w->g = g;
	w->fn = fn_ref(fn);
	w->provisioned = provisioned;
	w->concurrency = fn->concurrency;
	w->asked_us = clock_mono_us();
	w->deadline = timer_new(g->loop, deadline, w);
	return w;
}

bool worker_start(struct fn *fn, bool provisioned)
{
	struct worker *w = worker_new(fn, provisioned);
	struct gate *g = fn->g;

	random_bytes(w->id, sizeof(w->id));
	uuid_make_v4(w->id);
	uuid_format(w->id, w->id_text);
	pool_add(w);
	set_deadline(w, w->asked_us + g->conf.s.init_limit_ms * 1000);
	reap_kick(g);
	if (nodes_start_worker(g, w))
		return true;
	worker_free(w);
	return false;
}

bool worker_adopt(struct fn *fn, struct node *n, const struct worker_past *past, struct carrier *lane)
{
	struct worker *w = worker_new(fn, past->provisioned);

	memcpy(w->id, past->id, sizeof(w->id));
	uuid_format(w->id, w->id_text);
	w->keys_expire_ms = past->keys_expire_ms;
	w->concurrency = MIN(MAX(past->concurrency, 1u), fn->opt.concurrency);
	w->started_us = w->boxed_us = w->ready_us = w->asked_us;
	w->used = true;
	pool_add(w);
	if (!node_pick_past(w, n, past->slices)) {
		carrier_free(lane);
		worker_free(w);
		return false;
	}
	w->lane = lane_new_remote(lane, &lane_events, w);
	worker_set_state(w, WORKER_IDLE, "it was there before this gate");
	reap_kick(fn->g);
	return true;
}

void worker_end(struct worker *w, const char *reason)
{
	bool idle = w->state == WORKER_IDLE;

	if (w->state == WORKER_ENDING)
		return;
	pool_thaw(w); /* what is frozen cannot go */
	worker_set_state(w, WORKER_ENDING, reason);
	/* An idle worker leaves by itself when its lane closes; the node sees to it that it does. */
	if (idle && w->lane) {
		w->lane = lane_free(w->lane);
		w->lane_over = true;
	}
	nodes_stop_worker(w, reason, idle ? 2000 : 0);
}

void worker_park(struct worker *w)
{
	pool_thaw(w);
	worker_set_state(w, WORKER_PARKED, "its slice is needed");
	nodes_park(w, true);
}

/* It is on its way until the node says that its memory is back. */
bool worker_wake(struct worker *w)
{
	if (w->holds || w->away || !w->node || !node_hold_again(w))
		return false;
	w->asked_us = clock_mono_us();
	worker_set_state(w, WORKER_INIT, "it is needed");
	w->deadline_us = 0;
	set_deadline(w, w->asked_us + w->g->conf.s.init_limit_ms * 1000);
	nodes_park(w, false);
	return true;
}

/* ---- reports of the node ---- */

void worker_parked(struct worker *w, bool on, const char *error)
{
	if (error && w->state != WORKER_ENDING) {
		log_info("worker %s of %.*s cannot be %s (%s); it is ended", w->id_text, STR_ARG(w->fn->def.name),
			 on ? "parked" : "woken", error);
		worker_end(w, "cannot be parked");
		return;
	}
	if (on && w->state == WORKER_PARKED) {
		node_lend(w);
		w->idle_since_ms = clock_wall_ms();
		queue_room(w->g);
	} else if (!on && w->state == WORKER_INIT) {
		timer_stop(w->deadline);
		w->deadline_us = 0;
		worker_set_state(w, WORKER_IDLE, "woken");
		queue_pump(w->fn);
		queue_room(w->g);
	}
}

static void process_runs(struct worker *w)
{
	w->started_us = clock_mono_us();
	if (!w->overdue) { /* what went before was not its own doing */
		w->deadline_us = 0;
		set_deadline(w, w->started_us + w->g->conf.s.init_limit_ms * 1000);
	}
}

void worker_started(struct worker *w, int lane_fd, int log_fd)
{
	if (w->state != WORKER_WAITING) {
		close(lane_fd);
		close(log_fd);
		return;
	}
	process_runs(w);
	w->local = true;
	w->lane = lane_new(w->g->loop, lane_fd, log_fd, &lane_events, w);
	worker_set_state(w, WORKER_INIT, "its process runs");
}

void worker_started_remote(struct worker *w, struct carrier *lane)
{
	if (w->state != WORKER_WAITING) {
		carrier_free(lane);
		return;
	}
	process_runs(w);
	w->lane = lane_new_remote(lane, &lane_events, w);
	worker_set_state(w, WORKER_INIT, "its process runs");
}

/* What it has in hand stays in hand: the node keeps it, and the answer, until it is back or the run's time is over. */
void worker_away(struct worker *w, bool away)
{
	if (w->away == away || w->state == WORKER_ENDING)
		return;
	w->away = away;
	if (w->state == WORKER_BUSY) {
		update_room(w);
		return;
	}
	if (away) {
		pool_away(w);
		return;
	}
	worker_set_state(w, w->before, "its node is back");
	if ((w->state == WORKER_IDLE || w->state == WORKER_PARKED) && (w->retiring || w->fn->stale))
		worker_end(w, "the function was changed");
}

void worker_node_gone(struct worker *w)
{
	w->node_gone = true;
	if (w->lane && !w->lane_over && !w->local) {
		w->lane = lane_free(w->lane);
		w->lane_over = true;
	}
	if (!w->exited)
		worker_exited(w, 0, SIGKILL, false);
}

void worker_door(struct worker *w, int fd)
{
	front_unlisten(w->init_door);
	w->init_door = front_listen(w->g, fd);
}

void worker_failed(struct worker *w, struct str type, struct str error, struct str words)
{
	output(w, words);
	flush_line(w);
	buf_clear(&w->init_error);
	buf_adds(&w->init_error, "{\"errorType\":");
	json_write_string(&w->init_error, type);
	buf_adds(&w->init_error, ",\"errorMessage\":");
	json_write_string(&w->init_error, error);
	buf_addc(&w->init_error, '}');
	snprintf(w->init_error_type, sizeof(w->init_error_type), "%.*s", STR_ARG(type));
	logs_add(w->g->logs, w->fn->def.name, clock_wall_ms(), NULL, error);
	if (w->state != WORKER_ENDING)
		worker_set_state(w, WORKER_ENDING, "the node could not start it");
	w->lane_over = w->exited = true;
	bury(w);
}

void worker_lost_slice(struct worker *w, struct str type, struct str error)
{
	static const char *const types[] = {"OutOfDeviceMemory", "Device.MpsGone", "Device.Gone"};
	size_t i = 0;

	while (i < ARRAY_SIZE(types) - 1 && !str_eqz(type, types[i]))
		i++;
	w->device_type = types[i];
	free(w->device_error);
	w->device_error = str_dup(error);
}

void worker_exited(struct worker *w, int status, int signo, bool oom)
{
	w->exited = true;
	w->exit_status = status;
	w->exit_signal = signo;
	w->out_of_memory = oom;
	if (!w->lane)
		w->lane_over = true;
	if (w->state != WORKER_ENDING)
		worker_set_state(w, WORKER_ENDING, "its process has exited");
	bury(w);
}

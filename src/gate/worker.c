/* Workers as the gate sees them, and the pool of all of them. A worker is owned by the pool from START until both its
 * lane has ended and the node has reported its exit (or is gone itself); it is freed nowhere else. What a worker says
 * comes in as lane events, in the loop's turn; what it did to its invocation is decided here, why is told in AWS's
 * words. A worker can fail at any moment: at the start, while initialising, idle, or with an invocation in hand. */
#include "gate/worker.h"

#include "base/id.h"
#include "base/map.h"
#include "base/mem.h"
#include "gate/fn.h"
#include "gate/flow.h"
#include "gate/logs.h"
#include "gate/nodes.h"
#include "gate/queue.h"
#include "model/limits.h"
#include "sys/clock.h"
#include "sys/log.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define INIT_LIMIT_MS  600000       /* a worker that still initialises is not killed for slowness before that */
#define LINE_MAX_BYTES (256 * 1024) /* a longer line is stored in pieces */
#define KEYS_MARGIN_MS 3600000      /* a worker is not given work with keys that end sooner */
#define KILL_WAIT_MS   5000
#define TRIES_MAX      2 /* an invocation that two workers died without reading is answered with an error */

struct pool {
	struct map by_id;
	struct idle_list idle;
	uint64_t memory_mb;
	unsigned active, starting;
};

static const char *const state_names[WORKER_STATES] = {
	[WORKER_WAITING] = "waiting", [WORKER_INIT] = "init",     [WORKER_IDLE] = "idle",
	[WORKER_BUSY] = "busy",       [WORKER_ENDING] = "ending",
};

static bool is_active(enum worker_state s)
{
	return s == WORKER_WAITING || s == WORKER_INIT || s == WORKER_BUSY;
}

static bool is_starting(enum worker_state s)
{
	return s == WORKER_WAITING || s == WORKER_INIT;
}

static void enter(struct worker *w, enum worker_state s)
{
	struct pool *p = w->g->pool;

	w->state = s;
	worker_list_push(&w->fn->workers[s], w);
	p->active += is_active(s);
	p->starting += is_starting(s);
	p->memory_mb += s == WORKER_ENDING ? 0 : w->fn->def.memory_mb;
	if (s == WORKER_IDLE) {
		w->idle_since_ms = clock_wall_ms();
		idle_list_push(&p->idle, w);
	}
}

static void leave(struct worker *w)
{
	struct pool *p = w->g->pool;

	worker_list_remove(&w->fn->workers[w->state], w);
	p->active -= is_active(w->state);
	p->starting -= is_starting(w->state);
	p->memory_mb -= w->state == WORKER_ENDING ? 0 : w->fn->def.memory_mb;
	if (w->state == WORKER_IDLE)
		idle_list_remove(&p->idle, w);
}

static void worker_set_state(struct worker *w, enum worker_state s, const char *why)
{
	log_debug("worker %s of %.*s: %s -> %s: %s", w->id_text, STR_ARG(w->fn->def.name), state_names[w->state],
		  state_names[s], why);
	leave(w);
	enter(w, s);
}

/* ---- the pool ---- */

struct pool *pool_new(struct gate *g)
{
	return xnew(struct pool);
}

static void worker_free(struct worker *w)
{
	struct pool *p = w->g->pool;

	leave(w);
	map_del(&p->by_id, str_n(w->id, sizeof(w->id)));
	lane_free(w->lane);
	timer_free(w->deadline);
	buf_done(&w->line);
	buf_done(&w->init_error);
	fn_unref(w->fn);
	free(w);
}

struct pool *pool_free(struct pool *p)
{
	struct str id;
	void *w;

	if (!p)
		return NULL;
	for (size_t i = 0; map_next(&p->by_id, &i, &id, &w); i = 0)
		worker_free(w);
	map_done(&p->by_id);
	free(p);
	return NULL;
}

size_t pool_workers(const struct gate *g)
{
	return g->pool->by_id.n;
}

uint64_t pool_memory_mb(const struct gate *g)
{
	return g->pool->memory_mb;
}

unsigned pool_active(const struct gate *g)
{
	return g->pool->active;
}

unsigned pool_starting(const struct gate *g)
{
	return g->pool->starting;
}

struct worker *pool_find(struct gate *g, const uint8_t id[static 16])
{
	return map_get(&g->pool->by_id, str_n(id, 16));
}

bool pool_evict_idle(struct gate *g, const struct fn *but)
{
	struct worker *w = idle_list_first(&g->pool->idle);

	while (w && w->fn == but)
		w = idle_list_next(w);
	if (!w)
		return false;
	worker_end(w, "its memory is needed");
	return true;
}

void pool_end_idle_before(struct gate *g, int64_t since_ms)
{
	struct worker *w;

	while ((w = idle_list_first(&g->pool->idle)) && w->idle_since_ms <= since_ms)
		worker_end(w, "idle");
}

/* ---- output ---- */

static void log_line(struct worker *w, struct str line)
{
	if (w->inv)
		invocation_log(w->inv, line);
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

/* ---- what becomes of its invocation ---- */

static void usage_of_run(struct worker *w, struct invocation *inv)
{
	if (!inv->run_ended_us)
		inv->run_ended_us = clock_mono_us();
	inv->usage.max_memory_mb = (w->max_rss_kib + 1023) / 1024;
}

static void average(uint64_t *avg, uint64_t sample)
{
	*avg = *avg ? (*avg * 7 + sample) / 8 : MAX(sample, (uint64_t)1);
}

/* Takes the invocation from the worker, which is finished with it one way or the other. */
static struct invocation *release(struct worker *w)
{
	struct invocation *inv = w->inv;

	flush_line(w);
	timer_stop(w->deadline);
	usage_of_run(w, inv);
	average(&w->fn->run_us, inv->run_ended_us - inv->run_began_us);
	w->inv = NULL;
	w->used = true;
	return inv;
}

static void answered(struct worker *w, const struct frame *f)
{
	struct invocation *inv;
	struct str type = STR_NULL;
	char type_text[96];

	if (!w->inv || memcmp(f->id, w->inv->r->id, 16) != 0) {
		log_warn("worker %s answered an invocation it does not have; it is ended", w->id_text);
		worker_end(w, "answered twice");
		return;
	}
	inv = release(w);
	if (f->body.n > LIMIT_PAYLOAD_SYNC) {
		invocation_error(inv, USAGE_FUNCTION_ERROR, "Function.ResponseSizeTooLarge",
				 "Response payload size exceeded maximum allowed payload size (%llu bytes).",
				 LIMIT_PAYLOAD_SYNC);
	} else if (f->type == FRAME_ERROR) {
		frame_meta_get(f, FRAME_KEY_ERROR_TYPE, &type);
		snprintf(type_text, sizeof(type_text), "%.*s", STR_ARG(type));
		invocation_over(inv, USAGE_FUNCTION_ERROR, type_text, f->body);
	} else {
		invocation_over(inv, USAGE_OK, NULL, f->body);
	}
	worker_set_state(w, WORKER_IDLE, "answered");
	if (w->fn->stale || w->g->draining)
		worker_end(w, "the function was changed");
	else if (w->keys_expire_ms - clock_wall_ms() < KEYS_MARGIN_MS)
		worker_end(w, "its keys grow old");
	else
		queue_pump(w->fn);
	req_continue(inv->r);
}

static const char *signal_text(int signo, char out[static 32])
{
	const char *d = sigdescr_np(signo);

	snprintf(out, 32, "%s", d ? d : "unknown signal");
	for (char *c = out; *c; c++)
		*c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
	return out;
}

static void exit_error(struct worker *w, struct invocation *inv, enum usage_status while_init)
{
	char text[32];
	bool init = while_init == USAGE_INIT_ERROR;

	if (w->node_gone)
		invocation_error(inv, USAGE_KILLED, "Runtime.NodeGone", "The node that ran the function is gone");
	else if (w->out_of_memory)
		invocation_error(inv, USAGE_OUT_OF_MEMORY, "Runtime.OutOfMemory",
				 "Runtime exited with error: signal: killed (it used more than its %u MB)",
				 w->fn->def.memory_mb);
	else if (w->exit_signal)
		invocation_error(inv, init ? USAGE_INIT_ERROR : USAGE_EXITED, "Runtime.ExitError",
				 "Runtime exited with error: signal: %s", signal_text(w->exit_signal, text));
	else if (w->exit_status)
		invocation_error(inv, init ? USAGE_INIT_ERROR : USAGE_EXITED, "Runtime.ExitError",
				 "Runtime exited with error: exit status %d", w->exit_status);
	else
		invocation_error(inv, init ? USAGE_INIT_ERROR : USAGE_EXITED, "Runtime.ExitError",
				 "Runtime exited without providing a reason");
}

/* A worker that never became ready answers for one of those it was started for. */
static void fail_start(struct worker *w)
{
	struct invocation *inv = invocation_list_first(&w->fn->queue);

	if (!inv)
		return;
	queue_remove(inv);
	inv->usage.init_us = w->started_us ? clock_mono_us() - w->started_us : 0;
	if (w->init_error.n)
		invocation_over(inv, USAGE_INIT_ERROR, w->init_error_type, buf_str(&w->init_error));
	else
		exit_error(w, inv, USAGE_INIT_ERROR);
	req_continue(inv->r);
}

static void fail_run(struct worker *w)
{
	struct invocation *inv;

	if (w->lane_end == LANE_UNREAD && !w->timed_out && w->inv->tries + 1 < TRIES_MAX) {
		inv = w->inv;
		timer_stop(w->deadline);
		w->inv = NULL;
		queue_put_back(inv);
		req_continue(inv->r);
		return;
	}
	inv = release(w);
	if (w->timed_out) {
		invocation_logf(inv, "%s Task timed out after %u.00 seconds", inv->r->id_text, w->fn->def.timeout_s);
		invocation_error(inv, USAGE_TIMEOUT, "Sandbox.Timedout", "Task timed out after %u.00 seconds",
				 w->fn->def.timeout_s);
		req_continue(inv->r);
		return;
	}
	if (w->out_of_memory)
		inv->usage.max_memory_mb = MAX(inv->usage.max_memory_mb, w->fn->def.memory_mb);
	exit_error(w, inv, USAGE_EXITED);
	req_continue(inv->r);
}

/* Both the lane's end and the exit are known: what it had in hand is answered, and it is gone. */
static void bury(struct worker *w)
{
	struct gate *g = w->g;
	struct fn *fn;

	if (!w->lane_over || !w->exited)
		return;
	fn = fn_ref(w->fn);
	flush_line(w);
	if (w->inv)
		fail_run(w);
	else if (!w->ready_us && !w->node_gone)
		fail_start(w);
	worker_free(w);
	if (!fn->stale)
		queue_pump(fn);
	fn_unref(fn);
	queue_pump_all(g);
}

/* ---- events of the lane ---- */

static void ready(struct worker *w)
{
	w->ready_us = clock_mono_us();
	average(&w->fn->start_us, w->ready_us - w->asked_us);
	timer_stop(w->deadline);
	flush_line(w);
	worker_set_state(w, WORKER_IDLE, "initialised");
	if (w->fn->stale)
		worker_end(w, "the function was changed");
	else
		queue_pump(w->fn);
}

static void init_failed(struct worker *w, const struct frame *f)
{
	struct str type = STR_NULL;

	frame_meta_get(f, FRAME_KEY_ERROR_TYPE, &type);
	snprintf(w->init_error_type, sizeof(w->init_error_type), "%.*s", STR_ARG(type));
	buf_clear(&w->init_error);
	buf_add_str(&w->init_error, f->body);
}

static void lane_frame(void *arg, const struct frame *f)
{
	static const uint8_t none[16];
	struct worker *w = arg;
	uint64_t rss;

	if (frame_meta_u64(f, FRAME_KEY_MAX_RSS_KIB, &rss))
		w->max_rss_kib = (uint32_t)MIN(rss, (uint64_t)UINT32_MAX);
	if (f->type == FRAME_READY && w->state == WORKER_INIT) {
		ready(w);
	} else if (f->type == FRAME_ERROR && memcmp(f->id, none, 16) == 0 && !w->ready_us) {
		init_failed(w, f);
	} else if ((f->type == FRAME_RESULT || f->type == FRAME_ERROR) && w->state == WORKER_BUSY) {
		answered(w, f);
	} else if (w->state != WORKER_ENDING) {
		log_warn("worker %s of %.*s sent frame %u while %s; it is ended", w->id_text, STR_ARG(w->fn->def.name),
			 f->type, state_names[w->state]);
		worker_end(w, "spoke out of turn");
	}
}

static void lane_ended(void *arg, enum lane_end how)
{
	struct worker *w = arg;

	w->lane_over = true;
	w->lane_end = how;
	if (w->state != WORKER_ENDING)
		worker_set_state(w, WORKER_ENDING, "its lane has ended");
	nodes_stop_worker(w->g, w->id, how == LANE_BROKEN ? "broken lane" : "lane ended",
			  how == LANE_BROKEN ? 0 : 2000);
	bury(w);
}

static const struct lane_handler lane_events = {
	.frame = lane_frame,
	.output = output,
	.ended = lane_ended,
};

/* ---- deadlines ---- */

/* First the worker is killed; it is answered for when its lane has ended, so that all it printed is in the log. Should
 * the node not manage that, the second call cuts the lane. */
static void timed_out(struct worker *w)
{
	if (w->timed_out) {
		log_warn("worker %s of %.*s was to be killed %d ms ago and still holds its lane; it is cut", w->id_text,
			 STR_ARG(w->fn->def.name), KILL_WAIT_MS);
		lane_drain_output(w->lane);
		w->lane = lane_free(w->lane);
		w->lane_over = w->exited = true;
		bury(w);
		return;
	}
	w->timed_out = true;
	w->inv->run_ended_us = clock_mono_us();
	timer_set(w->deadline, KILL_WAIT_MS);
	nodes_stop_worker(w->g, w->id, "timeout", 0);
}

static void deadline(void *arg)
{
	struct worker *w = arg;

	if (w->inv) {
		timed_out(w);
		return;
	}
	buf_clear(&w->init_error);
	buf_printf(&w->init_error,
		   "{\"errorType\":\"Sandbox.Timedout\",\"errorMessage\":\"Initialisation did not end within %d "
		   "seconds\"}",
		   INIT_LIMIT_MS / 1000);
	snprintf(w->init_error_type, sizeof(w->init_error_type), "Sandbox.Timedout");
	nodes_stop_worker(w->g, w->id, "initialisation took too long", 0);
}

/* ---- what others ask of it ---- */

void worker_start(struct fn *fn)
{
	struct worker *w = xnew(struct worker);
	struct gate *g = fn->g;

	w->g = g;
	w->fn = fn_ref(fn);
	random_bytes(w->id, sizeof(w->id));
	uuid_make_v4(w->id);
	uuid_format(w->id, w->id_text);
	w->asked_us = clock_mono_us();
	w->deadline = timer_new(g->loop, deadline, w);
	map_put(&g->pool->by_id, str_n(w->id, sizeof(w->id)), w);
	enter(w, WORKER_WAITING);
	timer_set(w->deadline, INIT_LIMIT_MS);
	nodes_start_worker(g, w);
}

void worker_end(struct worker *w, const char *reason)
{
	bool idle = w->state == WORKER_IDLE;

	if (w->state == WORKER_ENDING)
		return;
	worker_set_state(w, WORKER_ENDING, reason);
	/* An idle worker leaves by itself when its lane closes; the node sees to it that it does. */
	if (idle && w->lane) {
		w->lane = lane_free(w->lane);
		w->lane_over = true;
	}
	nodes_stop_worker(w->g, w->id, reason, idle ? 2000 : 0);
}

void worker_run(struct worker *w, struct invocation *inv)
{
	assert(w->state == WORKER_IDLE);
	w->inv = inv;
	inv->worker = w;
	inv->state = INVOCATION_PLACED;
	inv->cold = !w->used;
	inv->placed_us = clock_mono_us();
	worker_set_state(w, WORKER_BUSY, "given an invocation");
}

/* ---- reports of the node ---- */

void worker_started(struct worker *w, int lane_fd, int log_fd)
{
	if (w->state != WORKER_WAITING) {
		close(lane_fd);
		close(log_fd);
		return;
	}
	w->started_us = clock_mono_us();
	w->lane = lane_new(w->g->loop, lane_fd, log_fd, &lane_events, w);
	worker_set_state(w, WORKER_INIT, "its process runs");
}

void worker_failed(struct worker *w, struct str type, struct str error)
{
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

void pool_node_down(struct gate *g)
{
	struct map all = g->pool->by_id;
	struct str id;
	void *v;
	struct worker **list = xnew_n(struct worker *, all.n);
	size_t n = 0;

	for (size_t i = 0; map_next(&all, &i, &id, &v);)
		list[n++] = v;
	for (size_t i = 0; i < n; i++) {
		struct worker *w = list[i];

		/* Those whose lane is open end when it closes: the workers die with their node. */
		w->node_gone = true;
		if (!w->exited)
			worker_exited(w, 0, SIGKILL, false);
	}
	free(list);
}

/* The pool: every worker from START until it is gone, and the only code that changes a worker's state. Counts follow
 * from that: they are changed where membership is, so that they cannot disagree with it. What memory a worker is
 * reckoned with follows from what the workers of its function were measured to use (place.c says how), so that the
 * promise of a function shrinks for all its workers at once when the first is known. */
#include "gate/pool.h"

#include "base/map.h"
#include "base/mem.h"
#include "gate/fn.h"
#include "gate/node.h"
#include "gate/place.h"
#include "sys/clock.h"
#include "sys/log.h"

#define FREEZE_AFTER_MS 1000 /* idle for so long: no CPU any more */
#define PARKED_MS       3600000
#define RELIEF_MAX      16     /* workers ended in a second because memory is short */
#define YOUNG_US        100000 /* a start that takes longer does not wait for a core */

struct pool {
	struct map by_id;
	struct pool_list starting, idle, frozen; /* the oldest first */
	struct pool_sums sums;
	struct hungry hungry;
	unsigned looks; /* for a place that could be made, so many */
};

const char *worker_state_name(enum worker_state s)
{
	static const char *const names[WORKER_STATES] = {
		[WORKER_WAITING] = "waiting", [WORKER_INIT] = "init", [WORKER_IDLE] = "idle",
		[WORKER_BUSY] = "busy",       [WORKER_AWAY] = "away", [WORKER_PARKED] = "parked",
		[WORKER_ENDING] = "ending",
	};

	return names[s];
}

static bool is_starting(enum worker_state s)
{
	return s == WORKER_WAITING || s == WORKER_INIT;
}

/* Counts with those that its function has. */
static bool is_live(enum worker_state s)
{
	return s != WORKER_ENDING && s != WORKER_AWAY && s != WORKER_PARKED;
}

/* ---- sums ---- */

void pool_recount(struct fn *fn)
{
	struct pool_sums *sums = &fn->g->pool->sums;
	unsigned free = fn->group->is_reserved ? UINT32_MAX : fn->provisioned;
	unsigned running = fn->running > free ? fn->running - free : 0;
	unsigned active = fn->running + fn->starting > free ? fn->running + fn->starting - free : 0;

	sums->shared_running += running - fn->shared_running;
	sums->shared_active += active - fn->shared_active;
	fn->shared_running = running;
	fn->shared_active = active;
}

void pool_run_began(struct fn *fn)
{
	fn->running++;
	fn->group->running++;
	fn->g->pool->sums.running++;
	pool_recount(fn);
}

void pool_run_ended(struct fn *fn)
{
	fn->running--;
	fn->group->running--;
	fn->g->pool->sums.running--;
	pool_recount(fn);
}

static void reckon_memory(struct fn *fn)
{
	uint64_t kib = fn->live * place_estimate_kib(fn->memory_kib, fn->def.memory_mb);

	fn->g->pool->sums.memory_kib += kib - fn->promised_kib;
	fn->promised_kib = kib;
}

void pool_measured(struct worker *w, uint64_t kib)
{
	struct fn *fn = w->fn;

	/* Up at once, down slowly: a function that grows is believed sooner. */
	fn->memory_kib = kib > fn->memory_kib ? kib : (fn->memory_kib * 7 + kib) / 8;
	reckon_memory(fn);
}

/* ---- states ---- */

static void enter(struct worker *w, enum worker_state s)
{
	struct pool *p = w->g->pool;
	struct fn *fn = w->fn;

	w->state = s;
	worker_list_push(&fn->workers[s], w);
	p->sums.workers[s]++;
	if (s == WORKER_IDLE) {
		w->idle_since_ms = clock_wall_ms();
		pool_list_push(&p->idle, w);
	} else if (is_starting(s)) {
		fn->starting++;
		fn->group->starting++;
	}
}

static void leave(struct worker *w)
{
	struct pool *p = w->g->pool;
	struct fn *fn = w->fn;

	worker_list_remove(&fn->workers[w->state], w);
	p->sums.workers[w->state]--;
	if (w->state == WORKER_IDLE) {
		pool_list_remove(w->frozen ? &p->frozen : &p->idle, w);
	} else if (is_starting(w->state)) {
		fn->starting--;
		fn->group->starting--;
	}
	if (roomy_list_linked(w))
		roomy_list_remove(&fn->roomy, w);
}

void worker_set_state(struct worker *w, enum worker_state s, const char *why)
{
	struct pool *p = w->g->pool;
	enum worker_state from = w->state;

	log_debug("worker %s of %.*s: %s -> %s: %s", w->id_text, STR_ARG(w->fn->def.name), worker_state_name(from),
		  worker_state_name(s), why);
	if (is_starting(from) && !is_starting(s))
		pool_list_remove(&p->starting, w);
	leave(w);
	enter(w, s);
	if (!is_starting(from) && is_starting(s))
		pool_list_push(&p->starting, w);
	if (is_starting(from) != is_starting(s))
		pool_recount(w->fn);
	if (is_live(from) != is_live(s)) {
		w->fn->live += is_live(s) ? 1 : -1;
		reckon_memory(w->fn);
	}
}

void pool_add(struct worker *w)
{
	struct pool *p = w->g->pool;

	map_put(&p->by_id, str_n(w->id, sizeof(w->id)), w);
	enter(w, WORKER_WAITING);
	pool_list_push(&p->starting, w);
	pool_recount(w->fn);
	w->fn->live++;
	reckon_memory(w->fn);
}

void pool_remove(struct worker *w)
{
	struct pool *p = w->g->pool;

	if (is_starting(w->state))
		pool_list_remove(&p->starting, w);
	leave(w);
	pool_recount(w->fn);
	if (is_live(w->state)) {
		w->fn->live--;
		reckon_memory(w->fn);
	}
	p->sums.frozen -= w->frozen;
	map_del(&p->by_id, str_n(w->id, sizeof(w->id)));
}

/* ---- all of them ---- */

struct pool *pool_new(struct gate *g)
{
	return xnew(struct pool);
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

const struct pool_sums *pool_sums(const struct gate *g)
{
	return &g->pool->sums;
}

struct hungry *pool_hungry(struct gate *g)
{
	return &g->pool->hungry;
}

size_t pool_workers(const struct gate *g)
{
	return g->pool->by_id.n;
}

struct worker *pool_find(struct gate *g, const uint8_t id[static 16])
{
	return map_get(&g->pool->by_id, str_n(id, 16));
}

unsigned pool_starts(const struct gate *g)
{
	const struct pool_list *l = &g->pool->starting;
	const struct worker *w = pool_list_last(l);
	uint64_t now = clock_mono_us();
	unsigned young = 0;

	for (; w && now - w->asked_us < YOUNG_US; w = pool_list_prev(w))
		young++;
	return young + ((unsigned)l->n - young) / 8;
}

/* Provisioned workers stay: as many of the function's, whichever they are, as are to be kept warm. */
static bool is_kept(const struct worker *w)
{
	const struct fn *fn = w->fn;

	return !fn->stale && fn->provisioned && fn->live <= fn->provisioned;
}

static struct worker *longest_idle(struct worker *w, const struct fn *but)
{
	while (w && (w->fn == but || is_kept(w)))
		w = pool_list_next(w);
	return w;
}

/* Its device memory is the host's. */
static struct worker *longest_parked(struct pool *p)
{
	struct worker *best = NULL;
	struct str id;
	void *any;

	for (size_t i = 0; p->sums.workers[WORKER_PARKED] && map_next(&p->by_id, &i, &id, &any);) {
		struct worker *w = any;

		if (w->state == WORKER_PARKED && !w->holds && (!best || w->idle_since_ms < best->idle_since_ms))
			best = w;
	}
	return best;
}

bool pool_evict_idle(struct gate *g, const struct fn *but)
{
	struct worker *w = longest_idle(pool_list_first(&g->pool->frozen), but);

	if (!w)
		w = longest_idle(pool_list_first(&g->pool->idle), but);
	if (!w)
		w = longest_parked(g->pool);
	if (!w)
		return false;
	worker_end(w, "its memory is needed");
	return true;
}

static bool leaves(const struct worker *w)
{
	return w->state == WORKER_ENDING || (w->state == WORKER_PARKED && w->holds);
}

static bool may_leave(const struct worker *w)
{
	return leaves(w) || (w->state == WORKER_IDLE && !is_kept(w));
}

/* Where fn would get a place by what leaves already, or by the idle worker that it returns. */
static struct worker *in_the_way(const struct pool_list *idle, const struct fn *fn, unsigned look)
{
	struct worker *first = NULL;

	for (struct worker *w = pool_list_first(idle); w && !first; w = pool_list_next(w))
		if (w->node && w->fn != fn && !is_kept(w) && !node_looked_at(w->node, look))
			first = node_in_the_way(w->node, fn, may_leave);
	return first;
}

struct worker *pool_in_the_way(const struct fn *fn)
{
	struct pool *p = fn->g->pool;
	struct worker *w = nodes_in_the_way(fn, leaves);
	unsigned look = ++p->looks;

	if (!w)
		w = in_the_way(&p->frozen, fn, look);
	return w ? w : in_the_way(&p->idle, fn, look);
}

bool pool_would_park(const struct worker *w, const struct fn *fn)
{
	/* What is parked is the host's memory still. CUDA's driver does not park what runs on a MIG instance
	 * (NVIDIA/cuda-checkpoint). */
	return w->fn->opt.device.park && w->n_leases && w->leases[0].rung != RUNG_MIG &&
	       node_lacks_devices(w->node, fn);
}

void pool_make_place(struct fn *fn)
{
	struct worker *w = pool_in_the_way(fn);

	if (!w || leaves(w))
		return;
	if (pool_would_park(w, fn))
		worker_park(w);
	else
		worker_end(w, "its place is needed");
}

static void end_idle(struct pool_list *l, int64_t now)
{
	struct worker *w, *next;

	for (w = pool_list_first(l); w; w = next) {
		int64_t idle_ms = w->fn->opt.idle_ms;

		next = pool_list_next(w);
		if (idle_ms < 0)
			idle_ms = (int64_t)w->g->conf.s.worker_idle_ms;
		if (now - w->idle_since_ms >= idle_ms && !is_kept(w))
			worker_end(w, "idle");
	}
}

/* They hold memory of the host only, but not for ever. */
static void end_parked(struct pool *p, int64_t now)
{
	struct worker *w;
	struct str id;
	void *any;

	if (!p->sums.workers[WORKER_PARKED])
		return;
	for (size_t i = 0; map_next(&p->by_id, &i, &id, &any);) {
		w = any;
		if (w->state == WORKER_PARKED && !w->holds && now - w->idle_since_ms >= PARKED_MS)
			worker_end(w, "parked for too long");
	}
}

/* The machine has less memory left than it should: whoever took it, workers that do nothing go. */
static void relieve(struct gate *g)
{
	unsigned n = RELIEF_MAX;

	if (!nodes_any_up(g) || nodes_memory_free_mb(g) >= nodes_memory_mb(g) / 16)
		return;
	while (n-- > 0 && pool_evict_idle(g, NULL))
		;
}

void pool_tend(struct gate *g)
{
	struct pool *p = g->pool;
	int64_t now = clock_wall_ms();
	struct worker *w;

	end_idle(&p->frozen, now);
	end_idle(&p->idle, now);
	end_parked(p, now);
	relieve(g);
	while ((w = pool_list_first(&p->idle)) && now - w->idle_since_ms >= FREEZE_AFTER_MS) {
		pool_list_remove(&p->idle, w);
		pool_list_push(&p->frozen, w);
		w->frozen = true;
		p->sums.frozen++;
		nodes_freeze(w, true);
	}
}

static void unfreeze(struct worker *w)
{
	if (w->state == WORKER_IDLE) {
		pool_list_remove(&w->g->pool->frozen, w);
		pool_list_push(&w->g->pool->idle, w);
	}
	w->frozen = false;
	w->g->pool->sums.frozen--;
}

void pool_thaw(struct worker *w)
{
	if (!w->frozen)
		return;
	unfreeze(w);
	nodes_freeze(w, false);
}

void pool_away(struct worker *w)
{
	if (w->frozen)
		unfreeze(w);
	w->before = w->state;
	worker_set_state(w, WORKER_AWAY, "its node is away");
}

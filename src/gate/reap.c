/* The reaper. Two timers that run only while there is something to watch: workers (a second's grain) and dead blobs
 * (removed on the pool, then acknowledged to the store, so that a crash between the two only repeats the removal). */
#include "gate/reap.h"

#include "base/mem.h"
#include "gate/objects.h"
#include "gate/worker.h"

#define TICK_MS   1000
#define BATCH_MAX 256

struct reap {
	struct gate *g;
	struct timer *timer;
	bool ticking, removing;
	bool on_pool, closed; /* blobs are being removed now; the gate is closed meanwhile */
	struct arena arena;   /* of the batch in hand */
	struct str *blobs;
	size_t n_blobs;
};

static void acknowledged(void *arg, int result, unsigned op)
{
	struct reap *r = arg;

	r->removing = false;
	arena_reset(&r->arena);
	if (result == 0)
		reap_kick(r->g);
}

static void removed(void *arg)
{
	struct reap *r = arg;
	struct store_txn *t;

	r->on_pool = false;
	if (r->closed) {
		reap_free(r); /* the next start removes them once more */
		return;
	}
	t = store_begin(r->g->store);
	for (size_t i = 0; i < r->n_blobs; i++)
		store_blob_reaped(t, r->blobs[i]);
	store_commit(t, acknowledged, r);
}

static bool remove_dead(struct reap *r)
{
	if (r->removing)
		return true;
	if (store_dead_blobs(store_reader(r->g->store), &r->arena, BATCH_MAX, &r->blobs, &r->n_blobs) != 0 ||
	    r->n_blobs == 0) {
		arena_reset(&r->arena);
		return false;
	}
	r->removing = r->on_pool = true;
	blob_remove(r->g->blobs, r->blobs, r->n_blobs, removed, r);
	return true;
}

static void tick(void *arg)
{
	struct reap *r = arg;
	bool busy = remove_dead(r);

	pool_tend(r->g);
	busy = objects_age(r->g->objects) || busy;
	if (busy || pool_workers(r->g))
		return;
	timer_stop(r->timer);
	r->ticking = false;
}

void reap_kick(struct gate *g)
{
	struct reap *r = g->reap;

	if (!r || r->ticking)
		return;
	r->ticking = true;
	timer_repeat(r->timer, TICK_MS);
}

struct reap *reap_new(struct gate *g)
{
	struct reap *r = xnew(struct reap);

	r->g = g;
	r->timer = timer_new(g->loop, tick, r);
	/* A gate that died may have left dead blobs. */
	r->ticking = true;
	timer_repeat(r->timer, TICK_MS);
	return r;
}

struct reap *reap_free(struct reap *r)
{
	if (!r)
		return NULL;
	timer_free(r->timer);
	r->timer = NULL;
	r->closed = true;
	if (r->on_pool)
		return NULL; /* removed() does it: the pool reads the names */
	arena_done(&r->arena);
	free(r);
	return NULL;
}

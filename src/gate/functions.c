/* The table of deployed functions in memory. Owned here: every struct fn, counted by references from the table,
 * invocations and workers. A function nobody uses costs nothing: the table keeps at most KEEP_MAX of them and drops
 * those without queue and workers first. */
#include "gate/fn.h"

#include "base/map.h"
#include "base/mem.h"
#include "gate/queue.h"
#include "sys/log.h"

#define KEEP_MAX 512

struct functions {
	struct map by_name; /* -> struct fn, a reference each */
};

struct functions *functions_new(struct gate *g)
{
	return xnew(struct functions);
}

struct functions *functions_free(struct functions *fs)
{
	struct str name;
	void *fn;

	if (!fs)
		return NULL;
	for (size_t i = 0; map_next(&fs->by_name, &i, &name, &fn);)
		fn_unref(fn);
	map_done(&fs->by_name);
	free(fs);
	return NULL;
}

struct fn *fn_ref(struct fn *fn)
{
	fn->refs++;
	return fn;
}

void fn_unref(struct fn *fn)
{
	if (!fn || --fn->refs > 0)
		return;
	timer_free(fn->queue_timer);
	json_decref(fn->doc);
	arena_done(&fn->arena);
	free(fn);
}

static bool unused(const struct fn *fn)
{
	if (fn->queue.n)
		return false;
	for (unsigned s = 0; s < WORKER_STATES; s++)
		if (fn->workers[s].n)
			return false;
	return fn->refs == 1;
}

static void make_room(struct functions *fs)
{
	struct str name;
	void *v;

	if (fs->by_name.n < KEEP_MAX)
		return;
	for (size_t i = 0; map_next(&fs->by_name, &i, &name, &v);) {
		if (!unused(v))
			continue;
		map_del(&fs->by_name, ((struct fn *)v)->def.name);
		fn_unref(v);
		return;
	}
}

static struct fn *load(struct gate *g, struct str name)
{
	struct fn *fn = xnew(struct fn);
	struct err err = ERR_NULL;
	struct str doc;

	fn->g = g;
	fn->refs = 1;
	if (store_get_function(store_reader(g->store), &fn->arena, name, STR("$LATEST"), &doc) != 0) {
		fn_unref(fn);
		return NULL;
	}
	fn->doc = json_parse(doc, &err);
	if (!fn->doc || function_from_json(&fn->def, fn->doc, &fn->arena, &err) < 0) {
		log_error("function %.*s: its stored document is unreadable: %s", STR_ARG(name), err.msg);
		err_done(&err);
		fn_unref(fn);
		return NULL;
	}
	fn->queue_timer = timer_new(g->loop, queue_timed_out, fn);
	return fn;
}

struct fn *fn_get(struct gate *g, struct str name)
{
	struct functions *fs = g->functions;
	struct fn *fn = map_get(&fs->by_name, name);

	if (fn)
		return fn;
	fn = load(g, name);
	if (!fn)
		return NULL;
	make_room(fs);
	map_put(&fs->by_name, fn->def.name, fn);
	return fn;
}

const struct function *functions_get(struct gate *g, struct str name)
{
	struct fn *fn = fn_get(g, name);

	return fn ? &fn->def : NULL;
}

void functions_changed(struct gate *g, struct str name)
{
	struct fn *old = map_del(&g->functions->by_name, name);

	if (!old)
		return;
	old->stale = true;
	while (old->workers[WORKER_IDLE].n)
		worker_end(worker_list_first(&old->workers[WORKER_IDLE]), "the function was changed");
	queue_move(old, fn_get(g, name));
	fn_unref(old);
}

void functions_each(struct gate *g, void (*each)(void *arg, const struct function_activity *a), void *arg)
{
	struct str name;
	void *v;

	for (size_t i = 0; map_next(&g->functions->by_name, &i, &name, &v);) {
		const struct fn *fn = v;
		const struct function_activity a = {
			.name = fn->def.name,
			.queued = (unsigned)fn->queue.n,
			.starting = (unsigned)(fn->workers[WORKER_WAITING].n + fn->workers[WORKER_INIT].n),
			.idle = (unsigned)fn->workers[WORKER_IDLE].n,
			.busy = (unsigned)fn->workers[WORKER_BUSY].n,
		};

		each(arg, &a);
	}
}

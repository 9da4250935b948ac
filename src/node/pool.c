/* The workers of this node: finds them by id, starts and stops them, watches their memory where the kernel does not.
 * Nothing of a worker outlives it: it is the first process of a pid namespace, and takes everything in it along.
 *
 * The pool owns the workers until they report their end, and what they share: packages, zygotes, control groups. A
 * worker whose gate is gone keeps its place until it is gone too, but nobody is told. */
#include "node/pool.h"

#include "base/map.h"
#include "base/mem.h"
#include "node/fetch.h"
#include "node/park.h"
#include "node/pooled.h"
#include "node/snapshot.h"
#include "node/usage.h"
#include "sys/file.h"
#include "sys/log.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WATCH_MS      100
#define WATCH_CALM_MS 500 /* when no worker's memory changes */
#define CALM_AFTER    20
#define SETTLE_MS     20

struct slot {
	struct pool *pool;
	struct worker *worker;
	struct gate_link *owner; /* NULL: abandoned */
	bool may_park;
	int parking; /* the pid that wick-park has to do with; 0: none */
	bool park;   /* what it was asked for last */
};

struct pool {
	struct loop *loop;
	const struct node_conf *conf;
	const struct pool_handler *handler;
	void *arg;
	struct code *code;
	struct fetches *fetches;
	char *code_folder;
	struct groups *groups;
	struct zygotes *zygotes;
	struct pooled *pooled;
	struct snapshots *snapshots;
	struct slices *slices;
	struct park *park;
	struct learn *learn;
	struct plan_host host;
	struct map slots; /* by id */
	struct timer *watch, *settle;
	unsigned calm; /* looks at memory since one differed */
	size_t jobs;
};

static struct str id_key(const uint8_t *id)
{
	return str_n(id, 16);
}

static bool is_empty(const struct pool *p)
{
	return !p->slots.n && !p->jobs && !code_is_busy(p->code);
}

/* Work on pool threads is waited for by looking again: it is rare and short. */
static void pool_settle(void *arg)
{
	struct pool *p = arg;

	if (is_empty(p))
		p->handler->empty(p->arg);
	else if (!p->slots.n)
		timer_set(p->settle, SETTLE_MS);
}

static void pool_watch(void *arg)
{
	struct pool *p = arg;
	bool changed = false;
	void *value;
	struct str key;

	for (size_t i = 0; map_next(&p->slots, &i, &key, &value);)
		changed |= worker_watch_memory(((struct slot *)value)->worker);
	if (!p->slots.n)
		return;
	p->calm = changed ? 0 : p->calm + 1;
	timer_set(p->watch, p->calm > CALM_AFTER ? WATCH_CALM_MS : WATCH_MS);
}

/* The slot of a worker that ends; freed by the caller. */
static struct slot *pool_take(struct pool *p, const struct worker *w)
{
	struct slot *s = map_del(&p->slots, id_key(worker_id(w)));

	if (s->parking)
		park_forget(p->park, s->parking);
	if (!p->slots.n)
		timer_set(p->settle, 0);
	return s;
}

static void on_started(void *arg, struct worker *w, uint64_t prepare_us, int lane, int log_pipe)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	struct pool *p = arg;
	const struct slot *s = map_get(&p->slots, id_key(worker_id(w)));

	p->calm = 0;
	timer_set(p->watch, WATCH_MS);
	/* Opening the driver takes seconds: not when the first is to be parked. */
	if (s->may_park && worker_slice(w) && park_start(p->park, &err) < 0)
		log_debug("no worker can be parked: %s", err.msg);
	if (s->owner)
		p->handler->started(p->arg, s->owner, worker_id(w), worker_pid(w), prepare_us, lane, log_pipe);
	else
		worker_stop(w, 0);
}

static void on_door(void *arg, struct worker *w, int fd)
{
	struct pool *p = arg;
	const struct slot *s = map_get(&p->slots, id_key(worker_id(w)));

	if (s->owner)
		p->handler->door(p->arg, s->owner, worker_id(w), fd);
	else
		close(fd);
}

static void on_failed(void *arg, struct worker *w, const char *type, const char *error, struct str output)
{
	struct pool *p = arg;
	_cleanup_(freep) struct slot *s = pool_take(p, w);

	if (s->owner)
		p->handler->failed(p->arg, s->owner, worker_id(w), type, error, output);
}

static void on_exited(void *arg, struct worker *w, const struct worker_end *end)
{
	struct pool *p = arg;
	_cleanup_(freep) struct slot *s = pool_take(p, w);

	if (s->owner)
		p->handler->exited(p->arg, s->owner, worker_id(w), end);
}

static const struct worker_handler worker_handler = {
	.started = on_started,
	.door = on_door,
	.failed = on_failed,
	.exited = on_exited,
};

void pool_start(struct pool *p, struct gate_link *owner, const uint8_t id[static 16], const json_t *order,
		const int *zips, size_t n_zips)
{
	const struct worker_site site = {
		.loop = p->loop,
		.code = p->code,
		.from = {.fetches = p->fetches, .link = owner},
		.groups = p->groups,
		.zygotes = p->zygotes,
		.pooled = p->pooled,
		.snapshots = p->snapshots,
		.slices = p->slices,
		.learn = p->learn,
		.host = &p->host,
		.conf = p->conf,
		.code_folder = p->code_folder,
		.handler = &worker_handler,
		.arg = p,
		.jobs = &p->jobs,
	};
	struct slot *s;

	if (map_get(&p->slots, id_key(id))) {
		log_warn("the gate starts a worker by an id that is in use; ignored");
		for (size_t i = 0; i < n_zips; i++)
			close(zips[i]);
		return;
	}
	s = xnew(struct slot);
	s->pool = p;
	s->owner = owner;
	s->may_park = json_get_bool(order, "park", false);
	map_put(&p->slots, id_key(id), s);
	s->worker = worker_start(&site, id, order, zips, n_zips);
}

void pool_prepare(struct pool *p, struct gate_link *owner, const json_t *order, const int *zips, size_t n_zips)
{
	const struct prepare_site site = {
		.loop = p->loop,
		.code = p->code,
		.from = {.fetches = p->fetches, .link = owner},
		.learn = p->learn,
		.jobs = &p->jobs,
	};
	_cleanup_(err_done) struct err err = ERR_NULL;
	struct function_options opt;
	struct arena a = ARENA_NULL;
	struct function f;

	if (function_from_json(&f, json_object_get(order, "function"), &a, &err) == 0 &&
	    function_options_parse(&opt, &f, &err) == 0) {
		prepare_start(&site, &f, opt.kind, json_object_get(order, "layers"), zips, n_zips, NULL, NULL, NULL);
	} else {
		log_warn("a function that was deployed cannot be prepared: %s", err.msg);
		for (size_t i = 0; i < n_zips; i++)
			close(zips[i]);
	}
	arena_done(&a);
}

static struct slot *pool_find(struct pool *p, const struct gate_link *owner, const uint8_t *id)
{
	struct slot *s = map_get(&p->slots, id_key(id));

	return s && s->owner == owner ? s : NULL;
}

void pool_freeze(struct pool *p, const struct gate_link *owner, const uint8_t id[static 16], bool on)
{
	struct slot *s = pool_find(p, owner, id);

	if (s)
		worker_freeze(s->worker, on);
}

/* ---- parking ---- */

static void park_answered(struct slot *s, bool on, uint64_t us, const char *error)
{
	if (s->owner)
		s->pool->handler->parked(s->pool->arg, s->owner, worker_id(s->worker), on, us, error);
}

static void is_parked(void *arg, bool ok, uint64_t us, const char *error)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	struct slot *s = arg;

	if (ok && s->park) {
		slice_park(worker_slice(s->worker), true, &err);
		worker_freeze(s->worker, true);
	} else if (ok) {
		s->parking = 0;
	}
	park_answered(s, s->park, us, ok ? NULL : error);
}

static void park_lost(void *arg, int pid, const char *why)
{
	log_warn("wick-park has ended (%s): process %d stays parked until it is woken", why, pid);
}

void pool_park(struct pool *p, const struct gate_link *owner, const uint8_t id[static 16], bool on)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	struct slot *s = pool_find(p, owner, id);
	struct slice_hold *slice = s ? worker_slice(s->worker) : NULL;

	if (!s)
		return;
	if (!slice || slice_park(slice, on && s->parking && s->park, &err) < 0) {
		park_answered(s, on, 0, slice ? err.msg : "it holds no slice");
		return;
	}
	worker_freeze(s->worker, false); /* the driver asks a thread of the process itself */
	s->park = on;
	s->parking = worker_pid(s->worker);
	park_ask(p->park, s->parking, on, is_parked, s);
}

void pool_learn(struct pool *p, struct str sha256, struct str names)
{
	learn_add(p->learn, sha256, names);
}

json_t *pool_devices(const struct pool *p)
{
	return devices_json(slices_devices(p->slices));
}

json_t *pool_zygotes(const struct pool *p)
{
	return zygotes_json(p->zygotes);
}

bool pool_is_parked(struct pool *p, const struct gate_link *owner, const uint8_t id[static 16])
{
	const struct slot *s = pool_find(p, owner, id);

	return s && s->parking;
}

void pool_stop(struct pool *p, const struct gate_link *owner, const uint8_t id[static 16], uint64_t grace_ms)
{
	struct slot *s = pool_find(p, owner, id);

	if (s)
		worker_stop(s->worker, grace_ms);
}

void pool_abandon(struct pool *p, const struct gate_link *owner)
{
	void *value;
	struct str key;

	for (size_t i = 0; map_next(&p->slots, &i, &key, &value);) {
		struct slot *s = value;

		if (s->owner != owner)
			continue;
		s->owner = NULL;
		worker_stop(s->worker, 0);
	}
	timer_set(p->settle, 0);
}

void pool_drop(struct pool *p, const struct gate_link *owner, const uint8_t id[static 16])
{
	struct slot *s = pool_find(p, owner, id);

	if (!s)
		return;
	s->owner = NULL;
	worker_stop(s->worker, 0);
}

void pool_settle_soon(struct pool *p)
{
	timer_set(p->settle, 0);
}

struct fetches *pool_fetches(struct pool *p)
{
	return p->fetches;
}

size_t pool_count(const struct pool *p, const struct gate_link *owner)
{
	size_t n = 0;
	void *value;
	struct str key;

	if (!owner)
		return p->slots.n;
	for (size_t i = 0; map_next(&p->slots, &i, &key, &value);)
		n += ((struct slot *)value)->owner == owner;
	return n;
}

static void on_devices(void *arg)
{
	struct pool *p = arg;

	p->handler->devices(p->arg);
}

static const struct slices_handler slices_handler = {.changed = on_devices};

static void on_zygotes(void *arg)
{
	struct pool *p = arg;

	p->handler->changed(p->arg);
}

struct pool *pool_new(struct loop *l, const struct node_conf *conf, const struct pool_handler *h, void *arg,
		      struct err *err)
{
	_cleanup_(freep) char *learnt = xasprintf("%s/node/learnt.json", conf->data), *name = NULL;
	struct pool *p = xnew(struct pool);

	*p = (struct pool){.loop = l, .conf = conf, .handler = h, .arg = arg};
	p->watch = timer_new(l, pool_watch, p);
	p->settle = timer_new(l, pool_settle, p);
	p->slices = slices_new(l, conf, &slices_handler, p, err);
	if (!p->slices)
		return pool_free(p);
	p->park = park_new(
		l, &(struct park_conf){.libexec = conf->libexec, .limit_ms = conf->park_limit_ms, .lost = park_lost});
	p->code_folder = xstrdup(conf->code_folder);
	p->code = code_new(l, p->code_folder, conf->code_cache_max, err);
	if (!p->code)
		return pool_free(p);
	p->fetches = fetches_new(p->code_folder);
	/* Several nodes on one machine have groups of their own, the same ones in every life. */
	name = xasprintf("wick-%08llx",
			 (unsigned long long)(siphash13((const uint8_t[16]){0}, conf->data, strlen(conf->data)) >> 32));
	p->groups = groups_open(name);
	p->learn = learn_open(l, learnt);
	plan_host_look(&p->host);
	p->zygotes = zygotes_new(l, conf, on_zygotes, p);
	const struct pooled_site site = {
		.loop = l,
		.conf = conf,
		.host = &p->host,
		.groups = p->groups,
		.zygotes = p->zygotes,
		.code_folder = p->code_folder,
	};

	p->pooled = pooled_new(&site);
	p->snapshots = snapshots_new(l, p->groups, conf);
	return p;
}

struct pool *pool_free(struct pool *p)
{
	if (!p)
		return NULL;
	map_done(&p->slots);
	park_free(p->park);
	slices_free(p->slices);
	snapshots_free(p->snapshots);
	pooled_free(p->pooled);
	zygotes_free(p->zygotes);
	learn_free(p->learn);
	groups_free(p->groups);
	fetches_free(p->fetches);
	code_free(p->code);
	plan_host_done(&p->host);
	timer_free(p->watch);
	timer_free(p->settle);
	free(p->code_folder);
	free(p);
	return NULL;
}

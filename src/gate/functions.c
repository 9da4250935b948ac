/* The table of deployed functions in memory. Owned here: every struct fn, counted by references from the table,
 * invocations and workers, and the group of each name. A function nobody uses costs nothing: the table keeps at most
 * KEEP_MAX versions and drops those without queue and workers first. */
#include "gate/fn.h"

#include "base/map.h"
#include "base/mem.h"
#include "gate/crash.h"
#include "gate/provision.h"
#include "gate/queue.h"
#include "gate/records.h"
#include "sys/clock.h"
#include "sys/log.h"

#define KEEP_MAX 512

struct functions {
	struct map groups;        /* name -> struct fn_group, of every version in memory, in the table or not */
	size_t n;                 /* versions in the table */
	struct map reserved;      /* name -> reserved concurrency and 1, of all functions that have one */
	unsigned reserved_sum;    /* of them */
	unsigned provisioned_sum; /* of versions whose function has no reservation, in the table or held */
};

/* ---- limits ---- */

static void keep_reserved(void *arg, struct str name, unsigned n)
{
	struct functions *fs = arg;

	map_put(&fs->reserved, name, (void *)(uintptr_t)(n + 1));
	fs->reserved_sum += n;
}

struct functions *functions_new(struct gate *g)
{
	struct functions *fs = xnew(struct functions);

	record_each_reserved(g, keep_reserved, fs);
	return fs;
}

unsigned functions_shared_limit(const struct gate *g)
{
	unsigned taken = g->functions->reserved_sum + g->functions->provisioned_sum;

	return g->conf.s.concurrency > taken ? g->conf.s.concurrency - taken : 0;
}

static void recount(struct fn_group *gr)
{
	for (struct fn *fn = gr->list; fn; fn = fn->next)
		pool_recount(fn);
}

static unsigned provisioned_of(const struct fn_group *gr)
{
	unsigned n = 0;

	for (const struct fn *fn = gr->list; fn; fn = fn->next)
		n += fn->provisioned;
	return gr->is_reserved ? 0 : n;
}

/* Reads the name's reservation from the table into its group. */
static void set_reserved(struct fn_group *gr)
{
	struct functions *fs = gr->g->functions;
	uintptr_t kept = (uintptr_t)map_get(&fs->reserved, str_from(gr->name));

	fs->provisioned_sum -= provisioned_of(gr);
	gr->is_reserved = kept != 0;
	gr->reserved = kept ? (unsigned)(kept - 1) : 0;
	fs->provisioned_sum += provisioned_of(gr);
	recount(gr);
}

static void reread_reserved(struct gate *g, struct str name)
{
	struct functions *fs = g->functions;
	uintptr_t kept = (uintptr_t)map_del(&fs->reserved, name);
	unsigned n;

	if (kept)
		fs->reserved_sum -= (unsigned)(kept - 1);
	if (record_reserved(g, name, &n))
		keep_reserved(fs, name, n);
}

void fn_set_provisioned(struct fn *fn, unsigned n)
{
	struct functions *fs = fn->g->functions;

	if (!fn->group->is_reserved)
		fs->provisioned_sum += n - fn->provisioned;
	fn->provisioned = n;
	pool_recount(fn);
}

/* ---- groups ---- */

static struct fn_group *group_ref(struct gate *g, struct str name)
{
	struct fn_group *gr = map_get(&g->functions->groups, name);

	if (!gr) {
		gr = xnew(struct fn_group);
		gr->g = g;
		gr->name = str_dup(name);
		map_put(&g->functions->groups, name, gr);
		set_reserved(gr);
	}
	gr->refs++;
	return gr;
}

static void group_unref(struct fn_group *gr)
{
	if (!gr || --gr->refs > 0)
		return;
	map_del(&gr->g->functions->groups, str_from(gr->name));
	arena_done(&gr->aliases);
	free(gr->name);
	free(gr);
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
	crash_free(fn->crash);
	free(fn->stats);
	json_decref(fn->doc);
	arena_done(&fn->arena);
	bits_done(&fn->code_on);
	bits_done(&fn->avoid);
	group_unref(fn->group);
	free(fn);
}

/* Out of the table; the table's reference is the caller's now. */
static struct fn *take_out(struct fn *fn)
{
	struct fn **at = &fn->group->list;

	if (fn->provisioned)
		fn_set_provisioned(fn, 0);
	while (*at != fn)
		at = &(*at)->next;
	*at = steal(&fn->next);
	fn->g->functions->n--;
	return fn;
}

struct functions *functions_free(struct functions *fs)
{
	struct str name;
	void *v;

	if (!fs)
		return NULL;
	for (size_t i = 0; map_next(&fs->groups, &i, &name, &v); i = 0) {
		struct fn_group *gr = v;

		gr->refs++;
		while (gr->list)
			fn_unref(take_out(gr->list));
		if (gr->refs > 1)
			__builtin_trap(); /* workers and requests go before the table */
		group_unref(gr);
	}
	map_done(&fs->groups);
	map_done(&fs->reserved);
	free(fs);
	return NULL;
}

/* ---- versions ---- */

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

	if (fs->n < KEEP_MAX)
		return;
	for (size_t i = 0; map_next(&fs->groups, &i, &name, &v);) {
		struct fn *fn = ((struct fn_group *)v)->list;

		while (fn && !unused(fn))
			fn = fn->next;
		if (fn) {
			fn_unref(take_out(fn));
			return;
		}
	}
}

static json_t *read_doc(struct gate *g, struct arena *a, struct str name, struct str version)
{
	struct err err = ERR_NULL;
	struct str text;
	json_t *doc;

	if (store_get_function(store_reader(g->store), a, name, version, &text) != 0)
		return NULL;
	doc = json_parse(text, &err);
	if (!doc)
		log_error("function %.*s: its stored document is unreadable: %s", STR_ARG(name), err.msg);
	err_done(&err);
	return doc;
}

static struct fn *load(struct gate *g, struct str name, struct str version)
{
	struct fn *fn = xnew(struct fn);
	struct err err = ERR_NULL;

	fn->g = g;
	fn->refs = 1;
	fn->doc = read_doc(g, &fn->arena, name, version);
	if (!fn->doc) {
		fn_unref(fn);
		return NULL;
	}
	if (function_from_json(&fn->def, fn->doc, &fn->arena, &err) < 0) {
		log_error("function %.*s: its stored document is unreadable: %s", STR_ARG(name), err.msg);
		err_done(&err);
		fn_unref(fn);
		return NULL;
	}
	/* They were checked when they were set; a document that an older Wick stored may still say what is none. */
	if (function_options_parse(&fn->opt, &fn->def, &err) < 0) {
		log_warn("function %.*s: %s; run as if nothing were said", STR_ARG(name), err.msg);
		err_done(&err);
		fn->opt = (struct function_options){.network = NETWORK_GATEWAY, .concurrency = 1, .idle_ms = -1};
	}
	fn->concurrency = fn->opt.concurrency = MAX(fn->opt.concurrency, 1u);
	fn->queue_timer = timer_new(g->loop, queue_timed_out, fn);
	fn->group = group_ref(g, name);
	fn->next = fn->group->list;
	fn->group->list = fn;
	g->functions->n++;
	return fn;
}

static bool is_latest(struct str version)
{
	return version.n == 0 || version.p[0] == '$';
}

struct fn *fn_get(struct gate *g, struct str name, struct str version)
{
	struct fn_group *gr = map_get(&g->functions->groups, name);

	if (is_latest(version))
		version = STR("$LATEST");
	for (struct fn *fn = gr ? gr->list : NULL; fn; fn = fn->next)
		if (str_eq(fn->def.version, version))
			return fn;
	make_room(g->functions);
	return load(g, name, version);
}

/* Names that are none are not remembered: clients make them up. */
static bool alias_exists(struct gate *g, const char *function, struct str name)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	struct alias al;

	return record_alias(g, &a, str_from(function), name, &al);
}

static const struct alias *find_alias(struct gate *g, struct fn_group *gr, struct str name)
{
	struct fn_alias *a = gr->alias;

	while (a && !str_eq(a->al.name, name))
		a = a->next;
	if (a)
		return &a->al;
	if (!alias_exists(g, gr->name, name))
		return NULL;
	a = arena_new(&gr->aliases, struct fn_alias);
	if (!record_alias(g, &gr->aliases, str_from(gr->name), name, &a->al))
		return NULL;
	a->next = gr->alias;
	gr->alias = a;
	return &a->al;
}

static struct fn *find_by_alias(struct gate *g, struct str name, struct str qualifier)
{
	/* Its group is needed to keep the alias; $LATEST always is, and is about to be asked for as often as not. */
	struct fn *latest = fn_get(g, name, STR_NULL);
	const struct alias *al = latest ? find_alias(g, latest->group, qualifier) : NULL;
	uint8_t random[16];
	uint32_t draw;

	if (!al)
		return NULL;
	random_id(random);
	memcpy(&draw, random, sizeof(draw));
	return fn_get(g, name, alias_pick(al, draw));
}

struct fn *fn_find(struct gate *g, struct str name, struct str qualifier)
{
	bool is_version = is_latest(qualifier) || (qualifier.p[0] >= '0' && qualifier.p[0] <= '9');

	return is_version ? fn_get(g, name, qualifier) : find_by_alias(g, name, qualifier);
}

/* As with aliases: only those that are there are remembered. */
const struct url_conf *fn_url(struct fn *fn, struct str qualifier)
{
	struct fn_group *gr = fn->group;
	struct str name = str_from(gr->name);
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	struct url_conf conf;
	struct fn_url *u = gr->url;

	while (u && !str_eq(u->qualifier, qualifier))
		u = u->next;
	if (u)
		return &u->conf;
	if (!record_url(fn->g, &a, name, qualifier, &conf))
		return NULL;
	u = arena_new(&gr->aliases, struct fn_url);
	u->qualifier = arena_str(&gr->aliases, qualifier);
	if (!record_url(fn->g, &gr->aliases, name, qualifier, &u->conf))
		return NULL;
	u->next = gr->url;
	gr->url = u;
	return &u->conf;
}

const struct function *functions_get(struct gate *g, struct str name)
{
	struct fn *fn = fn_get(g, name, STR_NULL);

	return fn ? &fn->def : NULL;
}

/* ---- changes ---- */

/* Is what the store has still what was read? A published version never changes, so this is about $LATEST. */
static bool is_current(struct fn *fn)
{
	struct arena a = ARENA_NULL;
	_cleanup_json_ json_t *doc = read_doc(fn->g, &a, fn->def.name, fn->def.version);
	/* Tags of one's own, policies and versions change the revision, but nothing that runs. */
	bool known = fn->def.change_id.n > 0;
	bool same = doc && str_eq(json_get_str(doc, known ? "change_id" : "revision_id", STR("")),
				  known ? fn->def.change_id : fn->def.revision_id);

	arena_done(&a);
	return same;
}

static bool is_listed(const struct fn *fn)
{
	const struct fn *at = fn->group->list;

	while (at && at != fn)
		at = at->next;
	return at != NULL;
}

static void retire(struct fn *fn)
{
	take_out(fn);
	fn->stale = true;
	while (fn->workers[WORKER_IDLE].n)
		worker_end(worker_list_first(&fn->workers[WORKER_IDLE]), "the function was changed");
	while (fn->workers[WORKER_PARKED].n)
		worker_end(worker_list_first(&fn->workers[WORKER_PARKED]), "the function was changed");
	queue_move(fn, fn_get(fn->g, fn->def.name, fn->def.version));
	fn_unref(fn);
}

void functions_changed(struct gate *g, struct str name)
{
	struct fn_group *gr;
	struct fn **all;
	size_t n = 0;

	reread_reserved(g, name);
	provision_changed(g, name);
	gr = map_get(&g->functions->groups, name);
	if (!gr)
		return;
	arena_reset(&gr->aliases);
	gr->alias = NULL;
	gr->url = NULL;
	set_reserved(gr);
	/* What retiring one sets going may change the list. */
	all = xnew_n(struct fn *, g->functions->n);
	for (struct fn *fn = gr->list; fn; fn = fn->next)
		all[n++] = fn_ref(fn);
	for (size_t i = 0; i < n; i++) {
		if (is_listed(all[i]) && !is_current(all[i]))
			retire(all[i]);
		fn_unref(all[i]);
	}
	free(all);
	queue_pump_all(g);
}

/* ---- all of them ---- */

void fns_each(struct gate *g, void (*each)(void *arg, struct fn *fn), void *arg)
{
	struct functions *fs = g->functions;
	struct fn **all = xnew_n(struct fn *, fs->n);
	struct str name;
	size_t n = 0;
	void *v;

	for (size_t i = 0; map_next(&fs->groups, &i, &name, &v);)
		for (struct fn *fn = ((struct fn_group *)v)->list; fn; fn = fn->next)
			all[n++] = fn_ref(fn);
	for (size_t i = 0; i < n; i++) {
		each(arg, all[i]);
		fn_unref(all[i]);
	}
	free(all);
}

struct visit {
	void (*each)(void *arg, const struct function_activity *a);
	void *arg;
};

static void visit_activity(void *arg, struct fn *fn)
{
	const struct visit *v = arg;
	const struct function_activity a = {
		.name = fn->def.name,
		.version = fn->def.version,
		.queued = (unsigned)fn->queue.n,
		.starting = fn->starting,
		.idle = (unsigned)fn->workers[WORKER_IDLE].n,
		.busy = (unsigned)fn->workers[WORKER_BUSY].n,
	};

	v->each(v->arg, &a);
}

void functions_each(struct gate *g, void (*each)(void *arg, const struct function_activity *a), void *arg)
{
	struct visit v = {each, arg};

	fns_each(g, visit_activity, &v);
}

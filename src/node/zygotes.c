/* Which zygotes there are. The first worker that needs one has it started and waits for it: loading in the zygote takes
 * no longer than loading in the worker would. A set of imports that cannot be loaded is remembered, and its functions
 * get the bare one. Those that nobody needed for zygote_idle end; when there are too many, the least recently used.
 *
 * Owns the zygotes. A zygote that ends by itself is replaced by the next demand, after a pause when it never loaded. */
#include "node/zygotes.h"

#include "base/list.h"
#include "base/mem.h"
#include "node/plan.h"
#include "node/usage.h"
#include "sys/file.h"
#include "sys/log.h"

#include <stdio.h>

#define ZYGOTES_MAX  16
#define MEMORY_SHARE 8
#define TICK_MS      1000
#define BAD_MS       60000 /* imports that failed are tried again after this: a package may have been installed */

struct one {
	struct list_link on_list;
	struct zygotes *family;
	struct zygote *z; /* NULL: could not load */
	const char *program;
	char *imports, *loaded;
	uint64_t used_ms;
	bool bad;
};

DEFINE_LIST(one_list, struct one, on_list)

struct zygotes {
	struct loop *loop;
	const struct node_conf *conf;
	void (*changed)(void *arg);
	void *arg;
	struct one_list all; /* least recently used first */
	struct timer *tick;
};

static void one_free(struct one *o)
{
	one_list_remove(&o->family->all, o);
	zygote_free(o->z);
	free(o->imports);
	free(o->loaded);
	free(o);
}

static struct one *find(const struct zygotes *zs, const char *program, struct str imports)
{
	struct one *o = one_list_first(&zs->all);

	while (o && (o->program != program || !str_eqz(imports, o->imports)))
		o = one_list_next(o);
	return o;
}

static void on_loaded(void *arg, struct zygote *z, struct str names)
{
	struct one *o = arg;

	free(o->loaded);
	o->loaded = str_dup(names);
	log_debug("%s is loaded (%s)", o->program, o->imports);
	o->family->changed(o->family->arg);
}

static void on_ended(void *arg, struct zygote *z, const char *why)
{
	struct one *o = arg;
	struct zygotes *zs = o->family;

	log_warn("a zygote with %s has ended: %s", o->imports[0] ? o->imports : "no imports", why);
	if (o->loaded || !o->imports[0]) {
		one_free(o);
	} else {
		o->bad = true;
		o->z = zygote_free(o->z);
	}
	zs->changed(zs->arg);
}

static void on_exited(void *arg, const uint8_t id[static 16], const struct child_exit *ex)
{
}

static const struct zygote_events events = {.loaded = on_loaded, .exited = on_exited, .ended = on_ended};

static bool is_busy(const struct one *o)
{
	return o->z && zygote_is_busy(o->z);
}

static void on_tick(void *arg)
{
	struct zygotes *zs = arg;
	uint64_t now = loop_now_ms(zs->loop);
	struct one *o, *next;

	for (o = one_list_first(&zs->all); o; o = next) {
		next = one_list_next(o);
		if (is_busy(o))
			o->used_ms = now;
		else if (now - o->used_ms >= (o->bad ? BAD_MS : zs->conf->zygote_idle_ms))
			one_free(o);
	}
	if (zs->all.n)
		timer_set(zs->tick, TICK_MS);
	zs->changed(zs->arg);
}

static struct one *start(struct zygotes *zs, const char *program, struct str imports, struct err *err)
{
	_cleanup_(freep) char *path = file_find_program(zs->conf->libexec, program);
	struct one *o;

	if (!path) {
		err_set(err, 0, "the program %s is not installed (looked in %s)", program, zs->conf->libexec);
		return NULL;
	}
	o = xnew(struct one);
	*o = (struct one){.family = zs, .program = program, .imports = str_dup(imports)};
	one_list_push(&zs->all, o);
	const struct zygote_spec spec = {.path = path, .imports = o->imports, .uid = zs->conf->box_uid};

	o->z = zygote_start(zs->loop, &spec, &events, o, err);
	if (!o->z) {
		one_free(o);
		return NULL;
	}
	timer_set(zs->tick, TICK_MS);
	return o;
}

/* The libraries that zygotes hold are the machine's memory, too: an eighth of what workers may use, at most. */
static bool too_much(const struct zygotes *zs)
{
	uint64_t kib = 0;

	for (const struct one *o = one_list_first(&zs->all); o; o = one_list_next(o))
		kib += o->z ? usage_pss_kib(zygote_pid(o->z)) : 0;
	return kib / 1024 > zs->conf->memory_mb / MEMORY_SHARE;
}

static void make_room(struct zygotes *zs)
{
	struct one *o = one_list_first(&zs->all);

	while (o && is_busy(o))
		o = one_list_next(o);
	if (o && (zs->all.n >= ZYGOTES_MAX || too_much(zs)))
		one_free(o);
}

struct zygote *zygotes_get(struct zygotes *zs, enum runtime_kind kind, struct str imports, struct err *err)
{
	const char *program = plan_program(kind);
	struct one *o = find(zs, program, imports);

	if (o && o->bad) {
		imports = STR("");
		o = find(zs, program, imports);
	}
	if (!o) {
		make_room(zs);
		o = start(zs, program, imports, err);
	}
	if (!o)
		return NULL;
	one_list_remove(&zs->all, o);
	one_list_push(&zs->all, o);
	o->used_ms = loop_now_ms(zs->loop);
	return o->z;
}

struct str zygotes_loaded(const struct zygotes *zs, enum runtime_kind kind, struct str imports)
{
	const struct one *o = find(zs, plan_program(kind), imports);

	return o && o->loaded ? str_from(o->loaded) : STR_NULL;
}

json_t *zygotes_json(const struct zygotes *zs)
{
	json_t *list = json_array();
	uint64_t now = loop_now_ms(zs->loop);

	for (const struct one *o = one_list_first(&zs->all); o; o = one_list_next(o)) {
		int pid = o->z ? zygote_pid(o->z) : -1;

		json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:I, s:I, s:s}", "runtime", o->program,
						      "imports", o->imports, "pid", pid, "memory_kib",
						      (json_int_t)(pid > 0 ? usage_pss_kib(pid) : 0), "idle_ms",
						      (json_int_t)(now - o->used_ms), "state",
						      o->bad                           ? "failed"
						      : o->z && zygote_is_loaded(o->z) ? "loaded"
										       : "loading"));
	}
	return list;
}

struct zygotes *zygotes_new(struct loop *l, const struct node_conf *conf, void (*changed)(void *arg), void *arg)
{
	struct zygotes *zs = xnew(struct zygotes);

	*zs = (struct zygotes){.loop = l, .conf = conf, .changed = changed, .arg = arg};
	zs->tick = timer_new(l, on_tick, zs);
	return zs;
}

struct zygotes *zygotes_free(struct zygotes *zs)
{
	struct one *o;

	if (!zs)
		return NULL;
	while ((o = one_list_first(&zs->all)))
		one_free(o);
	timer_free(zs->tick);
	free(zs);
	return NULL;
}

/* The workers of this node: finds them by id, watches their memory, and sees to it that nothing of them stays.
 *
 * What a worker leaves in the background (a daemon that made a session of its own) becomes a child of the runtime's
 * process, and of this one when that ends, since both are subreapers: so a child that is no worker's process belonged
 * to a worker that is gone, and is killed and reaped. No worker: no timer runs.
 *
 * The pool owns the workers until they report their end. A worker whose gate is gone keeps its place until it is gone
 * too, but nobody is told. */
#include "node/pool.h"

#include "base/map.h"
#include "base/mem.h"
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
#define SWEEP_MS      20
#define CHILDREN_MAX  1024

struct slot {
	struct worker *worker;
	bool abandoned;
};

struct pool {
	struct loop *loop;
	const struct node_conf *conf;
	const struct pool_handler *handler;
	void *arg;
	struct code *code;
	char *tmp;
	struct map slots; /* by id */
	struct timer *watch, *sweep;
	unsigned calm; /* looks at memory since one differed */
	size_t jobs;
	bool sweeping;
};

static struct str id_key(const uint8_t *id)
{
	return str_n(id, 16);
}

static bool is_worker(const struct pool *p, int pid)
{
	void *value;
	struct str key;

	for (size_t i = 0; map_next(&p->slots, &i, &key, &value);)
		if (worker_pid(((struct slot *)value)->worker) == pid)
			return true;
	return false;
}

static bool is_empty(const struct pool *p)
{
	return !p->slots.n && !p->sweeping && !p->jobs && !code_is_busy(p->code);
}

static void pool_settle(struct pool *p)
{
	if (is_empty(p))
		p->handler->empty(p->arg);
}

/* Kills what gone workers left, and comes again until it is reaped. */
static void pool_sweep(void *arg)
{
	struct pool *p = arg;
	int pids[CHILDREN_MAX];
	size_t n = usage_children(pids, CHILDREN_MAX);
	bool left = false;

	for (size_t i = 0; i < n; i++) {
		if (is_worker(p, pids[i]))
			continue;
		kill(pids[i], SIGKILL);
		if (waitpid(pids[i], NULL, WNOHANG) == 0)
			left = true;
	}
	/* Removals of folders are waited for in the same way. */
	p->sweeping = left || p->jobs > 0 || code_is_busy(p->code);
	if (p->sweeping)
		timer_set(p->sweep, SWEEP_MS);
	else
		pool_settle(p);
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

static void pool_sweep_soon(struct pool *p)
{
	p->sweeping = true;
	timer_set(p->sweep, 0);
}

/* The slot of a worker that ends; freed by the caller. */
static struct slot *pool_take(struct pool *p, const struct worker *w)
{
	struct slot *s = map_del(&p->slots, id_key(worker_id(w)));

	pool_sweep_soon(p);
	return s;
}

static void on_started(void *arg, struct worker *w, uint64_t prepare_us, int lane, int log_pipe)
{
	struct pool *p = arg;
	const struct slot *s = map_get(&p->slots, id_key(worker_id(w)));

	p->calm = 0;
	timer_set(p->watch, WATCH_MS);
	if (s->abandoned)
		worker_stop(w, 0);
	else
		p->handler->started(p->arg, worker_id(w), worker_pid(w), prepare_us, lane, log_pipe);
}

static void on_failed(void *arg, struct worker *w, const char *type, const char *error)
{
	struct pool *p = arg;
	_cleanup_(freep) struct slot *s = pool_take(p, w);

	if (!s->abandoned)
		p->handler->failed(p->arg, worker_id(w), type, error);
}

static void on_exited(void *arg, struct worker *w, const struct child_exit *ex, bool oom)
{
	struct pool *p = arg;
	_cleanup_(freep) struct slot *s = pool_take(p, w);

	if (!s->abandoned)
		p->handler->exited(p->arg, worker_id(w), ex, oom);
}

static const struct worker_handler worker_handler = {
	.started = on_started,
	.failed = on_failed,
	.exited = on_exited,
};

void pool_start(struct pool *p, const uint8_t id[static 16], const json_t *order, int zip)
{
	const struct worker_site site = {
		.loop = p->loop,
		.code = p->code,
		.conf = p->conf,
		.tmp = p->tmp,
		.handler = &worker_handler,
		.arg = p,
		.jobs = &p->jobs,
	};
	struct slot *s;

	if (map_get(&p->slots, id_key(id))) {
		log_warn("the gate starts a worker by an id that is in use; ignored");
		if (zip >= 0)
			close(zip);
		return;
	}
	s = xnew(struct slot);
	map_put(&p->slots, id_key(id), s);
	s->worker = worker_start(&site, id, order, zip);
}

void pool_stop(struct pool *p, const uint8_t id[static 16], uint64_t grace_ms)
{
	struct slot *s = map_get(&p->slots, id_key(id));

	if (s)
		worker_stop(s->worker, grace_ms);
}

void pool_abandon(struct pool *p)
{
	void *value;
	struct str key;

	for (size_t i = 0; map_next(&p->slots, &i, &key, &value);) {
		struct slot *s = value;

		s->abandoned = true;
		worker_stop(s->worker, 0);
	}
	pool_sweep_soon(p);
}

size_t pool_count(const struct pool *p)
{
	return p->slots.n;
}

uint64_t pool_memory_mb(const struct pool *p)
{
	uint64_t sum = 0;
	void *value;
	struct str key;

	for (size_t i = 0; map_next(&p->slots, &i, &key, &value);)
		sum += worker_memory_mb(((struct slot *)value)->worker);
	return sum;
}

struct pool *pool_new(struct loop *l, const struct node_conf *conf, const struct pool_handler *h, void *arg,
		      struct err *err)
{
	_cleanup_(freep) char *code_folder = xasprintf("%s/node/code", conf->data);
	_cleanup_(freep) char *theirs = xasprintf("LAMBDA_TASK_ROOT=%s/", code_folder);
	struct pool *p = xnew(struct pool);
	int r;

	*p = (struct pool){.loop = l, .conf = conf, .handler = h, .arg = arg};
	p->tmp = xasprintf("%s/node/tmp", conf->data);
	p->watch = timer_new(l, pool_watch, p);
	p->sweep = timer_new(l, pool_sweep, p);
	/* A node that was killed takes its workers with it, but not what they had started. */
	if (usage_kill_by_env(theirs))
		log_info("ended processes that workers of an earlier life had left");
	r = rm_rf(p->tmp);
	if (r == 0)
		r = mkdir_p(p->tmp, 0711);
	if (r < 0) {
		err_set(err, -r, "make folder %s", p->tmp);
		return pool_free(p);
	}
	p->code = code_new(l, code_folder, conf->code_cache_max, err);
	return p->code ? p : pool_free(p);
}

struct pool *pool_free(struct pool *p)
{
	if (!p)
		return NULL;
	p->code = code_free(p->code);
	p->watch = timer_free(p->watch);
	p->sweep = timer_free(p->sweep);
	map_done(&p->slots);
	free(p->tmp);
	free(p);
	return NULL;
}

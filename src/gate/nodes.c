/* All nodes: the local one over the unix link, remote ones over links that they have dialled (node_link.c). Owns them;
 * turns their reports into calls on workers, and the wishes of workers into messages.
 *
 * When the local link is lost the node is taken for dead: its workers die with it or are killed by it (node/agent.c),
 * so nothing is kept. A remote node that is lost is away: its workers are kept, get nothing new and are told nothing,
 * until it is back or has been away for too long. */
#include "gate/node.h"

#include "base/mem.h"
#include "gate/fn.h"
#include "gate/queue.h"
#include "sys/clock.h"
#include "sys/log.h"

#include <stdio.h>
#include <unistd.h>

#define MEMORY_MAX_MB (16ll << 20)
#define CPUS_MAX      4096

const uint8_t node_no_id[16];

/* ---- all together ---- */

bool nodes_any_up(const struct gate *g)
{
	const struct node *n = g->nodes ? node_list_first(&g->nodes->list) : NULL;

	while (n && n->state != NODE_UP)
		n = node_list_next(n);
	return n != NULL;
}

static uint64_t sum(const struct gate *g, uint64_t (*of)(const struct node *n))
{
	uint64_t all = 0;

	for (const struct node *n = node_list_first(&g->nodes->list); n; n = node_list_next(n))
		all += n->state == NODE_UP ? of(n) : 0;
	return all;
}

static uint64_t memory_of(const struct node *n)
{
	return n->memory_mb;
}

static uint64_t memory_free_of(const struct node *n)
{
	return n->memory_free_mb;
}

static uint64_t cpus_of(const struct node *n)
{
	return n->cpus;
}

uint64_t nodes_memory_mb(const struct gate *g)
{
	return sum(g, memory_of);
}

uint64_t nodes_memory_free_mb(const struct gate *g)
{
	return sum(g, memory_free_of);
}

unsigned nodes_cpus(const struct gate *g)
{
	return (unsigned)sum(g, cpus_of);
}

uint64_t nodes_memory_largest_mb(const struct gate *g)
{
	uint64_t most = 0;

	for (const struct node *n = node_list_first(&g->nodes->list); n; n = node_list_next(n))
		most = n->state == NODE_UP ? MAX(most, n->memory_mb) : most;
	return most;
}

struct absent {
	const struct gate *g;
	uint64_t memory_mb;
	bool unknown; /* one was not here yet: what it has it will say */
};

static void add_absent(void *arg, const struct node_record *rec)
{
	struct absent *a = arg;
	const struct node *n = node_list_first(&a->g->nodes->list);

	while (n && !str_eqz(rec->name, n->name))
		n = node_list_next(n);
	if (!n)
		a->unknown = true;
	else if (n->state != NODE_UP)
		a->memory_mb = MAX(a->memory_mb, n->memory_mb);
}

uint64_t nodes_memory_could_mb(const struct gate *g)
{
	struct absent a = {.g = g};

	if (g->nodes->links)
		node_records_each(g, add_absent, &a);
	if (a.unknown && clock_mono_us() - g->nodes->began_us < g->conf.s.node_away_ms * 1000)
		return UINT64_MAX;
	return a.memory_mb;
}

bool nodes_some_to_come(const struct gate *g)
{
	struct absent a = {.g = g};

	if (g->nodes->links)
		node_records_each(g, add_absent, &a);
	return a.unknown;
}

/* ---- from a node ---- */

static void set_why(struct node *n, const char *why)
{
	free(n->why);
	n->why = why ? xstrdup(why) : NULL;
}

/* A number that another machine says: within what can be. */
static uint64_t said(const json_t *body, const char *name, int64_t least, int64_t most)
{
	return (uint64_t)MIN(MAX(json_get_int(body, name, least), least), most);
}

void node_hello(struct node *n, const json_t *body)
{
	int64_t protocol = json_get_int(body, "protocol", 0);

	if (protocol != LINK_PROTOCOL)
		log_warn("node %s speaks link protocol %lld, this gate %d", n->name, (long long)protocol,
			 LINK_PROTOCOL);
	json_decref(n->hello);
	n->hello = json_deep_copy(body);
	n->memory_mb = said(body, "memory_mb", 0, MEMORY_MAX_MB);
	n->cpus = (unsigned)said(body, "cpus", 1, CPUS_MAX);
	n->memory_free_mb = n->memory_mb;
	n->state = NODE_UP;
	set_why(n, NULL);
	node_describe(n);
	log_info("node %s is here: %llu MB for workers", n->name, (unsigned long long)n->memory_mb);
	queue_pump_all(n->g);
}

static void status(struct node *n, const json_t *body)
{
	uint64_t before = n->memory_free_mb;

	json_decref(n->status);
	n->status = json_deep_copy(body);
	n->memory_free_mb = said(body, "memory_free_mb", 0, MEMORY_MAX_MB);
	node_refresh(n);
	if (n->memory_free_mb > before)
		queue_pump_all(n->g);
}

/* They are others, or were measured anew. */
static void devices(struct node *n, const json_t *body)
{
	json_t *list = json_object_get(body, "devices");

	if (!n->hello || !json_is_array(list))
		return;
	json_object_set(n->hello, "devices", list);
	node_describe(n);
	queue_room(n->g);
}

static void failed(struct worker *w, const json_t *body)
{
	struct str type = json_get_str(body, "type", STR("Runtime.StartFailed"));
	struct str error = json_get_str(body, "error", STR("the worker could not be started"));

	w->node_at_fault = node_failed(w, type, error);
	worker_failed(w, type, error, json_get_str(body, "output", STR_NULL));
}

static void started(struct node *n, struct worker *w, const int *fds, size_t n_fds, size_t *used)
{
	if (n->link) {
		worker_started_remote(w, node_link_lane(n->link, w->id));
	} else if (n_fds >= 2) {
		worker_started(w, fds[0], fds[1]);
		*used = 2;
	}
}

static void door(struct node *n, struct worker *w, const json_t *body, const int *fds, size_t n_fds, size_t *used)
{
	if (n->link) {
		node_link_door(n->link, w->id, (uint64_t)json_get_int(body, "connection", 0));
	} else if (n_fds >= 1) {
		worker_door(w, fds[0]);
		*used = 1;
	}
}

/* A node speaks for its own workers only. */
static struct worker *own(struct node *n, const uint8_t id[static 16])
{
	struct worker *w = pool_find(n->g, id);

	return w && w->node == n ? w : NULL;
}

size_t node_message(struct node *n, enum link_message type, const uint8_t id[static 16], const json_t *body,
		    const int *fds, size_t n_fds)
{
	struct worker *w = own(n, id);
	size_t used = 0;

	switch (type) {
	case LINK_STARTED:
		if (w)
			started(n, w, fds, n_fds, &used);
		break;
	case LINK_DOOR:
		if (w)
			door(n, w, body, fds, n_fds, &used);
		break;
	case LINK_FAILED:
		if (w)
			failed(w, body);
		break;
	case LINK_EXITED:
		if (w && json_object_get(body, "device_type"))
			worker_lost_slice(w, json_get_str(body, "device_type", STR_NULL),
					  json_get_str(body, "device_error", STR_NULL));
		if (w)
			worker_exited(w, (int)json_get_int(body, "exit", 0), (int)json_get_int(body, "signal", 0),
				      json_get_bool(body, "oom", false));
		break;
	case LINK_STATUS:
		status(n, body);
		break;
	case LINK_NEED:
		if (n->link)
			node_link_need(n->link, json_get_str(body, "sha256", STR("")));
		break;
	case LINK_DEVICES:
		devices(n, body);
		break;
	case LINK_PARKED:
		if (w)
			worker_parked(w, json_get_bool(body, "on", false),
				      json_string_value(json_object_get(body, "error")));
		break;
	case LINK_HELLO:
	case LINK_START:
	case LINK_STOP:
	case LINK_FREEZE:
	case LINK_LEARNT:
	case LINK_PREPARE:
	case LINK_PARK:
	default:
		log_warn("node %s sent %s (%u), which is not a node's to send", n->name, link_message_name(type),
			 (unsigned)type);
		break;
	}
	return used;
}

/* Workers of functions that may not run here any more take nothing new. Those on their way are looked at when they are
 * ready (worker.c). */
static void retire_unfit(struct node *n)
{
	for (struct worker *w = node_workers_first(&n->workers); w; w = node_workers_next(w)) {
		if (node_may_run(n, w->fn))
			continue;
		if (w->state == WORKER_PARKED)
			worker_end(w, "its node is drained, or has lost a label");
		else if (w->state == WORKER_IDLE || w->state == WORKER_BUSY)
			worker_retire(w, "its node is drained, or has lost a label");
	}
}

void node_away(struct node *n, const char *reason)
{
	if (n->state != NODE_UP)
		return;
	log_warn("node %s is away: %s", n->name, reason);
	n->state = NODE_AWAY;
	set_why(n, reason);
	node_refresh(n);
	for (struct worker *w = node_workers_first(&n->workers); w; w = node_workers_next(w))
		worker_away(w, true);
	queue_pump_all(n->g);
}

void node_back(struct node *n)
{
	log_info("node %s is back, with %zu workers", n->name, n->workers.n);
	n->state = NODE_UP;
	set_why(n, NULL);
	node_refresh(n);
	for (struct worker *w = node_workers_first(&n->workers); w; w = node_workers_next(w))
		worker_away(w, false);
	retire_unfit(n);
	queue_pump_all(n->g);
}

void node_gone(struct node *n, const char *reason)
{
	struct worker *w;

	if (n->state != NODE_DOWN)
		log_warn("node %s is gone: %s", n->name, reason);
	n->state = NODE_DOWN;
	set_why(n, reason);
	/* Those whose lane is open end when it closes: the workers die with their node. */
	while ((w = node_workers_first(&n->workers))) {
		node_leave(w);
		worker_node_gone(w);
	}
	node_refresh(n);
}

/* ---- the local one ---- */

static void message(void *arg, struct peer *p, enum link_message type, const uint8_t id[static 16], const json_t *body,
		    int *fds, size_t n_fds)
{
	struct node *n = arg;
	size_t used = 0;

	if (type == LINK_HELLO) {
		free(n->name);
		n->name = str_dup(json_get_str(body, "name", STR("?")));
		node_hello(n, body);
	} else {
		used = node_message(n, type, id, body, fds, n_fds);
	}
	for (size_t i = used; i < n_fds; i++)
		close(fds[i]);
}

static void up(void *arg, struct peer *p)
{
	struct node *n = arg;
	json_t *body = json_pack("{s:i, s:s, s:I}", "protocol", LINK_PROTOCOL, "version", WICK_VERSION, "time_ms",
				 (json_int_t)clock_wall_ms());

	node_say(n, LINK_HELLO, node_no_id, body, NULL, 0);
}

static void down(void *arg, struct peer *p, const char *reason)
{
	node_gone(arg, reason);
}

static const struct peer_handler handler = {
	.up = up,
	.message = message,
	.down = down,
};

/* ---- beginning and end ---- */

void node_set_record(struct node *n, const struct node_record *rec)
{
	n->drained = rec->drained;
	if (n->hello)
		node_describe(n); /* its labels */
	retire_unfit(n);
}

static size_t free_number(struct nodes *ns)
{
	size_t at = 0;

	while (at < ns->n_numbers && ns->by_number[at])
		at++;
	if (at == ns->n_numbers) {
		ns->n_numbers = MAX(2 * ns->n_numbers, (size_t)8);
		ns->by_number = xrealloc(ns->by_number, ns->n_numbers * sizeof(*ns->by_number));
		memset(ns->by_number + at, 0, (ns->n_numbers - at) * sizeof(*ns->by_number));
	}
	return at;
}

struct node *node_new(struct nodes *ns, struct str name)
{
	struct node *n = xnew(struct node);

	n->g = ns->g;
	n->nodes = ns;
	n->name = str_dup(name);
	n->number = free_number(ns);
	ns->by_number[n->number] = n;
	n->failing_timer = timer_new(ns->g->loop, node_try_again, n);
	n->ailing_timer = timer_new(ns->g->loop, node_ailing_over, n);
	node_list_push(&ns->list, n);
	return n;
}

/* Another node may get its number. */
static void forget_number(void *arg, struct fn *fn)
{
	const struct node *n = arg;

	bits_clear(&fn->code_on, n->number);
	bits_clear(&fn->avoid, n->number);
}

void node_free(struct node *n)
{
	struct nodes *ns = n->nodes;

	node_gone(n, "the gate forgets it");
	fns_each(n->g, forget_number, n);
	place_index_update(ns->index, n->number, NULL);
	ns->by_number[n->number] = NULL;
	node_list_remove(&ns->list, n);
	node_fail_done(n);
	arena_done(&n->arena);
	free(n->why);
	n->link = node_link_free(n->link);
	peer_free(n->peer);
	json_decref(n->status);
	json_decref(n->hello);
	free(n->name);
	free(n);
}

struct nodes *nodes_open(struct gate *g, struct err *err)
{
	struct nodes *ns = xnew(struct nodes);

	ns->g = g;
	ns->index = place_index_new();
	random_bytes(ns->seed, sizeof(ns->seed));
	ns->began_us = clock_mono_us();
	ns->local = node_new(ns, STR("local"));
	ns->local->peer = peer_dial(g->loop, g->conf.socket, &handler, ns->local);
	ns->links = node_links_open(ns, err);
	node_records_on_change(g, node_link_changed);
	return ns->links || !err->msg ? ns : nodes_free(ns);
}

struct nodes *nodes_free(struct nodes *ns)
{
	if (!ns)
		return NULL;
	while (node_list_first(&ns->list))
		node_free(node_list_first(&ns->list));
	node_links_free(ns->links);
	place_index_free(ns->index);
	free(ns->by_number);
	free(ns);
	return NULL;
}

/* ---- to a node ---- */

bool node_say(struct node *n, enum link_message type, const uint8_t id[static 16], json_t *body, const int *fds,
	      size_t n_fds)
{
	bool said;

	if (n->link)
		said = node_link_say(n->link, type, id, body);
	else
		said = peer_send(n->peer, type, id, body, fds, n_fds);
	json_decref(body);
	return said;
}

bool nodes_start_worker(struct gate *g, struct worker *w)
{
	if (!node_pick(w))
		return false;
	node_start(w->node, w);
	return true;
}

void nodes_prepare(struct gate *g, const struct function *f)
{
	struct fn *fn = fn_get(g, f->name, f->version);
	struct node *n = fn ? node_pick_for(fn) : NULL;

	if (!n)
		return;
	node_prepare(n, f);
	bits_set(&fn->code_on, n->number);
}

const char *nodes_fingerprint(const struct gate *g)
{
	return g->nodes->links ? node_links_fingerprint(g->nodes->links) : "";
}

uint16_t nodes_port(const struct gate *g)
{
	return g->nodes->links ? node_links_port(g->nodes->links) : 0;
}

void nodes_freeze(const struct worker *w, bool on)
{
	if (w->node)
		node_say(w->node, LINK_FREEZE, w->id, json_pack("{s:b}", "on", on), NULL, 0);
}

void nodes_park(const struct worker *w, bool on)
{
	if (w->node)
		node_say(w->node, LINK_PARK, w->id, json_pack("{s:b}", "on", on), NULL, 0);
}

void nodes_stop_worker(const struct worker *w, const char *reason, unsigned grace_ms)
{
	if (w->node)
		node_say(w->node, LINK_STOP, w->id,
			 json_pack("{s:s, s:i}", "reason", reason, "grace_ms", (int)grace_ms), NULL, 0);
}

void nodes_learnt(const struct worker *w, struct str imports)
{
	json_t *body = json_object();

	json_set_str(body, "code_sha256", w->fn->def.code_sha256);
	json_set_str(body, "imports", imports);
	if (w->node)
		node_say(w->node, LINK_LEARNT, node_no_id, body, NULL, 0);
	else
		json_decref(body);
}

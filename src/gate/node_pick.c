/* Where a worker runs: keeps what placement knows of each node (gate/place_node.h) true, asks the index for a place,
 * books it and gives it back. Owns nothing but that view: the books of a node's devices live and go with the node's
 * description; leases are the workers'. No place is an ordinary answer: who waits is hungry (queue.c). */
#include "gate/node.h"

#include "base/map.h"
#include "base/mem.h"
#include "gate/fn.h"
#include "gate/place.h"
#include "gate/place_why.h"
#include "gate/queue.h"
#include "model/price.h"
#include "sys/clock.h"
#include "sys/log.h"

#include <string.h>

/* ---- the view of a node ---- */

static uint64_t estimate_mb(const struct fn *fn)
{
	return place_estimate_kib(fn->memory_kib, fn->def.memory_mb) >> 10;
}

/* What its workers are reckoned with, as their functions are known now. */
static uint64_t promised_mb(const struct node *n)
{
	uint64_t mb = 0;

	for (const struct worker *w = node_workers_first(&n->workers); w; w = node_workers_next(w))
		if (w->state != WORKER_ENDING)
			mb += estimate_mb(w->fn);
	return mb;
}

void node_refresh(struct node *n)
{
	struct place_node *p = &n->place;

	p->name = str_from(n->name);
	p->up = n->state == NODE_UP;
	p->drained = n->drained;
	p->failing = n->failing;
	p->memory_mb = n->memory_mb;
	p->memory_free_mb = place_memory_free_mb(n->memory_mb, n->memory_free_mb, promised_mb(n));
	p->rtt_us = n->link ? node_link_rtt_us(n->link) : 0;
	place_index_update(n->nodes->index, n->number, p);
}

static void add_label(struct node *n, struct str label, size_t *cap)
{
	struct place_node *p = &n->place;

	for (size_t i = 0; i < p->n_labels; i++)
		if (str_eq(p->labels[i], label))
			return;
	if (p->n_labels < *cap)
		((struct str *)(uintptr_t)p->labels)[p->n_labels++] = arena_str(&n->arena, label);
}

/* Its own labels and those that people gave it; its name is one, too. */
static void describe_labels(struct node *n)
{
	const json_t *own = json_object_get(n->hello, "labels");
	size_t n_own = MIN(json_array_size(own), (size_t)NODE_LABELS_MAX);
	const struct node_record *rec = n->link ? node_by_name(n->g, str_from(n->name)) : NULL;
	size_t cap = 1 + n_own + (rec ? rec->n_labels : 0);

	n->place.labels = arena_new_n(&n->arena, struct str, cap);
	n->place.n_labels = 0;
	add_label(n, str_from(n->name), &cap);
	for (size_t i = 0; i < n_own; i++)
		if (json_is_string(json_array_get(own, i)) &&
		    slice_name_is_valid(str_from(json_string_value(json_array_get(own, i)))))
			add_label(n, str_from(json_string_value(json_array_get(own, i))), &cap);
	for (size_t i = 0; rec && i < rec->n_labels; i++)
		add_label(n, rec->labels[i], &cap);
}

static int take_device(struct node *n, const json_t *j, struct device *ret, struct err *err)
{
	if (n->place.n_devices == DEVICES_TAKEN_MAX)
		return err_set(err, 0, "no more than %d devices are taken of a node", DEVICES_TAKEN_MAX);
	if (device_from_json(ret, j, &n->arena, err) < 0 || device_check(ret, err) < 0)
		return -1;
	for (size_t i = 0; i < n->place.n_devices; i++)
		if (str_eq(n->devices[i].id, ret->id))
			return err_set(err, 0, "another has the id %.*s", STR_ARG(ret->id));
	return 0;
}

/* What a node says of its devices comes from another machine: what cannot be is left out, with a word in the log, and
 * only where that differs from the last word, as nodes repeat themselves every second. */
static void describe_devices(struct node *n)
{
	_cleanup_(err_done) struct err first = ERR_NULL;
	const json_t *list = json_object_get(n->hello, "devices");
	bool share = json_get_bool(n->hello, "share_roles", false);
	size_t n_all = json_array_size(list), n_out = 0;

	n->devices = arena_new_n(&n->arena, struct device, DEVICES_TAKEN_MAX);
	n->place.devices = arena_new_n(&n->arena, struct slice_book, DEVICES_TAKEN_MAX);
	n->place.n_devices = 0;
	for (size_t i = 0; i < n_all; i++) {
		_cleanup_(err_done) struct err err = ERR_NULL;
		size_t at = n->place.n_devices;
		struct device d;

		if (take_device(n, json_array_get(list, i), &d, &err) < 0) {
			if (n_out++ == 0)
				err_set(&first, 0, "%s", err.msg);
			continue;
		}
		n->devices[at] = d;
		slice_book_init(&n->place.devices[at], &n->devices[at], share);
		n->place.n_devices++;
	}
	if (n_out && n_out != n->left_out)
		log_warn("node %s: %zu of its %zu devices are left out; of the first: %s", n->name, n_out, n_all,
			 first.msg);
	n->left_out = n_out;
}

static struct slice_book *book_of(const struct node *n, struct str device)
{
	for (size_t i = 0; i < n->place.n_devices; i++)
		if (str_eq(n->place.devices[i].device->id, device))
			return &n->place.devices[i];
	return NULL;
}

static const struct device *device_of(const struct node *n, struct str id)
{
	const struct slice_book *b = book_of(n, id);

	return b ? b->device : NULL;
}

/* What its workers hold is booked anew. A lease of what is not there any more holds nothing: the node ends its worker.
 */
static void hold_again(struct node *n)
{
	for (struct worker *w = node_workers_first(&n->workers); w; w = node_workers_next(w)) {
		for (size_t i = 0; w->holds && i < w->n_leases; i++) {
			struct slice_book *b = book_of(n, w->leases[i].device);

			if (!b || !slice_book_hold(b, &w->leases[i]))
				log_warn("node %s has no slice any more of %.*s that worker %s holds", n->name,
					 STR_ARG(w->leases[i].device), w->id_text);
		}
	}
}

void node_describe(struct node *n)
{
	const char *cost = json_string_value(json_object_get(n->hello, "cost"));

	place_index_update(n->nodes->index, n->number, NULL);
	arena_reset(&n->arena);
	n->place = (struct place_node){0};
	if (cost && !price_parse_usd(str_from(cost), &n->place.cost_hour))
		log_warn("node %s: its cost \"%s\" is no amount in USD", n->name, cost);
	describe_labels(n);
	describe_devices(n);
	hold_again(n);
	node_ailing_show(n);
	node_refresh(n);
}

/* ---- a place ---- */

/* A number for a role, as model/slice.h asks for it. */
static uint64_t role_number(const struct gate *g, struct str role)
{
	uint64_t n = siphash13(g->nodes->seed, role.p, role.n);

	return n ? n : 1;
}

void node_wish(const struct fn *fn, struct place_wish *ret)
{
	*ret = (struct place_wish){
		.device = &fn->opt.device,
		.role = role_number(fn->g, fn->def.role),
		.memory_mb = estimate_mb(fn),
		.code = &fn->code_on,
		.avoid = fn_avoids_us(fn) ? &fn->avoid : NULL,
	};
}

bool node_find(struct nodes *ns, const struct place_wish *wish, struct place_choice *choice)
{
	if (place_index_find(ns->index, wish, choice))
		return true;
	/* What workers are reckoned with may be less by now. */
	for (struct node *n = node_list_first(&ns->list); n; n = node_list_next(n))
		node_refresh(n);
	return place_index_find(ns->index, wish, choice);
}

/* The text of a lease is a view into the node's description, which may change while the worker lives. */
static void own_leases(struct worker *w, const struct node *n)
{
	for (size_t i = 0; i < w->n_leases; i++) {
		struct slice_lease *l = &w->leases[i];

		if (i == 0) {
			const struct device *d = device_of(n, l->device);

			w->device_model = arena_str(&w->arena, d ? d->model : l->device);
			w->device_kind = arena_str(&w->arena, d ? d->kind : STR(""));
		}
		l->device = arena_str(&w->arena, l->device);
		l->mig = arena_str(&w->arena, l->mig);
		w->slots += l->slots;
	}
}

static void settle(struct worker *w, struct node *n)
{
	own_leases(w, n);
	w->holds = true;
	w->node = n;
	node_workers_push(&n->workers, w);
	bits_set(&w->fn->code_on, n->number);
	node_refresh(n);
}

bool node_pick(struct worker *w)
{
	struct nodes *ns = w->g->nodes;
	struct place_choice choice;
	struct place_wish wish;
	struct node *n;

	node_wish(w->fn, &wish);
	if (!node_find(ns, &wish, &choice))
		return false;
	n = ns->by_number[choice.node];
	if (choice.n_devices) {
		w->leases = xnew_n(struct slice_lease, choice.n_devices);
		w->n_leases = choice.n_devices;
		place_index_take(ns->index, &wish, &choice, w->leases);
	}
	settle(w, n);
	return true;
}

bool node_may_run(const struct node *n, const struct fn *fn)
{
	struct place_wish wish;

	node_wish(fn, &wish);
	return !n->drained && place_node_reason(&n->place, &wish, STR_NULL) != PLACE_NO_LABEL;
}

struct node *node_pick_for(struct fn *fn)
{
	struct place_choice choice;
	struct place_wish wish;

	node_wish(fn, &wish);
	return node_find(fn->g->nodes, &wish, &choice) ? fn->g->nodes->by_number[choice.node] : NULL;
}

void node_lend(struct worker *w)
{
	for (size_t i = 0; w->holds && i < w->n_leases; i++)
		place_index_give_back(w->node->nodes->index, w->node->number, &w->leases[i]);
	w->holds = false;
}

/* The same devices: what was moved out of one goes back there. */
bool node_hold_again(struct worker *w)
{
	struct node *n = w->node;
	size_t held = 0;

	for (; held < w->n_leases; held++) {
		struct slice_book *b = book_of(n, w->leases[held].device);

		if (!b || !slice_book_hold(b, &w->leases[held]))
			break;
	}
	w->holds = held == w->n_leases;
	while (!w->holds && held-- > 0)
		slice_book_give_back(book_of(n, w->leases[held].device), &w->leases[held]);
	node_refresh(n);
	return w->holds;
}

void node_leave(struct worker *w)
{
	struct node *n = w->node;

	if (!n)
		return;
	node_workers_remove(&n->workers, w);
	node_lend(w);
	w->node = NULL;
	free(w->leases);
	w->leases = NULL;
	w->n_leases = 0;
	node_refresh(n);
}

/* ---- a place that could be made ---- */

/* Leaving already, then the longest idle, first. */
static int compare_leaving(const void *a, const void *b)
{
	const struct worker *x = *(struct worker *const *)a, *y = *(struct worker *const *)b;
	int64_t at = x->state == WORKER_IDLE ? x->idle_since_ms : 0,
		than = y->state == WORKER_IDLE ? y->idle_since_ms : 0;

	return at < than ? -1 : at > than;
}

static size_t find_leaving(const struct node *n, const struct fn *fn, bool (*may_leave)(const struct worker *w),
			   struct worker **ret)
{
	size_t n_ret = 0;

	for (struct worker *w = node_workers_first(&n->workers); w; w = node_workers_next(w))
		if (w->fn != fn && may_leave(w))
			ret[n_ret++] = w;
	qsort(ret, n_ret, sizeof(*ret), compare_leaving);
	return n_ret;
}

static void give_back_all(const struct worker *w, struct place_node *p)
{
	for (size_t i = 0; w->holds && i < w->n_leases; i++)
		for (size_t k = 0; k < p->n_devices; k++)
			slice_book_give_back(&p->devices[k], &w->leases[i]);
}

/* Does it hold something of the devices? */
static bool is_on(const struct worker *w, const struct place_node *p, const struct place_choice *c)
{
	for (size_t i = 0; w->holds && i < w->n_leases; i++)
		for (size_t k = 0; k < c->n_devices; k++)
			if (str_eq(w->leases[i].device, p->devices[c->devices[k]].device->id))
				return true;
	return false;
}

static struct str kind_that_takes(const struct slice_wish *d, size_t k)
{
	return d->n_kinds && slice_wish_takes(d, d->kinds[k]) ? d->kinds[k] : STR_NULL;
}

static bool would_fit(const struct node *n, const struct place_node *p, const struct place_wish *wish,
		      struct place_choice *ret)
{
	for (size_t k = 0; k < MAX(wish->device->n_kinds, (size_t)1); k++) {
		struct str kind = kind_that_takes(wish->device, k);

		*ret = (struct place_choice){0};
		if (place_why_not(p, n->number, wish, kind) != PLACE_FITS)
			continue;
		if (kind.n)
			place_node_rank(p, wish, kind, ret);
		return true;
	}
	return false;
}

struct worker *node_in_the_way(struct node *n, const struct fn *fn, bool (*may_leave)(const struct worker *w))
{
	_cleanup_(freep) struct worker **leaving = xnew_n(struct worker *, n->workers.n + 1);
	_cleanup_(freep) struct slice_book *books = xnew_n(struct slice_book, n->place.n_devices + 1);
	size_t n_leaving = find_leaving(n, fn, may_leave, leaving), gone = 0;
	uint64_t promised = promised_mb(n);
	struct place_choice c;
	struct place_wish wish;
	struct place_node p = n->place;

	node_wish(fn, &wish);
	p.devices = books;
	for (size_t i = 0; i < p.n_devices; i++)
		books[i] = n->place.devices[i];
	/* One after the other, until it would: no more need to go, and those not that are not in its place. */
	for (bool fits = false; !fits; fits = would_fit(n, &p, &wish, &c)) {
		if (gone == n_leaving)
			return NULL;
		give_back_all(leaving[gone], &p);
		promised -= leaving[gone]->state == WORKER_ENDING ? 0 : estimate_mb(leaving[gone]->fn);
		gone++;
		/* What those use is not measured as free yet. */
		p.memory_free_mb = MAX(p.memory_free_mb, n->memory_mb > promised ? n->memory_mb - promised : 0);
	}
	for (size_t i = 0; i < gone && c.n_devices && node_lacks_devices(n, fn); i++)
		if (is_on(leaving[i], &p, &c))
			return leaving[i];
	return leaving[0];
}

struct worker *nodes_in_the_way(const struct fn *fn, bool (*leaves)(const struct worker *w))
{
	struct worker *w = NULL;

	for (struct node *n = node_list_first(&fn->g->nodes->list); n && !w; n = node_list_next(n))
		if (n->workers.n)
			w = node_in_the_way(n, fn, leaves);
	return w;
}

bool node_lacks_devices(const struct node *n, const struct fn *fn)
{
	struct place_wish wish;

	node_wish(fn, &wish);
	for (size_t k = 0; k < wish.device->n_kinds; k++) {
		enum place_reason r = place_node_reason(&n->place, &wish, kind_that_takes(wish.device, k));

		if (r == PLACE_NO_MEMORY)
			return false;
	}
	return wish.device->n_kinds > 0;
}

bool node_looked_at(struct node *n, unsigned look)
{
	bool before = n->look == look;

	n->look = look;
	return before;
}

/* ---- what came before this gate ---- */

bool node_pick_past(struct worker *w, struct node *n, const json_t *slices)
{
	size_t held = 0;

	if (!node_may_run(n, w->fn))
		return false;
	w->n_leases = json_array_size(slices);
	w->leases = xnew_n(struct slice_lease, MAX(w->n_leases, (size_t)1));
	for (; held < w->n_leases; held++) {
		struct slice_lease *l = &w->leases[held];
		struct slice_book *b;

		slice_lease_from_json(l, json_array_get(slices, held));
		l->role = role_number(w->g, w->fn->def.role);
		b = book_of(n, l->device);
		if (!b || !slice_book_hold(b, l))
			break;
	}
	if (held == w->n_leases) {
		settle(w, n);
		return true;
	}
	while (held-- > 0)
		slice_book_give_back(book_of(n, w->leases[held].device), &w->leases[held]);
	free(steal(&w->leases));
	w->n_leases = 0;
	return false;
}

/* Nodes, devices and places for people: `wick nodes`, `wick place --dry-run`, `wick why`, and whether what a function
 * asks for could ever be had. Reads what others own; keeps nothing. */
#include "gate/node.h"

#include "gate/fn.h"
#include "gate/place_why.h"

static const char *state_name(const struct node *n)
{
	static const char *const names[] = {[NODE_DOWN] = "down", [NODE_UP] = "up", [NODE_AWAY] = "away"};

	if (n->state == NODE_UP && n->failing)
		return "failing";
	return n->state == NODE_UP && n->drained ? "drained" : names[n->state];
}

json_t *node_leases_json(const struct worker *w)
{
	json_t *all = json_array();

	for (size_t i = 0; i < w->n_leases; i++)
		json_array_append_new(all, slice_lease_to_json(&w->leases[i]));
	return all;
}

/* As they were told, with what is taken of them. */
static json_t *node_devices_json(const struct node *n)
{
	json_t *all = json_array();

	for (size_t i = 0; i < n->place.n_devices; i++) {
		const struct slice_book *b = &n->place.devices[i];
		json_t *j = device_to_json(b->device);

		json_object_set_new(j, "slots_used", json_integer(b->slots_taken));
		json_object_set_new(j, "memory_promised_mb", json_integer((json_int_t)b->memory_taken_mb));
		if (b->failing.n && !b->device->trouble.n)
			json_set_str(j, "trouble", b->failing);
		json_array_append_new(all, j);
	}
	return all;
}

static json_t *node_labels_json(const struct node *n)
{
	json_t *all = json_array();

	for (size_t i = 0; i < n->place.n_labels; i++)
		if (!str_eqz(n->place.labels[i], n->name))
			json_array_append_new(all, json_str(n->place.labels[i]));
	return all;
}

static json_t *candidates(const struct gate *g, const struct place_wish *wish, const struct place_choice *c)
{
	const struct slice_wish *d = wish->device;
	json_t *all = json_array();

	for (struct node *n = node_list_first(&g->nodes->list); n; n = node_list_next(n)) {
		_cleanup_(buf_done) struct buf text = BUF_NULL;
		enum place_reason best = PLACE_NO_LABEL;
		json_t *j;

		for (size_t i = 0; i < MAX(d->n_kinds, (size_t)1); i++) {
			enum place_reason r =
				place_why_not(&n->place, n->number, wish, d->n_kinds ? d->kinds[i] : STR_NULL);

			best = r == PLACE_FITS || (best != PLACE_FITS && r > best) ? r : best;
		}
		place_why_node(&text, &n->place, n->number, wish);
		j = json_pack("{s:s, s:s, s:b}", "node", n->name, "verdict", place_reason_name(best), "chosen",
			      (int)(c && c->node == n->number));
		json_set_str(j, "text", buf_str(&text));
		json_array_append_new(all, j);
	}
	return all;
}

/* What the lease of each would be: taken from a copy of its book. */
static json_t *chosen(const struct gate *g, const struct place_wish *wish, const struct place_choice *c)
{
	const struct node *n = g->nodes->by_number[c->node];
	json_t *devices = json_array();

	for (size_t i = 0; i < c->n_devices; i++) {
		struct slice_book book = n->place.devices[c->devices[i]];
		struct slice_lease lease = {0};
		json_t *j;

		slice_book_take(&book, wish->device, wish->role, &lease);
		j = slice_lease_to_json(&lease);
		json_set_str(j, "id", book.device->id);
		json_set_str(j, "model", book.device->model);
		json_array_append_new(devices, j);
	}
	return json_pack("{s:s, s:o}", "node", n->name, "devices", devices);
}

/* slice is "" where it asks for none. */
static json_t *wish_json(const struct place_wish *wish)
{
	_cleanup_(buf_done) struct buf slice = BUF_NULL;
	const struct slice_wish *d = wish->device;
	json_t *kinds = json_array(), *labels = json_array(), *j;
	bool takes = false;

	for (size_t i = 0; i < d->n_kinds; i++) {
		takes |= slice_wish_takes(d, d->kinds[i]);
		json_array_append_new(kinds, json_str(d->kinds[i]));
	}
	for (size_t i = 0; i < d->n_labels; i++)
		json_array_append_new(labels, json_str(d->labels[i]));
	if (takes)
		slice_format(&slice, d);
	j = json_pack("{s:o, s:o, s:I, s:I, s:b, s:b}", "kinds", kinds, "labels", labels, "device_memory_mb",
		      (json_int_t)d->memory_mb, "memory_mb", (json_int_t)wish->memory_mb, "spread", (int)d->spread,
		      "park", (int)d->park);
	json_set_str(j, "slice", buf_str(&slice));
	return j;
}

void nodes_why(struct gate *g, const struct fn *fn, struct buf *text)
{
	const struct place_node *const *all;
	struct place_wish wish;
	struct place_why why;
	size_t n;

	node_wish(fn, &wish);
	all = place_index_nodes(g->nodes->index, &n);
	place_why(all, n, &wish, &why);
	place_why_text(text, &why, &wish);
}

void nodes_where(const struct worker *w, struct buf *text)
{
	const struct slice_lease *l = w->leases;

	if (!w->node)
		return;
	buf_printf(text, " It runs on node %s", w->node->name);
	if (w->n_leases > 1)
		buf_printf(text, ", on %zu whole devices (%.*s)", w->n_leases, STR_ARG(w->device_model));
	else if (w->n_leases)
		buf_printf(text, ", on %u/%d of %.*s (%s)", l->slots, DEVICE_SLOTS, STR_ARG(w->device_model),
			   device_rung_name(l->rung));
	buf_addc(text, '.');
	if (w->node->state != NODE_UP)
		buf_printf(text, " That node is away (%s): the answer comes when it is back, within the timeout.",
			   w->node->why ? w->node->why : "no connection");
}

/* Whose place it would get; null: nobody's. */
static json_t *makes_way(const struct fn *fn)
{
	const struct worker *w = pool_in_the_way(fn);
	const char *how = w && w->state != WORKER_IDLE ? "leaves" : w && pool_would_park(w, fn) ? "parked" : "ended";
	json_t *j = w ? json_pack("{s:s, s:s}", "node", w->node->name, "how", how) : json_null();

	if (w)
		json_set_str(j, "function", w->fn->def.name);
	return j;
}

json_t *nodes_place_json(struct gate *g, const struct fn *fn)
{
	_cleanup_(buf_done) struct buf text = BUF_NULL;
	struct place_choice choice;
	struct place_wish wish;
	json_t *j = json_object();
	bool found;

	node_wish(fn, &wish);
	found = node_find(g->nodes, &wish, &choice);
	json_set_str(j, "function", fn->def.name);
	if (!found)
		nodes_why(g, fn, &text);
	json_set_str(j, "reason", buf_str(&text));
	json_object_set_new(j, "chosen", found ? chosen(g, &wish, &choice) : json_null());
	json_object_set_new(j, "makes_way", found ? json_null() : makes_way(fn));
	json_object_set_new(j, "candidates", candidates(g, &wish, found ? &choice : NULL));
	json_object_set_new(j, "wish", wish_json(&wish));
	return j;
}

int nodes_could_place(struct gate *g, const struct slice_wish *d, struct err *err)
{
	const struct place_wish wish = {.device = d, .role = 1};
	const struct place_node *const *all;
	bool known = d->n_kinds == 0;
	size_t n;

	all = place_index_nodes(g->nodes->index, &n);
	for (size_t at = 0; at < n && !known; at++)
		for (size_t i = 0; all[at] && i < all[at]->n_devices && !known; i++)
			for (size_t k = 0; k < d->n_kinds; k++)
				known |= str_eq(all[at]->devices[i].device->kind, d->kinds[k]);
	/* A node that has one may still come. */
	return known && !nodes_some_to_come(g) ? place_node_possible(all, n, &wish, err) : 0;
}

static int n_parked(const struct node *n)
{
	int parked = 0;

	for (const struct worker *w = node_workers_first(&n->workers); w; w = node_workers_next(w))
		parked += w->state == WORKER_PARKED;
	return parked;
}

static const char *why_text(const struct node *n)
{
	return n->why ? n->why : n->failing ? n->failing_why : "";
}

json_t *nodes_json(const struct gate *g)
{
	json_t *all = json_array();

	for (const struct node *n = node_list_first(&g->nodes->list); n; n = node_list_next(n)) {
		json_t *j = n->status ? json_deep_copy(n->status) : json_object();

		json_set_str(j, "name", str_from(n->name));
		json_object_set_new(j, "up", json_boolean(n->state == NODE_UP));
		json_object_set_new(j, "state", json_string(state_name(n)));
		json_object_set_new(j, "why", json_string(why_text(n)));
		json_object_set_new(j, "cpus", json_integer(n->cpus));
		json_object_set_new(j, "memory_mb", json_integer((json_int_t)n->memory_mb));
		json_object_set_new(j, "workers", json_integer((json_int_t)n->workers.n));
		json_object_set_new(j, "parked", json_integer(n_parked(n)));
		json_object_set_new(j, "drained", json_boolean(n->drained));
		json_object_set_new(j, "labels", node_labels_json(n));
		json_object_set_new(j, "devices", node_devices_json(n));
		json_set_str(j, "cost", json_get_str(n->hello, "cost", STR("0")));
		if (n->link)
			node_link_add_json(n->link, j);
		json_array_append_new(all, j);
	}
	return all;
}

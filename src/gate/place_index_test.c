/* The index against the criteria of place_node.h applied one by one to every node: random nodes, wishes, changes and
 * departures; both must agree in every criterion. And that nothing is left over when nodes have gone. */
#include "gate/place_index.h"
#include "gate/place_why.h"

#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define NODES   40
#define DEVICES 4
#define LEASES  400

struct placed {
	size_t node, n;
	struct slice_lease leases[SLICE_WHOLE_MAX];
};

struct world {
	unsigned seed;
	struct place_index *ix;
	struct place_node nodes[NODES];
	bool there[NODES];
	char names[NODES][8], ids[NODES][DEVICES][16];
	struct device devices[NODES][DEVICES];
	struct slice_book books[NODES][DEVICES];
	struct str labels[NODES][3];
	struct bits code, avoid;
	struct placed out[LEASES];
	size_t n_out, placements, refusals;
};

static unsigned draw(struct world *w, unsigned n)
{
	return (unsigned)rand_r(&w->seed) % n;
}

static const struct str all_labels[] = {STR("edge"), STR("lab"), STR("big")};
static const struct str all_kinds[] = {STR("gpu"), STR("cpu"), STR("fpga")};
static struct device_mig layouts[][4] = {
	{{STR("M0"), STR("1g"), 1, 10000},
	 {STR("M1"), STR("1g"), 1, 10000},
	 {STR("M2"), STR("2g"), 2, 20000},
	 {STR("M3"), STR("3g"), 4, 40000}},
	{{STR("M0"), STR("3g"), 4, 40000},
	 {STR("M1"), STR("1g"), 1, 10000},
	 {STR("M2"), STR("1g+me"), 1, 20000},
	 {STR("M3"), STR("1g"), 1, 10000}},
	{{STR("M0"), STR("7g"), 8, 80000}},
};

static void make_device(struct world *w, size_t n, size_t i)
{
	struct device *d = &w->devices[n][i];
	unsigned layout = draw(w, 3);

	snprintf(w->ids[n][i], sizeof(w->ids[n][i]), "dev-%zu-%zu", n, i);
	*d = (struct device){.id = str_from(w->ids[n][i]), .kind = all_kinds[draw(w, 8) ? 0 : draw(w, 3)]};
	d->memory_mb = (uint64_t[]){80000, 80000, 24001, 0}[draw(w, 4)];
	d->mps = draw(w, 2);
	if (str_eqz(d->kind, "gpu") && draw(w, 4) == 0) {
		d->mig_mode = true;
		d->mig = layouts[layout];
		d->n_mig = layout == 2 ? 1 : 4;
	}
	slice_book_init(&w->books[n][i], d, draw(w, 3) == 0);
}

static void make_node(struct world *w, size_t n)
{
	struct place_node *p = &w->nodes[n];

	snprintf(w->names[n], sizeof(w->names[n]), "n%zu", n);
	*p = (struct place_node){
		.name = str_from(w->names[n]), .up = true, .labels = w->labels[n], .devices = w->books[n]};
	p->n_devices = draw(w, DEVICES + 1);
	for (size_t i = 0; i < p->n_devices; i++)
		make_device(w, n, i);
	for (size_t i = 0; i < ARRAY_SIZE(all_labels); i++)
		if (draw(w, 2))
			w->labels[n][p->n_labels++] = all_labels[i];
	p->memory_mb = p->memory_free_mb = 1000 + draw(w, 64000);
	p->rtt_us = (uint64_t[]){0, 1000, 2000, 30000, 100000, 900000}[draw(w, 6)];
	p->cost_hour = draw(w, 3) * 1000;
	w->there[n] = true;
	place_index_update(w->ix, n, p);
}

static struct slice_wish random_wish(struct world *w)
{
	struct slice_wish s = {.slots = DEVICE_SLOTS, .whole = 1, .spread = draw(w, 4) == 0};

	s.sliced = draw(w, 8) != 0;
	if (s.sliced) {
		s.slots = 1 + draw(w, 8);
		s.whole = s.slots == 8 ? draw(w, 4) : 0;
	}
	if (draw(w, 3) == 0)
		s.memory_mb = 1 + draw(w, 90000);
	for (; s.n_kinds < 3 && draw(w, 3); s.n_kinds++)
		s.kinds[s.n_kinds] = s.n_kinds ? all_kinds[draw(w, 3)] : STR("gpu");
	if (draw(w, 4) == 0)
		s.labels[s.n_labels++] = all_labels[draw(w, 3)];
	if (draw(w, 30) == 0)
		s.labels[s.n_labels++] = STR("nowhere");
	return s;
}

/* ---- the criteria, literally ---- */

struct score {
	size_t kind;
	uint64_t cost;
	unsigned left, memory, no_code, near, less_memory; /* lower is better in all */
	bool near_first;
};

static bool is_better(const struct score *a, const struct score *b)
{
	unsigned first_a = a->near_first ? a->near : a->no_code, first_b = b->near_first ? b->near : b->no_code;
	unsigned then_a = a->near_first ? a->no_code : a->near, then_b = b->near_first ? b->no_code : b->near;

	if (a->kind != b->kind)
		return a->kind < b->kind;
	if (a->cost != b->cost)
		return a->cost < b->cost;
	if (a->left != b->left)
		return a->left < b->left;
	if (a->memory != b->memory)
		return a->memory < b->memory;
	if (first_a != first_b)
		return first_a < first_b;
	if (then_a != then_b)
		return then_a < then_b;
	return a->less_memory < b->less_memory;
}

static unsigned fine(const struct slice_book *b)
{
	uint64_t all = b->device->mig_mode ? 0 : slice_memory_mb(b->device), free = slice_book_free_memory_mb(b);
	unsigned c = 64;

	if (!all)
		return slice_book_free_slots(b) * 8;
	while (all * c / 64 > free)
		c--;
	return c;
}

/* Of a wish that takes one device: by taking it. */
static bool score_device(const struct slice_book *b, const struct place_wish *w, struct score *s)
{
	struct slice_book after = *b;
	struct slice_lease l;

	if (slice_book_take(&after, w->device, w->role, &l) != SLICE_FITS)
		return false;
	s->left = slice_book_free_slots(&after);
	s->memory = fine(b);
	return true;
}

static bool score_whole(const struct place_node *n, const struct place_wish *w, struct str kind, struct score *s)
{
	unsigned need = MAX(w->device->whole, 1u), free = 0, fit = 0;

	for (size_t i = 0; i < n->n_devices; i++) {
		const struct slice_book *b = &n->devices[i];

		if (!str_eq(b->device->kind, kind) || b->device->mig_mode || b->n_holds || slice_book_trouble(b).n)
			continue;
		free++;
		fit += slice_book_can_take(b, w->device, w->role) == SLICE_FITS;
	}
	s->left = free - need;
	s->memory = 0;
	return fit >= need;
}

static bool is_eligible(const struct place_node *n, const struct place_wish *w)
{
	for (size_t i = 0; i < w->device->n_labels; i++) {
		bool has = false;

		for (size_t k = 0; k < n->n_labels; k++)
			has |= str_eq(n->labels[k], w->device->labels[i]);
		if (!has)
			return false;
	}
	return n->up && !n->drained && !n->failing && n->memory_free_mb >= w->memory_mb;
}

static void better(struct score *best, bool *found, struct score s, const struct slice_wish *w)
{
	if (w->spread && !s.near_first) {
		s.left = 1000 - s.left;
		s.memory = 1000 - s.memory;
	}
	if (!*found || is_better(&s, best))
		*best = s;
	*found = true;
}

static bool reference_node(const struct world *w, size_t i, const struct place_wish *pw, struct score *best)
{
	const struct place_node *n = &w->nodes[i];
	const struct slice_wish *d = pw->device;
	bool found = false;

	if (!w->there[i] || !is_eligible(n, pw) || (pw->avoid && bits_test(pw->avoid, i)))
		return false;
	for (size_t k = 0; k < MAX(d->n_kinds, (size_t)1); k++) {
		struct score s = {.kind = k, .cost = n->cost_hour, .no_code = !bits_test(&w->code, i)};

		s.near = place_near_class(n->rtt_us);
		s.less_memory = PLACE_MEMORY_CLASSES - place_memory_class(n->memory_free_mb);
		s.near_first = !d->n_kinds || (str_eqz(d->kinds[k], "cpu") && !d->sliced);
		if (s.near_first) {
			better(best, &found, s, d);
			continue;
		}
		if (d->slots == 8 && score_whole(n, pw, d->kinds[k], &s))
			better(best, &found, s, d);
		for (size_t v = 0; v < n->n_devices; v++)
			if (str_eq(n->devices[v].device->kind, d->kinds[k]) &&
			    (d->slots < 8 || n->devices[v].device->mig_mode) && score_device(&n->devices[v], pw, &s))
				better(best, &found, s, d);
	}
	return found;
}

static void check_against_reference(struct world *w, const struct place_wish *pw, bool found,
				    const struct place_choice *c)
{
	struct score best, chosen, one;
	bool any = false, is_possible;
	struct place_why why;
	size_t n;
	const struct place_node *const *nodes = place_index_nodes(w->ix, &n);
	_cleanup_(err_done) struct err err = ERR_NULL;

	for (size_t i = 0; i < NODES; i++) {
		if (!reference_node(w, i, pw, &one))
			continue;
		if (!any || is_better(&one, &best))
			best = one;
		any = true;
	}
	assert_int_equal(found, any);
	place_why(nodes, n, pw, &why);
	assert_int_equal(place_why_nearest(&why, pw) == PLACE_FITS, found);
	is_possible = place_node_possible(nodes, n, pw, &err) == 0;
	assert_true(is_possible || (!found && err.msg));
	if (!found)
		return;
	assert_true(reference_node(w, c->node, pw, &chosen));
	assert_int_equal(chosen.kind, c->kind);
	if (is_better(&best, &chosen))
		fail_msg("kind %zu/%zu cost %lu/%lu left %u/%u memory %u/%u code %u/%u near %u/%u memory %u/%u",
			 best.kind, chosen.kind, best.cost, chosen.cost, best.left, chosen.left, best.memory,
			 chosen.memory, best.no_code, chosen.no_code, best.near, chosen.near, best.less_memory,
			 chosen.less_memory);
}

static void place_one(struct world *w)
{
	struct slice_wish s = random_wish(w);
	struct place_wish pw = {.device = &s,
				.role = 1 + draw(w, 3),
				.memory_mb = draw(w, 4) * draw(w, 3000),
				.code = &w->code,
				.avoid = draw(w, 2) ? &w->avoid : NULL};

	struct placed *p = &w->out[w->n_out];
	struct place_choice c;
	bool found = place_index_find(w->ix, &pw, &c);

	check_against_reference(w, &pw, found, &c);
	w->placements += found;
	w->refusals += !found;
	if (!found || w->n_out == LEASES)
		return;
	p->node = c.node;
	p->n = c.n_devices;
	place_index_take(w->ix, &pw, &c, p->leases);
	w->nodes[c.node].memory_free_mb -= pw.memory_mb;
	place_index_update(w->ix, c.node, &w->nodes[c.node]);
	w->n_out++;
}

static void give_back_one(struct world *w)
{
	struct placed *p;
	size_t at;

	if (!w->n_out)
		return;
	at = draw(w, (unsigned)w->n_out);
	p = &w->out[at];
	for (size_t i = 0; i < p->n; i++)
		assert_true(place_index_give_back(w->ix, p->node, &p->leases[i]));
	*p = w->out[--w->n_out];
}

static void forget_node(struct world *w, size_t n)
{
	for (size_t i = 0; i < w->n_out;) {
		if (w->out[i].node == n)
			w->out[i] = w->out[--w->n_out];
		else
			i++;
	}
	place_index_update(w->ix, n, NULL);
	place_index_update(w->ix, n, NULL); /* once more is nothing */
	w->there[n] = false;
}

static void change_one(struct world *w)
{
	size_t n = draw(w, NODES);
	struct place_node *p = &w->nodes[n];

	if (!w->there[n]) {
		make_node(w, n);
		return;
	}
	switch (draw(w, 11)) {
	case 0:
		p->up = !p->up;
		break;
	case 1:
		p->drained = !p->drained;
		break;
	case 2:
		p->failing = !p->failing;
		break;
	case 3:
		p->n_labels = draw(w, (unsigned)p->n_labels + 1);
		break;
	case 4:
		p->memory_free_mb = draw(w, (unsigned)p->memory_mb + 1);
		break;
	case 5:
		p->rtt_us = draw(w, 300000);
		break;
	case 6:
		p->cost_hour = draw(w, 5) * 1000;
		break;
	case 7:
		if (p->n_devices)
			w->devices[n][0].trouble = w->devices[n][0].trouble.n ? STR("") : STR("fell off the bus");
		break;
	case 8:
		if (bits_test(&w->avoid, n))
			bits_clear(&w->avoid, n);
		else
			bits_set(&w->avoid, n);
		break;
	case 9:
		if (p->n_devices)
			p->devices[0].failing = p->devices[0].failing.n ? STR_NULL : STR("no slice of it");
		break;
	case 10:
		forget_node(w, n);
		return;
	}
	place_index_update(w->ix, n, p);
	if (draw(w, 2))
		bits_set(&w->code, n);
	else
		bits_clear(&w->code, n);
}

static void agrees_with_the_criteria(void **state)
{
	size_t placements = 0, refusals = 0;

	for (unsigned round = 0; round < 30; round++) {
		struct world *w = xnew(struct world);

		w->seed = round;
		w->ix = place_index_new();
		for (size_t n = 0; n < NODES; n++)
			make_node(w, n);
		for (int step = 0; step < 1000; step++) {
			unsigned what = draw(w, 20);

			if (what < 11)
				place_one(w);
			else if (what < 18)
				give_back_one(w);
			else
				change_one(w);
		}
		placements += w->placements;
		refusals += w->refusals;
		place_index_free(w->ix);
		bits_done(&w->code);
		bits_done(&w->avoid);
		free(w);
	}
	/* That both kinds of answer were put to the test. */
	assert_true(placements > 5000 && refusals > 1000);
}

/* Numbers far beyond the first word: sets are widened with what is in them. */
static void widens(void **state)
{
	struct slice_wish s = {.kinds = {STR("gpu")},
			       .n_kinds = 1,
			       .sliced = true,
			       .slots = 3,
			       .labels = {STR("edge")},
			       .n_labels = 1};
	struct place_wish pw = {.device = &s, .role = 1};
	struct device d = {.id = STR("d"), .kind = STR("gpu"), .memory_mb = 8000};
	struct place_index *ix = place_index_new();
	size_t at[] = {0, 63, 64, 5000};
	struct str label = STR("edge");
	struct slice_book books[4];
	struct place_node nodes[4];
	struct slice_lease l;
	struct place_choice c;
	size_t n;

	assert_false(place_index_find(ix, &pw, &c));
	assert_null(place_index_nodes(ix, &n));
	for (size_t i = 0; i < 4; i++) {
		slice_book_init(&books[i], &d, false);
		nodes[i] = (struct place_node){
			.up = true, .devices = &books[i], .n_devices = 1, .labels = &label, .n_labels = 1};
		nodes[i].cost_hour = 4 - i;
		place_index_update(ix, at[i], &nodes[i]);
	}
	for (size_t i = 8; i-- > 0;) {
		assert_true(place_index_find(ix, &pw, &c));
		assert_int_equal(c.node, at[i / 2]); /* the cheapest that has room: two of 3/8 each */
		place_index_take(ix, &pw, &c, &l);
	}
	assert_false(place_index_find(ix, &pw, &c));
	assert_true(place_index_give_back(ix, 0, &l));
	assert_true(place_index_find(ix, &pw, &c));
	assert_int_equal(c.node, 0);
	assert_false(place_index_give_back(ix, 99999, &l));
	place_index_free(ix);
	place_index_free(NULL);
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(agrees_with_the_criteria),
		cmocka_unit_test(widens),
	};

	return cmocka_run_group_tests(all, NULL, NULL);
}

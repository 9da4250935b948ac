/* How a place is found without looking at each node.
 *
 * Devices that no rule tells apart are one cell: same kind, cost per hour, memory (or MIG instances), free slots, class
 * of free memory, and role that has fractions of it. A cell is a set of node numbers, as bits; what rules out or
 * prefers a node (labels, memory for workers, nearness, code) is a set of the same form. There are few cells, some
 * dozen where memory goes with slots, and a set of ten thousand nodes is 157 words: a search ranks cells, meets sets.
 *
 *   shelf   a kind of device; groups in the order of cost: the first cost with a place ends the search
 *   group   same cost and make; four sorts: parts of devices, MIG cards, whole devices (its members are nodes by
 *           how many they have free), and nodes as such (on the shelf without a name)
 *   lock    one role, or 0: any role; within a group; a search looks at 0 and at its own
 *   cell    same state, as each sort packs it (state_*)
 *
 * Nearness and memory for workers are kept as one set for each class, of all nodes that are at least so good, so that
 * the best class of a cell is found by halving.
 *
 * Explicit device memory that lies within a class, and nodes whose whole devices differ, are decided by looking at the
 * nodes of that cell only (place_node_rank). A node that may get nothing now is in no cell. The index owns all of this
 * but the nodes. An update computes the cells a node should be in and changes the difference. Nothing fails. */
#include "gate/place_index.h"

#include "base/map.h"

#include <assert.h>

#define MIXED     UINT64_MAX /* whole devices of different memory on one node */
#define SPARE_MAX 64

enum sort { SORT_PART, SORT_MIG, SORT_WHOLE, SORT_NODE };

struct cell {
	uint16_t state;
	uint32_t n;
	uint64_t *bits;
};

struct lock {
	uint64_t role;
	struct cell *cells;
	size_t n, cap;
};

/* What makes devices, or nodes, of one group. */
struct make {
	uint64_t cost;
	enum sort sort;
	uint64_t memory_mb;
	struct device shape; /* SORT_MIG: mig_mode and n_mig; its instances are mig[], in the order of their size */
	struct device_mig mig[DEVICE_SLOTS];
};

struct group {
	struct make make;
	struct shelf *shelf;
	size_t members;
	uint32_t by_room[DEVICE_SLOTS + 1]; /* members by the most slots that one wish could get of them */
	struct lock open;
	struct map locks; /* role -> struct lock */
};

struct shelf {
	char *kind;
	struct group **groups; /* by cost, then by the rest of their make */
	uint8_t *rooms;        /* of each group the largest room there is: most groups are passed by this alone */
	size_t n, cap;
};

struct label {
	char *name;
	size_t nodes;
	uint64_t *bits;
};

/* A node's being in a cell. */
struct member {
	struct group *group;
	uint64_t role;
	uint16_t state;
};

struct members {
	struct member *m;
	size_t n, cap;
};

struct entry {
	struct place_node *node; /* NULL: there is none of this number */
	struct members in;
	struct label **labels;
	size_t n_labels;
	unsigned near_class, memory_class;
};

struct place_index {
	struct entry *entries;
	const struct place_node **nodes;
	size_t n, words; /* numbers up to the largest in use; length of every set */
	struct map shelves, labels;
	uint64_t *near[PLACE_NEAR_CLASSES];     /* of this class or nearer */
	uint64_t *memory[PLACE_MEMORY_CLASSES]; /* of this class or with more */
	uint64_t *filter, *found, *tried;       /* of the search under way */
	uint64_t *spare[SPARE_MAX];             /* sets that are empty */
	size_t n_spare;
	struct members next; /* of the update under way */
};

/* ---- sets ---- */

static uint64_t *new_set(struct place_index *ix)
{
	return ix->n_spare ? ix->spare[--ix->n_spare] : xnew_n(uint64_t, ix->words);
}

static void free_set(struct place_index *ix, uint64_t *empty)
{
	if (ix->n_spare < SPARE_MAX)
		ix->spare[ix->n_spare++] = empty;
	else
		free(empty);
}

static void widen(uint64_t **set, size_t before, size_t after)
{
	*set = xrealloc(*set, after * sizeof(**set));
	memset(*set + before, 0, (after - before) * sizeof(**set));
}

static void widen_lock(struct lock *l, size_t before, size_t after)
{
	for (size_t i = 0; i < l->n; i++)
		widen(&l->cells[i].bits, before, after);
}

/* Twice as wide: all sets there are, which is seldom. */
static void widen_all(struct place_index *ix, size_t words)
{
	size_t before = ix->words;
	struct str key;
	void *v, *l;

	while (ix->n_spare)
		free(ix->spare[--ix->n_spare]);
	for (size_t i = 0; map_next(&ix->shelves, &i, &key, &v);) {
		struct shelf *s = v;

		for (size_t g = 0; g < s->n; g++) {
			widen_lock(&s->groups[g]->open, before, words);
			for (size_t k = 0; map_next(&s->groups[g]->locks, &k, &key, &l);)
				widen_lock(l, before, words);
		}
	}
	for (size_t i = 0; map_next(&ix->labels, &i, &key, &v);)
		widen(&((struct label *)v)->bits, before, words);
	for (size_t i = 0; i < PLACE_NEAR_CLASSES; i++)
		widen(&ix->near[i], before, words);
	for (size_t i = 0; i < PLACE_MEMORY_CLASSES; i++)
		widen(&ix->memory[i], before, words);
	widen(&ix->filter, before, words);
	widen(&ix->found, before, words);
	widen(&ix->tried, before, words);
	ix->words = words;
}

/* ---- shelves and groups ---- */

static int compare(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int make_compare(const struct make *a, const struct make *b)
{
	int r = compare(a->cost, b->cost);

	r = r ? r : compare(a->sort, b->sort);
	r = r ? r : compare(a->memory_mb, b->memory_mb);
	r = r ? r : compare(a->shape.n_mig, b->shape.n_mig);
	for (size_t i = 0; i < a->shape.n_mig && !r; i++) {
		r = compare(a->mig[i].slots, b->mig[i].slots);
		r = r ? r : compare(a->mig[i].memory_mb, b->mig[i].memory_mb);
	}
	return r;
}

/* The first group that is not before this make. */
static size_t shelf_find(const struct shelf *s, const struct make *m)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (make_compare(&s->groups[mid]->make, m) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct shelf *shelf_get(struct place_index *ix, struct str kind)
{
	struct shelf *s = map_get(&ix->shelves, kind);

	if (s)
		return s;
	s = xnew(struct shelf);
	s->kind = str_dup(kind);
	map_put(&ix->shelves, kind, s);
	return s;
}

static struct group *group_get(struct shelf *s, const struct make *m)
{
	size_t at = shelf_find(s, m);
	struct group *g = at < s->n ? s->groups[at] : NULL;

	if (g && make_compare(&g->make, m) == 0)
		return g;
	if (s->n == s->cap) {
		s->cap = MAX(2 * s->cap, (size_t)8);
		s->groups = xrealloc(s->groups, s->cap * sizeof(*s->groups));
		s->rooms = xrealloc(s->rooms, s->cap);
	}
	g = xnew(struct group);
	g->make = *m;
	g->make.shape.mig = g->make.mig;
	g->shelf = s;
	memmove(s->groups + at + 1, s->groups + at, (s->n - at) * sizeof(*s->groups));
	memmove(s->rooms + at + 1, s->rooms + at, s->n - at);
	s->groups[at] = g;
	s->rooms[at] = 0;
	s->n++;
	return g;
}

static void shelf_drop_if_empty(struct place_index *ix, struct shelf *s)
{
	if (s->n)
		return;
	map_del(&ix->shelves, str_from(s->kind));
	free(s->kind);
	free(s->groups);
	free(s->rooms);
	free(s);
}

/* A group without members: it has no cells and so no locks. */
static void group_drop(struct place_index *ix, struct group *g)
{
	struct shelf *s = g->shelf;
	size_t at = shelf_find(s, &g->make);

	s->n--;
	memmove(s->groups + at, s->groups + at + 1, (s->n - at) * sizeof(*s->groups));
	memmove(s->rooms + at, s->rooms + at + 1, s->n - at);
	free(g->open.cells);
	map_done(&g->locks);
	free(g);
	shelf_drop_if_empty(ix, s);
}

/* ---- states ---- */

static uint16_t state_part(uint32_t free_slots, unsigned memory_class)
{
	return (uint16_t)(free_slots << 8 | memory_class);
}

/* The most slots that one wish could get of what is in this state. */
static unsigned room_of(const struct group *g, uint16_t state)
{
	uint32_t slots = 0;

	if (g->make.sort == SORT_PART)
		return state >> 8;
	if (g->make.sort != SORT_MIG)
		return DEVICE_SLOTS;
	for (size_t i = 0; i < g->make.shape.n_mig; i++)
		if (state & 1u << i)
			slots = MAX(slots, g->make.mig[i].slots);
	return MIN(slots, (uint32_t)DEVICE_SLOTS);
}

static void count_room(struct group *g, uint16_t state, int by)
{
	unsigned room = DEVICE_SLOTS;

	g->by_room[room_of(g, state)] += (uint32_t)by;
	while (room && !g->by_room[room])
		room--;
	g->shelf->rooms[shelf_find(g->shelf, &g->make)] = (uint8_t)room;
}

/* ---- cells ---- */

static struct str role_key(const uint64_t *role)
{
	return str_n(role, sizeof(*role));
}

static struct lock *lock_get(struct group *g, uint64_t role)
{
	struct lock *l = role ? map_get(&g->locks, role_key(&role)) : &g->open;

	if (l)
		return l;
	l = xnew(struct lock);
	l->role = role;
	map_put(&g->locks, role_key(&role), l);
	return l;
}

static struct cell *cell_find(struct lock *l, uint16_t state)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->cells[i].state == state)
			return &l->cells[i];
	return NULL;
}

static void member_add(struct place_index *ix, const struct member *m, size_t at)
{
	struct lock *l = lock_get(m->group, m->role);
	struct cell *c = cell_find(l, m->state);

	if (!c) {
		if (l->n == l->cap) {
			l->cap = MAX(2 * l->cap, (size_t)4);
			l->cells = xrealloc(l->cells, l->cap * sizeof(*l->cells));
		}
		c = &l->cells[l->n++];
		*c = (struct cell){.state = m->state, .bits = new_set(ix)};
	}
	words_set(c->bits, at);
	c->n++;
	m->group->members++;
	count_room(m->group, m->state, 1);
}

static void member_remove(struct place_index *ix, const struct member *m, size_t at)
{
	struct group *g = m->group;
	struct lock *l = lock_get(g, m->role);
	struct cell *c = cell_find(l, m->state);

	assert(c && words_test(c->bits, at));
	words_clear(c->bits, at);
	if (--c->n == 0) {
		free_set(ix, c->bits);
		*c = l->cells[--l->n];
	}
	if (!l->n && l->role) {
		map_del(&g->locks, role_key(&l->role));
		free(l->cells);
		free(l);
	}
	g->members--;
	count_room(g, m->state, -1);
}

/* ---- what a node should be in ---- */

static void next_add(struct place_index *ix, struct group *g, uint64_t role, uint16_t state)
{
	struct members *next = &ix->next;

	for (size_t i = 0; i < next->n; i++)
		if (next->m[i].group == g && next->m[i].role == role && next->m[i].state == state)
			return; /* several of its devices are alike */
	if (next->n == next->cap) {
		next->cap = MAX(2 * next->cap, (size_t)8);
		next->m = xrealloc(next->m, next->cap * sizeof(*next->m));
	}
	next->m[next->n++] = (struct member){g, role, state};
}

static int mig_compare(const void *a, const void *b)
{
	const struct device_mig *x = a, *y = b;
	int r = compare(x->slots, y->slots);

	return r ? r : compare(x->memory_mb, y->memory_mb);
}

/* Which of equal instances are free makes no difference, only how many: the first of them stand for those. */
static void next_mig(struct place_index *ix, struct shelf *s, struct make *m, const struct slice_book *b)
{
	const struct device *d = b->device;
	uint32_t free = slice_book_free_instances(b), state = 0;

	m->sort = SORT_MIG;
	m->shape = (struct device){.kind = d->kind, .mig_mode = true, .n_mig = MIN(d->n_mig, (size_t)DEVICE_SLOTS)};
	for (size_t i = 0; i < m->shape.n_mig; i++)
		m->mig[i] = (struct device_mig){.slots = d->mig[i].slots, .memory_mb = d->mig[i].memory_mb};
	qsort(m->mig, m->shape.n_mig, sizeof(m->mig[0]), mig_compare);
	for (size_t i = 0; i < m->shape.n_mig; i++) {
		size_t at = 0;

		if (!(free & 1u << i))
			continue;
		while (mig_compare(&m->mig[at], &d->mig[i]) != 0 || state & 1u << at)
			at++;
		state |= 1u << at;
	}
	if (state)
		next_add(ix, group_get(s, m), 0, (uint16_t)state);
	m->shape = (struct device){0};
}

static void next_device(struct place_index *ix, const struct place_node *n, const struct slice_book *b)
{
	const struct device *d = b->device;
	struct make m = {.cost = n->cost_hour};
	uint32_t free = slice_book_free_slots(b);
	bool closed;
	uint64_t role = slice_book_lock(b, &closed);

	if (slice_book_trouble(b).n || closed || !free)
		return;
	if (d->mig_mode) {
		next_mig(ix, shelf_get(ix, d->kind), &m, b);
		return;
	}
	m.sort = SORT_PART;
	m.memory_mb = slice_memory_mb(d);
	next_add(ix, group_get(shelf_get(ix, d->kind), &m), role,
		 state_part(free, place_fine_class(m.memory_mb, slice_book_free_memory_mb(b), free)));
}

static bool is_whole(const struct slice_book *b, struct str kind)
{
	return !b->device->mig_mode && !b->slots_taken && !slice_book_trouble(b).n && str_eq(b->device->kind, kind);
}

/* Device i is the first of its kind that is whole: how many there are. */
static void next_whole(struct place_index *ix, const struct place_node *n, size_t i)
{
	struct str kind = n->devices[i].device->kind;
	struct make m = {.cost = n->cost_hour, .sort = SORT_WHOLE};
	uint32_t free = 0;

	for (size_t k = 0; k < i; k++)
		if (is_whole(&n->devices[k], kind))
			return;
	m.memory_mb = slice_memory_mb(n->devices[i].device);
	for (size_t k = i; k < n->n_devices && free < SLICE_WHOLE_MAX; k++) {
		if (!is_whole(&n->devices[k], kind))
			continue;
		free++;
		if (slice_memory_mb(n->devices[k].device) != m.memory_mb)
			m.memory_mb = MIXED;
	}
	next_add(ix, group_get(shelf_get(ix, kind), &m), 0, (uint16_t)free);
}

static void next_node(struct place_index *ix, const struct place_node *n)
{
	struct make m = {.cost = n->cost_hour, .sort = SORT_NODE};

	next_add(ix, group_get(shelf_get(ix, STR("")), &m), 0, 0);
	for (size_t i = 0; i < n->n_devices; i++) {
		if (!n->devices[i].device->kind.n)
			continue; /* that is the name of the nodes' own shelf */
		next_device(ix, n, &n->devices[i]);
		if (is_whole(&n->devices[i], n->devices[i].device->kind))
			next_whole(ix, n, i);
	}
}

static bool is_in(const struct members *all, const struct member *m)
{
	for (size_t i = 0; i < all->n; i++)
		if (all->m[i].group == m->group && all->m[i].role == m->role && all->m[i].state == m->state)
			return true;
	return false;
}

static void update_members(struct place_index *ix, size_t at)
{
	struct entry *e = &ix->entries[at];
	struct members old = e->in;

	ix->next.n = 0;
	if (e->node && e->node->up && !e->node->drained && !e->node->failing)
		next_node(ix, e->node);
	for (size_t i = 0; i < ix->next.n; i++)
		if (!is_in(&old, &ix->next.m[i]))
			member_add(ix, &ix->next.m[i], at);
	for (size_t i = 0; i < old.n; i++)
		if (!is_in(&ix->next, &old.m[i]))
			member_remove(ix, &old.m[i], at);
	/* Only now, when nothing points to them any more. Each group once: it is gone then. */
	for (size_t i = 0; i < old.n; i++) {
		bool before = false;

		for (size_t k = 0; k < i; k++)
			before |= old.m[k].group == old.m[i].group;
		if (!before && !old.m[i].group->members)
			group_drop(ix, old.m[i].group);
	}
	e->in = ix->next;
	ix->next = old;
}

/* ---- what rules out or prefers nodes ---- */

static void drop_labels(struct place_index *ix, size_t at)
{
	struct entry *e = &ix->entries[at];

	for (size_t i = 0; i < e->n_labels; i++) {
		struct label *l = e->labels[i];

		words_clear(l->bits, at);
		if (--l->nodes)
			continue;
		map_del(&ix->labels, str_from(l->name));
		free_set(ix, l->bits);
		free(l->name);
		free(l);
	}
	free(e->labels);
	e->labels = NULL;
	e->n_labels = 0;
}

static void update_labels(struct place_index *ix, size_t at)
{
	struct entry *e = &ix->entries[at];
	const struct place_node *n = e->node;
	size_t same = 0;

	while (n && same < n->n_labels && same < e->n_labels && str_eqz(n->labels[same], e->labels[same]->name))
		same++;
	if (same == e->n_labels && same == (n ? n->n_labels : 0))
		return;
	drop_labels(ix, at);
	if (!n || !n->n_labels)
		return;
	e->labels = xnew_n(struct label *, n->n_labels);
	for (size_t i = 0; i < n->n_labels; i++) {
		struct label *l = map_get(&ix->labels, n->labels[i]);

		if (!l) {
			l = xnew(struct label);
			l->name = str_dup(n->labels[i]);
			l->bits = new_set(ix);
			map_put(&ix->labels, n->labels[i], l);
		}
		words_set(l->bits, at);
		l->nodes++;
		e->labels[e->n_labels++] = l;
	}
}

static void update_classes(struct place_index *ix, size_t at, bool is_new)
{
	struct entry *e = &ix->entries[at];
	unsigned near = e->node ? place_near_class(e->node->rtt_us) : PLACE_NEAR_CLASSES;
	unsigned memory = e->node ? place_memory_class(e->node->memory_free_mb) : 0;

	if (is_new)
		e->near_class = PLACE_NEAR_CLASSES;
	for (unsigned c = e->near_class; c > near; c--)
		words_set(ix->near[c - 1], at);
	for (unsigned c = e->near_class; c < near; c++)
		words_clear(ix->near[c], at);
	e->near_class = near;
	for (unsigned c = e->memory_class; c < memory; c++)
		words_set(ix->memory[c + 1], at);
	for (unsigned c = e->memory_class; c > memory; c--)
		words_clear(ix->memory[c], at);
	e->memory_class = memory;
	if (e->node)
		words_set(ix->memory[0], at);
	else
		words_clear(ix->memory[0], at);
}

void place_index_update(struct place_index *ix, size_t at, struct place_node *n)
{
	bool is_new;

	if (at >= ix->n && !n)
		return;
	if (at >= ix->words * 64)
		widen_all(ix, MAX(2 * ix->words, at / 64 + 1));
	if (at >= ix->n) {
		ix->entries = xrealloc(ix->entries, (at + 1) * sizeof(*ix->entries));
		ix->nodes = xrealloc(ix->nodes, (at + 1) * sizeof(*ix->nodes));
		memset(ix->entries + ix->n, 0, (at + 1 - ix->n) * sizeof(*ix->entries));
		memset(ix->nodes + ix->n, 0, (at + 1 - ix->n) * sizeof(*ix->nodes));
		ix->n = at + 1;
	}
	is_new = !ix->entries[at].node;
	if (is_new && !n)
		return;
	ix->entries[at].node = n;
	ix->nodes[at] = n;
	update_labels(ix, at);
	update_classes(ix, at, is_new);
	update_members(ix, at);
}

const struct place_node *const *place_index_nodes(const struct place_index *ix, size_t *ret_n)
{
	*ret_n = ix->n;
	return ix->nodes;
}

/* ---- search ---- */

struct search {
	const struct place_wish *w;
	struct str kind;
	bool exact; /* the cell at hand has nodes that fit and others that do not */
	uint32_t best;
};

/* Leaves in filter the nodes that have the labels and the memory and are not avoided; false: none can be. */
static bool make_filter(struct place_index *ix, const struct place_wish *w)
{
	unsigned c = place_memory_class(w->memory_mb);
	const uint64_t *more = c + 1 < PLACE_MEMORY_CLASSES ? ix->memory[c + 1] : NULL;

	memcpy(ix->filter, ix->memory[w->memory_mb ? c : 0], ix->words * sizeof(*ix->filter));
	for (size_t i = 0; i < w->device->n_labels; i++) {
		const struct label *l = map_get(&ix->labels, w->device->labels[i]);

		if (!l)
			return false;
		words_and(ix->filter, l->bits, ix->words);
	}
	for (size_t i = 0; w->avoid && i < MIN(w->avoid->n, ix->words); i++)
		ix->filter[i] &= ~w->avoid->w[i];
	/* Those of the wish's own class have more or less than it asks for. */
	for (size_t i = 0; i < ix->words && w->memory_mb; i++) {
		for (uint64_t v = ix->filter[i] & ~(more ? more[i] : 0); v; v &= v - 1) {
			size_t at = i * 64 + (size_t)__builtin_ctzll(v);

			if (ix->nodes[at]->memory_free_mb < w->memory_mb)
				words_clear(ix->filter, at);
		}
	}
	return true;
}

static uint32_t part_rank(struct search *s, const struct make *m, uint16_t state)
{
	const struct slice_wish *w = s->w->device;
	uint32_t free = state >> 8, fine = state & 255;

	if (free < w->slots)
		return PLACE_NO_RANK;
	if (m->memory_mb && !w->memory_mb && fine < w->slots * PLACE_FINE / DEVICE_SLOTS)
		return PLACE_NO_RANK;
	if (m->memory_mb && w->memory_mb > m->memory_mb * fine / PLACE_FINE) {
		if (fine == PLACE_FINE || w->memory_mb >= m->memory_mb * (fine + 1) / PLACE_FINE)
			return PLACE_NO_RANK;
		s->exact = true;
	}
	return place_rank(free - w->slots, fine, w->spread);
}

static uint32_t mig_rank(struct search *s, const struct make *m, uint16_t state)
{
	const struct slice_wish *w = s->w->device;
	int at = w->whole > 1 ? -1 : slice_pick_instance(&m->shape, state, w);
	uint32_t free = 0;

	if (at < 0)
		return PLACE_NO_RANK;
	for (size_t i = 0; i < m->shape.n_mig; i++)
		free += state & 1u << i ? m->mig[i].slots : 0;
	return place_rank(free - m->mig[at].slots, place_fine_class(0, 0, free), w->spread);
}

static uint32_t whole_rank(struct search *s, const struct make *m, uint16_t state)
{
	const struct slice_wish *w = s->w->device;
	uint32_t need = MAX(w->whole, 1u);

	if (state < need || (m->memory_mb && m->memory_mb != MIXED && w->memory_mb > m->memory_mb))
		return PLACE_NO_RANK;
	s->exact = m->memory_mb == MIXED && w->memory_mb;
	return place_rank(state - need, 0, w->spread);
}

static uint32_t cell_rank(struct search *s, const struct make *m, uint16_t state)
{
	bool takes = s->kind.n, whole = takes && s->w->device->slots >= DEVICE_SLOTS;

	s->exact = false;
	switch (m->sort) {
	case SORT_PART:
		return whole ? PLACE_NO_RANK : part_rank(s, m, state);
	case SORT_MIG:
		return mig_rank(s, m, state);
	case SORT_WHOLE:
		return whole ? whole_rank(s, m, state) : PLACE_NO_RANK;
	case SORT_NODE:
		return takes ? PLACE_NO_RANK : 0;
	}
	return PLACE_NO_RANK;
}

/* Leaves in tried the nodes of the cell that pass the filter and have a device of this rank; false: none. */
static bool try_cell(struct place_index *ix, const struct search *s, const struct cell *c, uint32_t rank)
{
	bool any = false;

	if (!words_meet(c->bits, ix->filter, ix->words))
		return false;
	for (size_t i = 0; i < ix->words; i++)
		ix->tried[i] = c->bits[i] & ix->filter[i];
	if (!s->exact)
		return true;
	for (size_t at = 0; (at = words_next(ix->tried, ix->words, at)) != SIZE_MAX; at++) {
		if (place_node_rank(ix->nodes[at], s->w, s->kind, NULL) == rank)
			any = true;
		else
			words_clear(ix->tried, at);
	}
	return any;
}

static void search_lock(struct place_index *ix, struct search *s, const struct make *m, const struct lock *l)
{
	for (size_t i = 0; l && i < l->n; i++) {
		uint32_t rank = cell_rank(s, m, l->cells[i].state);

		if (rank == PLACE_NO_RANK || rank > s->best || !try_cell(ix, s, &l->cells[i], rank))
			continue;
		if (rank < s->best)
			memset(ix->found, 0, ix->words * sizeof(*ix->found));
		for (size_t k = 0; k < ix->words; k++)
			ix->found[k] |= ix->tried[k];
		s->best = rank;
	}
}

/* Leaves in found the nodes that are equal by criteria a to d. */
static bool search_shelf(struct place_index *ix, struct search *s)
{
	const struct shelf *shelf = map_get(&ix->shelves, s->kind);
	unsigned need = s->kind.n ? s->w->device->slots : 0;
	uint64_t cost = 0;

	s->best = PLACE_NO_RANK;
	for (size_t i = 0; shelf && i < shelf->n; i++) {
		struct group *g;

		if (shelf->rooms[i] < need)
			continue;
		g = shelf->groups[i];
		if (s->best != PLACE_NO_RANK && g->make.cost != cost)
			break;
		cost = g->make.cost;
		search_lock(ix, s, &g->make, &g->open);
		if (g->locks.n)
			search_lock(ix, s, &g->make, map_get(&g->locks, role_key(&s->w->role)));
	}
	return s->best != PLACE_NO_RANK;
}

/* Keeps of those found the ones that are in the set as well, if there are any. */
static bool prefer(struct place_index *ix, const uint64_t *set, size_t words)
{
	words = MIN(words, ix->words);
	if (!set || !words_meet(ix->found, set, words))
		return false;
	words_and(ix->found, set, words);
	memset(ix->found + words, 0, (ix->words - words) * sizeof(*ix->found));
	return true;
}

static void prefer_near(struct place_index *ix)
{
	for (size_t c = 0; c < PLACE_NEAR_CLASSES && !prefer(ix, ix->near[c], ix->words);)
		c++;
}

static void prefer_memory(struct place_index *ix)
{
	unsigned low = 0, high = PLACE_MEMORY_CLASSES - 1; /* all are of class low or more */

	while (low < high) {
		unsigned mid = (low + high + 1) / 2;

		if (words_meet(ix->found, ix->memory[mid], ix->words))
			low = mid;
		else
			high = mid - 1;
	}
	prefer(ix, ix->memory[low], ix->words);
}

static void choose(struct place_index *ix, const struct search *s, struct place_choice *ret)
{
	const struct bits *code = s->w->code;
	uint32_t rank;

	if (!s->kind.n)
		prefer_near(ix);
	if (code)
		prefer(ix, code->w, code->n);
	if (s->kind.n)
		prefer_near(ix);
	prefer_memory(ix);
	ret->node = words_next(ix->found, ix->words, 0);
	ret->n_devices = 0;
	if (!s->kind.n)
		return;
	rank = place_node_rank(ix->nodes[ret->node], s->w, s->kind, ret);
	assert(rank == s->best);
}

bool place_index_find(struct place_index *ix, const struct place_wish *w, struct place_choice *ret)
{
	if (!ix->n || !make_filter(ix, w))
		return false;
	for (size_t k = 0; k < MAX(w->device->n_kinds, (size_t)1); k++) {
		struct search s = {.w = w, .kind = STR("")};

		if (w->device->n_kinds && slice_wish_takes(w->device, w->device->kinds[k]))
			s.kind = w->device->kinds[k];
		if (!search_shelf(ix, &s))
			continue;
		ret->kind = k;
		choose(ix, &s, ret);
		return true;
	}
	return false;
}

/* ---- booking ---- */

void place_index_take(struct place_index *ix, const struct place_wish *w, const struct place_choice *choice,
		      struct slice_lease *leases)
{
	struct place_node *n = ix->entries[choice->node].node;

	for (size_t i = 0; i < choice->n_devices; i++) {
		enum slice_fit fit = slice_book_take(&n->devices[choice->devices[i]], w->device, w->role, &leases[i]);

		assert(fit == SLICE_FITS);
	}
	if (choice->n_devices)
		place_index_update(ix, choice->node, n);
}

bool place_index_give_back(struct place_index *ix, size_t at, const struct slice_lease *l)
{
	struct place_node *n = at < ix->n ? ix->entries[at].node : NULL;

	for (size_t i = 0; n && i < n->n_devices; i++) {
		if (!str_eq(n->devices[i].device->id, l->device))
			continue;
		if (!slice_book_give_back(&n->devices[i], l))
			return false;
		place_index_update(ix, at, n);
		return true;
	}
	return false;
}

struct place_index *place_index_new(void)
{
	struct place_index *ix = xnew(struct place_index);

	widen_all(ix, 1);
	return ix;
}

struct place_index *place_index_free(struct place_index *ix)
{
	if (!ix)
		return NULL;
	for (size_t i = 0; i < ix->n; i++) {
		place_index_update(ix, i, NULL);
		free(ix->entries[i].in.m);
	}
	free(ix->entries);
	free(ix->nodes);
	map_done(&ix->shelves);
	map_done(&ix->labels);
	for (size_t i = 0; i < PLACE_NEAR_CLASSES; i++)
		free(ix->near[i]);
	for (size_t i = 0; i < PLACE_MEMORY_CLASSES; i++)
		free(ix->memory[i]);
	free(ix->filter);
	free(ix->found);
	free(ix->tried);
	while (ix->n_spare)
		free(ix->spare[--ix->n_spare]);
	free(ix->next.m);
	free(ix);
	return NULL;
}

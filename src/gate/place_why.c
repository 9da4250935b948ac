/* The words for why there is no place. All is counted by one pass over the nodes, whose owner is the caller; text is
 * made into the caller's buffer. Nothing here fails. */
#include "gate/place_why.h"

#include "base/map.h"

#define LISTED_MAX 10 /* names in one sentence */

static struct str kind_of(const struct slice_wish *w, size_t k)
{
	return w->n_kinds ? w->kinds[k] : STR("");
}

static size_t n_kinds(const struct slice_wish *w)
{
	return MAX(w->n_kinds, (size_t)1);
}

/* ---- what was found ---- */

/* What a device, or the largest of its instances, has. */
static void ever(const struct device *d, uint32_t *slots, uint64_t *mb)
{
	*slots = d->mig_mode ? 0 : DEVICE_SLOTS;
	*mb = d->mig_mode ? 0 : slice_memory_mb(d);
	for (size_t i = 0; d->mig_mode && i < MIN(d->n_mig, (size_t)DEVICE_SLOTS); i++) {
		*slots = MAX(*slots, d->mig[i].slots);
		*mb = MAX(*mb, d->mig[i].memory_mb);
	}
}

/* Of one device, or of several that are whole. */
static bool may_be_of(const struct device *d, struct str kind, size_t need)
{
	return str_eq(d->kind, kind) && (need == 1 || !d->mig_mode);
}

/* The most memory that each of `need` devices has: that of the last of them, the largest first. */
static uint64_t memory_of_each(const struct place_node *n, struct str kind, size_t need)
{
	uint64_t best_mb = 0, mb, other_mb;
	uint32_t slots;

	for (size_t i = 0; i < n->n_devices; i++) {
		size_t as_much = 0;

		if (!may_be_of(n->devices[i].device, kind, need))
			continue;
		ever(n->devices[i].device, &slots, &mb);
		for (size_t k = 0; k < n->n_devices; k++) {
			ever(n->devices[k].device, &slots, &other_mb);
			as_much += other_mb >= mb && may_be_of(n->devices[k].device, kind, need);
		}
		if (as_much >= need)
			best_mb = MAX(best_mb, mb);
	}
	return best_mb;
}

static void add_device_facts(struct place_facts *f, enum place_reason r, const struct place_node *n,
			     const struct slice_wish *w, struct str kind)
{
	uint32_t devices = 0, slots;
	uint64_t mb;

	for (size_t i = 0; i < n->n_devices; i++) {
		const struct slice_book *b = &n->devices[i];
		const struct device *d = b->device;

		if (!str_eq(d->kind, kind))
			continue;
		ever(d, &slots, &mb);
		if (r == PLACE_TOO_LARGE)
			f->slots = MAX(f->slots, slots);
		if (r == PLACE_TOO_FEW)
			devices += !d->mig_mode;
		if (r == PLACE_TROUBLE && slice_book_trouble(b).n)
			f->trouble = slice_book_trouble(b);
		if (slice_book_trouble(b).n || slice_could_fit(d, w) != SLICE_FITS)
			continue;
		slots = slice_book_largest_slots(b);
		if (r == PLACE_NO_SLOTS) {
			devices += !d->mig_mode && !b->slots_taken;
			f->slots = MAX(f->slots, slots);
		}
		if (r == PLACE_NO_DEVICE_MEMORY && slots >= w->slots)
			f->mb = MAX(f->mb, slice_book_free_memory_mb(b));
	}
	f->devices = MAX(f->devices, devices);
}

static void add_facts(struct place_facts *f, enum place_reason r, const struct place_node *n,
		      const struct slice_wish *w, struct str kind)
{
	f->nodes++;
	if (r == PLACE_TOO_SMALL)
		f->mb = MAX(f->mb, n->memory_mb);
	else if (r == PLACE_NO_MEMORY)
		f->mb = MAX(f->mb, n->memory_free_mb);
	else if (r == PLACE_TOO_MUCH_MEMORY)
		f->mb = MAX(f->mb, memory_of_each(n, kind, MAX(w->whole, 1u)));
	else if (r == PLACE_TOO_FEW || r == PLACE_TOO_LARGE || r == PLACE_TROUBLE || r == PLACE_NO_SLOTS ||
		 r == PLACE_NO_DEVICE_MEMORY)
		add_device_facts(f, r, n, w, kind);
}

static bool has_label(const struct place_node *n, struct str label)
{
	for (size_t i = 0; i < n->n_labels; i++)
		if (str_eq(n->labels[i], label))
			return true;
	return false;
}

enum place_reason place_why_not(const struct place_node *n, size_t number, const struct place_wish *w, struct str kind)
{
	enum place_reason r = place_node_reason(n, w, kind);

	/* What lies nearer to a place than that is ruled out by it. */
	if (w->avoid && bits_test(w->avoid, number) && (r == PLACE_FITS || r > PLACE_FAILING))
		return PLACE_FAILING;
	return r;
}

static void look_at(const struct place_node *n, size_t number, const struct place_wish *w, struct place_why *ret)
{
	ret->nodes++;
	for (size_t l = 0; l < w->device->n_labels; l++)
		ret->with_label[l] += has_label(n, w->device->labels[l]);
	for (size_t k = 0; k < n_kinds(w->device); k++) {
		struct str kind = kind_of(w->device, k);
		enum place_reason r = place_why_not(n, number, w, kind);

		add_facts(&ret->kinds[k][r], r, n, w->device, kind);
	}
}

void place_why(const struct place_node *const *nodes, size_t n, const struct place_wish *w, struct place_why *ret)
{
	*ret = (struct place_why){0};
	for (size_t i = 0; i < n; i++)
		if (nodes[i])
			look_at(nodes[i], i, w, ret);
}

enum place_reason place_why_nearest(const struct place_why *why, const struct place_wish *w)
{
	enum place_reason nearest = PLACE_FITS;

	for (size_t k = 0; k < n_kinds(w->device); k++) {
		if (why->kinds[k][PLACE_FITS].nodes)
			return PLACE_FITS;
		for (unsigned r = 0; r < PLACE_REASONS; r++)
			if (why->kinds[k][r].nodes)
				nearest = MAX(nearest, (enum place_reason)r);
	}
	return nearest;
}

/* ---- words ---- */

static void add_labels(struct buf *b, const struct place_why *why, const struct slice_wish *w)
{
	for (size_t i = 0; i < w->n_labels; i++) {
		if (why->with_label[i])
			continue;
		buf_printf(b, "no node has the label %.*s", STR_ARG(w->labels[i]));
		return;
	}
	buf_adds(b, w->n_labels > 1 ? "not all labels are there of " : "the label is not there of ");
	for (size_t i = 0; i < w->n_labels; i++)
		buf_printf(b, "%s%.*s", i ? ", " : "", STR_ARG(w->labels[i]));
}

static void add_no_slots(struct buf *b, const struct place_facts *f, const struct slice_wish *w)
{
	if (w->whole)
		buf_printf(b, "no node has more than %u whole device%s free, %u asked for", f->devices,
			   f->devices == 1 ? "" : "s", w->whole);
	else
		buf_printf(b, "the largest free part of any is %u/8, %u/8 are asked for", f->slots, w->slots);
}

static void add_mb(struct buf *b, const char *what, uint64_t most_mb, uint64_t asked_mb)
{
	buf_printf(b, "%s %llu MiB, %llu MiB are asked for", what, (unsigned long long)most_mb,
		   (unsigned long long)asked_mb);
}

static void add_reason(struct buf *b, enum place_reason r, const struct place_why *why, const struct place_facts *f,
		       const struct place_wish *w)
{
	const struct slice_wish *s = w->device;

	switch (r) {
	case PLACE_FITS:
		buf_adds(b, "there is a place");
		break;
	case PLACE_NO_LABEL:
		add_labels(b, why, s);
		break;
	case PLACE_NO_DEVICE:
		buf_adds(b, "there is none");
		break;
	case PLACE_TOO_FEW:
		buf_printf(b, "no node has more than %u that are whole, %u are asked for", f->devices, s->whole);
		break;
	case PLACE_TOO_LARGE:
		buf_printf(b, "no MIG instance has more than %u/8, %u/8 are asked for", f->slots, s->slots);
		break;
	case PLACE_TOO_MUCH_MEMORY:
		add_mb(b, "none has more than", f->mb, s->memory_mb);
		break;
	case PLACE_TOO_SMALL:
		add_mb(b, "no node has for workers more than", f->mb, w->memory_mb);
		break;
	case PLACE_DOWN:
		buf_adds(b, "the node is down");
		break;
	case PLACE_DRAINED:
		buf_adds(b, "the node is drained");
		break;
	case PLACE_FAILING:
		buf_adds(b, "starts have failed on the node, which backs off");
		break;
	case PLACE_TROUBLE:
		buf_printf(b, "the device is not well: %.*s", STR_ARG(f->trouble));
		break;
	case PLACE_NO_SLOTS:
		add_no_slots(b, f, s);
		break;
	case PLACE_ROLE:
		buf_adds(b, "functions of another role have a part of it, and the node does not let roles share");
		break;
	case PLACE_NO_DEVICE_MEMORY:
		if (s->memory_mb)
			add_mb(b, "the most memory that is free on any is", f->mb, s->memory_mb);
		else
			buf_printf(b, "the memory of the share is not free, the most on any is %llu MiB",
				   (unsigned long long)f->mb);
		break;
	case PLACE_NO_MEMORY:
		add_mb(b, "the most memory that a node has free for workers is", f->mb, w->memory_mb);
		break;
	case PLACE_REASONS:
		break;
	}
}

static void add_kind(struct buf *b, const struct place_why *why, size_t k, const struct place_wish *w, bool count)
{
	struct str kind = kind_of(w->device, k);
	bool first = true;

	if (kind.n)
		buf_printf(b, "%s%.*s: ", k ? " " : "", STR_ARG(kind));
	else if (count)
		buf_adds(b, "any node: ");
	for (unsigned r = PLACE_REASONS; r-- > 0;) {
		const struct place_facts *f = &why->kinds[k][r];

		if (!f->nodes)
			continue;
		buf_adds(b, first ? "" : "; ");
		add_reason(b, (enum place_reason)r, why, f, w);
		if (count)
			buf_printf(b, " (%u node%s)", f->nodes, f->nodes == 1 ? "" : "s");
		first = false;
	}
	buf_addc(b, '.');
}

void place_why_text(struct buf *b, const struct place_why *why, const struct place_wish *w)
{
	if (!why->nodes) {
		buf_adds(b, "There is no node.");
		return;
	}
	for (size_t k = 0; k < n_kinds(w->device); k++)
		add_kind(b, why, k, w, true);
}

void place_why_node(struct buf *b, const struct place_node *n, size_t number, const struct place_wish *w)
{
	struct place_why why = {0};

	look_at(n, number, w, &why);
	for (size_t k = 0; k < n_kinds(w->device); k++)
		add_kind(b, &why, k, w, false);
}

/* ---- ever ---- */

static bool is_never(enum place_reason r)
{
	return r > PLACE_FITS && r <= PLACE_TOO_SMALL;
}

static void list_name(struct buf *b, struct map *seen, struct str name)
{
	if (map_get(seen, name))
		return;
	if (seen->n < LISTED_MAX)
		buf_printf(b, "%s%.*s", seen->n ? ", " : "", STR_ARG(name));
	else if (seen->n == LISTED_MAX)
		buf_adds(b, " and others");
	map_put(seen, name, seen);
}

/* The labels, or the kinds of devices, that there are. */
static void list_all(struct buf *b, const struct place_node *const *nodes, size_t n, bool labels)
{
	_cleanup_(map_done) struct map seen = MAP_NULL;
	size_t before;

	buf_adds(b, labels ? "; the labels are " : "; there are ");
	before = b->n;
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; nodes[i] && k < (labels ? nodes[i]->n_labels : nodes[i]->n_devices); k++)
			list_name(b, &seen, labels ? nodes[i]->labels[k] : nodes[i]->devices[k].device->kind);
	}
	if (b->n == before)
		buf_adds(b, labels ? "none" : "no devices");
}

/* One kind's sentence: what is asked for by its tag, and the nearest of what there is. Returns the reason. */
static enum place_reason add_never(struct buf *b, const struct place_why *why, size_t k, const struct place_wish *w)
{
	const struct place_facts *all = why->kinds[k], *f;
	struct str kind = kind_of(w->device, k);
	unsigned r = PLACE_TOO_SMALL;

	while (r > PLACE_NO_LABEL && !all[r].nodes)
		r--;
	f = &all[r];
	if (r == PLACE_NO_LABEL) {
		buf_adds(b, "wick:place: ");
		add_labels(b, why, w->device);
	} else if (r == PLACE_NO_DEVICE) {
		buf_printf(b, "wick:device %.*s: no node has one", STR_ARG(kind));
	} else if (r == PLACE_TOO_SMALL) {
		buf_printf(b, "MemorySize %llu MiB: no node%s%.*s has more than %llu MiB for workers",
			   (unsigned long long)w->memory_mb, kind.n ? " with such a " : "", STR_ARG(kind),
			   (unsigned long long)f->mb);
	} else if (r == PLACE_TOO_MUCH_MEMORY) {
		buf_printf(b, "wick:device-memory %llu MiB: no %.*s has more than %llu MiB",
			   (unsigned long long)w->device->memory_mb, STR_ARG(kind), (unsigned long long)f->mb);
	} else {
		buf_adds(b, "wick:slice ");
		slice_format(b, w->device);
		if (r == PLACE_TOO_FEW)
			buf_printf(b, ": no node has more than %u %.*s", f->devices, STR_ARG(kind));
		else
			buf_printf(b, ": no MIG instance of any %.*s has more than %u/8", STR_ARG(kind), f->slots);
	}
	if (w->device->n_labels && r != PLACE_NO_LABEL)
		buf_adds(b, ", of the nodes that have the labels");
	return (enum place_reason)r;
}

int place_node_possible(const struct place_node *const *nodes, size_t n, const struct place_wish *w, struct err *err)
{
	_cleanup_(buf_done) struct buf text = BUF_NULL;
	enum place_reason r = PLACE_FITS, nearest = PLACE_NO_LABEL;
	struct place_why why;

	place_why(nodes, n, w, &why);
	if (!why.nodes)
		return err_set(err, 0, "There is no node.");
	for (size_t k = 0; k < n_kinds(w->device); k++)
		for (unsigned i = 0; i < PLACE_REASONS; i++)
			if (why.kinds[k][i].nodes && !is_never((enum place_reason)i))
				return 0;
	for (size_t k = 0; k < n_kinds(w->device) && (k == 0 || r != PLACE_NO_LABEL); k++) {
		buf_adds(&text, k ? "; " : "");
		r = add_never(&text, &why, k, w);
		nearest = MAX(nearest, r);
	}
	/* What there is instead, where a name was not found. */
	if (nearest == PLACE_NO_LABEL || nearest == PLACE_NO_DEVICE)
		list_all(&text, nodes, n, nearest == PLACE_NO_LABEL);
	return err_set(err, 0, "%s.", buf_cstr(&text));
}

/* The rules of a place on one node, over plain structs that the caller owns. Nothing here fails, allocates or changes
 * anything. */
#include "gate/place_node.h"

unsigned place_near_class(uint64_t rtt_us)
{
	static const uint64_t below[PLACE_NEAR_CLASSES - 1] = {2000, 10000, 50000, 200000};
	unsigned c = 0;

	while (c < ARRAY_SIZE(below) && rtt_us >= below[c])
		c++;
	return c;
}

unsigned place_memory_class(uint64_t mb)
{
	unsigned log2, quarter;

	if (!mb)
		return 0;
	mb = MIN(mb, (1ull << 24) - 1);
	log2 = 63 - (unsigned)__builtin_clzll(mb);
	quarter = (unsigned)(log2 >= 2 ? mb >> (log2 - 2) : mb << (2 - log2)) & 3;
	return 1 + log2 * 4 + quarter;
}

uint32_t place_rank(unsigned left, unsigned memory_class, bool spread)
{
	uint32_t r = left * (PLACE_FINE + 1) + memory_class;

	return spread ? PLACE_WORST - 1 - r : r;
}

unsigned place_fine_class(uint64_t all_mb, uint64_t free_mb, unsigned free_slots)
{
	if (!all_mb)
		return MIN(free_slots, (unsigned)DEVICE_SLOTS) * PLACE_FINE / DEVICE_SLOTS;
	return (unsigned)MIN((PLACE_FINE * free_mb + PLACE_FINE - 1) / all_mb, (uint64_t)PLACE_FINE);
}

static uint32_t device_rank(const struct slice_book *b, const struct slice_wish *w)
{
	const struct device *d = b->device;
	uint32_t slots = slice_book_free_slots(b);
	int at;

	if (!d->mig_mode)
		return place_rank(slots - w->slots,
				  place_fine_class(slice_memory_mb(d), slice_book_free_memory_mb(b), slots), w->spread);
	at = slice_pick_instance(d, slice_book_free_instances(b), w);
	return place_rank(slots - d->mig[at].slots, place_fine_class(0, 0, slots), w->spread);
}

/* Whole devices that are not cut: as many as are asked for, the rank by how many more the node has. */
static uint32_t whole_rank(const struct place_node *n, const struct place_wish *w, struct str kind,
			   struct place_choice *ret)
{
	uint32_t free = 0, fit = 0, need = MAX(w->device->whole, 1u);

	for (size_t i = 0; i < n->n_devices && free < SLICE_WHOLE_MAX; i++) {
		const struct slice_book *b = &n->devices[i];

		if (b->device->mig_mode || b->slots_taken || slice_book_trouble(b).n || !str_eq(b->device->kind, kind))
			continue;
		free++;
		if (slice_book_can_take(b, w->device, w->role) != SLICE_FITS)
			continue;
		if (ret && fit < need)
			ret->devices[fit] = (uint32_t)i;
		fit++;
	}
	if (fit < need)
		return PLACE_NO_RANK;
	if (ret)
		ret->n_devices = need;
	return place_rank(free - need, 0, w->device->spread);
}

uint32_t place_node_rank(const struct place_node *n, const struct place_wish *w, struct str kind,
			 struct place_choice *ret)
{
	bool whole = w->device->slots >= DEVICE_SLOTS;
	uint32_t best = whole ? whole_rank(n, w, kind, ret) : PLACE_NO_RANK;

	for (size_t i = 0; i < n->n_devices; i++) {
		const struct slice_book *b = &n->devices[i];
		uint32_t rank;

		if ((whole && !b->device->mig_mode) || !str_eq(b->device->kind, kind) ||
		    slice_book_can_take(b, w->device, w->role) != SLICE_FITS)
			continue;
		rank = device_rank(b, w->device);
		if (rank >= best)
			continue;
		best = rank;
		if (ret) {
			ret->n_devices = 1;
			ret->devices[0] = (uint32_t)i;
		}
	}
	return best;
}

/* ---- why not ---- */

const char *place_reason_name(enum place_reason r)
{
#define PLACE_NAME(name, text) [PLACE_##name] = text,
	static const char *const names[] = {PLACE_REASONS_X(PLACE_NAME)};
#undef PLACE_NAME

	return names[r];
}

static bool has_labels(const struct place_node *n, const struct slice_wish *w)
{
	for (size_t i = 0; i < w->n_labels; i++) {
		bool has = false;

		for (size_t k = 0; k < n->n_labels && !has; k++)
			has = str_eq(n->labels[k], w->labels[i]);
		if (!has)
			return false;
	}
	return true;
}

/* Could its devices ever serve it? */
static enum place_reason never_reason(const struct place_node *n, const struct slice_wish *w, struct str kind)
{
	size_t need = MAX(w->whole, 1u), of_kind = 0, uncut = 0, fit = 0;
	bool too_much = false;

	for (size_t i = 0; i < n->n_devices; i++) {
		const struct device *d = n->devices[i].device;
		enum slice_fit f;

		if (!str_eq(d->kind, kind))
			continue;
		f = slice_could_fit(d, w);
		of_kind++;
		uncut += !d->mig_mode;
		fit += f == SLICE_FITS;
		too_much |= f == SLICE_TOO_MUCH_MEMORY;
	}
	if (!of_kind)
		return PLACE_NO_DEVICE;
	if (fit >= need)
		return PLACE_FITS;
	if (need > 1 && uncut < need)
		return PLACE_TOO_FEW;
	return too_much ? PLACE_TOO_MUCH_MEMORY : PLACE_TOO_LARGE;
}

static enum place_reason reason_of_fit(enum slice_fit f)
{
	static const enum place_reason reasons[SLICE_FITS_COUNT] = {
		[SLICE_FITS] = PLACE_FITS,
		[SLICE_NO_SLOTS] = PLACE_NO_SLOTS,
		[SLICE_NO_MEMORY] = PLACE_NO_DEVICE_MEMORY,
		[SLICE_ROLE] = PLACE_ROLE,
		[SLICE_TROUBLE] = PLACE_TROUBLE,
		[SLICE_TOO_LARGE] = PLACE_TOO_LARGE,
		[SLICE_TOO_MUCH_MEMORY] = PLACE_TOO_MUCH_MEMORY,
	};

	return reasons[f];
}

/* The nearest to a place of what its devices say now. */
static enum place_reason now_reason(const struct place_node *n, const struct place_wish *w, struct str kind)
{
	size_t need = MAX(w->device->whole, 1u), fit = 0;
	enum place_reason nearest = PLACE_FITS;

	for (size_t i = 0; i < n->n_devices; i++) {
		enum place_reason r;

		if (!str_eq(n->devices[i].device->kind, kind))
			continue;
		r = reason_of_fit(slice_book_can_take(&n->devices[i], w->device, w->role));
		fit += r == PLACE_FITS;
		nearest = MAX(nearest, r);
	}
	return fit >= need ? PLACE_FITS : nearest;
}

enum place_reason place_node_reason(const struct place_node *n, const struct place_wish *w, struct str kind)
{
	bool takes = kind.n && slice_wish_takes(w->device, kind);
	enum place_reason r = PLACE_FITS;

	if (!has_labels(n, w->device))
		return PLACE_NO_LABEL;
	if (takes)
		r = never_reason(n, w->device, kind);
	if (r != PLACE_FITS)
		return r;
	if (n->memory_mb < w->memory_mb)
		return PLACE_TOO_SMALL;
	if (!n->up)
		return PLACE_DOWN;
	if (n->drained)
		return PLACE_DRAINED;
	if (n->failing)
		return PLACE_FAILING;
	if (takes)
		r = now_reason(n, w, kind);
	if (r != PLACE_FITS)
		return r;
	return n->memory_free_mb < w->memory_mb ? PLACE_NO_MEMORY : PLACE_FITS;
}

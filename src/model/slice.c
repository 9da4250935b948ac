/* The arithmetic of slices. A book belongs to whoever made it and holds no memory of its own; nothing here can fail but
 * by saying so (enum slice_fit, false). Every change is checked first and then made as a whole. */
#include "model/slice.h"

#include <assert.h>
#include <ctype.h>

bool slice_name_is_valid(struct str s)
{
	if (!s.n || s.n > SLICE_NAME_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!isalnum((unsigned char)s.p[i]) && !memchr("._-:/=", s.p[i], 6))
			return false;
	return true;
}

bool slice_parse(struct str s, uint32_t *ret_slots, uint32_t *ret_whole)
{
	struct str over, under;
	uint64_t k, of;

	if (!str_cut(s, '/', &over, &under)) {
		if (!str_to_u64(s, &k) || k < 1 || k > SLICE_WHOLE_MAX)
			return false;
		*ret_slots = DEVICE_SLOTS;
		*ret_whole = (uint32_t)k;
		return true;
	}
	if (!str_to_u64(over, &k) || !str_to_u64(under, &of) || k < 1 || k > of || (of != 2 && of != 4 && of != 8))
		return false;
	*ret_slots = (uint32_t)(k * DEVICE_SLOTS / of);
	*ret_whole = 0;
	return true;
}

void slice_format(struct buf *b, const struct slice_wish *w)
{
	if (w->whole)
		buf_printf(b, "%u device%s", w->whole, w->whole == 1 ? "" : "s");
	else
		buf_printf(b, "%u/%d", w->slots, DEVICE_SLOTS);
}

bool slice_wish_takes(const struct slice_wish *w, struct str kind)
{
	return w->sliced || !str_eqz(kind, "cpu");
}

static bool is_cpu(const struct device *d)
{
	return str_eqz(d->kind, "cpu");
}

uint64_t slice_memory_mb(const struct device *d)
{
	return is_cpu(d) ? 0 : MIN(d->memory_mb, (uint64_t)SLICE_MEMORY_MAX_MB);
}

/* The memory of a cut card goes with its instances. */
static bool has_account(const struct device *d)
{
	return slice_memory_mb(d) && !d->mig_mode;
}

/* More instances than slots there cannot be: each is an eighth at least. What lies beyond is not given. */
static size_t n_instances(const struct device *d)
{
	return MIN(d->n_mig, (size_t)DEVICE_SLOTS);
}

enum device_rung slice_rung(const struct device *d, uint32_t slots)
{
	if (is_cpu(d))
		return RUNG_NONE;
	if (d->mig_mode)
		return RUNG_MIG;
	if (slots >= DEVICE_SLOTS)
		return RUNG_WHOLE;
	return d->mps ? RUNG_MPS : RUNG_WATCHED;
}

void slice_book_init(struct slice_book *b, const struct device *d, bool share_roles)
{
	*b = (struct slice_book){.device = d, .share_roles = share_roles};
}

struct str slice_book_trouble(const struct slice_book *b)
{
	return b->device->trouble.n ? b->device->trouble : b->failing;
}

/* ---- what is left ---- */

uint32_t slice_book_free_instances(const struct slice_book *b)
{
	uint32_t mask = (1u << n_instances(b->device)) - 1;

	for (size_t i = 0; i < b->n_holds; i++)
		mask &= ~(1u << b->holds[i].mig);
	return mask;
}

uint32_t slice_book_free_slots(const struct slice_book *b)
{
	uint32_t mask, slots = 0;

	if (!b->device->mig_mode)
		return DEVICE_SLOTS - b->slots_taken;
	mask = slice_book_free_instances(b);
	for (size_t i = 0; i < n_instances(b->device); i++)
		slots += mask & 1u << i ? b->device->mig[i].slots : 0;
	return slots;
}

uint32_t slice_book_largest_slots(const struct slice_book *b)
{
	uint32_t mask, slots = 0;

	if (!b->device->mig_mode)
		return DEVICE_SLOTS - b->slots_taken;
	mask = slice_book_free_instances(b);
	for (size_t i = 0; i < n_instances(b->device); i++)
		if (mask & 1u << i)
			slots = MAX(slots, b->device->mig[i].slots);
	return slots;
}

uint64_t slice_book_free_memory_mb(const struct slice_book *b)
{
	uint32_t mask;
	uint64_t mb = 0;

	if (!b->device->mig_mode)
		return slice_memory_mb(b->device) - b->memory_taken_mb;
	mask = slice_book_free_instances(b);
	for (size_t i = 0; i < n_instances(b->device); i++)
		mb += mask & 1u << i ? b->device->mig[i].memory_mb : 0;
	return mb;
}

int slice_pick_instance(const struct device *d, uint32_t mask, const struct slice_wish *w)
{
	int best = -1;

	for (size_t i = 0; i < n_instances(d); i++) {
		const struct device_mig *m = &d->mig[i], *than = best < 0 ? NULL : &d->mig[best];

		if (!(mask & 1u << i) || m->slots > DEVICE_SLOTS || m->slots < w->slots || m->memory_mb < w->memory_mb)
			continue;
		if (!than || m->slots < than->slots || (m->slots == than->slots && m->memory_mb < than->memory_mb))
			best = (int)i;
	}
	return best;
}

uint64_t slice_book_lock(const struct slice_book *b, bool *ret_closed)
{
	*ret_closed = false;
	if (!b->n_holds || b->share_roles || is_cpu(b->device) || b->device->mig_mode)
		return 0;
	for (size_t i = 1; i < b->n_holds; i++)
		*ret_closed |= b->holds[i].role != b->holds[0].role;
	return *ret_closed ? 0 : b->holds[0].role;
}

/* ---- may it ---- */

/* What a lease is promised of a device that is not cut. */
static uint64_t promise_mb(const struct device *d, const struct slice_wish *w)
{
	uint64_t all_mb = slice_memory_mb(d);

	if (is_cpu(d))
		return 0;
	if (w->slots >= DEVICE_SLOTS && all_mb)
		return all_mb;
	return w->memory_mb ? w->memory_mb : all_mb * w->slots / DEVICE_SLOTS;
}

enum slice_fit slice_could_fit(const struct device *d, const struct slice_wish *w)
{
	struct slice_wish any_memory = *w;
	uint32_t all = (1u << n_instances(d)) - 1;

	if (!d->mig_mode)
		return slice_memory_mb(d) && w->memory_mb > slice_memory_mb(d) ? SLICE_TOO_MUCH_MEMORY : SLICE_FITS;
	any_memory.memory_mb = 0;
	/* CUDA gives a process one instance of all cards together, so of several devices none may be cut. */
	if (w->whole > 1 || slice_pick_instance(d, all, &any_memory) < 0)
		return SLICE_TOO_LARGE;
	return slice_pick_instance(d, all, w) < 0 ? SLICE_TOO_MUCH_MEMORY : SLICE_FITS;
}

enum slice_fit slice_book_can_take(const struct slice_book *b, const struct slice_wish *w, uint64_t role)
{
	enum slice_fit ever = slice_could_fit(b->device, w);
	uint64_t lock;
	bool closed;

	if (ever != SLICE_FITS)
		return ever;
	if (slice_book_trouble(b).n)
		return SLICE_TROUBLE;
	if (b->device->mig_mode)
		return slice_pick_instance(b->device, slice_book_free_instances(b), w) < 0 ? SLICE_NO_SLOTS
											   : SLICE_FITS;
	if (w->slots > slice_book_free_slots(b))
		return SLICE_NO_SLOTS;
	lock = slice_book_lock(b, &closed);
	if (closed || (lock && lock != role))
		return SLICE_ROLE;
	if (has_account(b->device) && promise_mb(b->device, w) > slice_book_free_memory_mb(b))
		return SLICE_NO_MEMORY;
	return SLICE_FITS;
}

/* ---- changes ---- */

static void add_hold(struct slice_book *b, const struct slice_entry *h)
{
	assert(b->n_holds < ARRAY_SIZE(b->holds));
	b->holds[b->n_holds++] = *h;
	b->slots_taken += h->slots;
	if (has_account(b->device))
		b->memory_taken_mb += h->memory_mb;
}

enum slice_fit slice_book_take(struct slice_book *b, const struct slice_wish *w, uint64_t role, struct slice_lease *ret)
{
	const struct device *d = b->device;
	enum slice_fit fit = slice_book_can_take(b, w, role);
	struct slice_lease l = {.device = d->id, .slots = w->slots, .mig = STR(""), .role = role};
	int at = 0;

	if (fit != SLICE_FITS)
		return fit;
	l.rung = slice_rung(d, w->slots);
	l.memory_mb = promise_mb(d, w);
	if (d->mig_mode) {
		at = slice_pick_instance(d, slice_book_free_instances(b), w);
		l.mig = d->mig[at].uuid;
		l.slots = d->mig[at].slots;
		l.memory_mb = d->mig[at].memory_mb;
	}
	add_hold(b, &(struct slice_entry){
			    .role = role, .memory_mb = l.memory_mb, .slots = (uint8_t)l.slots, .mig = (uint8_t)at});
	*ret = l;
	return SLICE_FITS;
}

/* Index of the instance that a lease names, 0 where the card is not cut; -1: it is not of this device as it is. */
static int lease_instance(const struct device *d, const struct slice_lease *l)
{
	if (!str_eq(l->device, d->id) || d->mig_mode != (l->mig.n != 0))
		return -1;
	if (!d->mig_mode)
		return 0;
	for (size_t i = 0; i < n_instances(d); i++)
		if (str_eq(d->mig[i].uuid, l->mig))
			return (int)i;
	return -1;
}

bool slice_book_hold(struct slice_book *b, const struct slice_lease *l)
{
	int at = lease_instance(b->device, l);
	const struct device_mig *m = at >= 0 && b->device->mig_mode ? &b->device->mig[at] : NULL;

	if (at < 0 || l->slots < 1 || l->slots > DEVICE_SLOTS)
		return false;
	if (m && (!(slice_book_free_instances(b) & 1u << at) || l->slots != m->slots || l->memory_mb > m->memory_mb))
		return false;
	if (!m && l->slots > slice_book_free_slots(b))
		return false;
	if (has_account(b->device) && l->memory_mb > slice_book_free_memory_mb(b))
		return false;
	add_hold(b,
		 &(struct slice_entry){
			 .role = l->role, .memory_mb = l->memory_mb, .slots = (uint8_t)l->slots, .mig = (uint8_t)at});
	return true;
}

bool slice_book_give_back(struct slice_book *b, const struct slice_lease *l)
{
	int at = lease_instance(b->device, l);

	for (size_t i = 0; i < b->n_holds && at >= 0; i++) {
		struct slice_entry *h = &b->holds[i];

		if (h->role != l->role || h->slots != l->slots || h->memory_mb != l->memory_mb || h->mig != at)
			continue;
		b->slots_taken -= h->slots;
		if (has_account(b->device))
			b->memory_taken_mb -= h->memory_mb;
		*h = b->holds[--b->n_holds];
		return true;
	}
	return false;
}

/* ---- words ---- */

static void largest_instance(const struct device *d, uint32_t *slots, uint64_t *memory_mb)
{
	*slots = 0;
	*memory_mb = 0;
	for (size_t i = 0; i < n_instances(d); i++) {
		*slots = MAX(*slots, d->mig[i].slots);
		*memory_mb = MAX(*memory_mb, d->mig[i].memory_mb);
	}
}

void slice_fit_text(struct buf *out, enum slice_fit f, const struct slice_book *b, const struct slice_wish *w)
{
	const struct device *d = b->device;
	unsigned long long asked_mb = d->mig_mode ? w->memory_mb : promise_mb(d, w), most_mb = slice_memory_mb(d);
	uint32_t most = DEVICE_SLOTS;
	uint64_t instance_mb;

	if (d->mig_mode) {
		largest_instance(d, &most, &instance_mb);
		most_mb = instance_mb;
	}
	buf_printf(out, "%.*s (%.*s) ", STR_ARG(d->id), STR_ARG(d->model.n ? d->model : d->kind));
	switch (f) {
	case SLICE_FITS:
		buf_adds(out, "has room.");
		break;
	case SLICE_NO_SLOTS:
		buf_printf(out, "has %u/8 free, ", slice_book_largest_slots(b));
		slice_format(out, w);
		buf_adds(out, " asked for.");
		break;
	case SLICE_NO_MEMORY:
		buf_printf(out, "has %llu of %llu MiB free, %llu MiB are asked for.",
			   (unsigned long long)slice_book_free_memory_mb(b), most_mb, asked_mb);
		break;
	case SLICE_ROLE:
		buf_adds(out,
			 "is in use by functions of another role, and its node's settings do not let roles share.");
		break;
	case SLICE_TROUBLE:
		buf_printf(out, "is not well: %.*s.", STR_ARG(slice_book_trouble(b)));
		break;
	case SLICE_TOO_LARGE:
		if (w->whole > 1)
			buf_printf(out, "is cut into MIG instances, %u whole devices are asked for.", w->whole);
		else
			buf_printf(out, "has no MIG instance above %u/8, %u/8 are asked for.", most, w->slots);
		break;
	case SLICE_TOO_MUCH_MEMORY:
		buf_printf(out, "has %s%llu MiB, %llu MiB are asked for.", d->mig_mode ? "no MIG instance above " : "",
			   most_mb, (unsigned long long)w->memory_mb);
		break;
	case SLICE_FITS_COUNT:
		assert(false);
	}
}

json_t *slice_lease_to_json(const struct slice_lease *l)
{
	json_t *j = json_object();

	json_set_str(j, "device", l->device);
	json_object_set_new(j, "slots", json_integer(l->slots));
	json_object_set_new(j, "memory_mb", json_integer((json_int_t)l->memory_mb));
	if (l->mig.n)
		json_set_str(j, "mig", l->mig);
	json_object_set_new(j, "rung", json_string(device_rung_name(l->rung)));
	return j;
}

void slice_lease_from_json(struct slice_lease *ret, const json_t *j)
{
	struct str rung = json_get_str(j, "rung", STR_NULL);

	*ret = (struct slice_lease){
		.device = json_get_str(j, "device", STR("")),
		.slots = (uint32_t)MIN(MAX(json_get_int(j, "slots", 0), (int64_t)0), (int64_t)DEVICE_SLOTS),
		.memory_mb = (uint64_t)MAX(json_get_int(j, "memory_mb", 0), (int64_t)0),
		.mig = json_get_str(j, "mig", STR_NULL),
	};
	for (unsigned r = 0; r < DEVICE_RUNGS; r++)
		if (str_eqz(rung, device_rung_name((enum device_rung)r)))
			ret->rung = (enum device_rung)r;
}

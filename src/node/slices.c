/* The books are small and the node's own: the gate decides who gets what, and this only refuses what cannot be. A hold
 * names its device and MIG instance by their ids, as the list of devices is replaced whenever something changed. Owns
 * the devices, the holds and the MPS daemons. A hold that cannot be any more (device gone, daemon gone, over its
 * memory) is told to its worker, which ends; nobody else's is touched. */
#include "node/slices.h"

#include "base/list.h"
#include "base/mem.h"
#include "node/mps.h"
#include "model/slice.h"
#include "node/slice_box.h"
#include "sys/log.h"

#include <stdio.h>
#include <string.h>

#define SHARES_MAX SLICE_WHOLE_MAX /* devices of one worker */

struct slice_hold {
	struct list_link on_list;
	struct slices *slices;
	struct arena a; /* of the shares' texts, and of the plan */
	struct slice_share *shares;
	size_t n;
	struct mps_use *mps; /* of the first share; a fraction is of one device */
	struct plan_slice plan;
	int pid;     /* 0: it does not run yet */
	bool parked; /* it has nothing of the devices now */
	void (*ready)(void *arg, const char *error);
	void *ready_arg;
	const char *lost_type, *lost_text; /* NULL: it is held */
	void (*lost)(void *arg, const char *type, const char *text);
	void *lost_arg;
};

DEFINE_LIST(hold_list, struct slice_hold, on_list)

struct slices {
	struct loop *loop;
	const struct node_conf *conf;
	struct devices *devices;
	struct mps *mps;
	struct hold_list holds;
	const struct slices_handler *handler;
	void *arg;
};

/* ---- ends ---- */

static void lose(struct slice_hold *h, const char *type, const char *text)
{
	void (*lost)(void *, const char *, const char *) = h->lost;

	if (h->lost_type)
		return;
	h->lost_type = type;
	h->lost_text = arena_dup(&h->a, str_from(text));
	if (lost)
		lost(h->lost_arg, type, text);
}

/* Whatever the holder does in its call, the next one was found before. Holds are only given back when processes have
 * ended, never in here. */
static void end_those_without(struct slices *s)
{
	char text[256];

	for (struct slice_hold *h = hold_list_first(&s->holds), *next; h; h = next) {
		next = hold_list_next(h);
		for (size_t i = 0; i < h->n; i++) {
			const struct slice_share *share = &h->shares[i];
			const struct device *d = devices_find(s->devices, share->device);

			if (d && !d->lost &&
			    !(share->mig.n ? !device_mig_find(d, share->mig) : d->mig_mode && d->source == DEVICE_NVML))
				continue;
			snprintf(text, sizeof(text), "the %s %.*s is gone", share->mig.n ? "MIG instance" : "device",
				 STR_ARG(str_sub(share->mig.n ? share->mig : share->device, 0, 100)));
			lose(h, SLICE_GONE, text);
		}
	}
}

static void on_changed(void *arg)
{
	struct slices *s = arg;

	end_those_without(s);
	s->handler->changed(s->arg);
}

static void on_measured(void *arg)
{
	struct slices *s = arg;

	s->handler->changed(s->arg);
}

static void on_looked(void *arg)
{
	struct slices *s = arg;
	char text[256];

	for (struct slice_hold *h = hold_list_first(&s->holds), *next; h; h = next) {
		next = hold_list_next(h);
		for (size_t i = 0; i < h->n && h->pid; i++) {
			const struct slice_share *share = &h->shares[i];
			uint64_t used;

			/* MPS's limits are in the client's own environment, for which it can choose another. */
			if ((share->rung != RUNG_WATCHED && share->rung != RUNG_MPS) || !share->memory_mb)
				continue;
			used = devices_used_mb(s->devices, share->device, h->pid);
			if (used <= share->memory_mb)
				continue;
			snprintf(text, sizeof(text), "it used %llu MiB of the device, and its slice has %llu",
				 (unsigned long long)used, (unsigned long long)share->memory_mb);
			lose(h, SLICE_OUT_OF_MEMORY, text);
		}
	}
}

static const struct devices_handler devices_handler = {
	.changed = on_changed,
	.measured = on_measured,
	.looked = on_looked,
};

/* ---- the books ---- */

static bool is_same(const struct slice_share *a, const struct slice_share *b)
{
	return str_eq(a->device, b->device) && str_eq(a->mig, b->mig);
}

static void sum(const struct slices *s, const struct slice_share *of, uint64_t *slots, uint64_t *memory)
{
	*slots = *memory = 0;
	for (const struct slice_hold *h = hold_list_first(&s->holds); h; h = hold_list_next(h))
		for (size_t i = 0; i < h->n && !h->parked; i++)
			if (is_same(&h->shares[i], of)) {
				*slots += h->shares[i].slots;
				*memory += h->shares[i].memory_mb;
			}
}

static int check_room(const struct slices *s, const struct slice_share *share, uint64_t slots_max, uint64_t memory_max,
		      struct err *err)
{
	uint64_t slots, memory;

	sum(s, share, &slots, &memory);
	if (slots + share->slots > slots_max)
		return err_set(err, 0, "device %.*s has %llu of %llu slots free, not %u", STR_ARG(share->device),
			       (unsigned long long)(slots_max - MIN(slots, slots_max)), (unsigned long long)slots_max,
			       share->slots);
	if (memory_max && memory + share->memory_mb > memory_max)
		return err_set(err, 0, "device %.*s has %llu of %llu MiB free, not %llu", STR_ARG(share->device),
			       (unsigned long long)(memory_max - MIN(memory, memory_max)),
			       (unsigned long long)memory_max, (unsigned long long)share->memory_mb);
	return 0;
}

static int check_device(const struct slices *s, const struct slice_share *share, struct err *err)
{
	const struct device *d = devices_find(s->devices, share->device);
	const struct device_mig *mig;

	if (!d)
		return err_set(err, 0, "this node has no device %.*s", (int)MIN(share->device.n, 100), share->device.p);
	if (d->trouble.n)
		return err_set(err, 0, "device %.*s: %.*s", STR_ARG(d->id), STR_ARG(d->trouble));
	if (!share->mig.n && d->mig_mode)
		return err_set(err, 0, "device %.*s is partitioned (MIG): a slice of it is one of its instances",
			       STR_ARG(d->id));
	if (!share->mig.n)
		return check_room(s, share, DEVICE_SLOTS, d->memory_mb, err);
	mig = device_mig_find(d, share->mig);
	if (!mig)
		return err_set(err, 0, "device %.*s has no MIG instance %.*s", STR_ARG(d->id),
			       (int)MIN(share->mig.n, 100), share->mig.p);
	return check_room(s, share, mig->slots, mig->memory_mb, err);
}

/* One element of `slices`; its texts are copied. */
static int read_share(struct slice_hold *h, const json_t *o, struct err *err)
{
	struct slice_share *share = &h->shares[h->n];
	int64_t slots = 0, memory = 0;
	struct str device = STR_NULL, mig = STR_NULL;
	const struct device *d;

	if (!json_is_object(o))
		return err_set(err, 0, "slices: an element is no object");
	if (json_need_str(o, "device", &device, err) < 0 ||
	    json_opt_int(o, "slots", 1, DEVICE_SLOTS, &slots, err) < 0 ||
	    json_opt_int(o, "memory_mb", 0, 1ll << 40, &memory, err) < 0 || json_opt_str(o, "mig", &mig, err) < 0)
		return err_wrap(err, "slices");
	if (!slots)
		return err_set(err, 0, "slices: slots is missing");
	*share = (struct slice_share){
		.device = arena_str(&h->a, device),
		.mig = arena_str(&h->a, mig),
		.slots = (uint32_t)slots,
		.memory_mb = (uint64_t)memory,
	};
	for (size_t i = 0; i < h->n; i++)
		if (str_eq(h->shares[i].device, share->device))
			return err_set(err, 0, "slices: device %.*s stands twice", STR_ARG(share->device));
	if (check_device(h->slices, share, err) < 0)
		return -1;
	d = devices_find(h->slices->devices, share->device);
	share->rung = device_rung_of(d, share->slots, share->mig.n > 0);
	h->n++;
	return 0;
}

static int read_shares(struct slice_hold *h, const json_t *list, struct err *err)
{
	const json_t *o;
	size_t i;

	if (json_array_size(list) > SHARES_MAX)
		return err_set(err, 0, "slices: more than %d devices", SHARES_MAX);
	h->shares = arena_new_n(&h->a, struct slice_share, SHARES_MAX);
	json_array_foreach((json_t *)(uintptr_t)list, i, o)
	{
		if (read_share(h, o, err) < 0)
			return -1;
	}
	/* One process has one MPS daemon. */
	for (i = 0; h->n > 1 && i < h->n; i++)
		if (h->shares[i].rung == RUNG_MPS || h->shares[i].mig.n)
			return err_set(err, 0, "slices: several devices can only be held whole");
	return 0;
}

int slices_take(struct slices *s, const json_t *order, struct slice_hold **ret, struct err *err)
{
	const json_t *list = json_object_get(order, "slices");
	struct slice_hold *h;

	*ret = NULL;
	if (!list || json_is_null(list))
		return 0;
	if (!json_is_array(list))
		return err_set(err, 0, "slices is not an array");
	if (!json_array_size(list))
		return 0;
	h = xnew(struct slice_hold);
	h->slices = s;
	if (read_shares(h, list, err) < 0) {
		slices_give(h);
		return -1;
	}
	hold_list_push(&s->holds, h);
	*ret = h;
	return 0;
}

struct slice_hold *slices_give(struct slice_hold *h)
{
	if (!h)
		return NULL;
	mps_give(h->mps);
	if (hold_list_linked(h))
		hold_list_remove(&h->slices->holds, h);
	arena_done(&h->a);
	free(h);
	return NULL;
}

/* ---- before and while it runs ---- */

static void make_plan(struct slice_hold *h)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	const struct slice_site site = {
		.devices = h->slices->devices,
		.box_uid = h->slices->conf->box_uid,
		.mps_folder = h->mps ? mps_folder(h->mps) : NULL,
	};
	int r = slice_box(&h->plan, &site, h->shares, h->n, &h->a, &err);

	h->ready(h->ready_arg, r < 0 ? err.msg : NULL);
}

static void on_mps_ready(void *arg, const char *error)
{
	struct slice_hold *h = arg;

	if (error)
		h->ready(h->ready_arg, error);
	else
		make_plan(h);
}

static void on_mps_lost(void *arg)
{
	lose(arg, SLICE_MPS_GONE, "the MPS daemon of its device is gone");
}

void slice_prepare(struct slice_hold *h, void (*ready)(void *arg, const char *error), void *arg)
{
	struct slices *s = h->slices;

	h->ready = ready;
	h->ready_arg = arg;
	if (h->shares[0].rung == RUNG_MPS)
		h->mps = mps_take(s->mps, h->shares[0].device, devices_mps_control(s->devices), on_mps_ready,
				  on_mps_lost, h);
	else
		make_plan(h);
}

int slice_park(struct slice_hold *h, bool on, struct err *err)
{
	for (size_t i = 0; !on && h->parked && i < h->n; i++)
		if (check_device(h->slices, &h->shares[i], err) < 0)
			return -1;
	h->parked = on;
	return 0;
}

const struct plan_slice *slice_plan(const struct slice_hold *h)
{
	return &h->plan;
}

/* It may have been lost before there was a process to end. */
void slice_watch(struct slice_hold *h, int pid, void (*lost)(void *arg, const char *type, const char *text), void *arg)
{
	h->pid = pid;
	h->lost = lost;
	h->lost_arg = arg;
	if (h->lost_type)
		lost(arg, h->lost_type, h->lost_text);
}

const struct devices *slices_devices(const struct slices *s)
{
	return s->devices;
}

struct slices *slices_new(struct loop *l, const struct node_conf *conf, const struct slices_handler *h, void *arg,
			  struct err *err)
{
	struct slices *s = xnew(struct slices);

	*s = (struct slices){.loop = l, .conf = conf, .handler = h, .arg = arg};
	s->mps = mps_new(l, conf);
	s->devices = devices_new(l, conf, &devices_handler, s, err);
	return s->devices ? s : slices_free(s);
}

struct slices *slices_free(struct slices *s)
{
	if (!s)
		return NULL;
	devices_free(s->devices);
	mps_free(s->mps);
	free(s);
	return NULL;
}

/* Slices: what a function wishes of a device, and the arithmetic of what a device has left. A device has DEVICE_SLOTS
 * slots and its memory; a slice is k slots of one device (a fraction never spans devices) or n whole devices. Pure;
 * tested by tables. Both sides use it: the gate places by it (gate/place_node.c), the node checks what it is told. */
#pragma once

#include "base/buf.h"
#include "model/device.h"

#define SLICE_KINDS_MAX  4
#define SLICE_LABELS_MAX 8
#define SLICE_NAME_MAX   63 /* of a kind, of a label */
#define SLICE_WHOLE_MAX  64
/* MiB, 16 TiB: more than any device has, so that sums and products of it never overflow. */
#define SLICE_MEMORY_MAX_MB (16ull << 20)

/* What the tags of a function ask for (model/options.c reads them). All text is views into the function. */
struct slice_wish {
	struct str kinds[SLICE_KINDS_MAX]; /* wick:device=gpu,cpu: in the order in which they are tried; n_kinds 0: no
					      device is asked for, it runs anywhere */
	size_t n_kinds;
	bool sliced;        /* wick:slice was said. If not: one whole device; but of the CPU no slice at all, it runs
			       beside the others as it does without any tag */
	uint32_t slots;     /* wick:slice=3/8: 1..8, of one device */
	uint32_t whole;     /* wick:slice=2: > 0: so many whole devices; slots is 8 then */
	uint64_t memory_mb; /* wick:device-memory=4096, MiB of the device (of each, when whole > 1); 0: its share */
	struct str labels[SLICE_LABELS_MAX]; /* wick:place=edge,lab: the node must have all */
	size_t n_labels;
	bool park;   /* wick:park=on: an idle worker's device memory may be moved to host memory; default off */
	bool spread; /* wick:spread=on: on the emptiest device instead of the fullest that fits; default off */
};

/* "3/8", also "1/4", "1/2", "3/4" (they are eighths); or "2": whole devices, up to SLICE_WHOLE_MAX. False: neither. */
bool slice_parse(struct str s, uint32_t *ret_slots, uint32_t *ret_whole);
void slice_format(struct buf *b, const struct slice_wish *w); /* "3/8", "2 devices", "1 device" */
/* Of a kind and of a label: 1 to SLICE_NAME_MAX letters, digits and "._-:/=". */
bool slice_name_is_valid(struct str s);
/* Does a wish for this kind take something of the device's slots? Not where it is the CPU and no slice was said. */
bool slice_wish_takes(const struct slice_wish *w, struct str kind);

/* What a worker was given of one device. The text is views into the device. */
struct slice_lease {
	struct str device;  /* its id */
	uint32_t slots;     /* of DEVICE_SLOTS; of a MIG lease, the instance's */
	uint64_t memory_mb; /* its quota; 0: none, the device has no memory that is accounted for and none was asked for
			     */
	struct str mig;     /* uuid of the instance; n == 0: none */
	enum device_rung rung;
	uint64_t role; /* whose it is, as the book was told */
};

json_t *slice_lease_to_json(const struct slice_lease *l); /* {device, slots, memory_mb, mig, rung}: START's slices */
void slice_lease_from_json(struct slice_lease *ret, const json_t *j); /* views; what is absent is zero */

/* How the share is held: a MIG instance, where the card is cut into such (there is nothing else to have of it then);
 * the whole device; MPS, where a daemon serves it; else it is only watched. Of the CPU there is nothing to hold. */
enum device_rung slice_rung(const struct device *d, uint32_t slots);

/* Why a wish has no place on a device, now or ever. */
enum slice_fit {
	SLICE_FITS,
	SLICE_NO_SLOTS,  /* others have them: slots, or the MIG instances that would do */
	SLICE_NO_MEMORY, /* others were promised it */
	SLICE_ROLE,      /* functions of another role hold fractions of it */
	SLICE_TROUBLE,   /* the device says that it is not well (device.trouble) */
	SLICE_TOO_LARGE, /* never: no MIG instance has so many slots, or so many devices are asked for of a cut card */
	SLICE_TOO_MUCH_MEMORY, /* never: the device, or each of its instances, has less */
	SLICE_FITS_COUNT,
};

struct slice_entry {
	uint64_t role, memory_mb;
	uint8_t slots;
	uint8_t mig; /* index of the instance; of no meaning where the card is not cut */
};

/* The book of one device: who has what of it. Each lease is an entry, so that nothing can be given back that was not
 * taken, and what is free is never below zero or above what there is.
 *
 * Memory. A lease is promised what was asked for, else its share (memory * k / 8). A device whose memory is not known
 * (memory_mb 0), and the CPU, have no memory account. A MIG lease has its instance's, a whole device all of it.
 *
 * Roles. What MIG holds is separated by the hardware, and a whole device has nobody beside. Fractions by MPS, and all
 * the more those that are only watched, are not separated from each other: a fault of one can end the other, and what
 * one leaves in memory the other may read. So fractions of a device are only given to functions of one role at a time,
 * unless the node's settings allow otherwise (share_roles). A CPU's fractions are separated by boxes. A role is a
 * number that the book's owner gives to it, never 0, equal for equal roles (of texts: a hash with a secret seed). */
struct slice_book {
	const struct device *device; /* not owned, must outlive the book */
	bool share_roles;
	struct str failing; /* why no slice is given for now, though the device says nothing of it; n == 0: it is */
	uint32_t slots_taken;
	uint64_t memory_taken_mb;
	struct slice_entry holds[DEVICE_SLOTS]; /* each has a slot at least */
	size_t n_holds;
};

/* An empty book. To describe a device anew: an empty book, and slice_book_hold for each lease there is. */
void slice_book_init(struct slice_book *b, const struct device *d, bool share_roles);
struct str slice_book_trouble(const struct slice_book *b);      /* the device's, or the book's; n == 0: it is well */
uint32_t slice_book_free_slots(const struct slice_book *b);     /* in MIG mode: of the free instances together */
uint32_t slice_book_largest_slots(const struct slice_book *b);  /* that one wish could get now */
uint64_t slice_book_free_memory_mb(const struct slice_book *b); /* likewise; 0 as well without an account */
uint64_t slice_memory_mb(const struct device *d); /* what there is to promise; 0: there is no account of it */
/* Bit i: instance i of the device is free. In MIG mode only. */
uint32_t slice_book_free_instances(const struct slice_book *b);
/* The instance that a wish takes of those in the mask: the smallest that is large enough, the first of equals; -1:
 * none. */
int slice_pick_instance(const struct device *d, uint32_t mask, const struct slice_wish *w);
/* 0: any role may have a fraction of it; *ret_closed: none, roles are mixed that may not be (any more). */
uint64_t slice_book_lock(const struct slice_book *b, bool *ret_closed);

/* Of a wish for several devices: of one of them. */
enum slice_fit slice_book_can_take(const struct slice_book *b, const struct slice_wish *w, uint64_t role);
/* Books it and says what was given; not SLICE_FITS: nothing has changed, ret is not written. */
enum slice_fit slice_book_take(struct slice_book *b, const struct slice_wish *w, uint64_t role,
			       struct slice_lease *ret);
/* Books a lease that was given before: by the gate, to a node; or by the book this one replaces. False: it does not fit
 * (another device, no such instance, more than is left); nothing has changed. The role is not looked at. */
bool slice_book_hold(struct slice_book *b, const struct slice_lease *l);
bool slice_book_give_back(struct slice_book *b, const struct slice_lease *l); /* false: there is no such lease */
/* Could it have a place if nothing were taken? SLICE_FITS, or one of the two that say never. */
enum slice_fit slice_could_fit(const struct device *d, const struct slice_wish *w);

/* One sentence with what is asked for and what there is: "GPU-1 (NVIDIA H200) has 143771 MiB, 200000 MiB are asked
 * for.". */
void slice_fit_text(struct buf *out, enum slice_fit f, const struct slice_book *b, const struct slice_wish *w);

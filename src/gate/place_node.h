/* Which node, which device: the rules that one new worker is placed by, and the words for why it has no place. Pure:
 * no clock, no lock, no log. gate/place_index.c finds by the same rules fast; how many workers there should be is
 * gate/place.c.
 *
 * The order of criteria for a wish with a device; the next one only decides among those that are equal by all before:
 *
 *  a. The kinds of the wish in their order; the next kind only where no node has a fitting device of the kind before.
 *  b. It fits: the node is up, not drained, not backing off after failed starts (of all, or of the wish's own), has all
 * labels of the wish and the memory for the worker; and the device has the slots (one MIG instance that is large
 * enough, the smallest such, or so many whole devices of the node), its memory and no other role's fractions
 * (model/slice.h). c. The lower cost per hour: what is rented is used when what is owned is full. d. The tighter fit.
 * Of a fraction: the device that is left with the fewest free slots, then the one that has the least free memory, in
 * 64ths of the device's; so that whole devices stay whole. Of whole devices: the node that is left with the fewest.
 * With wick:spread=on both are turned round: the emptiest. e. The node that has the function's code. f. The nearer
 * node, by classes of the round trip: under 2, 10, 50, 200 ms, and more. g. The more free memory for workers, in steps
 * of a quarter of a power of two (PLACE_MEMORY_CLASSES).
 *
 * Without a device, and for the CPU where no slice of it was said: b, c, f, e, g: near is what counts. At last the
 * lower number of the node, and of the device. */
#pragma once

#include "base/bits.h"
#include "model/slice.h"

struct place_node {
	struct str name;
	bool up;
	bool drained; /* it finishes what it has and gets nothing new */
	bool failing; /* starts have failed there; the next may be tried later (model/backoff.h) */
	const struct str *labels;
	size_t n_labels;
	uint64_t memory_mb, memory_free_mb; /* MiB for workers: all, and what is left for more */
	uint64_t rtt_us;                    /* to the node and back; of the local node 0 */
	uint64_t cost_hour;                 /* picodollars (model/price.h), from the node's settings; 0: owned */
	struct slice_book *devices;
	size_t n_devices;
};

struct place_wish {
	const struct slice_wish *device;
	uint64_t role;            /* as in model/slice.h */
	uint64_t memory_mb;       /* MiB of the node's, that the worker is reckoned with */
	const struct bits *code;  /* the numbers of the nodes that have the function's code; NULL: none has */
	const struct bits *avoid; /* and of those where its starts fail now, which get none; NULL: nowhere */
};

#define PLACE_NEAR_CLASSES   5
#define PLACE_MEMORY_CLASSES 97 /* 0, and four in each power of two up to 16 TiB */
unsigned place_near_class(uint64_t rtt_us);
unsigned place_memory_class(uint64_t mb);

#define PLACE_FINE    64 /* classes of a device's free memory */
#define PLACE_NO_RANK UINT32_MAX
#define PLACE_WORST   ((SLICE_WHOLE_MAX + 1u) * (PLACE_FINE + 1u))
/* Criterion d as a number, lower is better: how much is left after, then the class of memory. */
uint32_t place_rank(unsigned left, unsigned memory_class, bool spread);
/* The class of a device's free memory; where there is no account of it, of its slots. Class c: at least c 64ths are
 * free, rounded down as shares are (model/slice.h), so that a share of k/8 fits exactly from 8k on. */
unsigned place_fine_class(uint64_t all_mb, uint64_t free_mb, unsigned free_slots);

struct place_choice {
	size_t node;      /* its number */
	size_t kind;      /* of the wish's kinds; where none is asked for 0 */
	size_t n_devices; /* 0: it takes no slice */
	uint32_t devices[SLICE_WHOLE_MAX];
};

/* The rank of the best place that this node has for the wish and this kind, without looking at the node itself;
 * PLACE_NO_RANK: it has none. ret (may be NULL): the devices. */
uint32_t place_node_rank(const struct place_node *n, const struct place_wish *w, struct str kind,
			 struct place_choice *ret);

/* ---- why not ----
 * In the order in which they are looked at: first those that say never; the later, the nearer to a place.
 *	name, what programs are told */
#define PLACE_REASONS_X(X)                                                                                             \
	X(FITS, "fits")                                                                                                \
	X(NO_LABEL, "no-label")                                                                                        \
	X(NO_DEVICE, "no-device")                    /* it has none of the kind */                                     \
	X(TOO_FEW, "too-few-devices")                /* it has not so many that are whole */                           \
	X(TOO_LARGE, "too-large")                    /* no MIG instance has so many slots */                           \
	X(TOO_MUCH_MEMORY, "too-much-device-memory") /* no device, or instance, has so much */                         \
	X(TOO_SMALL, "node-too-small")               /* for the worker's memory */                                     \
	X(DOWN, "down")                                                                                                \
	X(DRAINED, "drained")                                                                                          \
	X(FAILING, "backing-off")                                                                                      \
	X(TROUBLE, "device-trouble")                                                                                   \
	X(NO_SLOTS, "no-slots")                                                                                        \
	X(ROLE, "other-role")                                                                                          \
	X(NO_DEVICE_MEMORY, "no-device-memory")                                                                        \
	X(NO_MEMORY, "no-memory")

#define PLACE_ENUM(name, text) PLACE_##name,
enum place_reason { PLACE_REASONS_X(PLACE_ENUM) PLACE_REASONS };
#undef PLACE_ENUM
const char *place_reason_name(enum place_reason r);

/* Why this node has no place for the wish and the kind; PLACE_FITS: it has. */
enum place_reason place_node_reason(const struct place_node *n, const struct place_wish *w, struct str kind);

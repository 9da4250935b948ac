/* Slices: what a function wishes of a device, and the arithmetic of what a device has left. A device has DEVICE_SLOTS
 * slots and its memory; a slice is k slots of one device (a fraction never spans devices) or n whole devices. Pure;
 * tested by tables. Both sides use it: the gate places by it (gate/place_node.c), the node checks what it is told. */
#pragma once

#include "model/device.h"

#define SLICE_KINDS_MAX 4
#define SLICE_WHOLE_MAX 64

/* What the tags of a function ask for: wick:device=gpu,cpu (in the order in which they are tried), wick:slice=3/8 or 2,
 * wick:device-memory=4096 (MiB), wick:place=LABEL[,LABEL], wick:park=on, wick:spread=on. */
struct slice_wish {
	struct str kinds[SLICE_KINDS_MAX]; /* n_kinds 0: no device is asked for, it runs anywhere */
	size_t n_kinds;
	uint32_t slots;     /* 1..8: of one device */
	uint32_t whole;     /* > 0: so many whole devices; slots is 8 then */
	uint64_t memory_mb; /* of the device (of each, when whole > 1); 0: its share by slots */
};

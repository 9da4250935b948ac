/* Slices of this node's devices in the hands of workers: the node's own books, what a slice brings into the box, and
 * the watch over it while its worker runs. Loop thread. */
#pragma once

#include "node/devices.h"
#include "node/plan.h"

struct slices;
struct slice_hold; /* what one worker holds */

/* The types that a worker is refused or ended with. */
#define SLICE_UNAVAILABLE   "Device.Unavailable" /* it is not there, in trouble, or taken */
#define SLICE_OUT_OF_MEMORY "OutOfDeviceMemory"  /* over the memory of its slice */
#define SLICE_MPS_GONE      "Device.MpsGone"     /* the daemon that held its slice is gone */
#define SLICE_GONE          "Device.Gone"        /* the device or its MIG instance is gone */

struct slices_handler {
	void (*changed)(void *arg); /* the gate is told the devices anew: devices_json */
};

/* Owns the node's devices. NULL: err. */
struct slices *slices_new(struct loop *l, const struct node_conf *conf, const struct slices_handler *h, void *arg,
			  struct err *err);
struct slices *slices_free(struct slices *s); /* nothing may be held any more */
const struct devices *slices_devices(const struct slices *s);

/* Reads `slices` of a START order: [{device, slots, memory_mb, mig}]. *ret NULL: the worker is to hold none. -1: err;
 * nothing is held then. */
int slices_take(struct slices *s, const json_t *order, struct slice_hold **ret, struct err *err);
struct slice_hold *slices_give(struct slice_hold *h); /* NULL allowed; nothing is called any more */
/* ready: once, in here or later; error NULL: the worker may start. */
void slice_prepare(struct slice_hold *h, void (*ready)(void *arg, const char *error), void *arg);
/* After ready. Valid as long as the hold. */
const struct plan_slice *slice_plan(const struct slice_hold *h);
/* The worker's first process runs: lost is called, once at most, when it has to be ended, and why. */
void slice_watch(struct slice_hold *h, int pid, void (*lost)(void *arg, const char *type, const char *text), void *arg);
/* A parked worker's device memory is the host's: its slots and memory are others' to have. Off: it takes them again;
 * -1: they are not to be had, err says why. */
int slice_park(struct slice_hold *h, bool on, struct err *err);

/* What a slice brings into the box of its worker: device files, libraries, environment. */
#pragma once

#include "node/devices.h"
#include "node/plan.h"

/* A part of one device that a worker holds. */
struct slice_share {
	struct str device, mig; /* mig.n == 0: no instance */
	uint32_t slots;
	uint64_t memory_mb; /* 0: no quota */
	enum device_rung rung;
};

struct slice_site {
	const struct devices *devices;
	uint32_t box_uid;       /* whom the boxes run as; 0: as this process */
	const char *mps_folder; /* of the daemon that holds it; NULL: none does */
};

/* Everything lives in a. -1: err says what is missing on this machine and what mends it. */
int slice_box(struct plan_slice *ret, const struct slice_site *site, const struct slice_share *shares, size_t n,
	      struct arena *a, struct err *err);

/* A device of a node: a GPU, an accelerator or the CPU, as the node found it or as its settings declare it. The node
 * tells the gate its devices in this form (JSON); what a device gives to a worker is a slice of it (model/slice.h).
 * Codec: JSON, unknown members ignored, absent ones zero. Pure. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "wire/json.h"

/* Slots of every device: a slice is k of them (k/8), or all. */
#define DEVICE_SLOTS 8

/* How the share of a slice is held, from the strongest to the weakest. */
enum device_rung {
	RUNG_NONE,    /* there is nothing to hold: a CPU slice is held by the box's control group */
	RUNG_MIG,     /* a MIG instance: hard, in compute and memory */
	RUNG_WHOLE,   /* the slice is the whole device: hard */
	RUNG_MPS,     /* an MPS daemon of the device: threads and memory are limited by the driver */
	RUNG_WATCHED, /* only placed and watched: a worker over its memory is ended */
	DEVICE_RUNGS,
};
const char *device_rung_name(enum device_rung r); /* "mig" */

/* Where a device was found. */
enum device_source { DEVICE_NVML, DEVICE_PCI, DEVICE_OPENCL, DEVICE_CPU, DEVICE_DECLARED, DEVICE_SOURCES };
const char *device_source_name(enum device_source s); /* "nvml" */

/* One MIG instance that the card is partitioned into. */
struct device_mig {
	struct str uuid;    /* "MIG-..." */
	struct str profile; /* "1g.18gb" */
	uint32_t slots;     /* of DEVICE_SLOTS, by its share of the card's memory; at least 1 */
	uint64_t memory_mb;
};

struct device {
	struct str
		id; /* unique on its node and stable: UUID of NVML, "pci-0000:01:00.0", "opencl-0-0", "cpu", "NAME-0" */
	struct str kind;  /* "gpu", "accelerator", "cpu", or what the settings declare ("fpga") */
	struct str model; /* for people and prices: "NVIDIA H200" */
	enum device_source source;
	uint64_t memory_mb;     /* 0: not known, then a slice's memory is not accounted for */
	uint32_t index;         /* NVML's, of /dev/nvidiaN; for others their order */
	struct str pci;         /* "0000:01:00.0"; n == 0: none */
	struct str driver;      /* version; n == 0: not known */
	struct str capability;  /* compute capability, "9.0" */
	bool mps;               /* an MPS daemon may serve it: fractions are held by RUNG_MPS */
	struct device_mig *mig; /* the card is in MIG mode; n_mig may be 0 then: it has no instance */
	size_t n_mig;
	bool mig_mode;
	/* For the box (declared, or found): what becomes visible to a worker that holds a slice. */
	struct str *files; /* device files, "/dev/dri/renderD128" */
	size_t n_files;
	struct str *libraries; /* files or folders of the host, bound read-only at the same path */
	size_t n_libraries;
	struct str *env; /* NAME=value */
	size_t n_env;
	/* As measured last; NVML. */
	uint32_t utilisation_percent, temperature_c, power_w, processes;
	uint64_t memory_used_mb;
	struct str trouble; /* why no slice of it is given ("fell off the bus"); n == 0: none */
};

json_t *device_to_json(const struct device *d);
/* Views into j and a. -1: err names the member. */
int device_from_json(struct device *d, const json_t *j, struct arena *a, struct err *err);

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
	struct str *files; /* device files of this instance, "/dev/nvidia-caps/nvidia-cap12" */
	size_t n_files;
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
	bool host_memory;       /* it works in the machine's memory, which the box's control group limits */
	bool mps;               /* an MPS daemon may serve it: fractions are held by RUNG_MPS */
	struct device_mig *mig; /* the card is in MIG mode; n_mig may be 0 then: it has no instance */
	size_t n_mig;
	bool mig_mode;
	/* For the box (declared, or found): what becomes visible to a worker that holds a slice. */
	struct str *files; /* device files, "/dev/dri/renderD128" */
	size_t n_files;
	struct str *libraries; /* files or folders of the host, bound read-only at the same path; links become links */
	size_t n_libraries;
	struct str *env; /* NAME=value */
	size_t n_env;
	/* As measured last; NVML. */
	uint32_t utilisation_percent, temperature_c, power_w, processes;
	uint64_t memory_used_mb;
	bool lost;          /* it will not come back by itself: who holds it holds nothing */
	struct str trouble; /* why no slice of it is given ("fell off the bus"); n == 0: none */
};

/* How a slice of so many slots is held; mig: it is one of the card's MIG instances. */
enum device_rung device_rung_of(const struct device *d, unsigned slots, bool mig);
/* NULL: it has no such instance. */
const struct device_mig *device_mig_find(const struct device *d, struct str uuid);
/* Everything but what was measured is equal. */
bool device_equal(const struct device *a, const struct device *b);

json_t *device_to_json(const struct device *d);
/* Views into j and a. -1: err names the member. */
int device_from_json(struct device *d, const json_t *j, struct arena *a, struct err *err);

/* What is believed of a device that another machine tells of: names of a sensible length without control characters,
 * memory that arithmetic can take, MIG instances that can be. -1: err names what is not. */
int device_check(const struct device *d, struct err *err);
#define DEVICE_TEXT_MAX    127 /* id, model, kind and the like */
#define DEVICE_TROUBLE_MAX 511
#define DEVICES_TAKEN_MAX  64 /* of one node, by the gate */

#define DEVICES_MAX 256 /* of one node */

/* Devices as a person declares them: "fpga:2:mem=4096:file=/dev/xdma%_user:lib=/opt/xrt/lib:env=XILINX_XRT=/opt/xrt",
 * several with ';' between. KIND[:COUNT], then members: mem (MiB), file, lib, env (each may come often), model, id,
 * pci, driver. '%' in a file or in env is the number of the device, from 0 on; a backslash takes its meaning from the
 * ':', ';', '%' or backslash that follows it. Views into a. -1: err says what is wrong where. */
int devices_declared_parse(struct str text, struct arena *a, struct device **ret, size_t *n, struct err *err);
/* The same as a document: [{kind, count, memory_mb, files, libraries, env, model, id, pci, driver}], or that array as
 * the member `devices`. */
int devices_declared_from_json(const json_t *j, struct arena *a, struct device **ret, size_t *n, struct err *err);
/* Does one of these stand for what was found: of its kind, or by its id? */
bool device_is_declared(const struct device *declared, size_t n, const struct device *found);

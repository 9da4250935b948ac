/* wick-devices: what is found on this machine. Each finder adds the devices that it sees, or what it knows more about
 * one that another has seen. One look is one struct probe; everything in it lives in its arena. */
#pragma once

#include "model/device.h"

/* Where things are looked for; the environment says otherwise (main.c). */
struct probe_site {
	const char *sysfs; /* "/sys" */
	const char *dev;   /* "/dev" */
	const char *proc;  /* "/proc" */
	const char *nvml;  /* name or path of the library; "": not looked for */
	const char *opencl;
	const char *pci_ids;     /* names of vendors and devices */
	const char *mps_control; /* path; NULL: there is none */
};

struct probe {
	const struct probe_site *site;
	struct arena a;
	struct device *devices; /* DEVICES_MAX */
	size_t n;
	json_t *processes; /* [{device, pid, memory_mb}] of devices that tell */
	json_t *facts;     /* for wick doctor and for people: what there is and why something is not */
};

/* NULL: there is room for no more. */
struct device *probe_add(struct probe *p);
struct device *probe_by_pci(struct probe *p, struct str pci); /* NULL: none has that address */
void probe_list_add(struct probe *p, struct str **list, size_t *n, const char *text /* copied */);
/* The first line of a small file, in the arena; n == 0: not to be read. */
struct str probe_read(struct probe *p, const char *path);
/* "0000:01:00.0" from its parts. */
struct str probe_pci_text(struct probe *p, unsigned domain, unsigned bus, unsigned device, unsigned function);

/* Display controllers and processing accelerators of the PCI bus. */
void probe_pci(struct probe *p);

/* OpenCL devices that are none of those. In a child of its own, as drivers that are loaded there stay loaded. The
 * answer is kept by the caller: it does not change while this program runs. */
json_t *probe_opencl_ask(const struct probe_site *site);
void probe_opencl(struct probe *p, const json_t *answer);

/* NVIDIA's cards. NULL: no library, or it does not work; why is in facts. */
struct nvml;
struct nvml *nvml_open(struct probe *p);
struct nvml *nvml_close(struct nvml *n);
void probe_nvml(struct probe *p, struct nvml *n);
/* Device files of a MIG instance, from the driver's /proc (NVIDIA, "MIG User Guide", Device Nodes and Capabilities).
 * gpuN there is the card's minor number. */
void probe_mig_files(struct probe *p, unsigned minor, unsigned gi, unsigned ci, struct device_mig *m);

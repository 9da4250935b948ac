/* NVIDIA's cards, by their management library. It is opened at run time; what is declared here of it is what is used,
 * after NVIDIA's public "NVML API Reference Guide" (docs.nvidia.com/deploy/nvml-api), compared with nvml.h of its
 * version 13 (github.com/NVIDIA/go-nvml): names, parameters, layouts, numbers. A function that an older library lacks
 * is a NULL here, and answers NOT_SUPPORTED. Any call may hang or crash with the driver: the node watches over this
 * program for that. */
#include "node/probe/probe.h"

#include "base/mem.h"

#include <dlfcn.h>
#include <dirent.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

#define NVML_SUCCESS           0
#define NVML_NOT_SUPPORTED     3
#define NVML_NO_PERMISSION     4
#define NVML_INSUFFICIENT_SIZE 7
#define NVML_DRIVER_NOT_LOADED 9
#define NVML_GPU_IS_LOST       15
#define NVML_VERSION_MISMATCH  18
#define NVML_TEMPERATURE_GPU   0
#define NVML_NOT_AVAILABLE     (~0ull) /* in memory of a process */

#define CARDS_MAX       64
#define TEXT_BYTES      96 /* the longest that a name, a UUID or a version may be, its end counted */
#define PROCESSES_FIRST 256u
#define PROCESSES_MAX   65536u

typedef struct nvml_card *card;

struct nvml_memory {
	unsigned long long total, free, used; /* bytes */
};
struct nvml_utilization {
	unsigned gpu, memory; /* percent */
};
struct nvml_pci { /* nvmlPciInfo_t of _v3 */
	char legacy[16];
	unsigned domain, bus, device, device_id, subsystem_id;
	char bus_id[32];
};
struct nvml_process { /* nvmlProcessInfo_t of _v3, which is nvmlProcessInfo_v2_t */
	unsigned pid;
	unsigned long long memory; /* bytes */
	unsigned gpu_instance, compute_instance;
};
struct nvml_attributes { /* nvmlDeviceAttributes_t */
	unsigned multiprocessors, copy_engines, decoders, encoders, jpeg, ofa, gpu_slices, compute_slices;
	unsigned long long memory_mb;
};

/*	member, symbol, parameters */
#define NVML_CALLS(X)                                                                                                  \
	X(init, "nvmlInit_v2", (void))                                                                                 \
	X(shutdown, "nvmlShutdown", (void))                                                                            \
	X(driver_version, "nvmlSystemGetDriverVersion", (char *text, unsigned n))                                      \
	X(count, "nvmlDeviceGetCount_v2", (unsigned *n))                                                               \
	X(by_index, "nvmlDeviceGetHandleByIndex_v2", (unsigned i, card *ret))                                          \
	X(name, "nvmlDeviceGetName", (card c, char *text, unsigned n))                                                 \
	X(uuid, "nvmlDeviceGetUUID", (card c, char *text, unsigned n))                                                 \
	X(minor, "nvmlDeviceGetMinorNumber", (card c, unsigned *ret))                                                  \
	X(pci, "nvmlDeviceGetPciInfo_v3", (card c, struct nvml_pci * ret))                                             \
	X(memory, "nvmlDeviceGetMemoryInfo", (card c, struct nvml_memory * ret))                                       \
	X(capability, "nvmlDeviceGetCudaComputeCapability", (card c, int *major, int *minor))                          \
	X(utilization, "nvmlDeviceGetUtilizationRates", (card c, struct nvml_utilization * ret))                       \
	X(temperature, "nvmlDeviceGetTemperature", (card c, int sensor, unsigned *celsius))                            \
	X(power, "nvmlDeviceGetPowerUsage", (card c, unsigned *milliwatt))                                             \
	X(processes, "nvmlDeviceGetComputeRunningProcesses_v3", (card c, unsigned *n, struct nvml_process *ret))       \
	X(mps_processes, "nvmlDeviceGetMPSComputeRunningProcesses_v3",                                                 \
	  (card c, unsigned *n, struct nvml_process *ret))                                                             \
	X(mig_mode, "nvmlDeviceGetMigMode", (card c, unsigned *current, unsigned *pending))                            \
	X(mig_max, "nvmlDeviceGetMaxMigDeviceCount", (card c, unsigned *n))                                            \
	X(mig_by_index, "nvmlDeviceGetMigDeviceHandleByIndex", (card c, unsigned i, card *ret))                        \
	X(gpu_instance, "nvmlDeviceGetGpuInstanceId", (card c, unsigned *ret))                                         \
	X(compute_instance, "nvmlDeviceGetComputeInstanceId", (card c, unsigned *ret))                                 \
	X(attributes, "nvmlDeviceGetAttributes_v2", (card c, struct nvml_attributes * ret))

struct nvml {
	void *lib;
	const char *(*error_string)(int code);
#define NVML_MEMBER(member, symbol, parameters) int(*member) parameters;
	NVML_CALLS(NVML_MEMBER)
#undef NVML_MEMBER
	/* A card that is lost does not tell its name any more. */
	char uuids[CARDS_MAX][TEXT_BYTES];
};

#define CALL(n, member, ...) ((n)->member ? (n)->member(__VA_ARGS__) : NVML_NOT_SUPPORTED)

static void say_why(struct probe *p, const struct nvml *n, int code)
{
	const char *text = n->error_string ? n->error_string(code) : NULL;

	switch (code) {
	case NVML_DRIVER_NOT_LOADED:
		text = "the driver is not loaded";
		break;
	case NVML_VERSION_MISMATCH:
		text = "library and driver are of different versions: load the new driver (reboot)";
		break;
	case NVML_NO_PERMISSION:
		text = "no permission for /dev/nvidiactl";
		break;
	default:
		break;
	}
	json_object_set_new(p->facts, "nvml", text ? json_str(str_from(text)) : json_sprintf("error %d", code));
}

struct nvml *nvml_open(struct probe *p)
{
	struct nvml *n;
	int r;

	if (!p->site->nvml[0]) {
		json_object_set_new(p->facts, "nvml", json_string("is not asked"));
		return NULL;
	}
	n = xnew(struct nvml);
	n->lib = dlopen(p->site->nvml, RTLD_NOW | RTLD_LOCAL);
	if (!n->lib) {
		json_object_set_new(p->facts, "nvml", json_sprintf("%s is not installed", p->site->nvml));
		return nvml_close(n);
	}
	*(void **)&n->error_string = dlsym(n->lib, "nvmlErrorString");
#define NVML_LOAD(member, symbol, parameters) *(void **)&n->member = dlsym(n->lib, symbol);
	NVML_CALLS(NVML_LOAD)
#undef NVML_LOAD
	r = CALL(n, init);
	if (r != NVML_SUCCESS) {
		say_why(p, n, r);
		n->shutdown = NULL;
		return nvml_close(n);
	}
	return n;
}

struct nvml *nvml_close(struct nvml *n)
{
	if (!n)
		return NULL;
	if (n->lib) {
		CALL(n, shutdown);
		dlclose(n->lib);
	}
	free(n);
	return NULL;
}

/* ---- MIG ---- */

/* "NVIDIA H200 MIG 1g.18gb" */
static struct str profile_of(struct probe *p, const struct nvml *n, card c, const struct nvml_attributes *at)
{
	char name[TEXT_BYTES] = "";
	ssize_t i;

	if (CALL(n, name, c, name, sizeof(name)) == NVML_SUCCESS) {
		i = str_find(str_from(name), STR("MIG "));
		if (i >= 0)
			return arena_str(&p->a, str_trim(str_from(name + i + 4)));
	}
	return str_from(arena_printf(&p->a, "%ug.%llugb", at->gpu_slices, (at->memory_mb + 1023) / 1024));
}

static bool look_at_instance(struct probe *p, const struct nvml *n, const struct device *d, unsigned minor, card c,
			     struct device_mig *m)
{
	struct nvml_attributes at = {0};
	struct nvml_memory memory = {0};
	unsigned gi = 0, ci = 0;
	char uuid[TEXT_BYTES] = "";

	if (CALL(n, uuid, c, uuid, sizeof(uuid)) != NVML_SUCCESS)
		return false;
	if (CALL(n, attributes, c, &at) != NVML_SUCCESS && CALL(n, memory, c, &memory) == NVML_SUCCESS)
		at.memory_mb = memory.total >> 20;
	m->uuid = arena_str(&p->a, str_from(uuid));
	m->profile = profile_of(p, n, c, &at);
	m->memory_mb = at.memory_mb;
	/* Its share of the memory, to the nearest slot. */
	m->slots =
		d->memory_mb ? (uint32_t)((at.memory_mb * DEVICE_SLOTS + d->memory_mb / 2) / MAX(d->memory_mb, 1u)) : 1;
	m->slots = MIN(MAX(m->slots, 1u), (uint32_t)DEVICE_SLOTS);
	if (CALL(n, gpu_instance, c, &gi) == NVML_SUCCESS && CALL(n, compute_instance, c, &ci) == NVML_SUCCESS)
		probe_mig_files(p, minor, gi, ci, m);
	return true;
}

static void look_at_mig(struct probe *p, const struct nvml *n, card c, unsigned minor, struct device *d)
{
	unsigned current = 0, pending = 0, max = 0;

	if (CALL(n, mig_mode, c, &current, &pending) != NVML_SUCCESS || !current)
		return;
	d->mig_mode = true;
	if (CALL(n, mig_max, c, &max) != NVML_SUCCESS)
		return;
	max = MIN(max, 64u);
	d->mig = arena_new_n(&p->a, struct device_mig, max + 1);
	for (unsigned i = 0; i < max; i++) {
		card instance = NULL;

		if (CALL(n, mig_by_index, c, i, &instance) == NVML_SUCCESS &&
		    look_at_instance(p, n, d, minor, instance, &d->mig[d->n_mig]))
			d->n_mig++;
	}
}

void probe_mig_files(struct probe *p, unsigned minor, unsigned gi, unsigned ci, struct device_mig *m)
{
	const char *mig = arena_printf(&p->a, "%s/driver/nvidia/capabilities/gpu%u/mig/gi%u", p->site->proc, minor, gi);
	const char *const access[] = {arena_printf(&p->a, "%s/access", mig),
				      arena_printf(&p->a, "%s/ci%u/access", mig, ci)};

	for (size_t i = 0; i < ARRAY_SIZE(access); i++) {
		struct str line = probe_read(p, access[i]), key, value; /* "DeviceFileMinor: 12" */
		uint64_t number;

		if (str_cut(line, ':', &key, &value) && str_to_u64(str_trim(value), &number))
			probe_list_add(p, &m->files, &m->n_files,
				       arena_printf(&p->a, "%s/nvidia-caps/nvidia-cap%llu", p->site->dev,
						    (unsigned long long)number));
	}
}

/* ---- a card ---- */

typedef int process_call(card c, unsigned *n, struct nvml_process *ret);

/* How many there are is known when they did not fit, and may be more by the next call. */
static unsigned list_processes(struct probe *p, process_call *call, card c, struct nvml_process **ret)
{
	unsigned count, room = PROCESSES_FIRST;
	int r;

	for (;;) {
		*ret = arena_new_n(&p->a, struct nvml_process, room);
		count = room;
		r = call ? call(c, &count, *ret) : NVML_NOT_SUPPORTED;
		if (r != NVML_INSUFFICIENT_SIZE || room == PROCESSES_MAX)
			break;
		room = MIN(MAX(count, room) * 2, PROCESSES_MAX);
	}
	return r == NVML_SUCCESS ? MIN(count, room) : 0;
}

static bool is_among(const struct nvml_process *list, unsigned n, unsigned pid)
{
	for (unsigned i = 0; i < n; i++)
		if (list[i].pid == pid)
			return true;
	return false;
}

static void add_process(struct probe *p, const struct nvml_process *one, struct device *d)
{
	json_t *o = json_pack("{s:I}", "pid", (json_int_t)one->pid);

	json_set_str(o, "device", d->id);
	if (one->memory != NVML_NOT_AVAILABLE)
		json_object_set_new(o, "memory_mb", json_integer((json_int_t)((one->memory + (1 << 20) - 1) >> 20)));
	json_array_append_new(p->processes, o);
	d->processes++;
}

/* Clients of MPS have a list of their own; whether a driver tells them in both is not documented. */
static void look_at_processes(struct probe *p, const struct nvml *n, card c, struct device *d)
{
	struct nvml_process *list, *clients;
	unsigned n_list = list_processes(p, n->processes, c, &list);
	unsigned n_clients = list_processes(p, n->mps_processes, c, &clients);

	for (unsigned i = 0; i < n_list; i++)
		add_process(p, &list[i], d);
	for (unsigned i = 0; i < n_clients; i++)
		if (!is_among(list, n_list, clients[i].pid))
			add_process(p, &clients[i], d);
}

static bool is_lost(struct device *d, int code)
{
	if (code == NVML_GPU_IS_LOST && !d->trouble.n)
		d->trouble = STR("it fell off the bus");
	d->lost |= code == NVML_GPU_IS_LOST;
	return code == NVML_GPU_IS_LOST;
}

/* Any other answer than a number or that the card has none to give: what a card says that needs a reset, or whose
 * driver is at its end. The memory of a card in MIG mode is told to the privileged only. */
static void judge(struct probe *p, const struct nvml *n, struct device *d, int code)
{
	if (code != NVML_SUCCESS && code != NVML_NOT_SUPPORTED && code != NVML_NO_PERMISSION && !d->trouble.n)
		d->trouble = str_from(arena_printf(&p->a, "its driver says: %s",
						   n->error_string ? n->error_string(code) : "an error"));
}

static void measure(struct probe *p, const struct nvml *n, card c, struct device *d)
{
	struct nvml_utilization use = {0};
	struct nvml_memory memory = {0};
	unsigned v = 0;
	int r = CALL(n, memory, c, &memory);

	if (is_lost(d, r))
		return;
	judge(p, n, d, r);
	d->memory_mb = memory.total >> 20;
	d->memory_used_mb = memory.used >> 20;
	/* A card that shares the machine's memory (Tegra, GB10) tells none: 0, not accounted for. */
	if (CALL(n, utilization, c, &use) == NVML_SUCCESS)
		d->utilisation_percent = MIN(use.gpu, 100u);
	r = CALL(n, temperature, c, NVML_TEMPERATURE_GPU, &v);
	if (!is_lost(d, r) && r == NVML_SUCCESS)
		d->temperature_c = v;
	if (CALL(n, power, c, &v) == NVML_SUCCESS)
		d->power_w = (v + 500) / 1000;
	look_at_processes(p, n, c, d);
}

static void add_files(struct probe *p, struct device *d, unsigned minor)
{
	static const char *const common[] = {"nvidiactl", "nvidia-uvm", "nvidia-uvm-tools"};

	probe_list_add(p, &d->files, &d->n_files, arena_printf(&p->a, "%s/nvidia%u", p->site->dev, minor));
	for (size_t i = 0; i < ARRAY_SIZE(common); i++)
		probe_list_add(p, &d->files, &d->n_files, arena_printf(&p->a, "%s/%s", p->site->dev, common[i]));
}

/* What a program that uses the card loads, beside the library that was opened here: for computing and video those that
 * NVIDIA's own tools bring into a container (github.com/NVIDIA: libnvidia-container, src/nvc_info.c, and
 * nvidia-container-toolkit, pkg/nvcdi/driver-nvml.go). What lies below /usr every box has. */
static void add_libraries(struct probe *p, const struct nvml *n, struct device *d)
{
	static const char *const wanted[] = {
		"libcuda.so",
		"libcudadebugger.so",
		"libnvidia-ml.so",
		"libnvidia-ptxjitcompiler.so",
		"libnvidia-fatbinaryloader.so",
		"libnvidia-nvvm.so",
		"libnvidia-nvvm70.so",
		"libnvidia-tileiras.so",
		"libnvidia-opencl.so",
		"libnvidia-compiler.so",
		"libnvidia-gpucomp.so",
		"libnvidia-allocator.so",
		"libnvidia-pkcs11.so",
		"libnvidia-pkcs11-openssl3.so",
		"libnvidia-opticalflow.so",
		"libnvidia-encode.so",
		"libnvcuvid.so",
	};
	struct link_map *map = NULL;
	char folder[PATH_MAX];
	struct dirent *e;
	char *slash;
	DIR *dir;

	if (dlinfo(n->lib, RTLD_DI_LINKMAP, &map) != 0 || !realpath(map->l_name, folder))
		return;
	slash = strrchr(folder, '/');
	*slash = '\0';
	if (str_starts(str_from(folder), STR("/usr/")) || !folder[0])
		return;
	dir = opendir(folder);
	while (dir && (e = readdir(dir)))
		for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
			if ((e->d_type == DT_REG || e->d_type == DT_LNK) &&
			    strncmp(e->d_name, wanted[i], strlen(wanted[i])) == 0)
				probe_list_add(p, &d->libraries, &d->n_libraries,
					       arena_printf(&p->a, "%s/%s", folder, e->d_name));
	if (dir)
		closedir(dir);
}

static void look_at(struct probe *p, struct nvml *n, unsigned i, struct str driver)
{
	struct device d = {.source = DEVICE_NVML, .kind = STR("gpu"), .index = i, .driver = driver}, *at;
	struct nvml_pci pci = {0};
	char text[TEXT_BYTES] = "";
	unsigned minor = i;
	int major = 0, less = 0, r;
	card c = NULL;

	r = CALL(n, by_index, i, &c);
	if (r == NVML_SUCCESS && CALL(n, uuid, c, text, sizeof(text)) == NVML_SUCCESS)
		memcpy(n->uuids[i], text, sizeof(text));
	d.id = n->uuids[i][0] ? arena_str(&p->a, str_from(n->uuids[i])) : str_from(arena_printf(&p->a, "nvidia-%u", i));
	if (r != NVML_SUCCESS && !is_lost(&d, r))
		d.trouble = str_from(
			arena_printf(&p->a, "its driver says: %s", n->error_string ? n->error_string(r) : "an error"));
	if (r == NVML_SUCCESS) {
		if (CALL(n, name, c, text, sizeof(text)) == NVML_SUCCESS)
			d.model = arena_str(&p->a, str_from(text));
		if (CALL(n, pci, c, &pci) == NVML_SUCCESS)
			d.pci = probe_pci_text(p, pci.domain, pci.bus, pci.device, 0);
		if (CALL(n, capability, c, &major, &less) == NVML_SUCCESS)
			d.capability = str_from(arena_printf(&p->a, "%d.%d", major, less));
		CALL(n, minor, c, &minor);
		measure(p, n, c, &d);
		look_at_mig(p, n, c, minor, &d);
		add_files(p, &d, minor);
		add_libraries(p, n, &d);
	}
	/* NVIDIA's MPS guide: from Volta on with limits for each client. MIG instances are held by the card itself. */
	d.mps = p->site->mps_control && !d.mig_mode && major >= 7;
	at = probe_add(p);
	if (at)
		*at = d;
}

void probe_nvml(struct probe *p, struct nvml *n)
{
	char text[TEXT_BYTES] = "";
	unsigned count = 0;
	struct str driver = STR_NULL;
	int r = CALL(n, count, &count);

	if (r != NVML_SUCCESS) {
		say_why(p, n, r);
		return;
	}
	if (CALL(n, driver_version, text, sizeof(text)) == NVML_SUCCESS)
		driver = arena_str(&p->a, str_from(text));
	json_object_set_new(p->facts, "nvml", json_string("ok"));
	for (unsigned i = 0; i < MIN(count, (unsigned)CARDS_MAX); i++)
		look_at(p, n, i, driver);
}

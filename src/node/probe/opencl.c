/* Devices that OpenCL knows, through whatever ICD loader is installed (Khronos OpenCL 3.0 API; extensions
 * cl_khr_pci_bus_info, cl_nv_device_attribute_query, cl_amd_device_attribute_query). Vendors' drivers are loaded into
 * the asking process and never leave it, so that is a child which answers in JSON and ends. Not even a crash or a hang
 * of one of them does more than leave OpenCL's devices out. */
#include "node/probe/probe.h"

#include "base/mem.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_MS   4000
#define ANSWER_MAX  (1u << 20)
#define IDS_MAX     32u
#define TEXT_BYTES  512u
#define NO_PLATFORM (-1001) /* CL_PLATFORM_NOT_FOUND_KHR */

#define TOPOLOGY_PCIE_AMD 1 /* CL_DEVICE_TOPOLOGY_TYPE_PCIE_AMD, in the lowest of its four bytes */

/* Of Khronos' CL/cl.h and CL/cl_ext.h; NVIDIA's and AMD's of the headers that come with their OpenCL. */
#define CL_PLATFORM_NAME           0x0902u
#define CL_DEVICE_TYPE             0x1000u
#define CL_DEVICE_GLOBAL_MEM_SIZE  0x101Fu
#define CL_DEVICE_NAME             0x102Bu
#define CL_DRIVER_VERSION          0x102Du
#define CL_DEVICE_PCI_BUS_ID_NV    0x4008u
#define CL_DEVICE_PCI_SLOT_ID_NV   0x4009u
#define CL_DEVICE_PCI_DOMAIN_ID_NV 0x400Au
#define CL_DEVICE_TOPOLOGY_AMD     0x4037u
#define CL_DEVICE_PCI_BUS_INFO_KHR 0x410Fu
#define CL_DEVICE_TYPE_CPU         2u
#define CL_DEVICE_TYPE_GPU         4u
#define CL_DEVICE_TYPE_ALL         0xFFFFFFFFu

typedef void *cl_id;

struct opencl {
	int (*platforms)(uint32_t n, cl_id *ids, uint32_t *count);
	int (*platform_info)(cl_id p, uint32_t what, size_t size, void *value, size_t *got);
	int (*devices)(cl_id p, uint64_t type, uint32_t n, cl_id *ids, uint32_t *count);
	int (*device_info)(cl_id d, uint32_t what, size_t size, void *value, size_t *got);
};

/* ---- in the child ---- */

static bool load(struct opencl *cl, const char *name, json_t *answer)
{
	void *lib = dlopen(name, RTLD_NOW | RTLD_LOCAL);

	if (!lib) {
		json_object_set_new(answer, "error", json_string("no OpenCL loader (libOpenCL.so.1) is installed"));
		return false;
	}
	/* A function's address in a variable of its own type: POSIX, dlsym. */
	*(void **)&cl->platforms = dlsym(lib, "clGetPlatformIDs");
	*(void **)&cl->platform_info = dlsym(lib, "clGetPlatformInfo");
	*(void **)&cl->devices = dlsym(lib, "clGetDeviceIDs");
	*(void **)&cl->device_info = dlsym(lib, "clGetDeviceInfo");
	if (cl->platforms && cl->platform_info && cl->devices && cl->device_info)
		return true;
	json_object_set_new(answer, "error", json_string("the OpenCL loader lacks functions of OpenCL 1.0"));
	return false;
}

static void text_into(json_t *o, const char *key, int r, char *text)
{
	text[TEXT_BYTES - 1] = '\0';
	if (r == 0 && text[0])
		json_set_str(o, key, str_trim(str_from(text)));
}

/* By the first of the three ways that the driver knows. */
static void address_into(const struct opencl *cl, cl_id d, json_t *o)
{
	uint32_t khr[4] = {0}, bus = 0, slot = 0, domain = 0;
	uint8_t amd[24] = {0}; /* a 32-bit type, 17 unused, bus, device, function */
	char text[32] = "";

	if (cl->device_info(d, CL_DEVICE_PCI_BUS_INFO_KHR, sizeof(khr), khr, NULL) == 0) {
		snprintf(text, sizeof(text), "%04x:%02x:%02x.%x", khr[0], khr[1] & 0xff, khr[2] & 0x1f, khr[3] & 7);
	} else if (cl->device_info(d, CL_DEVICE_PCI_BUS_ID_NV, sizeof(bus), &bus, NULL) == 0 &&
		   cl->device_info(d, CL_DEVICE_PCI_SLOT_ID_NV, sizeof(slot), &slot, NULL) == 0) {
		cl->device_info(d, CL_DEVICE_PCI_DOMAIN_ID_NV, sizeof(domain), &domain, NULL);
		/* Not documented; other programs too read device and function from it, as in configuration space. */
		snprintf(text, sizeof(text), "%04x:%02x:%02x.%x", domain, bus & 0xff, slot >> 3 & 0x1f, slot & 7);
	} else if (cl->device_info(d, CL_DEVICE_TOPOLOGY_AMD, sizeof(amd), amd, NULL) == 0 &&
		   amd[0] == TOPOLOGY_PCIE_AMD) {
		snprintf(text, sizeof(text), "0000:%02x:%02x.%x", amd[21], amd[22] & 0x1f, amd[23] & 7);
	}
	if (text[0])
		json_object_set_new(o, "pci", json_string(text));
}

static json_t *describe(const struct opencl *cl, cl_id d, unsigned platform, unsigned number)
{
	json_t *o = json_pack("{s:i, s:i}", "platform", (int)platform, "number", (int)number);
	uint64_t type = 0, memory = 0;
	char text[TEXT_BYTES];

	cl->device_info(d, CL_DEVICE_TYPE, sizeof(type), &type, NULL);
	cl->device_info(d, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof(memory), &memory, NULL);
	json_object_set_new(o, "cpu", json_boolean(type & CL_DEVICE_TYPE_CPU));
	json_object_set_new(o, "gpu", json_boolean(type & CL_DEVICE_TYPE_GPU));
	json_object_set_new(o, "memory_mb", json_integer((json_int_t)(memory >> 20)));
	text_into(o, "name", cl->device_info(d, CL_DEVICE_NAME, sizeof(text), text, NULL), text);
	text_into(o, "driver", cl->device_info(d, CL_DRIVER_VERSION, sizeof(text), text, NULL), text);
	address_into(cl, d, o);
	return o;
}

static void ask(const char *library, json_t *answer)
{
	json_t *devices = json_array(), *platforms = json_array();
	cl_id ids[IDS_MAX], found[IDS_MAX];
	uint32_t n = 0, m;
	struct opencl cl;
	char text[TEXT_BYTES];
	int r;

	json_object_set_new(answer, "devices", devices);
	json_object_set_new(answer, "platforms", platforms);
	if (!load(&cl, library, answer))
		return;
	r = cl.platforms(IDS_MAX, ids, &n);
	if (r != 0 || !n) {
		json_object_set_new(answer, "error",
				    r == 0 || r == NO_PLATFORM ? json_string("no OpenCL driver (ICD) is installed")
							       : json_sprintf("clGetPlatformIDs answers %d", r));
		return;
	}
	for (uint32_t i = 0; i < MIN(n, IDS_MAX); i++) {
		r = cl.platform_info(ids[i], CL_PLATFORM_NAME, sizeof(text), text, NULL);
		text[TEXT_BYTES - 1] = '\0';
		json_array_append_new(platforms, r == 0 ? json_str(str_from(text)) : json_string("?"));
		m = 0;
		if (cl.devices(ids[i], CL_DEVICE_TYPE_ALL, IDS_MAX, found, &m) != 0)
			continue;
		for (uint32_t k = 0; k < MIN(m, IDS_MAX); k++)
			json_array_append_new(devices, describe(&cl, found[k], i, k));
	}
}

static _noreturn_ void child(const char *library, int fd)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	json_t *answer = json_object();
	size_t at = 0;
	ssize_t n;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	ask(library, answer);
	json_write(&b, answer);
	while (at < b.n && (n = write(fd, b.p + at, b.n - at)) > 0)
		at += (size_t)n;
	/* Not exit: what drivers registered for it has hung before. */
	_exit(0);
}

/* ---- in the parent ---- */

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* False: not within the time. */
static bool read_answer(int fd, struct buf *b)
{
	int64_t end = now_ms() + ANSWER_MS, left;

	while ((left = end - now_ms()) > 0) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t n;

		if (poll(&p, 1, (int)left) <= 0)
			continue;
		n = read(fd, buf_reserve(b, 4096), 4096);
		if (n <= 0)
			return n == 0 || errno != EINTR;
		b->n += (size_t)n;
		if (b->n > ANSWER_MAX)
			return false;
	}
	return false;
}

json_t *probe_opencl_ask(const struct probe_site *site)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	int ends[2], status = 0, pid;
	bool in_time;
	json_t *j;

	if (!site->opencl[0])
		return json_pack("{s:s}", "error", "is not asked");
	if (pipe2(ends, O_CLOEXEC) < 0)
		return json_pack("{s:s}", "error", strerror(errno));
	pid = fork();
	if (pid == 0)
		child(site->opencl, ends[1]);
	close(ends[1]);
	in_time = pid > 0 && read_answer(ends[0], &b);
	close(ends[0]);
	if (pid > 0) {
		if (!in_time)
			kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
	}
	if (!in_time)
		return json_pack("{s:s}", "error", "an OpenCL driver did not answer within 4 s");
	j = json_parse(buf_str(&b), NULL);
	return j ? j : json_pack("{s:s}", "error", "an OpenCL driver crashed");
}

/* By its address, else a card of that name; cards that NVML tells have better names and numbers. */
static struct device *same_card(struct probe *p, struct str pci, struct str name)
{
	struct device *d = pci.n ? probe_by_pci(p, pci) : NULL;

	for (size_t i = 0; !d && !pci.n && i < p->n; i++)
		if (p->devices[i].source == DEVICE_NVML && str_eq(p->devices[i].model, name))
			d = &p->devices[i];
	return d;
}

static void merge(struct probe *p, const json_t *o)
{
	struct str pci = json_get_str(o, "pci", STR_NULL), name = json_get_str(o, "name", STR("OpenCL device"));
	bool cpu = json_get_bool(o, "cpu", false), gpu = json_get_bool(o, "gpu", false);
	struct device *d = cpu ? NULL : same_card(p, pci, name);
	uint64_t memory = (uint64_t)MAX(json_get_int(o, "memory_mb", 0), 0);

	/* PoCL tells what is free just now. */
	if (cpu)
		memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) >> 20;

	if (d && d->source == DEVICE_PCI) {
		d->model = arena_str(&p->a, name);
		d->memory_mb = d->memory_mb ? d->memory_mb : memory;
	}
	d = d ? NULL : probe_add(p);
	if (!d)
		return;
	*d = (struct device){
		.id = str_from(arena_printf(&p->a, "opencl-%lld-%lld", (long long)json_get_int(o, "platform", 0),
					    (long long)json_get_int(o, "number", 0))),
		.kind = gpu ? STR("gpu") : STR("accelerator"),
		.model = arena_str(&p->a, name),
		.source = DEVICE_OPENCL,
		.memory_mb = memory,
		.index = (uint32_t)(p->n - 1),
		.pci = arena_str(&p->a, pci),
		.driver = arena_str(&p->a, json_get_str(o, "driver", STR_NULL)),
		.host_memory = cpu,
	};
	/* PoCL asks hwloc for the cores and their caches, which reads them here. */
	if (cpu)
		probe_list_add(p, &d->libraries, &d->n_libraries,
			       arena_printf(&p->a, "%s/devices/system/cpu", p->site->sysfs));
}

void probe_opencl(struct probe *p, const json_t *answer)
{
	const json_t *o;
	size_t i;

	json_object_set_new(p->facts, "opencl", json_str(json_get_str(answer, "error", STR("ok"))));
	if (json_get_array(answer, "platforms"))
		json_object_set(p->facts, "opencl_platforms", json_get_array(answer, "platforms"));
	json_array_foreach(json_get_array(answer, "devices"), i, o)
	{
		merge(p, o);
	}
}

/* wick-devices: prints what devices this machine has, one JSON document a line: once, or every second while there is
 * something to watch. A program of its own because a driver may hang or crash in any call; whoever starts it gives it a
 * deadline and lives on. Reads; changes nothing. As `wick-devices mps FOLDER PROGRAM` it starts an MPS daemon whose
 * shared memory is a folder that boxes can be given too, instead of all of the machine's.
 *
 *   {"devices": [<model/device.h>...], "processes": [{"device", "pid", "memory_mb"}...], "facts": {...}, "watched":
 * bool}
 *
 * Environment, for machines where things lie elsewhere and for tests: WICK_NVML, WICK_OPENCL (name or path of a
 * library; empty: not asked), WICK_MPS_CONTROL, WICK_SYSFS, WICK_DEV, WICK_PROC, WICK_PCI_IDS. */
#include "node/probe/mps_start.h"
#include "node/probe/probe.h"

#include "base/mem.h"
#include "sys/file.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define LOOK_MS 1000

struct device *probe_add(struct probe *p)
{
	return p->n < DEVICES_MAX ? &p->devices[p->n++] : NULL;
}

struct device *probe_by_pci(struct probe *p, struct str pci)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->devices[i].pci.n && str_ieq(p->devices[i].pci, pci))
			return &p->devices[i];
	return NULL;
}

void probe_list_add(struct probe *p, struct str **list, size_t *n, const char *text)
{
	struct str *more = arena_new_n(&p->a, struct str, *n + 1);

	if (*n)
		memcpy(more, *list, *n * sizeof(*more));
	more[(*n)++] = arena_str(&p->a, str_from(text));
	*list = more;
}

struct str probe_read(struct probe *p, const char *path)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	struct str line, rest;

	if (file_read(path, 65536, &b) < 0)
		return STR_NULL;
	str_cut(buf_str(&b), '\n', &line, &rest);
	return arena_str(&p->a, str_trim(line));
}

struct str probe_pci_text(struct probe *p, unsigned domain, unsigned bus, unsigned device, unsigned function)
{
	return str_from(arena_printf(&p->a, "%04x:%02x:%02x.%x", domain, bus, device, function));
}

/* "none": it is not asked. Empty is not said, as the supervisor writes what nobody set. */
static const char *from_env(const char *name, const char *dflt)
{
	const char *v = getenv(name);

	if (!v || !*v)
		return dflt;
	return strcmp(v, "none") == 0 ? "" : v;
}

/* Beside what PATH says, where NVIDIA's packages put it. */
static char *find_mps_control(void)
{
	const char *said = getenv("WICK_MPS_CONTROL");
	struct str rest = str_from(from_env("PATH", "/usr/bin:/bin")), dir;

	if (said && *said)
		return access(said, X_OK) == 0 ? xstrdup(said) : NULL;
	while (rest.n) {
		_cleanup_(freep) char *path = NULL;

		str_cut(rest, ':', &dir, &rest);
		path = xasprintf("%.*s/nvidia-cuda-mps-control", STR_ARG(dir));
		if (dir.n && access(path, X_OK) == 0)
			return steal(&path);
	}
	return access("/usr/bin/nvidia-cuda-mps-control", X_OK) == 0 ? xstrdup("/usr/bin/nvidia-cuda-mps-control")
								     : NULL;
}

/* The kernel asks every core for this file, so it is read once. */
static struct str cpu_model(struct probe *p)
{
	static char known[128];
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	struct str key, value, line;
	ssize_t at;

	if (!known[0] && file_read(arena_printf(&p->a, "%s/cpuinfo", p->site->proc), 1 << 22, &b) == 0) {
		at = str_find(buf_str(&b), STR("model name"));
		if (at >= 0) {
			str_cut(str_sub(buf_str(&b), (size_t)at, b.n), '\n', &line, &value);
			str_cut(line, ':', &key, &value);
			value = str_trim(value);
			snprintf(known, sizeof(known), "%.*s", STR_ARG(value));
		}
	}
	if (!known[0])
		snprintf(known, sizeof(known), "CPU");
	return str_from(known);
}

static void add_cpu(struct probe *p)
{
	struct device *d = probe_add(p);

	if (!d)
		return;
	*d = (struct device){.id = STR("cpu"),
			     .kind = STR("cpu"),
			     .model = cpu_model(p),
			     .source = DEVICE_CPU,
			     .host_memory = true,
			     .memory_mb = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) >> 20};
}

static int print(struct probe *p, bool watched)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	_cleanup_json_ json_t *o = json_object();
	json_t *devices = json_array();

	for (size_t i = 0; i < p->n; i++)
		json_array_append_new(devices, device_to_json(&p->devices[i]));
	json_object_set_new(o, "devices", devices);
	json_object_set(o, "processes", p->processes);
	json_object_set(o, "facts", p->facts);
	json_object_set_new(o, "watched", json_boolean(watched));
	json_write(&b, o);
	buf_addc(&b, '\n');
	return write_all(STDOUT_FILENO, b.p, b.n);
}

static bool nvidia_is_loaded(const struct probe_site *site)
{
	_cleanup_(freep) char *path = xasprintf("%s/driver/nvidia/version", site->proc);

	return access(path, F_OK) == 0;
}

static void look(struct probe *p, struct nvml **n, const json_t *opencl)
{
	json_object_set_new(p->facts, "nvidia_driver", json_boolean(nvidia_is_loaded(p->site)));
	json_object_set_new(p->facts, "mps_control",
			    p->site->mps_control ? json_string(p->site->mps_control) : json_null());
	if (!*n)
		*n = nvml_open(p);
	if (*n)
		probe_nvml(p, *n);
	probe_pci(p);
	probe_opencl(p, opencl);
	add_cpu(p);
}

/* Until nobody reads any more, or there is nothing that could change. */
static int run(const struct probe_site *site, bool watch)
{
	/* Before NVIDIA's library is in this process: what a fork inherits of it does not work. */
	_cleanup_json_ json_t *opencl = probe_opencl_ask(site);
	struct nvml *n = NULL;
	int r = 0;

	do {
		struct probe p = {.site = site, .processes = json_array(), .facts = json_object()};
		struct pollfd gone = {.fd = STDOUT_FILENO};

		p.devices = arena_new_n(&p.a, struct device, DEVICES_MAX);
		look(&p, &n, opencl);
		watch = watch && n;
		r = print(&p, watch);
		json_decref(p.processes);
		json_decref(p.facts);
		arena_done(&p.a);
		if (watch && r == 0 && poll(&gone, 1, LOOK_MS) > 0)
			watch = false;
	} while (watch && r == 0);
	nvml_close(n);
	if (r < 0 && r != -EPIPE)
		fprintf(stderr, "wick-devices: %s\n", strerror(-r));
	return r < 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
	_cleanup_(freep) char *mps = find_mps_control();
	const struct probe_site site = {
		.sysfs = from_env("WICK_SYSFS", "/sys"),
		.dev = from_env("WICK_DEV", "/dev"),
		.proc = from_env("WICK_PROC", "/proc"),
		.nvml = from_env("WICK_NVML", "libnvidia-ml.so.1"),
		.opencl = from_env("WICK_OPENCL", "libOpenCL.so.1"),
		.pci_ids = from_env("WICK_PCI_IDS", "/usr/share/misc/pci.ids"),
		.mps_control = mps,
	};
	bool watch = argc == 2 && strcmp(argv[1], "--watch") == 0;

	if (argc == 4 && strcmp(argv[1], "mps") == 0)
		return mps_start(argv[2], argv[3]);
	if (argc > 1 && !watch) {
		fprintf(stderr, "Usage: wick-devices [--watch]\n       wick-devices mps FOLDER PROGRAM\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	return run(&site, watch);
}

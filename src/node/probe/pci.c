/* The PCI bus as sysfs shows it (Documentation/ABI/testing/sysfs-bus-pci of the kernel). Never fails: what cannot be
 * read is not there. Display controllers without a render node compute nothing and are left out, but for NVIDIA's,
 * whose driver has files of its own. */
#include "node/probe/probe.h"

#include "base/mem.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* PCI Code and ID Assignment Specification: base class and subclass. */
#define CLASS_VGA         0x0300
#define CLASS_3D          0x0302
#define CLASS_DISPLAY     0x0380
#define CLASS_ACCELERATOR 0x1200

#define VENDOR_NVIDIA 0x10de

static unsigned number(struct str s)
{
	char text[32];

	snprintf(text, sizeof(text), "%.*s", STR_ARG(str_sub(s, 0, sizeof(text) - 1)));
	return (unsigned)strtoul(text, NULL, 16);
}

/* Name of a vendor or a device; lines of pci.ids: "10de  NVIDIA Corporation", "\t2335  GH100 [H200 SXM 141GB]". */
static struct str name_of(struct probe *p, unsigned vendor, unsigned device)
{
	FILE *f = fopen(p->site->pci_ids, "re");
	struct str maker = STR_NULL, model = STR_NULL;
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		bool indented = line[0] == '\t';
		struct str s = str_trim(str_n(line, strcspn(line, "\n")));

		if (line[0] == '#' || s.n < 6 || (indented && line[1] == '\t'))
			continue;
		if (!indented && maker.n)
			break;
		if (!indented && number(str_sub(s, 0, 4)) == vendor)
			maker = arena_str(&p->a, str_trim(str_sub(s, 4, s.n)));
		else if (indented && maker.n && number(str_sub(s, 0, 4)) == device)
			model = arena_str(&p->a, str_trim(str_sub(s, 4, s.n)));
	}
	if (f)
		fclose(f);
	if (model.n)
		return str_from(arena_printf(&p->a, "%.*s %.*s", STR_ARG(maker), STR_ARG(model)));
	if (maker.n)
		return str_from(arena_printf(&p->a, "%.*s %04x", STR_ARG(maker), device));
	return str_from(arena_printf(&p->a, "%04x:%04x", vendor, device));
}

static struct str driver_of(struct probe *p, const char *folder)
{
	char target[PATH_MAX];
	ssize_t n = readlink(arena_printf(&p->a, "%s/driver", folder), target, sizeof(target) - 1);
	const char *slash;

	if (n <= 0)
		return STR_NULL;
	target[n] = '\0';
	slash = strrchr(target, '/');
	return arena_str(&p->a, str_from(slash ? slash + 1 : target));
}

static void add_node(struct probe *p, struct device *d, const char *real, const char *group, const char *name)
{
	struct str numbers = probe_read(p, arena_printf(&p->a, "%s/%s/%s/dev", real, group, name));

	probe_list_add(p, &d->files, &d->n_files,
		       arena_printf(&p->a, "%s/%s/%s", p->site->dev, strcmp(group, "drm") ? group : "dri", name));
	/* libdrm finds what a device file is through this link. */
	if (numbers.n)
		probe_list_add(p, &d->libraries, &d->n_libraries,
			       arena_printf(&p->a, "%s/dev/char/%.*s", p->site->sysfs, STR_ARG(numbers)));
}

/* Render nodes (drm/renderD128) and compute accelerators (accel/accel0), by the names the kernel gives them. */
static void add_nodes(struct probe *p, struct device *d, const char *folder, const char *group, const char *prefix)
{
	char *real = realpath(folder, NULL);
	DIR *dir = real ? opendir(arena_printf(&p->a, "%s/%s", real, group)) : NULL;
	struct dirent *e;

	while (dir && (e = readdir(dir)))
		if (strncmp(e->d_name, prefix, strlen(prefix)) == 0)
			add_node(p, d, real, group, e->d_name);
	if (dir)
		closedir(dir);
	if (real && d->n_files)
		probe_list_add(p, &d->libraries, &d->n_libraries, real);
	free(real);
}

/* amdgpu's files; other drivers have none (Documentation/gpu/amdgpu/driver-misc of the kernel). */
static void measure(struct probe *p, struct device *d, const char *folder)
{
	uint64_t total = 0, used = 0, busy = 0;

	str_to_u64(probe_read(p, arena_printf(&p->a, "%s/mem_info_vram_total", folder)), &total);
	str_to_u64(probe_read(p, arena_printf(&p->a, "%s/mem_info_vram_used", folder)), &used);
	str_to_u64(probe_read(p, arena_printf(&p->a, "%s/gpu_busy_percent", folder)), &busy);
	d->memory_mb = total >> 20;
	d->memory_used_mb = used >> 20;
	d->utilisation_percent = (uint32_t)MIN(busy, 100u);
}

static void judge(struct probe *p, struct device *d, unsigned vendor)
{
	if (vendor == VENDOR_NVIDIA && !str_eqz(d->driver, "nvidia"))
		d->trouble =
			d->driver.n
				? str_from(arena_printf(&p->a, "its driver is %.*s, not NVIDIA's", STR_ARG(d->driver)))
				: STR("no driver is loaded for it");
	else if (vendor == VENDOR_NVIDIA)
		d->trouble = STR("its driver does not answer: libnvidia-ml.so.1 is missing, or of another version");
	else if (!d->driver.n)
		d->trouble = STR("no driver is loaded for it");
}

static void look_at(struct probe *p, const char *address)
{
	const char *folder = arena_printf(&p->a, "%s/bus/pci/devices/%s", p->site->sysfs, address);
	unsigned class = number(probe_read(p, arena_printf(&p->a, "%s/class", folder))) >> 8;
	unsigned vendor = number(probe_read(p, arena_printf(&p->a, "%s/vendor", folder)));
	unsigned device = number(probe_read(p, arena_printf(&p->a, "%s/device", folder)));
	bool display = class == CLASS_VGA || class == CLASS_3D || class == CLASS_DISPLAY;
	struct device d = {.source = DEVICE_PCI, .kind = display ? STR("gpu") : STR("accelerator")}, *at;

	if (!display && class != CLASS_ACCELERATOR)
		return;
	d.pci = arena_str(&p->a, str_from(address));
	if (probe_by_pci(p, d.pci))
		return;
	d.id = str_from(arena_printf(&p->a, "pci-%s", address));
	d.driver = driver_of(p, folder);
	add_nodes(p, &d, folder, "drm", "renderD");
	add_nodes(p, &d, folder, "accel", "accel");
	if (display && !d.n_files && vendor != VENDOR_NVIDIA) {
		json_array_append_new(json_object_get(p->facts, "displays_only"), json_str(d.pci));
		return;
	}
	d.model = name_of(p, vendor, device);
	d.index = (uint32_t)p->n;
	measure(p, &d, folder);
	judge(p, &d, vendor);
	/* ROCm's runtime talks to all cards through this one. */
	if (str_eqz(d.driver, "amdgpu"))
		probe_list_add(p, &d.files, &d.n_files, arena_printf(&p->a, "%s/kfd", p->site->dev));
	at = probe_add(p);
	if (at)
		*at = d;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

void probe_pci(struct probe *p)
{
	struct dirent **list = NULL;
	int n = scandir(arena_printf(&p->a, "%s/bus/pci/devices", p->site->sysfs), &list, NULL, by_name);

	json_object_set_new(p->facts, "displays_only", json_array());
	for (int i = 0; i < n; i++) {
		if (list[i]->d_name[0] != '.')
			look_at(p, list[i]->d_name);
		free(list[i]);
	}
	free(list);
}

/* wick doctor on devices: which there are, what their drivers lack, who may open them. */
#include "cli/doctor.h"

#include "cli/look.h"

#include "base/mem.h"

#include <stdio.h>
#include <unistd.h>

static void check_nvidia(struct doctor *d, const json_t *facts, size_t cards)
{
	struct str nvml = json_get_str(facts, "nvml", STR("ok"));
	bool driver = json_get_bool(facts, "nvidia_driver", false);

	if (str_eqz(nvml, "ok") && cards) {
		bool mps = json_is_string(json_object_get(facts, "mps_control"));

		doctor_say(d, OK, "nvidia", NULL, "%zu card%s", cards, cards == 1 ? "" : "s");
		doctor_say(d, mps ? OK : WARN, "mps", "apt install nvidia-cuda-mps", "%s",
			   mps ? "fractions of cards are held by NVIDIA's MPS"
			       : "nvidia-cuda-mps-control is not found: fractions of cards are only watched");
	} else if (driver) {
		doctor_say(d, WARN, "nvidia", "apt install libnvidia-ml1, of the version of the driver",
			   "the driver is loaded, and its library does not work: %.*s", STR_ARG(nvml));
	}
}

/* Files that the driver makes, and who may open them. Root's node helps itself (docs/devices.md). */
static void check_files(struct doctor *d, const struct device *one)
{
	for (size_t i = 0; i < one->n_files; i++) {
		_cleanup_(freep) char *path = str_dup(one->files[i]);

		if (access(path, F_OK) < 0) {
			if (one->source == DEVICE_NVML && i > 1)
				continue; /* not every driver has them */
			doctor_say(d, WARN, "device file",
				   one->source == DEVICE_NVML
					   ? "start nvidia-persistenced, or nvidia-modprobe -u -c=0 as root; in a "
					     "container: the container toolkit"
					   : "udev makes it; in a container: --device",
				   "%s is missing", path);
			return; /* the others say no more */
		} else if (access(path, R_OK | W_OK) < 0) {
			doctor_say(d, WARN, "device file",
				   "put who runs Wick into its group: usermod -aG render,video USER; or start Wick as "
				   "root",
				   "no permission for %s", path);
			return;
		}
	}
}

static void check_opencl(struct doctor *d, const json_t *facts, bool wanted)
{
	struct str said = json_get_str(facts, "opencl", STR_NULL);

	if (str_eqz(said, "ok"))
		doctor_say(d, OK, "opencl", NULL, "%zu platform%s",
			   json_array_size(json_get_array(facts, "opencl_platforms")),
			   json_array_size(json_get_array(facts, "opencl_platforms")) == 1 ? "" : "s");
	else
		doctor_say(d, wanted ? WARN : OK, "opencl",
			   "apt install ocl-icd-libopencl1 and the vendor's driver (ICD), mesa-opencl-icd, or "
			   "pocl-opencl-icd for the CPU",
			   "%.*s", STR_ARG(said));
}

void doctor_devices(struct doctor *d)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	_cleanup_(err_done) struct err err = ERR_NULL;
	_cleanup_json_ json_t *seen = look_at_devices(&err);
	const json_t *facts = json_get_object(seen, "facts"), *o;
	size_t i, n = 0, nvidia = 0;
	bool opencl = false;
	struct device one;

	if (!seen) {
		doctor_say(d, WARN, "devices",
			   "see the kernel's log (dmesg); WICK_NVML=none or WICK_OPENCL=none leaves "
			   "one out",
			   "%s", err.msg);
		return;
	}
	json_array_foreach(json_get_array(seen, "devices"), i, o)
	{
		if (device_from_json(&one, o, &a, NULL) < 0 || one.source == DEVICE_CPU)
			continue;
		n++;
		nvidia += one.source == DEVICE_NVML;
		opencl |= one.source == DEVICE_PCI;
		if (one.trouble.n)
			doctor_say(d, WARN, "device", "install its driver, or see the kernel's log (dmesg)",
				   "%.*s: %.*s", STR_ARG(one.id), STR_ARG(one.trouble));
		else
			check_files(d, &one);
	}
	doctor_say(d, OK, "devices", NULL, "%zu beside the CPU (wick devices)", n);
	check_nvidia(d, facts, nvidia);
	check_opencl(d, facts, opencl);
}

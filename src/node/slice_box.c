/* Device files are bound at their own paths. Where the machine's file is closed to the user of the boxes (/dev/dri is
 * for the groups render and video), root's node makes one of its own with the same numbers, that only this user may
 * open, on a file system that only the node has: the machine's own files are never changed. An ordinary user's node
 * cannot, and says what to do.
 *
 * Owns nothing but those copies, which stay until the node ends. Fails on a file that is missing or closed. */
#include "node/slice_box.h"

#include "base/mem.h"
#include "sys/file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define COPIES   "/run/wick/dev" /* in the node's mount namespace (main.c) */
#define MPS_PIPE "/run/wick/mps" /* in the box */

struct maker {
	struct plan_slice *plan;
	const struct slice_site *site;
	struct arena *a;
	struct box_op *ops;
	size_t n_ops;
	struct kv *env;
	size_t n_env;
	const char *mend; /* of the device at hand */
};

/* ---- operations ---- */

static int add(struct maker *m, enum box_op_kind kind, struct str from, struct str to, uint32_t flags, struct err *err)
{
	if (m->n_ops == PLAN_SLICE_OPS_MAX)
		return err_set(err, 0, "its devices bring too many files into a box");
	m->ops[m->n_ops++] =
		(struct box_op){.kind = kind, .flags = flags, .from = arena_str(m->a, from), .to = arena_str(m->a, to)};
	return 0;
}

static bool has(const struct maker *m, enum box_op_kind kind, struct str to)
{
	for (size_t i = 0; i < m->n_ops; i++)
		if (m->ops[i].kind == kind && str_eq(m->ops[i].to, to))
			return true;
	return false;
}

/* The folders above it. One that is there already stays as it is. */
static int add_parents(struct maker *m, struct str path, struct err *err)
{
	for (size_t i = 1; i < path.n; i++) {
		struct str parent = str_sub(path, 0, i);

		if (path.p[i] != '/' || has(m, BOX_DIR, parent))
			continue;
		if (add(m, BOX_DIR, STR_NULL, parent, 0, err) < 0)
			return -1;
	}
	return 0;
}

static int add_bind(struct maker *m, struct str from, struct str to, uint32_t flags, struct err *err)
{
	if (has(m, BOX_BIND, to))
		return 0;
	if (add_parents(m, to, err) < 0)
		return -1;
	return add(m, BOX_BIND, from, to, flags, err);
}

/* ---- device files ---- */

static bool opens(const struct stat *st, uint32_t uid)
{
	unsigned rw = S_IROTH | S_IWOTH;

	if (st->st_uid == uid && (st->st_mode & (S_IRUSR | S_IWUSR)) == (S_IRUSR | S_IWUSR))
		return true;
	return (st->st_mode & rw) == rw;
}

/* A file system that may hold devices, seen by nobody but this node and its zygotes. */
static int make_place(struct err *err)
{
	static bool there;

	if (there)
		return 0;
	if (mkdir_p(COPIES, 0755) < 0 || mount("wick", COPIES, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755,size=1m") < 0)
		return err_set(err, errno, "make a place for device files at " COPIES);
	there = true;
	return 0;
}

static const char *copy_for_boxes(struct maker *m, const struct stat *st, struct err *err)
{
	const char *path = arena_printf(m->a, COPIES "/%c-%u-%u", S_ISBLK(st->st_mode) ? 'b' : 'c', major(st->st_rdev),
					minor(st->st_rdev));

	if (make_place(err) < 0)
		return NULL;
	if ((mknod(path, (st->st_mode & S_IFMT) | 0600, st->st_rdev) < 0 && errno != EEXIST) ||
	    chown(path, m->site->box_uid, m->site->box_uid) < 0) {
		err_set(err, errno, "make a device file for boxes");
		return NULL;
	}
	return path;
}

static int add_device_file(struct maker *m, struct str file, bool optional, struct err *err)
{
	const char *path = arena_dup(m->a, file);
	struct stat st;

	if (stat(path, &st) < 0) {
		if (errno == ENOENT && optional)
			return 0;
		err_set(err, errno, "%s", path);
		return m->mend ? err_set(err, 0, "%s is missing: %s", path, m->mend) : -1;
	}
	if (!m->site->box_uid && access(path, R_OK | W_OK) < 0)
		return err_set(err, 0,
			       "%s is closed to the user that Wick runs as: put him into the group that has it "
			       "(usermod -aG render,video USER) and start Wick anew",
			       path);
	if (m->site->box_uid && (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) && !opens(&st, m->site->box_uid)) {
		path = copy_for_boxes(m, &st, err);
		if (!path)
			return err_wrap(err, "%.*s is closed to the user of boxes", STR_ARG(file));
	}
	return add_bind(m, str_from(path), file, BOX_DEV | BOX_WRITABLE, err);
}

/* ---- libraries, and other files that are read ---- */

/* Every box has all of /usr, and by their links /lib and its siblings. */
static bool is_there_anyway(struct str path)
{
	static const char *const folders[] = {"/usr/", "/lib/", "/lib64/", "/bin/", "/sbin/"};

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		if (str_starts(path, str_from(folders[i])))
			return true;
	return false;
}

static int add_library(struct maker *m, struct str library, struct err *err)
{
	const char *path = arena_dup(m->a, library);
	char real[PATH_MAX];
	struct stat st;

	if (is_there_anyway(library))
		return 0;
	if (lstat(path, &st) < 0 || !realpath(path, real))
		return err_set(err, errno, "%s", path);
	if (strcmp(real, path) == 0)
		return add_bind(m, library, library, BOX_EXEC, err);
	/* A link to what is bound where it lies. */
	if (!is_there_anyway(str_from(real)) && add_bind(m, str_from(real), str_from(real), BOX_EXEC, err) < 0)
		return -1;
	if (has(m, BOX_LINK, library))
		return 0;
	return add_parents(m, library, err) < 0 ? -1 : add(m, BOX_LINK, str_from(real), library, 0, err);
}

/* ---- environment ---- */

static void env(struct maker *m, const char *name, const char *value)
{
	size_t i = 0;

	while (i < m->n_env && !str_eqz(m->env[i].k, name))
		i++;
	m->env[i] = (struct kv){str_from(name), str_from(value)};
	m->n_env = MAX(m->n_env, i + 1);
}

static void env_line(struct maker *m, struct str line)
{
	struct str name, value;

	str_cut(line, '=', &name, &value);
	env(m, arena_dup(m->a, name), arena_dup(m->a, value));
}

static const char *slots_text(struct maker *m, const struct slice_share *shares, size_t n)
{
	if (n == 1 && shares[0].slots < DEVICE_SLOTS)
		return arena_printf(m->a, "%u/%d", shares[0].slots, DEVICE_SLOTS);
	return arena_printf(m->a, "%zu", n);
}

static void add_names(struct maker *m, const struct slice_share *shares, size_t n)
{
	_cleanup_(buf_done) struct buf ids = BUF_NULL, names = BUF_NULL, visible = BUF_NULL;
	const struct device *d = NULL;
	uint64_t memory = 0;

	for (size_t i = 0; i < n; i++) {
		d = devices_find(m->site->devices, shares[i].device);
		buf_printf(&ids, "%s%.*s", i ? "," : "", STR_ARG(d->id));
		buf_printf(&names, "%s%.*s", i ? "," : "", STR_ARG(d->model));
		if (d->source == DEVICE_NVML)
			buf_printf(&visible, "%s%.*s", visible.n ? "," : "",
				   STR_ARG(shares[i].mig.n ? shares[i].mig : d->id));
		memory += shares[i].memory_mb ? shares[i].memory_mb : d->memory_mb;
	}
	env(m, "WICK_DEVICE", arena_dup(m->a, buf_str(&ids)));
	env(m, "WICK_DEVICE_NAME", arena_dup(m->a, buf_str(&names)));
	env(m, "WICK_DEVICE_KIND", arena_dup(m->a, d->kind));
	env(m, "WICK_SLICE", slots_text(m, shares, n));
	env(m, "WICK_DEVICE_MEMORY", arena_printf(m->a, "%llu", (unsigned long long)memory));
	env(m, "WICK_SLICE_RUNG", device_rung_name(shares[0].rung));
	if (visible.n) {
		env(m, "CUDA_VISIBLE_DEVICES", arena_dup(m->a, buf_str(&visible)));
		env(m, "NVIDIA_VISIBLE_DEVICES", arena_dup(m->a, buf_str(&visible)));
	}
}

/* NVIDIA, "Multi-Process Service", Environment Variables: the limits of a client are in its environment, read when it
 * starts CUDA; those of the daemon, which has none, would bind them. Memory: number of the card, '=', a whole number of
 * G or M. */
static int add_mps(struct maker *m, const struct slice_share *share, struct err *err)
{
	const char *pipe = arena_printf(m->a, "%s/pipe", m->site->mps_folder);
	const char *shm = arena_printf(m->a, "%s/shm", m->site->mps_folder);
	static const char *const writable[] = {MPS_PIPE};

	if (add_bind(m, str_from(pipe), STR(MPS_PIPE), BOX_WRITABLE, err) < 0 ||
	    add_bind(m, str_from(shm), STR("/dev/shm"), BOX_WRITABLE, err) < 0)
		return -1;
	m->plan->writable = writable;
	m->plan->n_writable = ARRAY_SIZE(writable);
	env(m, "CUDA_MPS_PIPE_DIRECTORY", MPS_PIPE);
	env(m, "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE", arena_printf(m->a, "%u", share->slots * 100 / DEVICE_SLOTS));
	/* The card has one number in a box: 0. */
	if (share->memory_mb)
		env(m, "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT",
		    arena_printf(m->a, "0=%lluM", (unsigned long long)share->memory_mb));
	return 0;
}

/* ---- a device ---- */

static const char *mend_of(const struct device *d)
{
	switch (d->source) {
	case DEVICE_NVML:
		return "start nvidia-persistenced, or run nvidia-modprobe -u -c=0 as root";
	case DEVICE_DECLARED:
		return "it is declared in the setting `devices`";
	case DEVICE_PCI:
		return "udev makes it; in a container, give it with --device /dev/dri";
	case DEVICE_OPENCL:
	case DEVICE_CPU:
	case DEVICE_SOURCES:
		break;
	}
	return NULL;
}

static int add_parts(struct maker *m, const struct device *d, struct err *err)
{
	for (size_t i = 0; i < d->n_libraries; i++)
		if (add_library(m, d->libraries[i], err) < 0)
			return -1;
	for (size_t i = 0; i < d->n_env; i++)
		env_line(m, d->env[i]);
	/* PoCL compiles kernels, and keeps them below $HOME unless it is told a place. */
	if (d->source == DEVICE_OPENCL)
		env(m, "POCL_CACHE_DIR", "/tmp/pocl");
	return 0;
}

/* Who has a slice of the CPU has the OpenCL device that it is, too: a function that takes a GPU or, where there is
 * none, the CPU, is the same code. */
static const struct device *cpu_by_opencl(const struct devices *all)
{
	size_t n;
	const struct device *d = devices_list(all, &n), *end = d + n;

	while (d < end && (d->source != DEVICE_OPENCL || !d->host_memory))
		d++;
	return d < end ? d : NULL;
}

static int add_device(struct maker *m, const struct slice_share *share, struct err *err)
{
	const struct device *d = devices_find(m->site->devices, share->device);
	const struct device_mig *mig = d ? device_mig_find(d, share->mig) : NULL;
	const struct device *opencl;

	if (!d || (share->mig.n && !mig))
		return err_set(err, 0, "device %.*s is gone", STR_ARG(share->device));
	m->mend = mend_of(d);
	/* Of NVIDIA's, the card's own is needed in any case, and the others as far as the driver has them. */
	for (size_t i = 0; i < d->n_files; i++)
		if (add_device_file(m, d->files[i], d->source == DEVICE_NVML && i > 0, err) < 0)
			return -1;
	for (size_t i = 0; mig && i < mig->n_files; i++)
		if (add_device_file(m, mig->files[i], true, err) < 0)
			return -1;
	if (d->source == DEVICE_CPU && (opencl = cpu_by_opencl(m->site->devices)) && add_parts(m, opencl, err) < 0)
		return -1;
	return add_parts(m, d, err);
}

int slice_box(struct plan_slice *ret, const struct slice_site *site, const struct slice_share *shares, size_t n,
	      struct arena *a, struct err *err)
{
	struct maker m = {.plan = ret, .site = site, .a = a};
	size_t lines = 16;

	*ret = (struct plan_slice){0};
	for (size_t i = 0; i < n; i++) {
		const struct device *d = devices_find(site->devices, shares[i].device);

		lines += d ? d->n_env + 1 : 0;
		d = d && d->source == DEVICE_CPU ? cpu_by_opencl(site->devices) : NULL;
		lines += d ? d->n_env + 1 : 0;
	}
	m.ops = arena_new_n(a, struct box_op, PLAN_SLICE_OPS_MAX);
	m.env = arena_new_n(a, struct kv, lines);
	for (size_t i = 0; i < n; i++)
		if (add_device(&m, &shares[i], err) < 0)
			return -1;
	add_names(&m, shares, n);
	if (site->mps_folder && add_mps(&m, &shares[0], err) < 0)
		return -1;
	ret->ops = m.ops;
	ret->n_ops = m.n_ops;
	ret->env = m.env;
	ret->n_env = m.n_env;
	return 0;
}

/* Devices as node and gate tell them to each other. Pure; the other side may be of another age or lie: every wrong
 * member is named. */
#include "model/device.h"

#define MEMORY_LIKELY_MAX (16ull << 20) /* MiB, of a device that a gate believes in */
#define MEMBERS_MAX       256           /* of each array */
#define DEVICE_KIND_MAX   63            /* as a wish names it (model/slice.h) */
#define MEMORY_MAX        (1ll << 40)   /* MiB: a sum of a few stays a number */

static const char *const rungs[DEVICE_RUNGS] = {
	[RUNG_NONE] = "none", [RUNG_MIG] = "mig",         [RUNG_WHOLE] = "whole",
	[RUNG_MPS] = "mps",   [RUNG_WATCHED] = "watched",
};

static const char *const sources[DEVICE_SOURCES] = {
	[DEVICE_NVML] = "nvml", [DEVICE_PCI] = "pci",           [DEVICE_OPENCL] = "opencl",
	[DEVICE_CPU] = "cpu",   [DEVICE_DECLARED] = "declared",
};

const char *device_rung_name(enum device_rung r)
{
	return rungs[r];
}

const char *device_source_name(enum device_source s)
{
	return sources[s];
}

/* What runs on the CPU, by OpenCL as well, is held by the box's control group. */
enum device_rung device_rung_of(const struct device *d, unsigned slots, bool mig)
{
	if (d->source == DEVICE_CPU || d->host_memory)
		return RUNG_NONE;
	if (mig)
		return RUNG_MIG;
	if (slots >= DEVICE_SLOTS)
		return RUNG_WHOLE;
	return d->mps ? RUNG_MPS : RUNG_WATCHED;
}

const struct device_mig *device_mig_find(const struct device *d, struct str uuid)
{
	for (size_t i = 0; i < d->n_mig; i++)
		if (str_eq(d->mig[i].uuid, uuid))
			return &d->mig[i];
	return NULL;
}

bool device_equal(const struct device *a, const struct device *b)
{
	struct device x = *a, y = *b;
	_cleanup_json_ json_t *j = NULL, *k = NULL;

	x.utilisation_percent = x.temperature_c = x.power_w = x.processes = 0;
	y.utilisation_percent = y.temperature_c = y.power_w = y.processes = 0;
	x.memory_used_mb = y.memory_used_mb = 0;
	j = device_to_json(&x);
	k = device_to_json(&y);
	return json_equal(j, k);
}

/* ---- writing ---- */

static void set_text(json_t *o, const char *key, struct str s)
{
	if (s.n)
		json_set_str(o, key, s);
}

static void set_number(json_t *o, const char *key, uint64_t v)
{
	if (v)
		json_object_set_new(o, key, json_integer((json_int_t)v));
}

static void set_list(json_t *o, const char *key, const struct str *s, size_t n)
{
	json_t *list;

	if (!n)
		return;
	list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_str(s[i]));
	json_object_set_new(o, key, list);
}

static json_t *mig_to_json(const struct device_mig *m)
{
	json_t *o = json_object();

	json_set_str(o, "uuid", m->uuid);
	set_text(o, "profile", m->profile);
	set_number(o, "slots", m->slots);
	set_number(o, "memory_mb", m->memory_mb);
	set_list(o, "files", m->files, m->n_files);
	return o;
}

json_t *device_to_json(const struct device *d)
{
	json_t *o = json_object();

	json_set_str(o, "id", d->id);
	json_set_str(o, "kind", d->kind);
	set_text(o, "model", d->model);
	json_object_set_new(o, "source", json_string(device_source_name(d->source)));
	set_number(o, "memory_mb", d->memory_mb);
	set_number(o, "index", d->index);
	set_text(o, "pci", d->pci);
	set_text(o, "driver", d->driver);
	set_text(o, "capability", d->capability);
	if (d->host_memory)
		json_object_set_new(o, "host_memory", json_true());
	if (d->mps)
		json_object_set_new(o, "mps", json_true());
	if (d->mig_mode)
		json_object_set_new(o, "mig_mode", json_true());
	if (d->n_mig) {
		json_t *list = json_array();

		for (size_t i = 0; i < d->n_mig; i++)
			json_array_append_new(list, mig_to_json(&d->mig[i]));
		json_object_set_new(o, "mig", list);
	}
	set_list(o, "files", d->files, d->n_files);
	set_list(o, "libraries", d->libraries, d->n_libraries);
	set_list(o, "env", d->env, d->n_env);
	set_number(o, "utilisation_percent", d->utilisation_percent);
	set_number(o, "temperature_c", d->temperature_c);
	set_number(o, "power_w", d->power_w);
	set_number(o, "processes", d->processes);
	set_number(o, "memory_used_mb", d->memory_used_mb);
	if (d->lost)
		json_object_set_new(o, "lost", json_true());
	set_text(o, "trouble", d->trouble);
	return o;
}

/* ---- reading ---- */

static int get_u32(const json_t *o, const char *key, uint32_t *ret, struct err *err)
{
	int64_t v = *ret;

	if (json_opt_int(o, key, 0, UINT32_MAX, &v, err) < 0)
		return -1;
	*ret = (uint32_t)v;
	return 0;
}

static int get_mb(const json_t *o, const char *key, uint64_t *ret, struct err *err)
{
	int64_t v = (int64_t)*ret;

	if (json_opt_int(o, key, 0, MEMORY_MAX, &v, err) < 0)
		return -1;
	*ret = (uint64_t)v;
	return 0;
}

static int get_bool(const json_t *o, const char *key, bool *ret, struct err *err)
{
	const json_t *j = json_object_get(o, key);

	if (!j || json_is_null(j))
		return 0;
	if (!json_is_boolean(j))
		return err_set(err, 0, "%s is neither true nor false", key);
	*ret = json_is_true(j);
	return 0;
}

static int get_array(const json_t *o, const char *key, json_t **ret, struct err *err)
{
	json_t *j = json_object_get(o, key);

	*ret = NULL;
	if (!j || json_is_null(j))
		return 0;
	if (!json_is_array(j))
		return err_set(err, 0, "%s is not an array", key);
	if (json_array_size(j) > MEMBERS_MAX)
		return err_set(err, 0, "%s has more than %d elements", key, MEMBERS_MAX);
	*ret = j;
	return 0;
}

static int get_list(const json_t *o, const char *key, struct arena *a, struct str **ret, size_t *n, struct err *err)
{
	json_t *j, *v;
	size_t i;

	*n = 0;
	if (get_array(o, key, &j, err) < 0)
		return -1;
	if (!j)
		return 0;
	*ret = arena_new_n(a, struct str, json_array_size(j) + 1);
	json_array_foreach(j, i, v)
	{
		if (!json_is_string(v))
			return err_set(err, 0, "%s: an element is not a string", key);
		(*ret)[(*n)++] = json_str_value(v);
	}
	return 0;
}

static int mig_from_json(struct device_mig *m, const json_t *o, struct arena *a, struct err *err)
{
	if (!json_is_object(o))
		return err_set(err, 0, "an instance is not an object");
	if (json_need_str(o, "uuid", &m->uuid, err) < 0 || json_opt_str(o, "profile", &m->profile, err) < 0 ||
	    get_u32(o, "slots", &m->slots, err) < 0 || get_mb(o, "memory_mb", &m->memory_mb, err) < 0 ||
	    get_list(o, "files", a, &m->files, &m->n_files, err) < 0)
		return -1;
	return m->slots <= DEVICE_SLOTS ? 0 : err_set(err, 0, "slots is more than %d", DEVICE_SLOTS);
}

static int migs_from_json(struct device *d, const json_t *o, struct arena *a, struct err *err)
{
	json_t *list, *v;
	size_t i;

	if (get_array(o, "mig", &list, err) < 0)
		return -1;
	if (!list)
		return 0;
	d->mig = arena_new_n(a, struct device_mig, json_array_size(list) + 1);
	json_array_foreach(list, i, v)
	{
		if (mig_from_json(&d->mig[d->n_mig++], v, a, err) < 0)
			return err_wrap(err, "mig");
	}
	return 0;
}

static int source_from_json(struct device *d, const json_t *o, struct err *err)
{
	struct str name = STR("declared");

	if (json_opt_str(o, "source", &name, err) < 0)
		return -1;
	for (unsigned i = 0; i < DEVICE_SOURCES; i++)
		if (str_eqz(name, sources[i])) {
			d->source = (enum device_source)i;
			return 0;
		}
	return err_set(err, 0, "source \"%.*s\" is not known", (int)MIN(name.n, 40), name.p);
}

int device_from_json(struct device *ret, const json_t *j, struct arena *a, struct err *err)
{
	struct device d = {0};

	if (!json_is_object(j))
		return err_set(err, 0, "a device is not an object");
	if (json_need_str(j, "id", &d.id, err) < 0 || json_need_str(j, "kind", &d.kind, err) < 0 ||
	    json_opt_str(j, "model", &d.model, err) < 0 || source_from_json(&d, j, err) < 0 ||
	    get_mb(j, "memory_mb", &d.memory_mb, err) < 0 || get_u32(j, "index", &d.index, err) < 0 ||
	    json_opt_str(j, "pci", &d.pci, err) < 0 || json_opt_str(j, "driver", &d.driver, err) < 0 ||
	    json_opt_str(j, "capability", &d.capability, err) < 0 || get_bool(j, "mps", &d.mps, err) < 0 ||
	    get_bool(j, "host_memory", &d.host_memory, err) < 0 || get_bool(j, "mig_mode", &d.mig_mode, err) < 0 ||
	    migs_from_json(&d, j, a, err) < 0 || get_list(j, "files", a, &d.files, &d.n_files, err) < 0 ||
	    get_list(j, "libraries", a, &d.libraries, &d.n_libraries, err) < 0 ||
	    get_list(j, "env", a, &d.env, &d.n_env, err) < 0 ||
	    get_u32(j, "utilisation_percent", &d.utilisation_percent, err) < 0 ||
	    get_u32(j, "temperature_c", &d.temperature_c, err) < 0 || get_u32(j, "power_w", &d.power_w, err) < 0 ||
	    get_u32(j, "processes", &d.processes, err) < 0 || get_mb(j, "memory_used_mb", &d.memory_used_mb, err) < 0 ||
	    get_bool(j, "lost", &d.lost, err) < 0 || json_opt_str(j, "trouble", &d.trouble, err) < 0)
		return -1;
	if (!d.id.n || !d.kind.n)
		return err_set(err, 0, "%s is empty", d.id.n ? "kind" : "id");
	*ret = d;
	return 0;
}

/* ---- may it be? ---- */

static int check_text(const char *what, struct str s, size_t max, struct err *err)
{
	if (s.n > max)
		return err_set(err, 0, "%s has %zu bytes, more than %zu", what, s.n, max);
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 127)
			return err_set(err, 0, "%s has control characters", what);
	return 0;
}

static int check_kind(struct str s, struct err *err)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == ' ' || s.p[i] == ',')
			return err_set(err, 0, "kind is no name");
	return check_text("kind", s, DEVICE_KIND_MAX, err);
}

static int check_memory(const char *what, uint64_t mb, struct err *err)
{
	return mb <= MEMORY_LIKELY_MAX ? 0 : err_set(err, 0, "%s is %llu MiB", what, (unsigned long long)mb);
}

static int check_migs(const struct device *d, struct err *err)
{
	if (d->n_mig > DEVICE_SLOTS)
		return err_set(err, 0, "it has %zu MIG instances, more than %d", d->n_mig, DEVICE_SLOTS);
	for (size_t i = 0; i < d->n_mig; i++) {
		const struct device_mig *m = &d->mig[i];

		if (!m->uuid.n || m->slots < 1)
			return err_set(err, 0, "a MIG instance has no %s", m->uuid.n ? "slots" : "uuid");
		if (check_text("uuid of a MIG instance", m->uuid, DEVICE_TEXT_MAX, err) < 0 ||
		    check_text("profile of a MIG instance", m->profile, DEVICE_TEXT_MAX, err) < 0 ||
		    check_memory("memory of a MIG instance", m->memory_mb, err) < 0)
			return -1;
		for (size_t k = 0; k < i; k++)
			if (str_eq(m->uuid, d->mig[k].uuid))
				return err_set(err, 0, "two MIG instances have one uuid");
	}
	return 0;
}

int device_check(const struct device *d, struct err *err)
{
	if (check_text("id", d->id, DEVICE_TEXT_MAX, err) < 0 || check_kind(d->kind, err) < 0 ||
	    check_text("model", d->model, DEVICE_TEXT_MAX, err) < 0 ||
	    check_text("pci", d->pci, DEVICE_TEXT_MAX, err) < 0 ||
	    check_text("driver", d->driver, DEVICE_TEXT_MAX, err) < 0 ||
	    check_text("capability", d->capability, DEVICE_TEXT_MAX, err) < 0 ||
	    check_text("trouble", d->trouble, DEVICE_TROUBLE_MAX, err) < 0 ||
	    check_memory("memory", d->memory_mb, err) < 0)
		return -1;
	return check_migs(d, err);
}

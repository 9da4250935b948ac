/* The wick: tags of a function, and what its runtime's name says: one table of tags, each with its reader. Pure; what
 * is read are views into the function. A tag that is unknown or says what is not possible is refused by its name. */
#include "model/options.h"

#include "base/table.h"

#define PORT_MIN  1024 /* a box has no right to the ports below */
#define PORT_GATE 9000 /* in every box: Wick's API and the Runtime API */
#define PORT_API  9001

static const char *const kind_names[] = {
	[RUNTIME_PYTHON] = "python", [RUNTIME_NODEJS] = "nodejs", [RUNTIME_PROVIDED] = "provided",
	[RUNTIME_NATIVE] = "native", [RUNTIME_WEB] = "web",
};

const char *runtime_kind_name(enum runtime_kind k)
{
	return kind_names[k];
}

static bool is_number(struct str s, size_t max)
{
	uint64_t v;

	return s.n <= max && str_to_u64(s, &v);
}

/* By the name that AWS gives a runtime, and Wick's own. */
static int kind_of_runtime(struct str s, enum runtime_kind *ret, struct err *err)
{
	struct str python = STR("python3."), nodejs = STR("nodejs"), rest;

	if (str_starts(s, python) && is_number(str_sub(s, python.n, s.n), 2)) {
		*ret = RUNTIME_PYTHON;
		return 0;
	}
	rest = str_sub(s, nodejs.n, s.n);
	if (str_starts(s, nodejs) &&
	    (!rest.n || (str_ends(rest, STR(".x")) && is_number(str_sub(rest, 0, rest.n - 2), 2)))) {
		*ret = RUNTIME_NODEJS;
		return 0;
	}
	if (str_eqz(s, "provided") || str_eqz(s, "provided.al2") || str_eqz(s, "provided.al2023"))
		*ret = RUNTIME_PROVIDED;
	else if (str_eqz(s, "native"))
		*ret = RUNTIME_NATIVE;
	else if (str_eqz(s, "web"))
		*ret = RUNTIME_WEB;
	else
		return err_set(err, 0,
			       "Runtime %.*s is not built into this release of Wick: it runs python3.x, nodejsNN.x, "
			       "provided, provided.al2, provided.al2023, native and web.",
			       STR_ARG(str_sub(s, 0, 64)));
	return 0;
}

/* ---- one reader a tag ---- */

static int refuse(struct err *err, const char *tag, struct str value, const char *possible)
{
	return err_set(err, 0, "Tag %s: '%.*s' is not possible; it is %s.", tag, STR_ARG(str_sub(value, 0, 64)),
		       possible);
}

static int read_runtime(struct function_options *o, struct str v, struct err *err)
{
	for (unsigned k = 0; k < RUNTIME_KINDS; k++) {
		if (str_eqz(v, kind_names[k])) {
			o->kind = (enum runtime_kind)k;
			return 0;
		}
	}
	return refuse(err, "wick:runtime", v, "python, nodejs, provided, native or web");
}

static int read_network(struct function_options *o, struct str v, struct err *err)
{
	static const char *const names[] = {
		[NETWORK_NONE] = "none", [NETWORK_GATEWAY] = "gateway", [NETWORK_INTERNET] = "internet"};

	for (unsigned m = 0; m < ARRAY_SIZE(names); m++) {
		if (str_eqz(v, names[m])) {
			o->network = (enum network_mode)m;
			return 0;
		}
	}
	return refuse(err, "wick:network", v, "none, gateway or internet");
}

static int read_concurrency(struct function_options *o, struct str v, struct err *err)
{
	uint64_t n;

	if (!str_to_u64(v, &n) || n < 1 || n > OPTIONS_CONCURRENCY_MAX)
		return refuse(err, "wick:concurrency", v, "a number from 1 to 1000");
	o->concurrency = (uint32_t)n;
	return 0;
}

static int read_idle(struct function_options *o, struct str v, struct err *err)
{
	static const struct setting s = {
		.name = "wick:idle", .type = SETTING_DURATION, .max = OPTIONS_IDLE_MAX_S * 1000ull};
	char text[32] = "";
	uint64_t ms = 0;

	/* The parser of settings takes a text that ends in a NUL. */
	if (v.n < sizeof(text) && v.n)
		memcpy(text, v.p, v.n);
	if (strlen(text) != v.n || !v.n || setting_set(&s, &ms, s.name, text, NULL) < 0)
		return refuse(err, "wick:idle", v, "a time such as 500ms, 60s or 5m, at most 1d");
	o->idle_ms = (int64_t)ms;
	return 0;
}

static int read_command(struct function_options *o, struct str v, struct err *err)
{
	if (!str_trim(v).n)
		return refuse(err, "wick:command", v, "what a web function starts: a program and its arguments");
	o->command = v;
	return 0;
}

static int read_port(struct function_options *o, struct str v, struct err *err)
{
	uint64_t n;

	if (!str_to_u64(v, &n) || n < PORT_MIN || n > 65535 || n == PORT_GATE || n == PORT_API)
		return refuse(err, "wick:port", v,
			      "a number from 1024 to 65535, but not 9000 or 9001, which are Wick's own");
	o->port = (uint32_t)n;
	return 0;
}

static int read_ready(struct function_options *o, struct str v, struct err *err)
{
	bool ok = str_starts(v, STR("/"));

	for (size_t i = 0; i < v.n && ok; i++)
		ok = v.p[i] > ' ' && v.p[i] < 127;
	if (!ok)
		return refuse(err, "wick:ready", v, "a path such as /health");
	o->ready = v;
	return 0;
}

/* Cuts v at its commas into at most max names, each once. *why: what is wrong with it; the names are then of no use. */
static bool read_names(struct str v, struct str *names, size_t max, size_t *ret_n, const char **why)
{
	size_t n = 0;

	for (struct str one; n == 0 || v.n; n++) {
		bool more = str_cut(v, ',', &one, &v);

		one = str_trim(one);
		*why = !slice_name_is_valid(one) || (more && !v.n) ? "not a list of names" : NULL;
		if (n == max)
			*why = "more than there may be";
		for (size_t i = 0; i < n && !*why; i++)
			if (str_eq(names[i], one))
				*why = "one of them twice";
		if (*why)
			return false;
		names[n] = one;
	}
	*ret_n = n;
	return true;
}

static int read_device(struct function_options *o, struct str v, struct err *err)
{
	const char *why;

	if (read_names(v, o->device.kinds, SLICE_KINDS_MAX, &o->device.n_kinds, &why))
		return 0;
	return err_set(err, 0,
		       "Tag wick:device: '%.*s' is %s; it is gpu, cpu, accelerator or another kind that nodes declare, "
		       "or up to %d of them in the order in which they are tried, as gpu,cpu.",
		       STR_ARG(str_sub(v, 0, 64)), why, SLICE_KINDS_MAX);
}

static int read_slice(struct function_options *o, struct str v, struct err *err)
{
	o->device.sliced = true;
	if (slice_parse(v, &o->device.slots, &o->device.whole))
		return 0;
	return refuse(err, "wick:slice", v,
		      "a share of one device, 1/8 to 8/8 (or 1/2, 1/4, 3/4), or a number of whole devices, 1 to 64");
}

static int read_device_memory(struct function_options *o, struct str v, struct err *err)
{
	if (str_to_u64(v, &o->device.memory_mb) && o->device.memory_mb && o->device.memory_mb <= SLICE_MEMORY_MAX_MB)
		return 0;
	return refuse(err, "wick:device-memory", v, "MiB of the device's memory, a number from 1 to 16777216");
}

static int read_place(struct function_options *o, struct str v, struct err *err)
{
	const char *why;

	if (read_names(v, o->device.labels, SLICE_LABELS_MAX, &o->device.n_labels, &why))
		return 0;
	return err_set(err, 0,
		       "Tag wick:place: '%.*s' is %s; it is a label that the node must have, or up to %d, as edge,lab.",
		       STR_ARG(str_sub(v, 0, 64)), why, SLICE_LABELS_MAX);
}

static int read_switch(bool *ret, const char *tag, struct str v, struct err *err)
{
	*ret = str_eqz(v, "on");
	return *ret || str_eqz(v, "off") ? 0 : refuse(err, tag, v, "on or off");
}

static int read_park(struct function_options *o, struct str v, struct err *err)
{
	return read_switch(&o->device.park, "wick:park", v, err);
}

static int read_spread(struct function_options *o, struct str v, struct err *err)
{
	return read_switch(&o->device.spread, "wick:spread", v, err);
}

/* What the tags say together: a slice or device memory means a GPU where no device is named. */
static int complete_wish(struct slice_wish *w, struct err *err)
{
	bool only_cpu = w->n_kinds == 1 && str_eqz(w->kinds[0], "cpu");

	if (!w->n_kinds && (w->sliced || w->memory_mb))
		w->kinds[w->n_kinds++] = STR("gpu");
	if (w->memory_mb && only_cpu)
		return err_set(
			err, 0,
			"Tag wick:device-memory: the CPU has no memory of its own; MemorySize says what a worker "
			"has of the machine's.");
	if (!w->sliced) {
		w->slots = DEVICE_SLOTS;
		w->whole = 1;
	}
	return 0;
}

static const struct tag {
	const char *name;
	int (*read)(struct function_options *o, struct str v, struct err *err);
} tags[] = {
	{"wick:runtime", read_runtime},
	{"wick:network", read_network},
	{"wick:concurrency", read_concurrency},
	{"wick:idle", read_idle},
	{"wick:command", read_command},
	{"wick:port", read_port},
	{"wick:ready", read_ready},
	{"wick:device", read_device},
	{"wick:slice", read_slice},
	{"wick:device-memory", read_device_memory},
	{"wick:place", read_place},
	{"wick:park", read_park},
	{"wick:spread", read_spread},
};

static int unknown_tag(struct str name, struct err *err)
{
	_cleanup_(buf_done) struct buf known = BUF_NULL;

	for (size_t i = 0; i < ARRAY_SIZE(tags); i++)
		buf_printf(&known, "%s%s", known.n ? ", " : "", tags[i].name);
	return err_set(err, 0, "Tag %.*s is not one of Wick's: those that begin with wick: are %s.",
		       STR_ARG(str_sub(name, 0, 64)), buf_cstr(&known));
}

static int read_tag(struct function_options *o, const struct kv *kv, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(tags); i++)
		if (str_eqz(kv->k, tags[i].name))
			return tags[i].read(o, kv->v, err);
	return unknown_tag(kv->k, err);
}

int function_options_parse(struct function_options *ret, const struct function *f, struct err *err)
{
	struct function_options o = {.network = NETWORK_GATEWAY, .idle_ms = -1, .port = 8080, .ready = STR("")};

	if (kind_of_runtime(f->runtime, &o.kind, err) < 0)
		return -1;
	for (size_t i = 0; i < f->n_tags; i++)
		if (str_starts(f->tags[i].k, STR("wick:")) && read_tag(&o, &f->tags[i], err) < 0)
			return -1;
	if (complete_wish(&o.device, err) < 0)
		return -1;
	if (!o.concurrency)
		o.concurrency = o.kind == RUNTIME_WEB ? 100 : 1;
	if (!o.command.n)
		o.command = f->handler;
	if (o.kind == RUNTIME_WEB && !str_trim(o.command).n)
		return err_set(err, 0, "A web function needs the tag wick:command, or a Handler: what is started.");
	*ret = o;
	return 0;
}

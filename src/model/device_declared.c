/* Devices that a person declares, as one line of settings or as a document. Pure; what is not understood is named with
 * the entry that it stands in. */
#include "model/device.h"

#include <stdio.h>
#include <string.h>

#define COUNT_MAX   64
#define MEMBERS_MAX 32
#define NAME_MAX_   64

/* One entry, before it becomes `count` devices. */
struct declared {
	struct str kind, model, id, pci, driver;
	uint64_t count, memory_mb;
	struct str files[MEMBERS_MAX], libraries[MEMBERS_MAX], env[MEMBERS_MAX];
	size_t n_files, n_libraries, n_env;
};

struct made {
	struct device *devices;
	size_t n;
	struct arena *a;
};

static bool is_name(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
		      c == '_' || c == '.'))
			return false;
	}
	return s.n > 0 && s.n <= NAME_MAX_;
}

static int path_check(struct str s, struct err *err)
{
	if (s.n && s.p[0] == '/' && !memchr(s.p, '\0', s.n))
		return 0;
	return err_set(err, 0, "\"%.*s\" is no absolute path", (int)MIN(s.n, 200), s.p);
}

/* '%' becomes the number; "\x" becomes x. */
static struct str expand(struct arena *a, struct str s, size_t number, bool numbered)
{
	char *out = arena_alloc(a, s.n * 3 + 1), *at = out;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\\' && i + 1 < s.n)
			*at++ = s.p[++i];
		else if (s.p[i] == '%' && numbered)
			at += sprintf(at, "%zu", number);
		else
			*at++ = s.p[i];
	}
	return str_n(out, (size_t)(at - out));
}

static void expand_all(struct arena *a, const struct str *from, size_t n, size_t number, struct str **ret,
		       size_t *ret_n)
{
	*ret = arena_new_n(a, struct str, n + 1);
	for (size_t i = 0; i < n; i++)
		(*ret)[i] = expand(a, from[i], number, true);
	*ret_n = n;
}

static int members_check(const struct device *d, struct err *err)
{
	for (size_t i = 0; i < d->n_files; i++)
		if (path_check(d->files[i], err) < 0)
			return -1;
	for (size_t i = 0; i < d->n_libraries; i++)
		if (path_check(d->libraries[i], err) < 0)
			return -1;
	for (size_t i = 0; i < d->n_env; i++)
		if (str_chr(d->env[i], '=', 0) < 1 || memchr(d->env[i].p, '\0', d->env[i].n))
			return err_set(err, 0, "\"%.*s\" is not NAME=value", (int)MIN(d->env[i].n, 200), d->env[i].p);
	return 0;
}

static bool is_taken(const struct made *m, struct str id)
{
	for (size_t i = 0; i < m->n; i++)
		if (str_eq(m->devices[i].id, id))
			return true;
	return false;
}

/* The number of the first of this kind that no entry before has. */
static size_t first_free(const struct made *m, struct str kind)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n; i++)
		n += str_eq(m->devices[i].kind, kind);
	return n;
}

static int make(struct made *m, const struct declared *c, struct err *err)
{
	size_t first;

	if (!is_name(c->kind))
		return err_set(err, 0, "\"%.*s\" is no kind of device: letters, digits, '-', '_' and '.', at most %d",
			       (int)MIN(c->kind.n, 80), c->kind.p, NAME_MAX_);
	if (c->id.n && (c->count > 1 || !is_name(c->id)))
		return err_set(err, 0, "id is a name of one device");
	if (c->count < 1 || c->count > COUNT_MAX)
		return err_set(err, 0, "the count is not in 1..%d", COUNT_MAX);
	if (m->n + c->count > DEVICES_MAX)
		return err_set(err, 0, "more than %d devices", DEVICES_MAX);
	first = first_free(m, c->kind);
	for (size_t i = first; i < first + c->count; i++) {
		struct device *d = &m->devices[m->n];

		*d = (struct device){
			.kind = c->kind,
			.source = DEVICE_DECLARED,
			.id = c->id.n ? c->id : str_from(arena_printf(m->a, "%.*s-%zu", STR_ARG(c->kind), i)),
			.model = c->model.n ? c->model : c->kind,
			.memory_mb = c->memory_mb,
			.index = (uint32_t)i,
			.pci = c->pci,
			.driver = c->driver,
		};
		if (is_taken(m, d->id))
			return err_set(err, 0, "the id %.*s stands twice", STR_ARG(d->id));
		expand_all(m->a, c->files, c->n_files, i, &d->files, &d->n_files);
		expand_all(m->a, c->libraries, c->n_libraries, i, &d->libraries, &d->n_libraries);
		expand_all(m->a, c->env, c->n_env, i, &d->env, &d->n_env);
		if (members_check(d, err) < 0)
			return -1;
		m->n++;
	}
	return 0;
}

/* ---- a line of settings ---- */

/* Cuts at the first sep that no backslash stands before. */
static void cut(struct str s, char sep, struct str *head, struct str *tail)
{
	size_t i = 0;

	while (i < s.n && s.p[i] != sep)
		i += s.p[i] == '\\' && i + 1 < s.n ? 2 : 1;
	*head = str_sub(s, 0, i);
	*tail = i < s.n ? str_sub(s, i + 1, s.n) : STR_NULL;
}

static int add(struct str *list, size_t *n, struct str s, const char *what, struct err *err)
{
	if (*n == MEMBERS_MAX)
		return err_set(err, 0, "more than %d of %s", MEMBERS_MAX, what);
	list[(*n)++] = s;
	return 0;
}

static int member(struct declared *c, struct str key, struct str value, struct arena *a, struct err *err)
{
	struct str plain = expand(a, value, 0, false);

	if (str_eqz(key, "file"))
		return add(c->files, &c->n_files, value, "file", err);
	if (str_eqz(key, "lib"))
		return add(c->libraries, &c->n_libraries, value, "lib", err);
	if (str_eqz(key, "env"))
		return add(c->env, &c->n_env, value, "env", err);
	if (str_eqz(key, "mem")) {
		if (str_to_u64(value, &c->memory_mb) && c->memory_mb <= 1ull << 40)
			return 0;
		return err_set(err, 0, "mem=%.*s is no number of MiB", (int)MIN(value.n, 40), value.p);
	}
	if (str_eqz(key, "model"))
		c->model = plain;
	else if (str_eqz(key, "id"))
		c->id = plain;
	else if (str_eqz(key, "pci"))
		c->pci = plain;
	else if (str_eqz(key, "driver"))
		c->driver = plain;
	else
		return err_set(err, 0, "\"%.*s\" is none of mem, file, lib, env, model, id, pci, driver",
			       (int)MIN(key.n, 40), key.p);
	return 0;
}

static int entry(struct made *m, struct str text, struct err *err)
{
	struct declared c = {.count = 1};
	struct str part, rest, key, value;
	bool first = true;

	cut(text, ':', &c.kind, &rest);
	while (rest.n) {
		cut(rest, ':', &part, &rest);
		part = str_trim(part);
		if (first && str_to_u64(part, &c.count)) {
			first = false;
			continue;
		}
		first = false;
		if (!str_cut(part, '=', &key, &value))
			return err_set(err, 0, "\"%.*s\" is not NAME=value", (int)MIN(part.n, 80), part.p);
		if (member(&c, key, value, m->a, err) < 0)
			return -1;
	}
	return make(m, &c, err);
}

int devices_declared_parse(struct str text, struct arena *a, struct device **ret, size_t *n, struct err *err)
{
	struct made m = {.devices = arena_new_n(a, struct device, DEVICES_MAX), .a = a};
	struct str part;

	while (text.n) {
		cut(text, ';', &part, &text);
		part = str_trim(part);
		if (part.n && entry(&m, part, err) < 0)
			return err_wrap(err, "devices: %.*s", (int)MIN(part.n, 80), part.p);
	}
	*ret = m.devices;
	*n = m.n;
	return 0;
}

/* ---- a document ---- */

static int texts(const json_t *o, const char *key, struct str *list, size_t *n, struct err *err)
{
	const json_t *j = json_object_get(o, key), *v;
	size_t i;

	if (!j || json_is_null(j))
		return 0;
	if (!json_is_array(j))
		return err_set(err, 0, "%s is not a list", key);
	json_array_foreach((json_t *)(uintptr_t)j, i, v)
	{
		if (!json_is_string(v))
			return err_set(err, 0, "%s: an element is not a string", key);
		if (add(list, n, json_str_value(v), key, err) < 0)
			return -1;
	}
	return 0;
}

static int known(const json_t *o, struct err *err)
{
	static const char *const names[] = {"kind", "count", "memory_mb", "files", "libraries",
					    "env",  "model", "id",        "pci",   "driver"};
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)o, key, v)
	{
		size_t i = 0;

		while (i < ARRAY_SIZE(names) && strcmp(names[i], key))
			i++;
		if (i == ARRAY_SIZE(names))
			return err_set(err, 0, "\"%.40s\" is no member of a device", key);
	}
	return 0;
}

static int document(struct made *m, const json_t *o, struct err *err)
{
	struct declared c = {.count = 1};
	int64_t count = 1, memory = 0;

	if (!json_is_object(o))
		return err_set(err, 0, "is not a map");
	if (known(o, err) < 0 || json_need_str(o, "kind", &c.kind, err) < 0 ||
	    json_opt_int(o, "count", 1, COUNT_MAX, &count, err) < 0 ||
	    json_opt_int(o, "memory_mb", 0, 1ll << 40, &memory, err) < 0 ||
	    json_opt_str(o, "model", &c.model, err) < 0 || json_opt_str(o, "id", &c.id, err) < 0 ||
	    json_opt_str(o, "pci", &c.pci, err) < 0 || json_opt_str(o, "driver", &c.driver, err) < 0 ||
	    texts(o, "files", c.files, &c.n_files, err) < 0 ||
	    texts(o, "libraries", c.libraries, &c.n_libraries, err) < 0 || texts(o, "env", c.env, &c.n_env, err) < 0)
		return -1;
	c.count = (uint64_t)count;
	c.memory_mb = (uint64_t)memory;
	return make(m, &c, err);
}

int devices_declared_from_json(const json_t *j, struct arena *a, struct device **ret, size_t *n, struct err *err)
{
	struct made m = {.devices = arena_new_n(a, struct device, DEVICES_MAX), .a = a};
	const json_t *list = json_is_object(j) ? json_object_get(j, "devices") : j, *v;
	size_t i;

	if (!json_is_array(list))
		return err_set(err, 0, "devices: not a list of maps");
	json_array_foreach((json_t *)(uintptr_t)list, i, v)
	{
		if (document(&m, v, err) < 0)
			return err_wrap(err, "devices: entry %zu", i + 1);
	}
	*ret = m.devices;
	*n = m.n;
	return 0;
}

bool device_is_declared(const struct device *declared, size_t n, const struct device *found)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(declared[i].kind, found->kind) || str_eq(declared[i].id, found->id))
			return true;
	return false;
}

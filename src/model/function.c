/* Functions as the store keeps them, and the ways in which clients name them. Pure; structs are views into the
 * document they were read from. A stored document may be damaged: every wrong member is named. */
#include "model/function.h"

static const char *const state_names[] = {
	[FUNCTION_PENDING] = "Pending",
	[FUNCTION_ACTIVE] = "Active",
	[FUNCTION_INACTIVE] = "Inactive",
	[FUNCTION_FAILED] = "Failed",
};

const char *function_state_name(enum function_state s)
{
	return state_names[s];
}

/* The members that are plain strings: one table for both directions. */
static const struct text_member {
	const char *name;
	size_t offset;
	bool needed;
} text_members[] = {
	{"name", offsetof(struct function, name), true},
	{"version", offsetof(struct function, version), true},
	{"arn", offsetof(struct function, arn), true},
	{"runtime", offsetof(struct function, runtime), false},
	{"handler", offsetof(struct function, handler), false},
	{"role", offsetof(struct function, role), false},
	{"description", offsetof(struct function, description), false},
	{"code_sha256", offsetof(struct function, code_sha256), false},
	{"code_blob", offsetof(struct function, code_blob), false},
	{"revision_id", offsetof(struct function, revision_id), false},
	{"change_id", offsetof(struct function, change_id), false},
	{"policy", offsetof(struct function, policy), false},
	{"tracing_mode", offsetof(struct function, tracing_mode), false},
	{"architecture", offsetof(struct function, architecture), false},
	{"package_type", offsetof(struct function, package_type), false},
	{"dead_letter", offsetof(struct function, dead_letter), false},
	{"snap_start", offsetof(struct function, snap_start), false},
};

static struct str *text_at(const struct function *f, const struct text_member *m)
{
	return (struct str *)((char *)f + m->offset);
}

static void kv_to_json(json_t *o, const char *key, const struct kv *kv, size_t n)
{
	json_t *j = json_object();

	for (size_t i = 0; i < n; i++)
		json_object_setn_new_nocheck(j, kv[i].k.p, kv[i].k.n, json_str(kv[i].v));
	json_object_set_new(o, key, j);
}

json_t *function_to_json(const struct function *f)
{
	json_t *o = json_object(), *layers = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(text_members); i++)
		json_set_str(o, text_members[i].name, *text_at(f, &text_members[i]));
	json_object_set_new(o, "timeout_s", json_integer(f->timeout_s));
	json_object_set_new(o, "memory_mb", json_integer(f->memory_mb));
	json_object_set_new(o, "ephemeral_mb", json_integer(f->ephemeral_mb));
	json_object_set_new(o, "code_size", json_integer((json_int_t)f->code_size));
	json_object_set_new(o, "code_unpacked", json_integer((json_int_t)f->code_unpacked));
	json_object_set_new(o, "modified_ms", json_integer(f->modified_ms));
	json_object_set_new(o, "last_version", json_integer((json_int_t)f->last_version));
	json_object_set_new(o, "state", json_string(state_names[f->state]));
	kv_to_json(o, "env", f->env, f->n_env);
	kv_to_json(o, "tags", f->tags, f->n_tags);
	for (size_t i = 0; i < f->n_layers; i++)
		json_array_append_new(layers, json_str(f->layers[i]));
	json_object_set_new(o, "layers", layers);
	return o;
}

static int kv_from_json(const json_t *o, const char *key, struct arena *a, struct kv **ret, size_t *n, struct err *err)
{
	json_t *j = json_object_get(o, key), *v;
	const char *name;
	size_t len;

	if (!j || json_is_null(j))
		return 0;
	if (!json_is_object(j))
		return err_set(err, 0, "%s is not an object", key);
	*ret = arena_new_n(a, struct kv, json_object_size(j));
	json_object_keylen_foreach(j, name, len, v)
	{
		if (!json_is_string(v))
			return err_set(err, 0, "%s: a value is not a string", key);
		(*ret)[(*n)++] = (struct kv){.k = str_n(name, len), .v = json_str_value(v)};
	}
	return 0;
}

static int layers_from_json(struct function *f, const json_t *o, struct arena *a, struct err *err)
{
	json_t *j = json_object_get(o, "layers"), *v;
	size_t i;

	if (!j || json_is_null(j))
		return 0;
	if (!json_is_array(j))
		return err_set(err, 0, "layers is not an array");
	f->layers = arena_new_n(a, struct str, json_array_size(j));
	json_array_foreach(j, i, v)
	{
		if (!json_is_string(v))
			return err_set(err, 0, "layers: an element is not a string");
		f->layers[f->n_layers++] = json_str_value(v);
	}
	return 0;
}

static int state_from_json(struct function *f, const json_t *o, struct err *err)
{
	struct str s = STR("Active");

	if (json_opt_str(o, "state", &s, err))
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(state_names); i++) {
		if (str_eqz(s, state_names[i])) {
			f->state = (enum function_state)i;
			return 0;
		}
	}
	return err_set(err, 0, "state is unknown");
}

int function_from_json(struct function *ret, const json_t *j, struct arena *a, struct err *err)
{
	struct function f = {0};
	int64_t timeout_s = 3, memory_mb = 128, ephemeral_mb = 512, code_size = 0, modified_ms = 0;
	int64_t code_unpacked = 0, last_version = 0;

	if (!json_is_object(j))
		return err_set(err, 0, "a function is not an object");
	for (size_t i = 0; i < ARRAY_SIZE(text_members); i++) {
		const struct text_member *m = &text_members[i];
		struct str *s = text_at(&f, m);

		*s = STR("");
		if (m->needed ? json_need_str(j, m->name, s, err) : json_opt_str(j, m->name, s, err))
			return -1;
	}
	if (json_opt_int(j, "timeout_s", 1, UINT32_MAX, &timeout_s, err) ||
	    json_opt_int(j, "memory_mb", 1, UINT32_MAX, &memory_mb, err) ||
	    json_opt_int(j, "ephemeral_mb", 0, UINT32_MAX, &ephemeral_mb, err) ||
	    json_opt_int(j, "code_size", 0, INT64_MAX, &code_size, err) ||
	    json_opt_int(j, "code_unpacked", 0, INT64_MAX, &code_unpacked, err) ||
	    json_opt_int(j, "last_version", 0, INT64_MAX, &last_version, err) ||
	    json_opt_int(j, "modified_ms", INT64_MIN, INT64_MAX, &modified_ms, err))
		return -1;
	f.timeout_s = (uint32_t)timeout_s;
	f.memory_mb = (uint32_t)memory_mb;
	f.ephemeral_mb = (uint32_t)ephemeral_mb;
	f.code_size = (uint64_t)code_size;
	f.code_unpacked = (uint64_t)code_unpacked;
	f.last_version = (uint64_t)last_version;
	f.modified_ms = modified_ms;
	if (kv_from_json(j, "env", a, &f.env, &f.n_env, err) || kv_from_json(j, "tags", a, &f.tags, &f.n_tags, err) ||
	    layers_from_json(&f, j, a, err) || state_from_json(&f, j, err))
		return -1;
	*ret = f;
	return 0;
}

/* A copy without what does not run. */
static json_t *what_runs(const json_t *doc)
{
	static const char *const beside[] = {"version",     "revision_id", "change_id", "last_version",
					     "modified_ms", "policy",      "state",     "code_unpacked"};
	json_t *o = json_copy((json_t *)doc), *tags = json_object();
	const char *name;
	json_t *value;

	for (size_t i = 0; i < ARRAY_SIZE(beside); i++)
		json_object_del(o, beside[i]);
	json_object_foreach(json_object_get(doc, "tags"), name, value)
	{
		if (str_starts(str_from(name), STR("wick:")))
			json_object_set(tags, name, value);
	}
	json_object_set_new(o, "tags", tags);
	return o;
}

bool function_docs_alike(const json_t *a, const json_t *b)
{
	_cleanup_json_ json_t *x = what_runs(a), *y = what_runs(b);

	return json_equal(x, y);
}

static bool is_name(struct str s, size_t max)
{
	if (s.n == 0 || s.n > max)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
		      c == '_'))
			return false;
	}
	return true;
}

static bool is_digits(struct str s, size_t n)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n == n;
}

/* "arn:PARTITION:lambda:REGION:" before "ACCOUNT:function:NAME". */
static bool skip_arn_head(struct str *s)
{
	struct str part;

	str_cut(*s, ':', &part, s);
	str_cut(*s, ':', &part, s);
	if (!str_starts(part, STR("aws")) || !is_name(part, 32))
		return false;
	if (!str_cut(*s, ':', &part, s) || !str_eqz(part, "lambda"))
		return false;
	return str_cut(*s, ':', &part, s) && is_name(part, 32);
}

bool function_ref_parse(struct str s, struct function_ref *ret)
{
	struct str head, rest, name, qualifier;
	bool arn = str_starts(s, STR("arn:"));

	if (arn && !skip_arn_head(&s))
		return false;
	if (str_cut(s, ':', &head, &rest) && str_starts(rest, STR("function:"))) {
		if (!is_digits(head, 12))
			return false;
		s = str_sub(rest, strlen("function:"), rest.n);
	} else if (arn) {
		return false;
	}
	if (str_cut(s, ':', &name, &qualifier)) {
		if (!str_eqz(qualifier, "$LATEST") && !is_name(qualifier, 128))
			return false;
	} else {
		qualifier = STR("");
	}
	if (!is_name(name, 64))
		return false;
	*ret = (struct function_ref){.name = name, .qualifier = qualifier};
	return true;
}

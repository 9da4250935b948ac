/* Functions and layers of a template: their properties into the plan. Pure. */
#include "cli/template_props.h"

#include "base/buf.h"

int template_properties(struct template *t, const char *type, const struct template_property *table,
			const json_t *props, union template_item it)
{
	const char *key;
	json_t *v;

	if (props && !json_is_object(props))
		return template_fail(t, "must be a mapping");
	json_object_foreach((json_t *)props, key, v)
	{
		const struct template_property *p = table;
		_cleanup_json_ json_t *done = NULL;
		int r = 0;

		template_enter(t, key);
		while (p->name && strcmp(p->name, key) != 0)
			p++;
		if (!p->name)
			return template_fail(t, "this property of %s is not supported", type);
		if (p->set) {
			done = template_eval(t, v);
			if (!done)
				return -1;
			if (!json_is_null(done))
				r = p->set(t, it, done);
		}
		if (r < 0)
			return -1;
		template_leave(t);
	}
	return 0;
}

int template_want_text(struct template *t, const json_t *v, struct str *ret)
{
	return template_text(t, v, ret) ? 0 : template_fail(t, "must be a string");
}

static int want_number(struct template *t, const json_t *v, uint64_t *ret)
{
	struct str s;

	if (!template_text(t, v, &s) || !str_to_u64(s, ret) || *ret == 0)
		return template_fail(t, "must be a whole number above 0");
	return 0;
}

#define FUNCTION_TEXT(member)                                                                                          \
	static int set_##member(struct template *t, union template_item it, const json_t *v)                           \
	{                                                                                                              \
		return template_want_text(t, v, &it.function->member);                                                 \
	}
#define FUNCTION_NUMBER(member)                                                                                        \
	static int set_##member(struct template *t, union template_item it, const json_t *v)                           \
	{                                                                                                              \
		return want_number(t, v, &it.function->member);                                                        \
	}
FUNCTION_TEXT(handler)
FUNCTION_TEXT(runtime)
FUNCTION_TEXT(description)
FUNCTION_NUMBER(timeout_s)
FUNCTION_NUMBER(memory_mb)

static int set_role(struct template *t, union template_item it, const json_t *v)
{
	struct str role;

	if (template_want_text(t, v, &role) < 0)
		return -1;
	if (!str_starts(role, STR("arn:")))
		role = str_from(arena_printf(&t->plan->arena, "arn:aws:iam::%.*s:role/%.*s", STR_ARG(t->conf->account),
					     STR_ARG(role)));
	it.function->role = role;
	return 0;
}

/* A mapping of names to scalars, over what is there already (Globals first, then the function's own). */
static int merge_kv(struct template *t, const json_t *v, struct kv **list, size_t *n)
{
	const char *key;
	json_t *e;

	if (!json_is_object(v))
		return template_fail(t, "must be a mapping of names to values");
	json_object_foreach((json_t *)v, key, e)
	{
		struct str name = arena_str(&t->plan->arena, str_from(key)), text;
		struct kv *at = NULL;

		if (!template_text(t, e, &text))
			return template_fail(t, "%s must be a string", key);
		for (size_t i = 0; i < *n; i++)
			if (str_eq((*list)[i].k, name))
				at = &(*list)[i];
		if (!at)
			at = plan_grow(&t->plan->arena, (void **)list, n, sizeof(**list));
		*at = (struct kv){name, text};
	}
	return 0;
}

static int set_environment(struct template *t, union template_item it, const json_t *v)
{
	const char *key;
	json_t *e;

	it.function->env_said = true;
	if (!json_is_object(v))
		return template_fail(t, "must be a mapping with Variables");
	json_object_foreach((json_t *)v, key, e)
	{
		if (strcmp(key, "Variables") != 0)
			return template_fail(t, "%s is not supported (Variables is)", key);
		if (merge_kv(t, e, &it.function->env, &it.function->n_env) < 0)
			return -1;
	}
	return 0;
}

/* SAM: a mapping. CloudFormation: a list of {Key, Value}. */
static int set_tags(struct template *t, union template_item it, const json_t *v)
{
	_cleanup_json_ json_t *map = json_object();
	json_t *e;
	size_t i;

	if (!json_is_array(v))
		return merge_kv(t, v, &it.function->tags, &it.function->n_tags);
	json_array_foreach((json_t *)v, i, e)
	{
		const char *key = json_string_value(json_object_get(e, "Key"));

		if (!key || !json_object_get(e, "Value"))
			return template_fail(t, "each tag needs Key and Value");
		json_object_set(map, key, json_object_get(e, "Value"));
	}
	return merge_kv(t, map, &it.function->tags, &it.function->n_tags);
}

static void code_from_text(struct str s, enum plan_code *kind, struct str *code, struct str *key)
{
	struct str rest = str_sub(s, strlen("s3://"), s.n);

	*kind = PLAN_CODE_PATH;
	*code = s;
	if (str_starts(s, STR("s3://")) && str_cut(rest, '/', code, key))
		*kind = PLAN_CODE_S3;
}

/* The object forms: {"Bucket", "Key"}, {"S3Bucket", "S3Key"}, {"ZipFile"}. */
int template_code(struct template *t, const json_t *v, enum plan_code *kind, struct str *code, struct str *code_key)
{
	struct str s;
	const char *key;
	json_t *e;

	if (template_text(t, v, &s)) {
		code_from_text(s, kind, code, code_key);
		return 0;
	}
	*kind = PLAN_CODE_NONE;
	*code = *code_key = STR_NULL;
	json_object_foreach((json_t *)v, key, e)
	{
		if (template_want_text(t, e, &s) < 0)
			return -1;
		if (strcmp(key, "ZipFile") == 0) {
			*kind = PLAN_CODE_INLINE;
			*code = s;
		} else if (strcmp(key, "Bucket") == 0 || strcmp(key, "S3Bucket") == 0) {
			*kind = PLAN_CODE_S3;
			*code = s;
		} else if (strcmp(key, "Key") == 0 || strcmp(key, "S3Key") == 0) {
			*code_key = s;
		} else {
			return template_fail(t, "%s is not supported here", key);
		}
	}
	if (*kind == PLAN_CODE_NONE || (*kind == PLAN_CODE_S3 && code_key->n == 0))
		return template_fail(t, "must be a path, s3://BUCKET/KEY, or a mapping with bucket and key");
	return 0;
}

static int set_code(struct template *t, union template_item it, const json_t *v)
{
	return template_code(t, v, &it.function->code_kind, &it.function->code, &it.function->code_key);
}

static int set_inline(struct template *t, union template_item it, const json_t *v)
{
	it.function->code_kind = PLAN_CODE_INLINE;
	return template_want_text(t, v, &it.function->code);
}

static int set_ephemeral(struct template *t, union template_item it, const json_t *v)
{
	const json_t *size = json_object_get(v, "Size");

	return size ? want_number(t, size, &it.function->ephemeral_mb) : template_fail(t, "needs Size");
}

static int set_architectures(struct template *t, union template_item it, const json_t *v)
{
	if (json_array_size(v) == 1 && json_is_string(json_array_get(v, 0)) &&
	    strcmp(json_string_value(json_array_get(v, 0)), "x86_64") == 0)
		return 0;
	return template_fail(t, "only [x86_64] is supported");
}

static int set_package_type(struct template *t, union template_item it, const json_t *v)
{
	struct str s;

	if (template_text(t, v, &s) && str_eqz(s, "Zip"))
		return 0;
	return template_fail(t, "only Zip is supported");
}

static int set_policies(struct template *t, union template_item it, const json_t *v)
{
	plan_note(t->plan,
		  "%.*s: Policies are accepted, but roles are not narrowed yet: a function may use all of this "
		  "server's S3 and Lambda",
		  STR_ARG(it.function->logical));
	return 0;
}

/* ---- versions, concurrency, URLs ---- */

static int set_layers(struct template *t, union template_item it, const json_t *v)
{
	struct plan_function *f = it.function;
	struct str s;

	if (!json_is_array(v))
		return template_fail(t, "must be a list of layers");
	f->layers_said = true;
	for (size_t i = 0; i < json_array_size(v); i++) {
		if (template_want_text(t, json_array_get(v, i), &s) < 0)
			return -1;
		if (!str_starts(s, STR(PLAN_LAYER)) && !str_starts(s, STR("arn:")))
			return template_fail(t, "%.*s is no layer: expected !Ref LAYER, or the ARN of a version",
					     STR_ARG(s));
		*(struct str *)plan_grow(&t->plan->arena, (void **)&f->layers, &f->n_layers, sizeof(s)) = s;
	}
	return 0;
}

static int set_alias(struct template *t, union template_item it, const json_t *v)
{
	return template_want_text(t, v, &it.function->alias);
}

static int set_reserved(struct template *t, union template_item it, const json_t *v)
{
	struct str s;

	if (!template_text(t, v, &s) || !str_to_u64(s, &it.function->reserved))
		return template_fail(t, "must be a whole number");
	it.function->reserved_said = true;
	return 0;
}

static int set_provisioned(struct template *t, union template_item it, const json_t *v)
{
	const json_t *n = json_object_get(v, "ProvisionedConcurrentExecutions");

	if (!n || json_object_size(v) != 1)
		return template_fail(t, "needs ProvisionedConcurrentExecutions, and takes nothing else");
	return want_number(t, n, &it.function->provisioned);
}

static int set_snap_start(struct template *t, union template_item it, const json_t *v)
{
	struct str s;

	if (json_object_size(v) != 1 || !template_text(t, json_object_get(v, "ApplyOn"), &s) ||
	    (!str_eqz(s, "PublishedVersions") && !str_eqz(s, "None")))
		return template_fail(t, "needs ApplyOn: PublishedVersions, or None");
	it.function->snap_start = s;
	return 0;
}

static int url_auth(struct template *t, struct plan_function *f, const json_t *v)
{
	if (!template_text(t, v, &f->url_auth) || (!str_eqz(f->url_auth, "NONE") && !str_eqz(f->url_auth, "AWS_IAM")))
		return template_fail(t, "AuthType must be NONE or AWS_IAM");
	return 0;
}

static int url_mode(struct template *t, struct plan_function *f, const json_t *v)
{
	if (!template_text(t, v, &f->url_mode) ||
	    (!str_eqz(f->url_mode, "BUFFERED") && !str_eqz(f->url_mode, "RESPONSE_STREAM")))
		return template_fail(t, "InvokeMode must be BUFFERED or RESPONSE_STREAM");
	return 0;
}

static int url_cors(struct template *t, struct plan_function *f, const json_t *v)
{
	static const char *const known[] = {"AllowCredentials", "AllowHeaders",  "AllowMethods",
					    "AllowOrigins",     "ExposeHeaders", "MaxAge"};
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	const char *key;
	json_t *e;

	if (!json_is_object(v))
		return template_fail(t, "Cors must be a mapping");
	json_object_foreach((json_t *)v, key, e)
	{
		bool found = false;

		for (size_t i = 0; i < ARRAY_SIZE(known); i++)
			found = found || strcmp(key, known[i]) == 0;
		if (!found)
			return template_fail(t, "Cors: %s is not supported", key);
	}
	json_write(&b, v);
	f->url_cors = arena_str(&t->plan->arena, buf_str(&b));
	return 0;
}

static int set_url(struct template *t, union template_item it, const json_t *v)
{
	static const struct {
		const char *name;
		int (*set)(struct template *t, struct plan_function *f, const json_t *v);
	} members[] = {{"AuthType", url_auth}, {"InvokeMode", url_mode}, {"Cors", url_cors}};
	const char *key;
	json_t *e;

	it.function->url = true;
	if (!json_is_object(v) || !json_object_get(v, "AuthType"))
		return template_fail(t, "needs AuthType: NONE, or AWS_IAM");
	json_object_foreach((json_t *)v, key, e)
	{
		size_t i = 0;

		while (i < ARRAY_SIZE(members) && strcmp(key, members[i].name) != 0)
			i++;
		if (i == ARRAY_SIZE(members))
			return template_fail(t, "%s is not supported here", key);
		if (members[i].set(t, it.function, e) < 0)
			return -1;
	}
	return 0;
}

static const struct template_property sam_function[] = {
	{"FunctionName", NULL}, /* template_name */
	{"Handler", set_handler},
	{"Runtime", set_runtime},
	{"CodeUri", set_code},
	{"InlineCode", set_inline},
	{"Description", set_description},
	{"MemorySize", set_memory_mb},
	{"Timeout", set_timeout_s},
	{"Environment", set_environment},
	{"Tags", set_tags},
	{"Role", set_role},
	{"Policies", set_policies},
	{"EphemeralStorage", set_ephemeral},
	{"Architectures", set_architectures},
	{"PackageType", set_package_type},
	{"Events", NULL}, /* the second walk */
	{"Layers", set_layers},
	{"SnapStart", set_snap_start},
	{"ReservedConcurrentExecutions", set_reserved},
	{"AutoPublishAlias", set_alias},
	{"ProvisionedConcurrencyConfig", set_provisioned},
	{"FunctionUrlConfig", set_url},
	{0},
};

static const struct template_property sam_globals[] = {
	{"Handler", set_handler},
	{"Runtime", set_runtime},
	{"CodeUri", set_code},
	{"MemorySize", set_memory_mb},
	{"Timeout", set_timeout_s},
	{"Environment", set_environment},
	{"Tags", set_tags},
	{"EphemeralStorage", set_ephemeral},
	{"Architectures", set_architectures},
	{"Layers", set_layers},
	{"SnapStart", set_snap_start},
	{"ReservedConcurrentExecutions", set_reserved},
	{"AutoPublishAlias", set_alias},
	{"ProvisionedConcurrencyConfig", set_provisioned},
	{"FunctionUrlConfig", set_url},
	{0},
};

static const struct template_property lambda_function[] = {
	{"FunctionName", NULL},
	{"Handler", set_handler},
	{"Runtime", set_runtime},
	{"Code", set_code},
	{"Description", set_description},
	{"MemorySize", set_memory_mb},
	{"Timeout", set_timeout_s},
	{"Environment", set_environment},
	{"Tags", set_tags},
	{"Role", set_role},
	{"EphemeralStorage", set_ephemeral},
	{"Architectures", set_architectures},
	{"PackageType", set_package_type},
	{"Layers", set_layers},
	{"SnapStart", set_snap_start},
	{"ReservedConcurrentExecutions", set_reserved},
	{0},
};

int template_function(struct template *t, const char *logical, const char *type, const json_t *props)
{
	bool sam = strcmp(type, TYPE_SAM_FUNCTION) == 0;
	const json_t *global = json_object_get(t->globals, "Function");
	struct plan_function *f = plan_add(t->plan, functions);
	union template_item it = {.function = f};

	f->logical = arena_str(&t->plan->arena, str_from(logical));
	f->env_said = true;
	if (template_name(t, logical, &f->name) < 0)
		return -1;
	if (sam && global && template_properties(t, "Globals.Function", sam_globals, global, it) < 0)
		return -1;
	if (template_properties(t, type, sam ? sam_function : lambda_function, props, it) < 0)
		return -1;
	if (f->runtime.n == 0)
		return template_fail(t,
				     "needs a Runtime, as in python3.11, nodejs20.x, provided.al2023, native or web");
	if (f->handler.n == 0 && str_starts(f->runtime, STR("provided")))
		f->handler = STR("bootstrap");
	else if (f->handler.n == 0 && str_eqz(f->runtime, "web"))
		f->handler = STR("web");
	if (f->handler.n == 0)
		return template_fail(t, "needs a Handler, as in handler.lambda_handler");
	if (f->provisioned && f->alias.n == 0)
		return template_fail(t, "ProvisionedConcurrencyConfig needs AutoPublishAlias");
	if (f->url && !str_eqz(f->url_auth, "AWS_IAM"))
		plan_public_url(t->plan, f);
	if (f->code_kind == PLAN_CODE_NONE && sam)
		code_from_text(STR("."), &f->code_kind, &f->code, &f->code_key);
	else if (f->code_kind == PLAN_CODE_NONE)
		return template_fail(t, "needs Code");
	return 0;
}

/* The settings members of CreateFunction and UpdateFunctionConfiguration: each is taken, or accepted because it says
 * what is so anyway, or refused by its name, so that nothing is ignored in silence. Wording as AWS's; what a value may
 * be stands in model/limits. Fails by refusal only; violations are told together. */
#include "gate/api_lambda.h"

#include "gate/nodes.h"
#include "model/options.h"

#if defined(__aarch64__)
#define MACHINE "arm64"
#else
#define MACHINE "x86_64"
#endif

/* What one member is read with. */
struct reader {
	struct req *r;
	struct function *f;
	struct violations v;
	bool create;
};

static bool refuse(struct reader *c, const char *why)
{
	req_failf(c->r, FAIL_INVALID_ARGUMENT, "%s", why);
	return false;
}

/* The SDKs check types before they send, so that only hand-made documents come here. */
static bool wrong_type(struct reader *c, const char *member, const char *type)
{
	req_failf(c->r, FAIL_SERIALIZATION, "%s can not be converted to a %s", member, type);
	return false;
}

static bool text(struct reader *c, const json_t *j, const char *member, struct str *ret)
{
	if (!json_is_string(j))
		return wrong_type(c, member, "String");
	*ret = arena_str(&c->r->arena, json_str_value(j));
	return true;
}

/* why: what limit_... said, NULL: nothing. */
static void check(struct reader *c, struct str value, const char *told, const char *why)
{
	if (why)
		violations_add(&c->v, value, told, "%s", why);
}

static bool number(struct reader *c, const json_t *j, const char *member, const char *told, int64_t min, int64_t max,
		   uint32_t *ret)
{
	json_int_t v = json_integer_value(j);
	const char *why = limit_number(&c->r->arena, v, min, max);

	if (!json_is_integer(j))
		return wrong_type(c, member, "Integer");
	check(c, str_from(arena_printf(&c->r->arena, "%" JSON_INTEGER_FORMAT, v)), told, why);
	if (!why)
		*ret = (uint32_t)v;
	return true;
}

static bool read_role(struct reader *c, const json_t *j)
{
	struct str s;

	if (!text(c, j, "Role", &s))
		return false;
	check(c, s, "role", limit_pattern_role(s));
	c->f->role = s;
	return true;
}

/* Which are possible is model/options' to say, when all members were read. */
static bool read_runtime(struct reader *c, const json_t *j)
{
	return text(c, j, "Runtime", &c->f->runtime);
}

/* A web function's may be a command: see check_handler. */
static bool read_handler(struct reader *c, const json_t *j)
{
	struct str s;

	if (!text(c, j, "Handler", &s))
		return false;
	check(c, s, "handler", limit_text(&c->r->arena, s, LIMIT_HANDLER));
	c->f->handler = s;
	return true;
}

static bool read_description(struct reader *c, const json_t *j)
{
	struct str s;

	if (!text(c, j, "Description", &s))
		return false;
	check(c, s, "description", limit_text(&c->r->arena, s, LIMIT_DESCRIPTION));
	c->f->description = s;
	return true;
}

static bool read_timeout(struct reader *c, const json_t *j)
{
	return number(c, j, "Timeout", "timeout", LIMIT_TIMEOUT_MIN, LIMIT_TIMEOUT_MAX, &c->f->timeout_s);
}

static bool read_memory(struct reader *c, const json_t *j)
{
	return number(c, j, "MemorySize", "memorySize", LIMIT_MEMORY_MIN, LIMIT_MEMORY_MAX, &c->f->memory_mb);
}

static bool read_storage(struct reader *c, const json_t *j)
{
	const json_t *size = json_object_get(j, "Size");

	if (!size)
		return wrong_type(c, "EphemeralStorage", "structure with a Size");
	return number(c, size, "Size", "ephemeralStorage.size", LIMIT_EPHEMERAL_MIN, LIMIT_EPHEMERAL_MAX,
		      &c->f->ephemeral_mb);
}

/* ---- environment ---- */

static bool read_variable(struct reader *c, struct str name, const json_t *value, struct buf *reserved)
{
	struct kv *kv = &c->f->env[c->f->n_env];

	if (!json_is_string(value))
		return wrong_type(c, "Environment.Variables", "String");
	if (limit_env_reserved(name))
		buf_printf(reserved, "%s%s", reserved->n ? ", " : "", name.p);
	else
		check(c, name, "environment.variables", limit_pattern_env_name(name));
	kv->k = arena_str(&c->r->arena, name);
	kv->v = arena_str(&c->r->arena, json_str_value(value));
	if (memchr(kv->v.p, '\0', kv->v.n))
		return refuse(c, "Lambda was unable to configure your environment variables because a value has a NUL "
				 "character.");
	c->f->n_env++;
	return true;
}

static bool read_environment(struct reader *c, const json_t *j)
{
	_cleanup_(buf_done) struct buf reserved = BUF_NULL;
	json_t *vars = json_object_get(j, "Variables"), *value;
	const char *name;
	size_t len, bytes = 0;

	if (!json_is_object(j) || (vars && !json_is_object(vars) && !json_is_null(vars)))
		return wrong_type(c, "Environment", "structure with a map Variables");
	c->f->n_env = 0;
	c->f->env = arena_new_n(&c->r->arena, struct kv, json_object_size(vars) + 1);
	json_object_keylen_foreach(vars, name, len, value)
	{
		if (!read_variable(c, str_n(name, len), value, &reserved))
			return false;
		bytes += len + json_string_length(value);
	}
	if (bytes > LIMIT_ENV)
		return refuse(c, "Lambda was unable to configure your environment variables because the environment "
				 "variables you have provided exceeded the 4KB limit.");
	if (reserved.n) {
		req_failf(c->r, FAIL_INVALID_ARGUMENT,
			  "Lambda was unable to configure your environment variables because the environment variables "
			  "you "
			  "have provided contains reserved keys that are currently not supported for modification. "
			  "Reserved keys used in this request: %s",
			  buf_cstr(&reserved));
		return false;
	}
	return true;
}

static bool read_tags(struct reader *c, const json_t *j)
{
	return lambda_read_tags(c->r, j, c->f);
}

/* ---- accepted when they change nothing ---- */

static bool is_empty(const json_t *j)
{
	const char *name;
	json_t *value;

	if (json_is_array(j))
		return json_array_size(j) == 0;
	if (json_is_string(j))
		return json_string_length(j) == 0;
	if (!json_is_object(j))
		return !j || json_is_null(j) || json_is_false(j);
	json_object_foreach((json_t *)j, name, value) if (!is_empty(value)) return false;
	return true;
}

static bool read_tracing(struct reader *c, const json_t *j)
{
	struct str mode = json_get_str(j, "Mode", STR("PassThrough"));

	if (str_eqz(mode, "PassThrough"))
		return true;
	if (str_eqz(mode, "Active"))
		return refuse(c, "TracingConfig: Mode Active is not built into this release of Wick yet; traces pass "
				 "through (PassThrough).");
	violations_add(&c->v, arena_str(&c->r->arena, mode), "tracingConfig.mode",
		       "Member must satisfy enum value set: [Active, PassThrough]");
	return true;
}

static bool read_snap_start(struct reader *c, const json_t *j)
{
	struct str s = json_get_str(j, "ApplyOn", STR("None"));

	if (!json_is_object(j))
		return wrong_type(c, "SnapStart", "structure with an ApplyOn");
	if (!str_eqz(s, "None") && !str_eqz(s, "PublishedVersions"))
		violations_add(&c->v, arena_str(&c->r->arena, s), "snapStart.applyOn",
			       "Member must satisfy enum value set: [PublishedVersions, None]");
	c->f->snap_start = arena_str(&c->r->arena, s);
	return true;
}

static bool read_layers(struct reader *c, const json_t *j)
{
	return lambda_read_layers(c->r, j, c->f);
}

static bool read_logging(struct reader *c, const json_t *j)
{
	struct str group = json_get_str(j, "LogGroup", STR(""));
	const char *own = arena_printf(&c->r->arena, "/aws/lambda/%.*s", STR_ARG(c->f->name));

	if (!str_eqz(json_get_str(j, "LogFormat", STR("Text")), "Text"))
		return refuse(c, "LoggingConfig: only LogFormat Text is built into this release of Wick.");
	if (group.n && !str_eqz(group, own))
		return refuse(
			c, "LoggingConfig: a function's LogGroup is /aws/lambda/NAME, another is not built into this "
			   "release of Wick.");
	if (!is_empty(json_object_get(j, "ApplicationLogLevel")) || !is_empty(json_object_get(j, "SystemLogLevel")))
		return refuse(c,
			      "LoggingConfig: log levels need LogFormat JSON, which is not built into this release of "
			      "Wick.");
	return true;
}

static bool read_architectures(struct reader *c, const json_t *j)
{
	if (json_is_array(j) && json_array_size(j) == 0)
		return true;
	if (json_array_size(j) != 1 || !json_is_string(json_array_get(j, 0)))
		return wrong_type(c, "Architectures", "list of one String");
	if (str_eqz(json_str_value(json_array_get(j, 0)), MACHINE))
		return true;
	return refuse(c, "Architectures: this machine runs " MACHINE " functions only.");
}

static bool read_package(struct reader *c, const json_t *j)
{
	if (str_eqz(json_str_value(j), "Zip"))
		return true;
	return refuse(c, "PackageType: container images are not built into this release of Wick; use Zip.");
}

static bool pass(struct reader *c, const json_t *j)
{
	return true;
}

enum { CREATE = 1, UPDATE = 2, BOTH = 3 };

static const struct member {
	const char *name;
	unsigned in;
	bool (*read)(struct reader *c, const json_t *j);
	const char *refusal; /* read == NULL: why anything but an empty value is refused */
} members[] = {
	{"FunctionName", BOTH, pass},
	{"Code", CREATE, pass},
	{"RevisionId", UPDATE, pass},
	{"Role", BOTH, read_role},
	{"Runtime", BOTH, read_runtime},
	{"Handler", BOTH, read_handler},
	{"Description", BOTH, read_description},
	{"Timeout", BOTH, read_timeout},
	{"MemorySize", BOTH, read_memory},
	{"EphemeralStorage", BOTH, read_storage},
	{"Environment", BOTH, read_environment},
	{"Tags", CREATE, read_tags},
	{"TracingConfig", BOTH, read_tracing},
	{"SnapStart", BOTH, read_snap_start},
	{"LoggingConfig", BOTH, read_logging},
	{"Architectures", CREATE, read_architectures},
	{"PackageType", CREATE, read_package},
	{"Publish", CREATE, pass}, /* api_lambda_code.c */
	{"Layers", BOTH, read_layers},
	{"VpcConfig", BOTH, NULL, "VpcConfig: private networks are not built into this release of Wick."},
	{"FileSystemConfigs", BOTH, NULL, "FileSystemConfigs: file systems are not built into this release of Wick."},
	{"KMSKeyArn", BOTH, NULL, "KMSKeyArn: customer keys are not built into this release of Wick."},
	{"DeadLetterConfig", BOTH, NULL,
	 "DeadLetterConfig: dead-letter targets are not built into this release of Wick yet; failed events are kept "
	 "and "
	 "listed by `wick events --failed`."},
	{"ImageConfig", BOTH, NULL, "ImageConfig: container images are not built into this release of Wick."},
	{"CodeSigningConfigArn", CREATE, NULL,
	 "CodeSigningConfigArn: code signing is not built into this release of Wick."},
};

static const struct member *find_member(const char *name, bool create)
{
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (strcmp(members[i].name, name) == 0 && (members[i].in & (create ? CREATE : UPDATE)))
			return &members[i];
	return NULL;
}

static bool read_member(struct reader *c, const char *name, const json_t *value)
{
	const struct member *m = find_member(name, c->create);

	if (json_is_null(value))
		return true;
	if (!m) {
		req_failf(c->r, FAIL_INVALID_ARGUMENT, "%.64s is not a setting that this release of Wick knows.", name);
		return false;
	}
	if (m->read)
		return m->read(c, value);
	return is_empty(value) || refuse(c, m->refusal);
}

static bool check_mandatory(struct reader *c)
{
	if (!c->create)
		return true;
	if (!c->f->role.p)
		violations_add(&c->v, STR_NULL, "role", "Member must not be null");
	if (!c->f->runtime.p)
		return c->v.n || refuse(c, "Runtime and Handler are mandatory parameters for functions created with "
					   "deployment packages.");
	return true;
}

static bool needs_handler(const struct function_options *o)
{
	return o->kind != RUNTIME_WEB && o->kind != RUNTIME_PROVIDED;
}

static bool parse_options(struct req *r, const struct function *f, struct function_options *ret)
{
	_cleanup_(err_done) struct err err = ERR_NULL;

	if (function_options_parse(ret, f, &err) < 0)
		req_failf(r, FAIL_INVALID_ARGUMENT, "%s", err.msg);
	else if (nodes_could_place(r->g, &ret->device, &err) < 0)
		req_failf(r, FAIL_INVALID_ARGUMENT, "%s", err.msg);
	else if (ret->kind != RUNTIME_PYTHON && str_eqz(f->snap_start, "PublishedVersions"))
		req_failf(r, FAIL_INVALID_ARGUMENT,
			  "SnapStart: ApplyOn PublishedVersions is built for the python runtimes only, not for %s.",
			  runtime_kind_name(ret->kind));
	return !r->fail;
}

bool lambda_check_options(struct req *r, const struct function *f)
{
	struct function_options o;

	if (!parse_options(r, f, &o))
		return false;
	if (needs_handler(&o) && limit_pattern_handler(f->handler))
		req_failf(r, FAIL_INVALID_ARGUMENT,
			  "A %s function needs a Handler without blanks; this one has '%.*s'.",
			  runtime_kind_name(o.kind), STR_ARG(f->handler));
	return !r->fail;
}

/* What depends on the kind of the runtime. */
static bool check_kind(struct reader *c)
{
	struct str handler = c->f->handler;
	struct function_options o;

	if (!c->f->runtime.p || c->r->fail)
		return !c->r->fail;
	if (!parse_options(c->r, c->f, &o))
		return false;
	if (needs_handler(&o) && !handler.p)
		return c->v.n || refuse(c, "Runtime and Handler are mandatory parameters for functions created with "
					   "deployment packages.");
	if (needs_handler(&o) || (handler.n && o.kind != RUNTIME_WEB))
		check(c, handler, "handler", limit_pattern_handler(handler));
	return true;
}

bool lambda_read_settings(struct req *r, const json_t *j, struct function *f, bool create)
{
	struct reader c = {.r = r, .f = f, .create = create};
	const char *name;
	json_t *value;
	bool ok = true;

	if (create) {
		f->architecture = STR(MACHINE);
		f->package_type = STR("Zip");
		f->tracing_mode = STR("PassThrough");
		f->snap_start = STR("None");
	}
	json_object_foreach((json_t *)j, name, value)
	{
		ok = read_member(&c, name, value) && !r->fail;
		if (!ok)
			break;
	}
	ok = ok && check_mandatory(&c) && check_kind(&c);
	if (!ok)
		buf_done(&c.v.text);
	return ok && !violations_refuse(r, &c.v);
}

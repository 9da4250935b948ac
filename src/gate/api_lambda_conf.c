/* How a function runs: the settings that clients give (checked and named one by one, so that nothing is ignored in
 * silence) and the documents that tell of them: get, list, update and delete. Wording and limits as AWS's (AWS Lambda
 * API Reference; Developer Guide, "Lambda quotas" and "Defined runtime environment variables"). Fails by refusal
 * only. */
#include "gate/api_lambda.h"

#include "base/time.h"
#include "gate/keys.h"
#include "wire/utf8.h"

#include <stdio.h>

#define LIST_MAX         50 /* AWS Lambda API Reference, ListFunctions: a page has at most 50 items */
#define CODE_URL_EXPIRES 600
/* The SHA-256 of nothing, said aloud: a presigned request of this service has no body. */
#define EMPTY_BODY "X-Amz-Content-Sha256=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* ---- given: each member is taken, or accepted because it says what is so anyway, or refused by its name ---- */

#define ENV_BYTES_MAX 4096

#if defined(__aarch64__)
#define MACHINE "arm64"
#else
#define MACHINE "x86_64"
#endif

static const char *const reserved_env[] = {
	"_HANDLER",
	"_X_AMZN_TRACE_ID",
	"AWS_DEFAULT_REGION",
	"AWS_REGION",
	"AWS_EXECUTION_ENV",
	"AWS_LAMBDA_FUNCTION_NAME",
	"AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
	"AWS_LAMBDA_FUNCTION_VERSION",
	"AWS_LAMBDA_INITIALIZATION_TYPE",
	"AWS_LAMBDA_LOG_GROUP_NAME",
	"AWS_LAMBDA_LOG_STREAM_NAME",
	"AWS_ACCESS_KEY",
	"AWS_ACCESS_KEY_ID",
	"AWS_SECRET_ACCESS_KEY",
	"AWS_SESSION_TOKEN",
	"AWS_LAMBDA_RUNTIME_API",
	"LAMBDA_TASK_ROOT",
	"LAMBDA_RUNTIME_DIR",
};

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

static bool number(struct reader *c, const json_t *j, const char *member, const char *told, int64_t min, int64_t max,
		   uint32_t *ret)
{
	json_int_t v = json_integer_value(j);
	struct str value;

	if (!json_is_integer(j))
		return wrong_type(c, member, "Integer");
	value = str_from(arena_printf(&c->r->arena, "%" JSON_INTEGER_FORMAT, v));
	if (v < min)
		violations_add(&c->v, value, told, "Member must have value greater than or equal to %lld",
			       (long long)min);
	else if (v > max)
		violations_add(&c->v, value, told, "Member must have value less than or equal to %lld", (long long)max);
	else
		*ret = (uint32_t)v;
	return true;
}

static bool only(struct str s, const char *more)
{
	for (size_t i = 0; i < s.n; i++) {
		char ch = s.p[i];
		bool plain = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9');

		if (!plain && (!ch || !strchr(more, ch)))
			return false;
	}
	return true;
}

/* arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+ */
static bool is_role(struct str s)
{
	struct str arn, partition, service, region, account, rest;

	str_cut(s, ':', &arn, &s);
	str_cut(s, ':', &partition, &s);
	str_cut(s, ':', &service, &s);
	str_cut(s, ':', &region, &s);
	if (!str_cut(s, ':', &account, &rest))
		return false;
	if (!str_eqz(arn, "arn") || !str_starts(partition, STR("aws")) || !str_eqz(service, "iam") || region.n)
		return false;
	if (account.n != 12)
		return false;
	for (size_t i = 0; i < account.n; i++)
		if (account.p[i] < '0' || account.p[i] > '9')
			return false;
	return str_starts(rest, STR("role")) && rest.n > 5 && only(rest, "_+=,.@-/");
}

static bool read_role(struct reader *c, const json_t *j)
{
	struct str s;

	if (!text(c, j, "Role", &s))
		return false;
	if (!is_role(s))
		violations_add(&c->v, s, "role",
			       "Member must satisfy regular expression pattern: "
			       "arn:(aws[a-zA-Z-]*)?:iam::\\d{12}:role/?[a-zA-Z_0-9+=,.@\\-_/]+");
	c->f->role = s;
	return true;
}

static bool read_runtime(struct reader *c, const json_t *j)
{
	struct str s, minor;
	uint64_t n;

	if (!text(c, j, "Runtime", &s))
		return false;
	minor = str_starts(s, STR("python3.")) ? str_sub(s, 8, s.n) : STR_NULL;
	if (!minor.n || minor.n > 2 || !str_to_u64(minor, &n)) {
		req_failf(c->r, FAIL_INVALID_ARGUMENT,
			  "Runtime %.*s is not built into this release of Wick: functions run as python3.x (the "
			  "machine's "
			  "Python); nodejs, provided and native runtimes come with the next release of Wick.",
			  STR_ARG(str_sub(s, 0, 64)));
		return false;
	}
	c->f->runtime = s;
	return true;
}

static bool read_handler(struct reader *c, const json_t *j)
{
	struct str s;

	if (!text(c, j, "Handler", &s))
		return false;
	if (s.n > 128)
		violations_add(&c->v, s, "handler", "Member must have length less than or equal to 128");
	for (size_t i = 0; i < MAX(s.n, (size_t)1); i++) {
		if (s.n && (uint8_t)s.p[i] > ' ')
			continue;
		violations_add(&c->v, s, "handler", "Member must satisfy regular expression pattern: [^\\s]+");
		break;
	}
	c->f->handler = s;
	return true;
}

static bool read_description(struct reader *c, const json_t *j)
{
	struct str s;

	if (!text(c, j, "Description", &s))
		return false;
	if (s.n > 256)
		violations_add(&c->v, s, "description", "Member must have length less than or equal to 256");
	c->f->description = s;
	return true;
}

static bool read_timeout(struct reader *c, const json_t *j)
{
	return number(c, j, "Timeout", "timeout", 1, 900, &c->f->timeout_s);
}

static bool read_memory(struct reader *c, const json_t *j)
{
	return number(c, j, "MemorySize", "memorySize", 128, 10240, &c->f->memory_mb);
}

static bool read_storage(struct reader *c, const json_t *j)
{
	const json_t *size = json_object_get(j, "Size");

	if (!size)
		return wrong_type(c, "EphemeralStorage", "structure with a Size");
	return number(c, size, "Size", "ephemeralStorage.size", 512, 10240, &c->f->ephemeral_mb);
}

/* ---- environment ---- */

static bool is_reserved(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(reserved_env); i++)
		if (strcmp(name, reserved_env[i]) == 0)
			return true;
	return false;
}

static bool is_env_name(struct str s)
{
	bool alpha = s.n >= 2 && ((s.p[0] >= 'a' && s.p[0] <= 'z') || (s.p[0] >= 'A' && s.p[0] <= 'Z'));

	return alpha && only(s, "_");
}

static bool read_variable(struct reader *c, struct str name, const json_t *value, struct buf *reserved)
{
	struct kv *kv = &c->f->env[c->f->n_env];

	if (!json_is_string(value))
		return wrong_type(c, "Environment.Variables", "String");
	if (is_reserved(name.p))
		buf_printf(reserved, "%s%s", reserved->n ? ", " : "", name.p);
	else if (!is_env_name(name))
		violations_add(&c->v, name, "environment.variables",
			       "Map keys must satisfy constraint: [Member must satisfy regular expression pattern: "
			       "[a-zA-Z]([a-zA-Z0-9_])+]");
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
	if (bytes > ENV_BYTES_MAX)
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

/* ---- tags ---- */

static bool put_tag(struct req *r, struct function *f, struct str key, struct str value)
{
	size_t i = 0;

	if (key.n == 0 || utf8_count(key) > 128 || utf8_count(value) > 256) {
		req_failf(r, FAIL_INVALID_ARGUMENT, "Tag '%.*s': a key has 1 to 128 characters, a value at most 256.",
			  STR_ARG(str_sub(key, 0, 128)));
		return false;
	}
	if (str_starts(key, STR("aws:"))) {
		req_failf(r, FAIL_INVALID_ARGUMENT, "Tag '%.*s': keys that begin with aws: are reserved.",
			  STR_ARG(key));
		return false;
	}
	while (i < f->n_tags && !str_eq(f->tags[i].k, key))
		i++;
	f->tags[i] = (struct kv){.k = arena_str(&r->arena, key), .v = arena_str(&r->arena, value)};
	f->n_tags += i == f->n_tags;
	return true;
}

bool lambda_read_tags(struct req *r, const json_t *tags, struct function *f)
{
	struct kv *all = arena_new_n(&r->arena, struct kv, f->n_tags + json_object_size(tags) + 1);
	const char *name;
	size_t len;
	json_t *value;

	if (f->n_tags)
		memcpy(all, f->tags, f->n_tags * sizeof(*all));
	f->tags = all;
	if (!json_is_object(tags)) {
		req_failf(r, FAIL_SERIALIZATION, "Tags can not be converted to a map of strings");
		return false;
	}
	json_object_keylen_foreach((json_t *)tags, name, len, value)
	{
		if (!json_is_string(value)) {
			req_failf(r, FAIL_SERIALIZATION, "Tags can not be converted to a map of strings");
			return false;
		}
		if (!put_tag(r, f, str_n(name, len), json_str_value(value)))
			return false;
	}
	if (f->n_tags > 50) {
		req_failf(r, FAIL_INVALID_ARGUMENT, "A function has at most 50 tags.");
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
	if (str_eqz(json_get_str(j, "ApplyOn", STR("None")), "None"))
		return true;
	return refuse(c, "SnapStart: only ApplyOn None is built into this release of Wick.");
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

static bool read_publish(struct reader *c, const json_t *j)
{
	return !json_is_true(j) || refuse(c, "Publish: published versions are not built into this release of Wick yet; "
					     "leave Publish out and use $LATEST.");
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
	{"Publish", CREATE, read_publish},
	{"Layers", BOTH, NULL, "Layers: layers are not built into this release of Wick yet."},
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
	if (!c->f->runtime.p || !c->f->handler.p)
		return c->v.n || refuse(c, "Runtime and Handler are mandatory parameters for functions created with "
					   "deployment packages.");
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
	}
	json_object_foreach((json_t *)j, name, value)
	{
		ok = read_member(&c, name, value);
		if (!ok)
			break;
	}
	ok = ok && check_mandatory(&c);
	if (!ok)
		buf_done(&c.v.text);
	return ok && !violations_refuse(r, &c.v);
}

/* ---- told ---- */

static json_t *pairs_json(const struct kv *kv, size_t n)
{
	json_t *j = json_object();

	for (size_t i = 0; i < n; i++)
		json_object_setn_new_nocheck(j, kv[i].k.p, kv[i].k.n, json_str(kv[i].v));
	return j;
}

json_t *lambda_conf_json(struct req *r, const struct function *f)
{
	const struct lambda_state *state = r->api_state;
	json_t *j = json_object();
	char modified[TIME_LAMBDA_SIZE];
	bool qualified = state && state->target.qualifier.n;

	time_lambda(f->modified_ms, modified);
	json_set_str(j, "FunctionName", f->name);
	json_object_set_new(j, "FunctionArn", json_sprintf("%.*s%s", STR_ARG(f->arn), qualified ? ":$LATEST" : ""));
	json_set_str(j, "Runtime", f->runtime);
	json_set_str(j, "Role", f->role);
	json_set_str(j, "Handler", f->handler);
	json_object_set_new(j, "CodeSize", json_integer((json_int_t)f->code_size));
	json_set_str(j, "Description", f->description);
	json_object_set_new(j, "Timeout", json_integer(f->timeout_s));
	json_object_set_new(j, "MemorySize", json_integer(f->memory_mb));
	json_object_set_new(j, "LastModified", json_string(modified));
	json_set_str(j, "CodeSha256", f->code_sha256);
	json_set_str(j, "Version", f->version);
	if (f->n_env)
		json_object_set_new(j, "Environment", json_pack("{s:o}", "Variables", pairs_json(f->env, f->n_env)));
	json_object_set_new(j, "TracingConfig", json_pack("{s:s}", "Mode", "PassThrough"));
	json_set_str(j, "RevisionId", f->revision_id);
	json_object_set_new(j, "State", json_string(function_state_name(f->state)));
	json_object_set_new(j, "LastUpdateStatus", json_string("Successful"));
	json_set_str(j, "PackageType", f->package_type);
	json_object_set_new(j, "Architectures", json_pack("[o]", json_str(f->architecture)));
	json_object_set_new(j, "EphemeralStorage", json_pack("{s:i}", "Size", (int)f->ephemeral_mb));
	json_object_set_new(j, "SnapStart", json_pack("{s:s,s:s}", "ApplyOn", "None", "OptimizationStatus", "Off"));
	json_object_set_new(j, "LoggingConfig",
			    json_pack("{s:s,s:o}", "LogFormat", "Text", "LogGroup",
				      json_sprintf("/aws/lambda/%.*s", STR_ARG(f->name))));
	return j;
}

enum step_result lambda_reply_conf(struct req *r, unsigned status, const struct function *f)
{
	return req_reply_json(r, status, lambda_conf_json(r, f));
}

enum step_result lambda_get_conf(struct req *r)
{
	struct function f;

	if (!lambda_only_latest(r) || !lambda_read(r, lambda_target(r)->name, &f))
		return STEP_MORE;
	return lambda_reply_conf(r, 200, &f);
}

/* A URL that downloads the package with a plain GET: signed for the caller, who was just allowed to read it. */
static json_t *code_location(struct req *r, const struct function *f)
{
	_cleanup_(buf_done) struct buf sha = BUF_NULL, path = BUF_NULL, url = BUF_NULL, query = BUF_NULL;
	struct str host = req_header(r, "host"), secret = keys_secret(r->g, r->who.access_key, &r->arena);
	bool tls = strncmp(r->g->conf.url, "https:", 6) == 0;
	char now[TIME_AMZ_SIZE], hex[2 * SHA256_SIZE + 1] = "";
	uint8_t key[SHA256_SIZE];
	struct sigv4_request view;

	if (!host.n || !secret.p || !base64_decode(&sha, f->code_sha256) || sha.n != SHA256_SIZE)
		return json_null();
	hex_encode((const uint8_t *)sha.p, sha.n, hex);
	time_amz(r->now_ms / 1000, now);
	sigv4_signing_key(secret, str_n(now, 8), str_from(r->g->conf.s.region), STR("wick"), key);
	buf_printf(&path, "/_wick/code/%.*s/%s", STR_ARG(f->name), hex);
	view = (struct sigv4_request){.method = STR("GET"), .path = buf_str(&path), .query = STR(EMPTY_BODY)};
	sigv4_presign(&view, host, r->who.access_key, req_header(r, "x-amz-security-token"),
		      str_from(r->g->conf.s.region), STR("wick"), key, str_from(now), CODE_URL_EXPIRES, &query);
	buf_printf(&url, "http%s://%.*s%s?%s", tls ? "s" : "", STR_ARG(host), buf_cstr(&path), buf_cstr(&query));
	return json_str(buf_str(&url));
}

enum step_result lambda_get(struct req *r)
{
	struct function f;
	json_t *j, *code;

	if (!lambda_only_latest(r) || !lambda_read(r, lambda_target(r)->name, &f))
		return STEP_MORE;
	j = json_object();
	code = json_object();
	json_object_set_new(j, "Configuration", lambda_conf_json(r, &f));
	json_object_set_new(code, "RepositoryType", json_string("S3"));
	json_object_set_new(code, "Location", code_location(r, &f));
	json_object_set_new(j, "Code", code);
	if (f.n_tags)
		json_object_set_new(j, "Tags", pairs_json(f.tags, f.n_tags));
	return req_reply_json(r, 200, j);
}

/* ---- list ---- */

static bool list_page(struct req *r, struct str *after, uint32_t *max)
{
	struct str version = req_param(r, "FunctionVersion"), marker = req_param(r, "Marker");
	struct str items = req_param(r, "MaxItems");
	struct violations v = {0};
	struct buf name = BUF_NULL;
	uint64_t n = LIST_MAX;

	if (version.n && !str_eqz(version, "ALL"))
		violations_add(&v, version, "functionVersion", "Member must satisfy enum value set: [ALL]");
	if (items.p && !str_to_u64(items, &n))
		n = 0;
	if (n < 1)
		violations_add(&v, items, "maxItems", "Member must have value greater than or equal to 1");
	if (n > 10000)
		violations_add(&v, items, "maxItems", "Member must have value less than or equal to 10000");
	if (violations_refuse(r, &v))
		return false;
	if (!base64url_decode(&name, marker)) {
		buf_done(&name);
		req_failf(r, FAIL_INVALID_ARGUMENT, "Invalid pagination token: Marker was not made by ListFunctions.");
		return false;
	}
	*after = arena_str(&r->arena, buf_str(&name));
	*max = (uint32_t)MIN(n, LIST_MAX);
	buf_done(&name);
	return true;
}

static json_t *list_json(struct req *r, const struct str *docs, size_t n, struct str *last)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++) {
		_cleanup_json_ json_t *j = json_parse(docs[i], NULL);
		struct function f;

		if (!j || function_from_json(&f, j, &r->arena, NULL) < 0)
			continue; /* a damaged row; GetFunction of it says so in the log */
		*last = arena_str(&r->arena, f.name);
		json_array_append_new(list, lambda_conf_json(r, &f));
	}
	return list;
}

enum step_result lambda_list(struct req *r)
{
	_cleanup_(buf_done) struct buf marker = BUF_NULL;
	struct str after, *docs, last = STR_NULL;
	uint32_t max;
	size_t n;
	bool truncated;
	json_t *j;
	int res;

	if (!list_page(r, &after, &max))
		return STEP_MORE;
	res = store_list_functions(store_reader(r->g->store), &r->arena, after, max, &docs, &n, &truncated);
	if (res != 0)
		return req_fail_errno(r, res);
	j = json_object();
	json_object_set_new(j, "Functions", list_json(r, docs, n, &last));
	if (truncated && last.n) {
		base64url_encode(&marker, last.p, last.n);
		json_set_str(j, "NextMarker", buf_str(&marker));
	} else {
		json_object_set_new(j, "NextMarker", json_null());
	}
	return req_reply_json(r, 200, j);
}

/* ---- update, delete ---- */

struct update {
	struct lambda_change change;
	json_t *body; /* until the change is over */
};

static void edit_settings(struct req *r, struct function *f, void *arg)
{
	const struct update *u = arg;

	lambda_read_settings(r, u->body, f, false);
}

static void update_over(struct req *r)
{
	struct update *u = container_of(lambda_changed(r), struct update, change);

	json_decref(steal(&u->body));
}

static enum step_result updated(struct req *r)
{
	update_over(r);
	return lambda_reply_conf(r, 200, &lambda_changed(r)->f);
}

static enum step_result update_failed(struct req *r)
{
	update_over(r);
	return STEP_MORE;
}

enum step_result lambda_update_conf(struct req *r)
{
	struct update *u = arena_new(&r->arena, struct update);

	if (!lambda_only_latest(r) || !(u->body = lambda_body(r)))
		return STEP_MORE;
	u->change = (struct lambda_change){
		.name = lambda_target(r)->name,
		.expect = arena_str(&r->arena, json_get_str(u->body, "RevisionId", STR(""))),
		.edit = edit_settings,
		.answer = updated,
		.failed = update_failed,
		.arg = u,
	};
	return lambda_change(r, &u->change);
}

static enum step_result deleted(struct req *r)
{
	if (r->store_result == STORE_E_MISSING)
		return lambda_not_found(r);
	if (r->store_result != 0)
		return req_fail_errno(r, r->store_result);
	functions_changed(r->g, lambda_target(r)->name);
	return req_reply_empty(r, 204);
}

enum step_result lambda_delete(struct req *r)
{
	struct store_txn *t;

	if (!lambda_only_latest(r))
		return STEP_MORE;
	if (lambda_target(r)->qualifier.n)
		return req_failf(r, FAIL_INVALID_ARGUMENT,
				 "$LATEST version cannot be deleted without deleting the function.");
	t = store_begin(r->g->store);
	store_delete_function(t, lambda_target(r)->name);
	return req_commit(r, t, deleted);
}

/* ---- account ---- */

struct account {
	uint64_t bytes, functions;
	int result;
};

static void sum_account(void *arg, struct store_reader *rd)
{
	struct account *sum = arg;
	char last[65] = "";
	bool truncated = true;

	while (truncated && sum->result == 0) {
		_cleanup_(arena_done) struct arena a = ARENA_NULL;
		struct str *docs;
		size_t n = 0;

		sum->result = store_list_functions(rd, &a, str_from(last), 1000, &docs, &n, &truncated);
		for (size_t i = 0; sum->result == 0 && i < n; i++) {
			_cleanup_json_ json_t *j = json_parse(docs[i], NULL);
			struct str name = json_get_str(j, "name", STR(""));

			sum->bytes += (uint64_t)json_get_int(j, "code_size", 0);
			sum->functions++;
			snprintf(last, sizeof(last), "%.*s", STR_ARG(name));
		}
		truncated = truncated && n > 0;
	}
}

static enum step_result account_summed(struct req *r)
{
	const struct account *sum = r->api_state;
	json_int_t runs = (json_int_t)r->g->conf.s.concurrency;

	if (sum->result != 0)
		return req_fail_errno(r, sum->result);
	return req_reply_json(r, 200,
			      json_pack("{s:{s:I,s:I,s:I,s:I,s:I},s:{s:I,s:I}}", "AccountLimit", "TotalCodeSize",
					(json_int_t)80530636800, "CodeSizeUnzipped", (json_int_t)LAMBDA_UNZIPPED_MAX,
					"CodeSizeZipped", (json_int_t)LAMBDA_ZIP_MAX, "ConcurrentExecutions", runs,
					"UnreservedConcurrentExecutions", runs, "AccountUsage", "TotalCodeSize",
					(json_int_t)sum->bytes, "FunctionCount", (json_int_t)sum->functions));
}

enum step_result lambda_account(struct req *r)
{
	r->api_state = arena_new(&r->arena, struct account);
	return req_read_async(r, sum_account, r->api_state, account_summed);
}

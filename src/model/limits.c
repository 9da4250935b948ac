/* Limits as pure checks. Nothing is owned; sentences lie in the caller's arena. */
#include "model/limits.h"

#include "wire/utf8.h"

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alpha(char c)
{
	return is_lower(c) || (c >= 'A' && c <= 'Z');
}

static bool is_ipv4(struct str s)
{
	size_t dots = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '.')
			dots++;
		else if (!is_digit(s.p[i]))
			return false;
	}
	return dots == 3;
}

bool limit_bucket_name(struct str s)
{
	if (s.n < 3 || s.n > 63 || is_ipv4(s))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!is_lower(c) && !is_digit(c) && c != '-' && c != '.')
			return false;
		if ((i == 0 || i == s.n - 1) && (c == '-' || c == '.'))
			return false;
		if (c == '.' && s.p[i - 1] == '.')
			return false;
	}
	return !str_starts(s, STR("xn--")) && !str_starts(s, STR("sthree-")) && !str_ends(s, STR("-s3alias")) &&
	       !str_ends(s, STR("--ol-s3"));
}

bool limit_key(struct str key)
{
	return key.n >= 1 && key.n <= LIMIT_KEY && utf8_valid(key);
}

/* How Lambda words a parameter outside its constraint. */
static const char *constraint(struct arena *a, const char *value, const char *field, const char *what)
{
	return arena_printf(a,
			    "1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must "
			    "%s",
			    value, field, what);
}

const char *limit_function_name(struct arena *a, struct str name)
{
	bool ok = name.n >= 1 && name.n <= 64;

	for (size_t i = 0; i < name.n && ok; i++)
		ok = is_alpha(name.p[i]) || is_digit(name.p[i]) || name.p[i] == '-' || name.p[i] == '_';
	if (ok)
		return NULL;
	if (name.n > 64)
		return constraint(a, arena_dup(a, str_sub(name, 0, 200)), "functionName",
				  "have length less than or equal to 64");
	return constraint(a, arena_dup(a, name), "functionName", "satisfy regular expression pattern: [a-zA-Z0-9-_]+");
}

static const char *number(struct arena *a, const char *field, int64_t v, int64_t min, int64_t max)
{
	if (v < min)
		return constraint(a, arena_printf(a, "%lld", (long long)v), field,
				  arena_printf(a, "have value greater than or equal to %lld", (long long)min));
	if (v > max)
		return constraint(a, arena_printf(a, "%lld", (long long)v), field,
				  arena_printf(a, "have value less than or equal to %lld", (long long)max));
	return NULL;
}

const char *limit_timeout(struct arena *a, int64_t seconds)
{
	return number(a, "timeout", seconds, LIMIT_TIMEOUT_MIN, LIMIT_TIMEOUT_MAX);
}

const char *limit_memory(struct arena *a, int64_t mb)
{
	return number(a, "memorySize", mb, LIMIT_MEMORY_MIN, LIMIT_MEMORY_MAX);
}

const char *limit_ephemeral(struct arena *a, int64_t mb)
{
	return number(a, "ephemeralStorage.size", mb, LIMIT_EPHEMERAL_MIN, LIMIT_EPHEMERAL_MAX);
}

const char *limit_text(struct arena *a, const char *field, struct str value, size_t max)
{
	if (utf8_count(value) <= max)
		return NULL;
	return constraint(a, arena_dup(a, str_sub(value, 0, 200)), field,
			  arena_printf(a, "have length less than or equal to %zu", max));
}

static const char *env_name(struct arena *a, struct str k)
{
	/* AWS Lambda Developer Guide, "Defined runtime environment variables": the reserved ones. */
	static const char *const reserved[] = {
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
	bool ok = k.n >= 2 && is_alpha(k.p[0]);

	for (size_t i = 0; i < ARRAY_SIZE(reserved); i++)
		if (str_eqz(k, reserved[i]))
			return arena_printf(a,
					    "Lambda was unable to configure your environment variables because the "
					    "environment variables you have provided contains reserved keys that are "
					    "currently not supported for modification. Reserved keys used in this "
					    "request: %s",
					    reserved[i]);
	for (size_t i = 0; i < k.n && ok; i++)
		ok = is_alpha(k.p[i]) || is_digit(k.p[i]) || k.p[i] == '_';
	if (ok)
		return NULL;
	return constraint(a, arena_dup(a, str_sub(k, 0, 200)), "environment.variables",
			  "satisfy regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+");
}

const char *limit_env(struct arena *a, const struct kv *env, size_t n)
{
	size_t total = 0;

	for (size_t i = 0; i < n; i++) {
		const char *message = env_name(a, env[i].k);

		if (message)
			return message;
		if (memchr(env[i].v.p ? env[i].v.p : "", '\0', env[i].v.n))
			return constraint(a, arena_dup(a, env[i].k), "environment.variables",
					  "not contain a NUL character");
		total += env[i].k.n + env[i].v.n;
	}
	if (total > LIMIT_ENV)
		return "Lambda was unable to configure your environment variables because the environment variables "
		       "you have provided exceeded the 4KB limit.";
	return NULL;
}

const char *limit_function_tags(struct arena *a, const struct kv *tags, size_t n)
{
	if (n > LIMIT_FUNCTION_TAGS)
		return "The number of tags exceeds the limit of 50.";
	for (size_t i = 0; i < n; i++) {
		if (tags[i].k.n == 0 || utf8_count(tags[i].k) > 128)
			return "A tag's key must have 1 to 128 characters.";
		if (utf8_count(tags[i].v) > 256)
			return arena_printf(a, "The value of tag '%.*s' is longer than 256 characters.",
					    STR_ARG(tags[i].k));
		if (str_istarts(tags[i].k, STR("aws:")))
			return "Tag keys that begin with aws: are reserved.";
	}
	return NULL;
}

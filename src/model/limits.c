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

/* Letters, digits and what else is given. */
static bool is_of(struct str s, const char *more)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_alpha(s.p[i]) && !is_digit(s.p[i]) && (!s.p[i] || !strchr(more, s.p[i])))
			return false;
	return true;
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

const char *limit_number(struct arena *a, int64_t v, int64_t min, int64_t max)
{
	if (v < min)
		return arena_printf(a, "Member must have value greater than or equal to %lld", (long long)min);
	if (v > max)
		return arena_printf(a, "Member must have value less than or equal to %lld", (long long)max);
	return NULL;
}

const char *limit_text(struct arena *a, struct str value, size_t max)
{
	if (utf8_count(value) <= max)
		return NULL;
	return arena_printf(a, "Member must have length less than or equal to %zu", max);
}

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
		if (!is_digit(account.p[i]))
			return false;
	return str_starts(rest, STR("role")) && rest.n > 5 && is_of(rest, "_+=,.@-/");
}

const char *limit_pattern_role(struct str arn)
{
	return is_role(arn) ? NULL
			    : "Member must satisfy regular expression pattern: "
			      "arn:(aws[a-zA-Z-]*)?:iam::\\d{12}:role/?[a-zA-Z_0-9+=,.@\\-_/]+";
}

const char *limit_pattern_handler(struct str handler)
{
	bool ok = handler.n > 0;

	for (size_t i = 0; i < handler.n && ok; i++)
		ok = (uint8_t)handler.p[i] > ' ';
	return ok ? NULL : "Member must satisfy regular expression pattern: [^\\s]+";
}

const char *limit_pattern_env_name(struct str name)
{
	if (name.n >= 2 && is_alpha(name.p[0]) && is_of(name, "_"))
		return NULL;
	return "Map keys must satisfy constraint: [Member must satisfy regular expression pattern: "
	       "[a-zA-Z]([a-zA-Z0-9_])+]";
}

bool limit_env_reserved(struct str name)
{
	/* AWS Lambda Developer Guide, "Defined runtime environment variables". */
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

	for (size_t i = 0; i < ARRAY_SIZE(reserved); i++)
		if (str_eqz(name, reserved[i]))
			return true;
	return false;
}

const char *limit_function_tag(struct arena *a, struct str key, struct str value)
{
	if (key.n == 0 || utf8_count(key) > 128 || utf8_count(value) > 256)
		return arena_printf(a, "Tag '%.*s': a key has 1 to 128 characters, a value at most 256.",
				    STR_ARG(str_sub(key, 0, 128)));
	if (str_istarts(key, STR("aws:")))
		return arena_printf(a, "Tag '%.*s': keys that begin with aws: are reserved.", STR_ARG(key));
	return NULL;
}

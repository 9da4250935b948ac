/* wick show: all about one function: its configuration, and what the sibling operations know. */
#include "cli/commands.h"
#include "cli/out.h"

#include "base/mem.h"

#include <stdio.h>
#include <unistd.h>

static void line(const char *name, struct str value)
{
	if (value.n)
		printf("%s%-12s%s%.*s\n", tone_on(STDOUT_FILENO, TONE_DIM), name, tone_off(STDOUT_FILENO, TONE_DIM),
		       STR_ARG(value));
}

static void line_of(const char *name, const char *fmt, ...) _printf_(2, 3);

static void line_of(const char *name, const char *fmt, ...)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	line(name, buf_str(&b));
}

static void lines(const char *name, const json_t *map)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)map, key, v)
	{
		_cleanup_(buf_done) struct buf b = BUF_NULL;

		out_clean(&b, str_from(json_string_value(v)));
		printf("%s%-12s%s%s = %s\n", tone_on(STDOUT_FILENO, TONE_DIM), name, tone_off(STDOUT_FILENO, TONE_DIM),
		       key, buf_cstr(&b));
		name = "";
	}
}

static void triggers(const json_t *policy)
{
	const char *name = "invoked by";
	json_t *s;
	size_t i;

	json_array_foreach(json_object_get(policy, "Statement"), i, s)
	{
		struct str who = json_get_str(
			json_object_get(s, "Principal"), "Service",
			json_get_str(json_object_get(s, "Principal"), "AWS", json_get_str(s, "Principal", STR("?"))));
		const json_t *like = json_object_get(json_object_get(s, "Condition"), "ArnLike");
		struct str source = json_get_str(like, "AWS:SourceArn", STR_NULL);

		printf("%s%-12s%s%.*s%s%.*s\n", tone_on(STDOUT_FILENO, TONE_DIM), name,
		       tone_off(STDOUT_FILENO, TONE_DIM), STR_ARG(who), source.n ? " of " : "", STR_ARG(source));
		name = "";
	}
}

static void layers(const json_t *list)
{
	const char *name = "layers";
	json_t *l;
	size_t i;

	json_array_foreach((json_t *)list, i, l)
	{
		line_of(name, "%.*s", STR_ARG(json_get_str(l, "Arn", STR_NULL)));
		name = "";
	}
}

/* One alias: its version, a second one with its weight, and what is kept warm for it. */
static void alias(const char *name, const json_t *a)
{
	const json_t *weights = json_object_get(json_object_get(a, "RoutingConfig"), "AdditionalVersionWeights");
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	const char *version;
	json_t *weight;

	buf_printf(&b, "%.*s -> version %.*s", STR_ARG(json_get_str(a, "Name", STR("?"))),
		   STR_ARG(json_get_str(a, "FunctionVersion", STR("?"))));
	json_object_foreach((json_t *)weights, version, weight)
		buf_printf(&b, ", %g%% to version %s", json_number_value(weight) * 100, version);
	line(name, buf_str(&b));
}

/* What the sibling operations say: versions, aliases, concurrency, URLs. */
static void beside(const json_t *f)
{
	json_t *e;
	size_t i;
	const char *name;
	const json_t *reserved = json_object_get(f, "ReservedConcurrentExecutions");

	if (json_array_size(json_object_get(f, "Versions")) > 1) {
		_cleanup_(buf_done) struct buf b = BUF_NULL;

		json_array_foreach(json_object_get(f, "Versions"), i, e)
		{
			struct str v = json_get_str(e, "Version", STR_NULL);

			if (!str_eqz(v, "$LATEST"))
				buf_printf(&b, "%s%.*s", b.n ? " " : "", STR_ARG(v));
		}
		line("versions", buf_str(&b));
	}
	name = "aliases";
	json_array_foreach(json_object_get(f, "Aliases"), i, e)
	{
		alias(name, e);
		name = "";
	}
	if (json_is_integer(reserved))
		line_of("reserved", "%lld at once", (long long)json_integer_value(reserved));
	name = "provisioned";
	json_array_foreach(json_object_get(f, "Provisioned"), i, e)
	{
		struct str arn = json_get_str(e, "FunctionArn", STR_NULL), part;

		while (str_cut(arn, ':', &part, &arn))
			;
		line_of(name, "%lld of %lld are warm for %.*s (%.*s)",
			(long long)json_get_int(e, "AvailableProvisionedConcurrentExecutions", 0),
			(long long)json_get_int(e, "RequestedProvisionedConcurrentExecutions", 0), STR_ARG(part),
			STR_ARG(json_get_str(e, "Status", STR("?"))));
		name = "";
	}
	name = "url";
	json_array_foreach(json_object_get(f, "Urls"), i, e)
	{
		line_of(name, "%.*s  (%.*s, %.*s)", STR_ARG(json_get_str(e, "FunctionUrl", STR_NULL)),
			STR_ARG(json_get_str(e, "AuthType", STR("?"))),
			STR_ARG(json_get_str(e, "InvokeMode", STR("BUFFERED"))));
		name = "";
	}
}

static void print_function(const json_t *f, const json_t *policy)
{
	const json_t *conf = json_object_get(f, "Configuration");
	_cleanup_(freep) char *memory = xasprintf("%lld MB", (long long)json_get_int(conf, "MemorySize", 0));
	_cleanup_(freep) char *timeout = xasprintf("%lld s", (long long)json_get_int(conf, "Timeout", 0));
	char size[OUT_TEXT];

	line("name", json_get_str(conf, "FunctionName", STR_NULL));
	line("arn", json_get_str(conf, "FunctionArn", STR_NULL));
	line("state", json_get_str(conf, "State", STR_NULL));
	line("reason", json_get_str(conf, "StateReason", STR_NULL));
	line("about", json_get_str(conf, "Description", STR_NULL));
	line("runtime", json_get_str(conf, "Runtime", STR_NULL));
	line("handler", json_get_str(conf, "Handler", STR_NULL));
	line("memory", str_from(memory));
	line("timeout", str_from(timeout));
	line("role", json_get_str(conf, "Role", STR_NULL));
	line("code", str_from(out_bytes((uint64_t)json_get_int(conf, "CodeSize", 0), size)));
	line("sha256", json_get_str(conf, "CodeSha256", STR_NULL));
	line("modified", json_get_str(conf, "LastModified", STR_NULL));
	if (json_get_int(json_object_get(conf, "EphemeralStorage"), "Size", 512) != 512) {
		_cleanup_(freep) char *tmp = xasprintf(
			"%lld MB", (long long)json_get_int(json_object_get(conf, "EphemeralStorage"), "Size", 512));

		line("/tmp", str_from(tmp));
	}
	layers(json_object_get(conf, "Layers"));
	if (!str_eqz(json_get_str(json_object_get(conf, "SnapStart"), "ApplyOn", STR("None")), "None"))
		line("snapstart", json_get_str(json_object_get(conf, "SnapStart"), "ApplyOn", STR_NULL));
	lines("env", json_object_get(json_object_get(conf, "Environment"), "Variables"));
	lines("tags", json_object_get(f, "Tags"));
	triggers(policy);
	beside(f);
}

/* The resource policy, parsed; an empty object where there is none. */
static json_t *get_policy(struct client *client, const char *name, struct err *err)
{
	_cleanup_(freep) char *path = cli_path("/2015-03-31/functions/", str_from(name), "/policy");
	_cleanup_json_ json_t *answer = NULL;
	char code[64];

	if (client_json(client, "lambda", "GET", path, NULL, NULL, &answer, code, err) < 0) {
		if (strcmp(code, "ResourceNotFoundException") != 0)
			return NULL;
		err_done(err);
		return json_object();
	}
	return json_parse(json_get_str(answer, "Policy", STR("{}")), err);
}

/* Answers of sibling operations go into f under a name; one that the function has nothing of is left out. */
static int add_beside(struct client *client, json_t *f, const char *function, struct err *err)
{
	static const struct {
		const char *name, *prefix, *rest, *member;
	} parts[] = {
		{"Versions", "/2015-03-31/functions/", "/versions", "Versions"},
		{"Aliases", "/2015-03-31/functions/", "/aliases", "Aliases"},
		{"ReservedConcurrentExecutions", "/2019-09-30/functions/", "/concurrency",
		 "ReservedConcurrentExecutions"},
		{"Provisioned", "/2019-09-30/functions/", "/provisioned-concurrency", "ProvisionedConcurrencyConfigs"},
		{"Urls", "/2021-10-31/functions/", "/urls", "FunctionUrlConfigs"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		_cleanup_(freep) char *path = cli_path(parts[i].prefix, str_from(function), parts[i].rest);
		const char *query = strcmp(parts[i].name, "Provisioned") == 0 ? "List=ALL" : NULL;
		_cleanup_json_ json_t *answer = NULL;
		json_t *v;
		char code[64];

		if (client_json(client, "lambda", "GET", path, query, NULL, &answer, code, err) < 0) {
			if (!code[0])
				return -1;
			err_done(err);
			continue;
		}
		v = json_object_get(answer, parts[i].member);
		if (v && !(json_is_array(v) && json_array_size(v) == 0))
			json_object_set(f, parts[i].name, v);
	}
	return 0;
}

int show_run(const struct cli *c)
{
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_(freep) char *path = NULL;
	_cleanup_json_ json_t *f = NULL, *policy = NULL;
	struct err err = ERR_NULL;
	char code[64];

	if (c->n_args != 1)
		return cli_usage(c, "expected one function NAME");
	client = cli_client(c);
	if (!client)
		return EXIT_FAILURE;
	path = cli_path("/2015-03-31/functions/", str_from(c->args[0]), "");
	if (client_json(client, "lambda", "GET", path, NULL, NULL, &f, code, &err) < 0)
		return cli_fail(c, &err);
	policy = get_policy(client, c->args[0], &err);
	if (!policy || add_beside(client, f, c->args[0], &err) < 0)
		return cli_fail(c, &err);
	if (c->json) {
		json_object_set(f, "Policy", policy);
		cli_print_json(steal(&f));
	} else {
		print_function(f, policy);
	}
	return EXIT_SUCCESS;
}

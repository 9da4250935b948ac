/* wick show: all about one function. */
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
	lines("env", json_object_get(json_object_get(conf, "Environment"), "Variables"));
	lines("tags", json_object_get(f, "Tags"));
	triggers(policy);
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
	if (!policy)
		return cli_fail(c, &err);
	if (c->json) {
		json_object_set(f, "Policy", policy);
		cli_print_json(steal(&f));
	} else {
		print_function(f, policy);
	}
	return EXIT_SUCCESS;
}

/* wick env: the variables with which AWS's own tools talk to Wick. Prints the secret: that is what it is for. */
#include "cli/commands.h"

#include "base/mem.h"

#include <stdio.h>

static void quote(const char *name, const char *value)
{
	printf("export %s='", name);
	for (const char *c = value; *c; c++)
		if (*c == '\'')
			fputs("'\\''", stdout);
		else
			putchar(*c);
	puts("'");
}

int env_run(const struct cli *c)
{
	_cleanup_(client_conf_done) struct client_conf conf = {0};
	_cleanup_(freep) char *data = c->data ? xstrdup(c->data) : client_default_data();
	struct err err = ERR_NULL;

	if (c->n_args)
		return cli_usage(c, "takes no operands");
	/* Always the local server's: what is set already would only be repeated. */
	if (client_conf_read(&conf, data, &err) < 0)
		return cli_fail(c, &err);
	const struct {
		const char *name, *value;
	} vars[] = {
		{"AWS_ENDPOINT_URL", conf.endpoint},
		{"AWS_REGION", conf.region},
		{"AWS_ACCESS_KEY_ID", conf.access_key},
		{"AWS_SECRET_ACCESS_KEY", conf.secret},
	};
	json_t *o = c->json ? json_object() : NULL;

	for (size_t i = 0; i < ARRAY_SIZE(vars); i++) {
		if (o)
			json_object_set_new(o, vars[i].name, json_string(vars[i].value));
		else
			quote(vars[i].name, vars[i].value);
	}
	if (o)
		cli_print_json(o);
	return EXIT_SUCCESS;
}

/* wick token: what a machine needs to join as a node, as one line to run there. The line goes to standard output and
 * what it means to standard error, so that it can be piped. */
#include "cli/commands.h"
#include "cli/out.h"

#include "base/mem.h"
#include "model/node.h"

#include <stdio.h>
#include <unistd.h>

static int list(const struct cli *c, struct client *client)
{
	_cleanup_(grid_done) struct grid g = {.head = "ID\tNAME\tLABELS\t>USED\tEXPIRES"};
	_cleanup_json_ json_t *answer = NULL;
	struct err err = ERR_NULL;
	char code[64], when[OUT_TEXT];
	json_t *t;
	size_t i;

	if (client_json(client, "wick", "GET", "/_wick/tokens", NULL, NULL, &answer, code, &err) < 0)
		return cli_fail(c, &err);
	if (c->json) {
		cli_print_json(steal(&answer));
		return EXIT_SUCCESS;
	}
	if (json_array_size(json_object_get(answer, "tokens")) == 0) {
		puts("No tokens.");
		return EXIT_SUCCESS;
	}
	json_array_foreach(json_object_get(answer, "tokens"), i, t)
	{
		const json_t *labels = json_get_array(t, "labels");
		_cleanup_(buf_done) struct buf b = BUF_NULL;
		int64_t uses = json_get_int(t, "uses", 0);

		for (size_t k = 0; k < json_array_size(labels); k++)
			buf_printf(&b, "%s%.*s", k ? "," : "", STR_ARG(json_str_value(json_array_get(labels, k))));
		grid_add(&g, "%s\t%s\t%s\t%lld/%s\t%s", out_cell(&g.arena, json_get_str(t, "id", STR_NULL)),
			 out_cell(&g.arena, json_get_str(t, "name", STR_NULL)), out_cell(&g.arena, buf_str(&b)),
			 (long long)json_get_int(t, "used", 0),
			 uses ? arena_printf(&g.arena, "%lld", (long long)uses) : "any",
			 out_local_time(json_get_int(t, "expires_ms", 0), when));
	}
	grid_print(&g, STDOUT_FILENO);
	return EXIT_SUCCESS;
}

static int revoke_token(const struct cli *c, struct client *client, const char *id)
{
	_cleanup_(freep) char *path = cli_path("/_wick/tokens/", str_from(id), "");
	struct err err = ERR_NULL;
	char code[64];

	if (client_json(client, "wick", "DELETE", path, NULL, NULL, NULL, code, &err) < 0)
		return cli_fail(c, &err);
	if (c->json)
		cli_print_json(json_pack("{s:s}", "revoked", id));
	else
		printf("Revoked: %s. Nodes that have joined with it stay.\n", id);
	return EXIT_SUCCESS;
}

/* NULL: a flag is wrong, *status is what to end with. */
static json_t *wish(const struct cli *c, int *status)
{
	_cleanup_json_ json_t *body = json_object(), *labels = json_array();
	const char *ttl = cli_get(c, "ttl"), *uses = cli_get(c, "uses"), *label;
	uint64_t n;

	*status = EXIT_USAGE;
	if (ttl && !out_parse_duration(str_from(ttl), &n)) {
		cli_usage(c, "--ttl %s: expected a time up to 366d, as 90s, 30m, 1h or 7d", ttl);
		return NULL;
	}
	if (ttl)
		json_object_set_new(body, "ttl_s", json_integer((json_int_t)n));
	if (uses && (!str_to_u64(str_from(uses), &n) || n > INT32_MAX)) {
		cli_usage(c, "--uses %s: expected a number; 0 is any number of times", uses);
		return NULL;
	}
	if (uses)
		json_object_set_new(body, "uses", json_integer((json_int_t)n));
	if (cli_get(c, "name"))
		json_object_set_new(body, "name", json_str(str_from(cli_get(c, "name"))));
	for (size_t i = 0; (label = cli_nth(c, "label", i)); i++)
		json_array_append_new(labels, json_str(str_from(label)));
	json_object_set(body, "labels", labels);
	return steal(&body);
}

static bool is_near(struct str url)
{
	static const char *const hosts[] = {"127.0.0.1", "localhost", "::1", "0.0.0.0", "::"};
	struct node_address a;

	for (size_t i = 0; node_address_parse(url, &a) && i < ARRAY_SIZE(hosts); i++)
		if (str_eqz(a.host, hosts[i]))
			return true;
	return false;
}

static void explain(const struct cli *c, const json_t *answer)
{
	const char *uses = cli_get(c, "uses"), *name = cli_get(c, "name");
	struct str url = json_get_str(answer, "url", STR(""));
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	char when[OUT_TEXT];

	buf_adds(&b, "\nRun it on the machine with the GPU: it joins this gateway as a node");
	if (name)
		buf_printf(&b, " named %s", name);
	buf_adds(&b, ", for good. The token is good ");
	if (!uses || strcmp(uses, "1") == 0)
		buf_adds(&b, "for one node");
	else if (strcmp(uses, "0") == 0)
		buf_adds(&b, "for any number of nodes");
	else
		buf_printf(&b, "for %s nodes", uses);
	buf_printf(&b, ", until %s.\n", out_local_time(json_get_int(answer, "expires_ms", 0), when));
	if (is_near(url))
		buf_printf(
			&b,
			"%.*s reaches only this machine: wick serve --nodes-url HOST:PORT says how others reach it.\n",
			STR_ARG(url));
	fflush(stdout);
	fputs(buf_cstr(&b), stderr);
}

static int make(const struct cli *c, struct client *client, const json_t *body)
{
	_cleanup_(buf_done) struct buf line = BUF_NULL;
	_cleanup_json_ json_t *answer = NULL;
	struct err err = ERR_NULL;
	char code[64];

	if (client_json(client, "wick", "POST", "/_wick/tokens", NULL, body, &answer, code, &err) < 0)
		return cli_fail(c, &err);
	if (c->json) {
		cli_print_json(steal(&answer));
		return EXIT_SUCCESS;
	}
	out_clean(&line, json_get_str(answer, "command", STR("-")));
	puts(buf_cstr(&line));
	explain(c, answer);
	return EXIT_SUCCESS;
}

int token_run(const struct cli *c)
{
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_json_ json_t *body = NULL;
	const char *id = cli_get(c, "revoke");
	bool makes = !id && !cli_has(c, "list");
	int status;

	if (c->n_args)
		return cli_usage(c, "takes no operands");
	if (id && cli_has(c, "list"))
		return cli_usage(c, "either --list or --revoke");
	if (!makes && (cli_has(c, "ttl") || cli_has(c, "uses") || cli_has(c, "name") || cli_has(c, "label")))
		return cli_usage(c, "--ttl, --uses, --name and --label are for a new token");
	body = makes ? wish(c, &status) : json_object();
	if (!body)
		return status;
	client = cli_client(c);
	if (!client)
		return EXIT_FAILURE;
	return id ? revoke_token(c, client, id) : makes ? make(c, client, body) : list(c, client);
}

/* wick events: asynchronous events that wait or were given up, and their second chance. */
#include "cli/commands.h"
#include "cli/out.h"

#include <stdio.h>
#include <unistd.h>

static int redrive(const struct cli *c, struct client *client)
{
	const char *id = c->n_args ? c->args[0] : NULL, *function = cli_get(c, "function");
	_cleanup_json_ json_t *body = json_object(), *answer = NULL;
	struct err err = ERR_NULL;
	char code[64];

	if (id)
		json_object_set_new(body, "id", json_string(id));
	else
		json_object_set_new(body, "function", json_string(function));
	if (client_json(client, "wick", "POST", "/_wick/events/redrive", NULL, body, &answer, code, &err) < 0)
		return cli_fail(c, &err);
	if (c->json)
		cli_print_json(answer ? steal(&answer) : json_object());
	else
		printf("Queued again: %lld\n", (long long)json_get_int(answer, "redriven", 0));
	return EXIT_SUCCESS;
}

/* The server lists one state at a time; both are asked for unless one is wanted. */
static json_t *fetch(const struct cli *c, struct client *client, struct err *err)
{
	static const char *const states[] = {"failed", "queued"};
	_cleanup_json_ json_t *all = json_array();
	char code[64];

	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		_cleanup_(buf_done) struct buf query = BUF_NULL;
		_cleanup_json_ json_t *answer = NULL;

		if (cli_has(c, states[1 - i]))
			continue;
		cli_query(&query, "state", states[i]);
		cli_query(&query, "function", cli_get(c, "function"));
		cli_query(&query, "max", cli_get(c, "max") ? cli_get(c, "max") : "100");
		if (client_json(client, "wick", "GET", "/_wick/events", buf_cstr(&query), NULL, &answer, code, err) < 0)
			return NULL;
		json_array_extend(all, json_object_get(answer, "events"));
	}
	return steal(&all);
}

static int list(const struct cli *c, struct client *client)
{
	_cleanup_(grid_done) struct grid g = {.head = "CREATED\tSTATE\tFUNCTION\tID\t>TRIES\tSOURCE\tREASON"};
	struct err err = ERR_NULL;
	_cleanup_json_ json_t *events = fetch(c, client, &err);
	char when[OUT_TEXT];
	json_t *e;
	size_t i;

	if (!events)
		return cli_fail(c, &err);
	if (c->json) {
		cli_print_json(json_pack("{s:O}", "events", events));
		return EXIT_SUCCESS;
	}
	if (json_array_size(events) == 0) {
		printf("No %sevents.\n", cli_has(c, "failed") ? "failed " : cli_has(c, "queued") ? "queued " : "");
		return EXIT_SUCCESS;
	}
	json_array_foreach(events, i, e)
	{
		_cleanup_(buf_done) struct buf reason = BUF_NULL;
		struct str state = json_get_str(e, "state", STR("-"));

		if (json_get_bool(e, "running", false))
			state = STR("running");
		out_clean(&reason, json_get_str(e, "reason", STR("")));
		grid_add(&g, "%s\t%.*s\t%.*s\t%.*s\t%lld\t%.*s\t%s",
			 out_local_iso(json_get_str(e, "created", STR("-")), when), STR_ARG(state),
			 STR_ARG(json_get_str(e, "function", STR("-"))), STR_ARG(json_get_str(e, "id", STR("-"))),
			 (long long)json_get_int(e, "attempts", 0), STR_ARG(json_get_str(e, "source", STR("-"))),
			 buf_cstr(&reason));
	}
	grid_print(&g, STDOUT_FILENO);
	return EXIT_SUCCESS;
}

int events_run(const struct cli *c)
{
	_cleanup_(client_closep) struct client *client = NULL;

	if (cli_has(c, "failed") && cli_has(c, "queued"))
		return cli_usage(c, "either --failed or --queued");
	if (cli_has(c, "redrive") && c->n_args != 1 && !cli_has(c, "function"))
		return cli_usage(c, "--redrive needs the ID of an event, or --function NAME for all failed ones of it");
	if (c->n_args > (cli_has(c, "redrive") ? 1 : 0))
		return cli_usage(c, "unexpected operand %s", c->args[0]);
	client = cli_client(c);
	if (!client)
		return EXIT_FAILURE;
	return cli_has(c, "redrive") ? redrive(c, client) : list(c, client);
}

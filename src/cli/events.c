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

static int list(const struct cli *c, struct client *client)
{
	_cleanup_(grid_done) struct grid g = {.head = "CREATED\tSTATE\tFUNCTION\tID\t>TRIES\tSOURCE\tREASON"};
	_cleanup_(buf_done) struct buf query = BUF_NULL;
	_cleanup_json_ json_t *answer = NULL;
	struct err err = ERR_NULL;
	char code[64], when[OUT_TEXT];
	json_t *e, *events;
	size_t i;

	cli_query(&query, "state", cli_has(c, "failed") ? "failed" : cli_has(c, "queued") ? "queued" : NULL);
	cli_query(&query, "function", cli_get(c, "function"));
	cli_query(&query, "max", cli_get(c, "max") ? cli_get(c, "max") : "100");
	if (client_json(client, "wick", "GET", "/_wick/events", buf_cstr(&query), NULL, &answer, code, &err) < 0)
		return cli_fail(c, &err);
	if (c->json) {
		cli_print_json(steal(&answer));
		return EXIT_SUCCESS;
	}
	events = json_object_get(answer, "events");
	if (json_array_size(events) == 0) {
		printf("No %sevents.\n", cli_has(c, "failed") ? "failed " : cli_has(c, "queued") ? "queued " : "");
		return EXIT_SUCCESS;
	}
	json_array_foreach(events, i, e)
	{
		_cleanup_(buf_done) struct buf reason = BUF_NULL;

		out_clean(&reason, json_get_str(e, "reason", STR("")));
		grid_add(&g, "%s\t%.*s\t%.*s\t%.*s\t%lld\t%.*s\t%s",
			 out_local_time(json_get_int(e, "created", 0), when),
			 STR_ARG(json_get_str(e, "state", STR("-"))), STR_ARG(json_get_str(e, "function", STR("-"))),
			 STR_ARG(json_get_str(e, "id", STR("-"))), (long long)json_get_int(e, "attempts", 0),
			 STR_ARG(json_get_str(e, "source", STR("-"))), buf_cstr(&reason));
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

/* wick place: where a function would be started now, and why not elsewhere. Starts nothing. */
#include "cli/commands.h"
#include "cli/nodes_view.h"

#include "base/mem.h"

#include <stdio.h>
#include <unistd.h>

int place_run(const struct cli *c)
{
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_(freep) char *path = NULL;
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	_cleanup_json_ json_t *answer = NULL;
	struct err err = ERR_NULL;
	char code[64];

	if (c->n_args != 1)
		return cli_usage(c, "expected the NAME of one function");
	/* A command of this name that does something may come; what only looks says so. */
	if (!cli_has(c, "dry-run"))
		return cli_usage(c, "it only looks: say --dry-run");
	client = cli_client(c);
	if (!client)
		return EXIT_FAILURE;
	path = cli_path("/_wick/place/", str_from(c->args[0]), "");
	if (client_json(client, "wick", "GET", path, NULL, NULL, &answer, code, &err) < 0)
		return cli_fail(c, &err);
	if (c->json) {
		cli_print_json(steal(&answer));
		return EXIT_SUCCESS;
	}
	place_view(&b, answer, STDOUT_FILENO);
	fputs(buf_cstr(&b), stdout);
	return EXIT_SUCCESS;
}

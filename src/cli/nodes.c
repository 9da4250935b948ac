/* wick nodes: the nodes of a gateway, connected or away, and their devices. */
#include "cli/commands.h"
#include "cli/nodes_view.h"

#include "base/mem.h"

#include <stdio.h>
#include <unistd.h>

int nodes_run(const struct cli *c)
{
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	_cleanup_json_ json_t *answer = NULL;
	struct err err = ERR_NULL;
	const json_t *nodes;
	char code[64];

	if (c->n_args)
		return cli_usage(c, "takes no operands");
	client = cli_client(c);
	if (!client)
		return EXIT_FAILURE;
	if (client_json(client, "wick", "GET", "/_wick/nodes", NULL, NULL, &answer, code, &err) < 0)
		return cli_fail(c, &err);
	nodes = json_get_array(answer, "nodes");
	if (c->json) {
		cli_print_json(steal(&answer));
		return EXIT_SUCCESS;
	}
	if (cli_has(c, "devices"))
		nodes_view_devices(&b, nodes, STDOUT_FILENO);
	else
		nodes_view(&b, nodes, STDOUT_FILENO);
	fputs(buf_cstr(&b), stdout);
	return EXIT_SUCCESS;
}

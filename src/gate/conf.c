/* What the gate is started with. The supervisor has read flags, environment and file; here every setting comes as
 * WICK_* environment, by the same table. Fails on a value that is out of range or a variable that is missing. */
#include "gate/conf.h"

#include "base/mem.h"
#include "model/node.h"

#include <unistd.h>

void gate_conf_nodes_port(struct gate_conf *c, unsigned port)
{
	struct str host;

	if (c->s.nodes_url[0])
		return;
	free(c->nodes_url);
	host = node_url_host(str_from(c->url));
	c->nodes_url = xasprintf("%.*s:%u", STR_ARG(host), port);
}

static int read_nodes(struct gate_conf *c, struct err *err)
{
	struct node_address nodes;

	if (!c->s.nodes[0])
		return 0;
	if (node_address_settings(&c->s, &nodes, err) < 0)
		return -1;
	if (c->s.nodes_url[0])
		c->nodes_url = xstrdup(c->s.nodes_url);
	else
		gate_conf_nodes_port(c, nodes.port);
	return 0;
}

int gate_conf_read(struct gate_conf *c, struct err *err)
{
	const char *fd = getenv("WICK_LISTEN_FD"), *socket = getenv("WICK_NODE_SOCKET");
	const char *nodes = getenv("WICK_NODES_FD");
	uint64_t n;

	*c = (struct gate_conf){.listen_fd = -1, .nodes_fd = -1};
	settings_defaults(settings_table, settings_count, &c->s);
	if (settings_apply_env(settings_table, settings_count, &c->s, environ, err) < 0)
		return -1;
	if (!fd || !str_to_u64(str_from(fd), &n) || n > INT32_MAX)
		return err_set(err, 0, "WICK_LISTEN_FD is not set: wick-gate is started by 'wick serve'");
	if (!socket || !socket[0])
		return err_set(err, 0, "WICK_NODE_SOCKET is not set: wick-gate is started by 'wick serve'");
	c->listen_fd = (int)n;
	if (nodes && str_to_u64(str_from(nodes), &n) && n <= INT32_MAX)
		c->nodes_fd = (int)n;
	c->socket = xstrdup(socket);
	c->url = c->s.url && c->s.url[0] ? xstrdup(c->s.url) : xasprintf("http://%s", c->s.listen);
	return read_nodes(c, err);
}

void gate_conf_done(struct gate_conf *c)
{
	settings_done(settings_table, settings_count, &c->s);
	free(c->socket);
	free(c->url);
	free(c->nodes_url);
}

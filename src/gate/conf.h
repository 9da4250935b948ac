/* What the gate is started with: the settings (WICK_* environment) and what only the supervisor can give it. */
#pragma once

#include "model/settings.h"

struct gate_conf {
	struct settings s;
	char *socket;    /* WICK_NODE_SOCKET: the local node's */
	int listen_fd;   /* WICK_LISTEN_FD: bound and listening, so that a restart of the gate refuses nobody */
	int nodes_fd;    /* WICK_NODES_FD: the same for remote nodes; -1: they are not listened for */
	char *url;       /* http://ADDR:PORT */
	char *nodes_url; /* HOST:PORT how remote nodes reach the gate; NULL: it does not listen for them */
};

int gate_conf_read(struct gate_conf *c, struct err *err);
/* The port where it listens for nodes is known: where the setting has 0 and nothing else is said, nodes_url has it now.
 */
void gate_conf_nodes_port(struct gate_conf *c, unsigned port);
void gate_conf_done(struct gate_conf *c);

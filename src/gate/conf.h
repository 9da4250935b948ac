/* What the gate is started with: the settings (WICK_* environment) and what only the supervisor can give it. */
#pragma once

#include "model/settings.h"

struct gate_conf {
	struct settings s;
	char *socket;  /* WICK_NODE_SOCKET: the local node's */
	int listen_fd; /* WICK_LISTEN_FD: bound and listening, so that a restart of the gate refuses nobody */
	char *url;     /* http://ADDR:PORT */
};

int gate_conf_read(struct gate_conf *c, struct err *err);
void gate_conf_done(struct gate_conf *c);

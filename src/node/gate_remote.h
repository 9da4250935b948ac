/* Links to remote gateways: the node dials each, over TLS, and is asked over HTTP/2 (link/messages.h). A link that is
 * lost is dialled again for as long as the program runs. Loop thread. */
#pragma once

#include "node/conf.h"
#include "node/gate_link.h"

struct gate_remotes;

/* Those that took this node before, and the one to join that the settings name; pushed to links, whose ops free them.
 * *ret is set in any case, to be freed after the links. -1: err says which setting, key or file is wrong. */
int gate_remotes_open(struct gate_remotes **ret, struct loop *l, const struct node_conf *conf, struct agent *a,
		      struct gate_links *links, struct err *err);
struct gate_remotes *gate_remotes_free(struct gate_remotes *gs); /* NULL allowed; returns NULL */

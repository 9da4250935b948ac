/* The link to the gate on this machine: a unix socket, by which lanes go to the gate as descriptors. Loop thread. */
#pragma once

#include "node/gate_link.h"

struct node_conf;

/* Listens. There is one gate: a new connection takes the place of the one before. */
struct gate_link *gate_local_new(struct loop *l, const struct node_conf *conf, struct agent *a, struct err *err);
/* Workers may be had from now on: connections are taken. */
void gate_local_open(struct gate_link *g);

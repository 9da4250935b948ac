/* The node's end of the link: takes orders of the gate, tells it what became of them. Loop thread. */
#pragma once

#include "node/conf.h"
#include "sys/loop.h"

struct agent;

/* Listens; stops the loop when SIGTERM or SIGINT came and all workers are gone. */
struct agent *agent_new(struct loop *l, const struct node_conf *conf, struct err *err);
struct agent *agent_free(struct agent *a);

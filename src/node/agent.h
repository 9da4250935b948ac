/* The node's end of its links: takes orders of gates, tells them what became of them. Loop thread. */
#pragma once

#include "node/conf.h"
#include "sys/loop.h"

struct agent;

/* Listens and dials, as its settings and data folder say; stops the loop when SIGTERM or SIGINT came and all workers
 * are gone. */
struct agent *agent_new(struct loop *l, const struct node_conf *conf, struct err *err);
struct agent *agent_free(struct agent *a);
/* Why it stopped the loop by itself: its only gateway does not take it. NULL: it was told to. */
const char *agent_refusal(const struct agent *a);

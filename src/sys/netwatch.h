/* Tells when the machine's network changes: an address, an interface or a route came or went (rtnetlink(7)). */
#pragma once

#include "sys/loop.h"

struct netwatch;

/* NULL where the kernel has no such notices (some sandboxes): who waits for the network tries by the clock then. */
struct netwatch *netwatch_new(struct loop *l, void (*changed)(void *arg), void *arg);
struct netwatch *netwatch_free(struct netwatch *w);

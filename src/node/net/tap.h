/* A tap device in the network namespace of another process. */
#pragma once

#include "base/err.h"

struct tap_conf {
	const char *name; /* of the device */
	uint8_t addr[4], mask[4], gateway[4];
	int mtu;
};

/* Enters the namespaces of pidfd in a child of its own, makes the device there, gives it its address and the default
 * route, and returns its descriptor (non-blocking, close-on-exec). -1: err says what failed and what helps. */
int tap_open(int pidfd, const struct tap_conf *conf, struct err *err);

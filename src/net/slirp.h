/* A user's network stack (libslirp): ethernet frames of a box on one side, the host's ordinary sockets on the other.
 * Outbound IPv4 only: no forwarded ports, no DHCP, no way to the host's loopback. The resolver's address stands for
 * the host's first name server. This file is the only user of libslirp. */
#pragma once

#include "base/err.h"
#include "base/str.h"

#include <poll.h>

struct slirp_net;

struct slirp_conf {
	uint8_t network[4], mask[4], gateway[4], resolver[4];
	size_t mtu;
	/* A frame for the box. Without room it is dropped, as networks do. */
	void (*send)(void *arg, struct str frame);
	void *arg;
};

struct slirp_net *slirp_net_new(const struct slirp_conf *conf, struct err *err);
struct slirp_net *slirp_net_free(struct slirp_net *s);
void slirp_net_input(struct slirp_net *s, struct str frame); /* from the box */
/* Sleeps until one of the caller's descriptors (their revents are set) or of the stack's own is ready, or a time of the
 * stack's has come, and does the stack's work. -errno. */
int slirp_net_poll(struct slirp_net *s, struct pollfd *fds, size_t n);

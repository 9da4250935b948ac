/* The way to the internet of one worker (wick:network=internet): a wick-net process that carries the frames of a tap
 * device in the worker's network namespace. Loop thread. */
#pragma once

#include "base/err.h"
#include "sys/loop.h"

struct net_helper;

/* pidfd: of the boxed worker. go_fd: a pipe's end; a NUL is written to it when the network is up, or the reason why it
 * is not. Both are duplicated: with the caller's go_fd closed the box sees a helper that died as the end of that pipe.
 * allow: networks that are reached although they are private, "10.1.0.0/16,fd00::/8"; NULL or "": none. libexec: as in
 * struct node_conf.
 * ended: the helper is over by itself, why says it for people ("open /dev/net/tun: ..."); the network of the worker is
 * gone then. It is called once, never in here; the helper is freed by the caller in any case. */
struct net_helper *net_helper_start(struct loop *l, const char *libexec, int pidfd, int go_fd, const char *allow,
				    void (*ended)(void *arg, const char *why), void *arg, struct err *err);
struct net_helper *net_helper_free(struct net_helper *h); /* ends it */

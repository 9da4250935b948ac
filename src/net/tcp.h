/* TCP: dial (directly or through an HTTP proxy), listen, addresses as text. */
#pragma once

#include "base/err.h"
#include "sys/loop.h"

#define TCP_ADDRESS_SIZE 80 /* "[IPv6%interface]:PORT" */

struct tcp_dial;

/* Finds the host's addresses (on the pool) and tries them in turn until one answers, all within deadline_ms. proxy:
 * "http://[USER:PASSWORD@]HOST[:PORT]" (the parts percent-encoded where they must be) is asked to CONNECT instead;
 * NULL: none. done is called once and never from within tcp_dial: with a connected, non-blocking socket that the callee
 * owns, or with a negative errno and a text that names who did what (no password). */
struct tcp_dial *tcp_dial(struct loop *l, const char *host, uint16_t port, const char *proxy, unsigned deadline_ms,
			  void (*done)(void *arg, int fd, const char *error), void *arg);
/* Its owner frees it, in or after done; before, that cancels it and done is not called. NULL allowed; returns NULL. */
struct tcp_dial *tcp_dial_free(struct tcp_dial *d);

/* "ADDRESS:PORT", "[IPv6]:PORT", ":PORT" (every address of both families, where there are both); port 0: a free one.
 * Non-blocking, close-on-exec; negative with err set. */
int tcp_listen(const char *address, struct err *err);
/* The next connection, non-blocking; negative errno, -EAGAIN: none waits. */
int tcp_accept(int fd);
void tcp_address(int fd, char ret[static TCP_ADDRESS_SIZE]);      /* its own; "?" when it has none */
void tcp_peer_address(int fd, char ret[static TCP_ADDRESS_SIZE]); /* of the other side */
uint16_t tcp_port(int fd);                                        /* its own; 0 when it has none */

/* For a link: small frames go at once, and never behind megabytes in the kernel (128 KiB unsent); the kernel gives up
 * on unacknowledged data after timeout_ms. */
void tcp_tune(int fd, unsigned timeout_ms);
/* BBR where the kernel has it: it does not take each lost packet for a full line. Not for near peers, whom its pacing
 * costs CPU (a body of 6 MiB there and back over the loopback: 7.0 ms a side with it, 5.0 to 5.9 with cubic). */
void tcp_far(int fd);

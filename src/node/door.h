/* The way of a remote worker's box to Wick's API: listens in the box's network, and takes each connection to the gate
 * over a stream of the link. Loop thread. */
#pragma once

#include "net/h2.h"

struct door;

struct door_handler {
	/* A connection waits for its stream: it has this number, of its worker. */
	void (*opened)(void *arg, uint64_t connection);
};

struct door *door_new(struct loop *l, const struct door_handler *h, void *arg);
struct door *door_free(struct door *d); /* closes all; NULL allowed; returns NULL */
/* One more socket to accept from (taken over): the box's, and that of the snapshot it is made of. */
void door_listen(struct door *d, int fd);
/* The gate has opened the stream of this connection. False: there is none that waits (the stream is the caller's). */
bool door_attach(struct door *d, uint64_t connection, struct h2_stream *s);
/* The link is lost: connections go with it, those that wait for their stream wait on. */
void door_hang_up(struct door *d);
void door_again(struct door *d); /* it is back: tells of those that wait */

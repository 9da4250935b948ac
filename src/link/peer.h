/* One end of the link: frames in and out with fds, over a local unix socket. The same for gate (dials, and dials
 * again with backoff when the link is lost) and node (accepts). Everything on the loop thread. */
#pragma once

#include "link/messages.h"
#include "sys/loop.h"
#include "wire/json.h"

struct peer;

struct peer_handler {
	void (*up)(void *arg, struct peer *p);
	/* fds are the handler's to close. body is borrowed (NULL when the frame has none). */
	void (*message)(void *arg, struct peer *p, enum link_message type, const uint8_t id[static 16],
			const json_t *body, int *fds, size_t n_fds);
	void (*down)(void *arg, struct peer *p, const char *reason); /* the dialling side dials again by itself; an
									accepted peer frees itself after down */
};

struct peer *peer_dial(struct loop *l, const char *path, const struct peer_handler *h, void *arg);
struct peer *peer_accept(struct loop *l, int fd /* taken over */, const struct peer_handler *h, void *arg);
struct peer *peer_free(struct peer *p);
bool peer_is_up(const struct peer *p);
/* Queues a message; fds are duplicated. False: the link is down (the message is not sent). */
bool peer_send(struct peer *p, enum link_message type, const uint8_t id[static 16], const json_t *body, const int *fds,
	       size_t n_fds);

/* A link to one gate, as the agent sees it: the local one (node/gate_local.h) or one to a remote gateway
 * (node/gate_remote.h). A worker belongs to the link that had it started; a link sees and commands its own only. What
 * the agent does for links stands below. Loop thread. */
#pragma once

#include "base/list.h"
#include "link/messages.h"
#include "node/worker.h"

struct agent;
struct gate_link;

struct gate_link_ops {
	/* body: taken over (NULL: nothing is said). */
	void (*say)(struct gate_link *g, enum link_message type, const uint8_t id[static 16], json_t *body);
	/* The worker's process runs; the descriptors stay the caller's. */
	void (*started)(struct gate_link *g, const uint8_t id[static 16], int pid, uint64_t prepare_us, int lane,
			int log_pipe);
	/* Where requests of its snapshot come in; the caller's. */
	void (*door)(struct gate_link *g, const uint8_t id[static 16], int fd);
	/* It is gone; body as of EXITED or FAILED (taken over). */
	void (*over)(struct gate_link *g, enum link_message type, const uint8_t id[static 16], json_t *body);
	/* Asks for a package by its SHA-256. False: it cannot now (it says fetches_up when it can). NULL: never, what
	 * it has comes with its orders. */
	bool (*need)(struct gate_link *g, const char *hex);
	/* The node is to end: workers are being ended, nothing new is begun. */
	void (*leave)(struct gate_link *g);
	/* After that, when no worker is left: has all been told? (agent_settled when it has been.) */
	bool (*settled)(const struct gate_link *g);
	struct gate_link *(*free)(struct gate_link *g);
};

/* Freed with the agent only, when no worker and no preparation can name it any more. */
struct gate_link {
	struct list_link on_agent;
	const struct gate_link_ops *ops;
	struct agent *agent;
	bool gone; /* nothing is asked of it any more */
};

DEFINE_LIST(gate_links, struct gate_link, on_agent)

/* ---- what the agent does for links (node/agent.c) ---- */

struct pool *agent_pool(struct agent *a);
/* What HELLO says of the node, the same to every gate. */
json_t *agent_hello(struct agent *a);
/* A message of the gate: orders for workers of this link. fds: taken over. */
void agent_message(struct gate_link *g, enum link_message type, const uint8_t id[static 16], const json_t *body,
		   int *fds, size_t n_fds);
/* Says STATUS on this link now. */
void agent_status_to(struct gate_link *g);
void agent_devices_to(struct gate_link *g); /* the same of DEVICES */
/* The gate does not want this node, for good. When it was the only one the program ends, with this error. */
void agent_given_up(struct gate_link *g, const char *why);
void agent_settled(struct agent *a);
/* A gate took the node; for who started this program. */
void agent_joined(struct agent *a, const char *gate, const char *name);

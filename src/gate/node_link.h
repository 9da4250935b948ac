/* Remote nodes: the port where they dial in, who is taken, and the link to each, which outlives its connections.
 * node_front.c listens and asks who is there; node_link.c is the link; node_stream.c packages and doors. */
#pragma once

#include "base/list.h"
#include "gate/gate.h"
#include "gate/node_records.h"
#include "link/carrier.h"
#include "link/messages.h"
#include "wire/json.h"

struct node;
struct nodes;
struct node_link;
struct node_links;

#define LINK_EPOCH_SIZE 33

/* ---- for nodes.c and node_start.c ---- */

/* NULL: remote nodes are not listened for (setting nodes is empty); or err is set. */
struct node_links *node_links_open(struct nodes *ns, struct err *err);
struct node_links *node_links_free(struct node_links *ls);
const char *node_links_fingerprint(const struct node_links *ls);
uint16_t node_links_port(const struct node_links *ls);

/* Queued while the node is away. False: it is not known where it is. */
bool node_link_say(struct node_link *l, enum link_message type, const uint8_t id[static 16], const json_t *body);
/* The carrier of a worker's lane; whoever gets it owns it. */
struct carrier *node_link_lane(struct node_link *l, const uint8_t id[static 16]);
/* It may ask for this package (base64) from now on. */
void node_link_offer(struct node_link *l, struct str sha256, struct str blob);
void node_link_need(struct node_link *l, struct str sha256 /* hex */); /* and asks */
/* Its worker's box has opened a connection to Wick's API. */
void node_link_door(struct node_link *l, const uint8_t id[static 16], uint64_t connection);
/* Its record was changed or removed. */
void node_link_changed(struct gate *g, struct str name);
uint64_t node_link_rtt_us(const struct node_link *l);
void node_link_add_json(const struct node_link *l, json_t *j); /* address, rtt_us, ... */

/* ---- among the three ---- */

/* A connection, from its first byte on; node_front.c owns it. */
struct node_conn {
	struct list_link on_conns;
	struct node_links *links;
	struct h2 *h2;
	struct node_link *link;       /* NULL: it was not taken yet */
	char *name, *version, *token; /* as it said */
	char epoch[LINK_EPOCH_SIZE];  /* as it was told */
	bool resume;                  /* it holds the carriers of that epoch */
	bool answered;
	struct timer *patience; /* until it was taken; or what is next */
};
DEFINE_LIST(node_conn_list, struct node_conn, on_conns)

struct node_links {
	struct gate *g;
	struct nodes *nodes;
	struct tls_key *key;
	struct tls_context *tls;
	struct carriers *carriers;
	int fd;
	struct watch *watch;
	struct node_conn_list conns;
};

void node_conn_close(struct node_conn *c, const char *why);

/* Who it is has been settled: rec's. */
void node_link_take(struct node_conn *c, const struct node_record *rec);
struct node_link *node_link_by_key(struct node_links *ls, struct str key); /* NULL: it was not here lately */
/* What the node may still hold; NULL: nothing of use. */
const char *node_link_epoch(const struct node_link *l);
void node_link_down(struct node_link *l, const struct node_conn *c, const char *reason); /* that of its connection */
/* Its workers are given up. */
void node_link_give_up(struct node_link *l, const char *reason);
struct node_link *node_link_free(struct node_link *l); /* its node's is done */

/* node_stream.c. blob n == 0: it is not offered. Nothing is left behind when the connection goes. */
void node_stream_package(struct gate *g, struct h2 *conn, struct str sha256_hex, struct str blob);
void node_stream_door(struct gate *g, struct h2 *conn, const char *worker_hex, uint64_t connection);

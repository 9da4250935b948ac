/* A node as the gate sees it, for the files that make up nodes.h's other side: nodes.c (all of them), node_start.c
 * (what a worker is started with), node_link.c and node_stream.c (remote ones). */
#pragma once

#include "gate/node_link.h"
#include "gate/nodes.h"
#include "gate/place_index.h"
#include "gate/worker.h"
#include "link/peer.h"

/*	DOWN: nothing of it is here -> UP <-> AWAY: its connection is lost, its workers are kept for a while -> DOWN */
enum node_state { NODE_DOWN, NODE_UP, NODE_AWAY };

struct node {
	struct list_link on_nodes;
	struct gate *g;
	struct nodes *nodes;
	char *name;
	enum node_state state;
	struct peer *peer;      /* the local one */
	struct node_link *link; /* a remote one; NULL: it is the local one */
	unsigned cpus;
	uint64_t memory_mb;      /* what it offers for workers */
	uint64_t memory_free_mb; /* what could be used now, as it said last */
	json_t *status;          /* the last STATUS */
	json_t *hello;           /* the last HELLO */
	struct node_workers workers;
	char *why;    /* it is away or gone; NULL: it is not */
	bool drained; /* nothing new is placed on it */
	/* Starts that fail there (node_fail.c) */
	bool failing;       /* nothing new for a while */
	unsigned failures;  /* pauses in a row */
	uint64_t failed_by; /* the function whose start failed last, as a number; 0: the last has worked */
	char *failing_why;
	struct node_ailing *ailing; /* devices that gave no slice */
	size_t n_ailing;
	struct timer *failing_timer, *ailing_timer;
	/* What placement knows (node_pick.c) */
	size_t number;
	unsigned look; /* the last in which it was looked at (pool.c) */
	struct place_node place;
	struct device *devices; /* those of the books */
	size_t left_out;        /* what it told of devices that cannot be */
	struct arena arena;     /* of the two, and the labels */
};

DEFINE_LIST(node_list, struct node, on_nodes)

struct nodes {
	struct gate *g;
	struct node_list list;
	struct node *local;
	struct node_links *links; /* NULL: remote nodes are not listened for */
	struct place_index *index;
	struct node **by_number;
	size_t n_numbers;
	uint8_t seed[16]; /* of roles' numbers */
	uint64_t began_us;
};

struct node *node_new(struct nodes *ns, struct str name);
/* Its workers are gone as with a node that died. */
void node_free(struct node *n);
void node_set_record(struct node *n, const struct node_record *rec); /* what people have said of it */
/* A connection is there and the node has said who it is. */
void node_hello(struct node *n, const json_t *body);
/* A message, but HELLO. True: its fds were taken over, so many of them. */
size_t node_message(struct node *n, enum link_message type, const uint8_t id[static 16], const json_t *body,
		    const int *fds, size_t n_fds);
void node_away(struct node *n, const char *reason); /* its workers wait for it */
void node_back(struct node *n);                     /* and it is back with them */
void node_gone(struct node *n, const char *reason); /* its workers are dead */
/* False: it is not there, nothing is said. */
bool node_say(struct node *n, enum link_message type, const uint8_t id[static 16], json_t *body /* taken */,
	      const int *fds, size_t n_fds);
/* START and PREPARE (node_start.c). A worker whose packages are gone fails. */
void node_start(struct node *n, struct worker *w);
void node_prepare(struct node *n, const struct function *f);
/* ---- node_pick.c ---- */
void node_describe(struct node *n); /* its HELLO, its devices or its record are others */
void node_refresh(struct node *n);  /* its state or its memory is */
/* Chooses a place for a worker and books it. False: there is none now. */
bool node_pick(struct worker *w);
/* Has it the labels for fn, and is not drained? What people may change while workers are there. */
bool node_may_run(const struct node *n, const struct fn *fn);
struct node *node_pick_for(struct fn *fn); /* where one would be started; NULL: nowhere */
/* Books what a worker held before this gate was there. False: that is not to be had. */
bool node_pick_past(struct worker *w, struct node *n, const json_t *slices);
void node_lend(struct worker *w);       /* what it holds is others' to have */
bool node_hold_again(struct worker *w); /* false: others have it */
/* If those workers of the node that may leave were gone, would fn have a place there? The one of them whose leaving is
 * next: one that leaves already, else the one that is idle the longest; NULL: it would not. */
struct worker *node_in_the_way(struct node *n, const struct fn *fn, bool (*may_leave)(const struct worker *w));
/* On any node, by those that leave already. */
struct worker *nodes_in_the_way(const struct fn *fn, bool (*leaves)(const struct worker *w));
bool node_lacks_devices(const struct node *n, const struct fn *fn); /* else it is memory that it lacks */
bool node_looked_at(struct node *n, unsigned look);                 /* in this look; it is now */
void node_leave(struct worker *w); /* its node, giving back what it held; nothing when it has none */
void node_wish(const struct fn *fn, struct place_wish *ret);
bool node_find(struct nodes *ns, const struct place_wish *wish, struct place_choice *choice);
/* ---- node_fail.c ---- */
/* A start has failed with that. True: by the node's doing, or its device's, which is avoided for a while: who waits for
 * the worker is to be served by another. */
bool node_failed(struct worker *w, struct str type, struct str error);
void node_worked(struct worker *w);    /* it has started */
void node_ailing_show(struct node *n); /* in its books, when those are new */
void node_ailing_over(void *arg);
void node_try_again(void *arg);
void node_fail_done(struct node *n);
uint64_t fn_avoids_us(const struct fn *fn);       /* for so long it avoids fn->avoid; 0: not any more */
json_t *node_leases_json(const struct worker *w); /* for START */
extern const uint8_t node_no_id[16];

/* The gate's objects, built in main.c in this order and torn down in the reverse. Each is owned by its own file; the
 * others hold a pointer to this struct and use that file's functions. */
#pragma once

#include "gate/conf.h"
#include "model/price.h"
#include "store/blob.h"
#include "store/store.h"
#include "sys/loop.h"

struct gate {
	struct gate_conf conf;
	struct loop *loop;
	struct store *store;
	struct blobs *blobs;
	struct keys *keys; /* keys.c: root key, roles' temporary keys, signing key cache */
	struct price_book prices;
	struct logs *logs;           /* logs.c: function logs on disk */
	struct meter *meter;         /* meter.c: usage waiting to be stored, counters */
	struct functions *functions; /* functions.c: deployed functions in memory, with their queues and workers */
	struct pool *pool;           /* pool.c: every worker */
	struct node_records *node_records; /* node_records.c: who has joined, and tokens to join with */
	struct nodes *nodes;               /* nodes.c: the link to each node */
	struct recent *recent;             /* recent.c: invocations that ended last */
	struct provision *provision;       /* provision.c: workers that are kept warm */
	struct jobs *jobs;                 /* jobs.c: durable events */
	struct reap *reap;                 /* reap.c: dead blobs, idle workers */
	struct objects *objects;           /* objects.c: small objects in memory */
	struct reqs *reqs;                 /* req.c: every request that is alive */
	struct http_server *http;          /* front.c */
	struct timer *quiet;               /* main.c: draining, until nothing is pending */
	bool draining;
};

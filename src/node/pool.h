/* All workers of the node, by id. Loop thread. */
#pragma once

#include "node/worker.h"

struct pool;

struct pool_handler {
	void (*started)(void *arg, const uint8_t id[static 16], int pid, uint64_t prepare_us, int lane, int log_pipe);
	void (*failed)(void *arg, const uint8_t id[static 16], const char *type, const char *error);
	void (*exited)(void *arg, const uint8_t id[static 16], const struct child_exit *ex, bool oom);
	void (*empty)(void *arg); /* no worker and nothing left of any; after pool_abandon in any case */
};

struct pool *pool_new(struct loop *l, const struct node_conf *conf, const struct pool_handler *h, void *arg,
		      struct err *err);
struct pool *pool_free(struct pool *p); /* when it is empty */
/* zip: taken over, -1 for none. */
void pool_start(struct pool *p, const uint8_t id[static 16], const json_t *order, int zip);
void pool_stop(struct pool *p, const uint8_t id[static 16], uint64_t grace_ms); /* an unknown id is gone already */
/* Ends them all at once; nothing is said of them any more. */
void pool_abandon(struct pool *p);
size_t pool_count(const struct pool *p);
uint64_t pool_memory_mb(const struct pool *p); /* promised to workers */

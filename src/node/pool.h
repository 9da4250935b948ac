/* All workers of the node, by id. Loop thread. */
#pragma once

#include "node/worker.h"

struct pool;
struct gate_link;

/* owner: the link that had the worker started. */
struct pool_handler {
	void (*started)(void *arg, struct gate_link *owner, const uint8_t id[static 16], int pid, uint64_t prepare_us,
			int lane, int log_pipe); /* the fds stay the pool's */
	void (*door)(void *arg, struct gate_link *owner, const uint8_t id[static 16], int fd); /* the handler's */
	void (*failed)(void *arg, struct gate_link *owner, const uint8_t id[static 16], const char *type,
		       const char *error, struct str output);
	void (*exited)(void *arg, struct gate_link *owner, const uint8_t id[static 16], const struct worker_end *end);
	/* What came of pool_park; error NULL: it is done, in us microseconds. */
	void (*parked)(void *arg, struct gate_link *owner, const uint8_t id[static 16], bool on, uint64_t us,
		       const char *error);
	void (*changed)(void *arg); /* zygotes came or went */
	void (*devices)(void *arg); /* the list of devices is another, or was measured anew */
	void (*empty)(void *arg);   /* no worker and nothing left of any; after pool_abandon in any case */
};

struct pool *pool_new(struct loop *l, const struct node_conf *conf, const struct pool_handler *h, void *arg,
		      struct err *err);
struct pool *pool_free(struct pool *p); /* when it is empty */
/* zips: taken over; the package and the layers, as far as they came. What did not come is fetched from the owner. */
void pool_start(struct pool *p, struct gate_link *owner, const uint8_t id[static 16], const json_t *order,
		const int *zips, size_t n_zips);
/* The packages of a function that may be called soon: {function, layers}, zips as pool_start's. */
void pool_prepare(struct pool *p, struct gate_link *owner, const json_t *order, const int *zips, size_t n_zips);
/* Of workers of this owner only; another's, or an unknown id, is nothing. */
void pool_freeze(struct pool *p, const struct gate_link *owner, const uint8_t id[static 16], bool on);
/* Its device memory goes to the host's, and its slice is others' to have; or (off) it takes both again. */
void pool_park(struct pool *p, const struct gate_link *owner, const uint8_t id[static 16], bool on);
bool pool_is_parked(struct pool *p, const struct gate_link *owner, const uint8_t id[static 16]);
void pool_stop(struct pool *p, const struct gate_link *owner, const uint8_t id[static 16], uint64_t grace_ms);
/* Modules that a worker of this package imported. */
void pool_learn(struct pool *p, struct str sha256, struct str names);
json_t *pool_zygotes(const struct pool *p);
json_t *pool_devices(const struct pool *p); /* array; the caller's reference */
/* Ends all of this owner at once; nothing is said of them any more. */
void pool_abandon(struct pool *p, const struct gate_link *owner);
void pool_drop(struct pool *p, const struct gate_link *owner, const uint8_t id[static 16]); /* the same of one */
size_t pool_count(const struct pool *p, const struct gate_link *owner);                     /* owner NULL: all */
/* Calls handler->empty when there is no worker, now or later. */
void pool_settle_soon(struct pool *p);
/* Packages that came, and what links do about those that are wanted (node/fetch.h). */
struct fetches *pool_fetches(struct pool *p);

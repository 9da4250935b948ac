/* The nodes as the gate sees them: the local one over the unix link, and remote ones that have dialled. */
#pragma once

#include "gate/worker.h"
#include "model/function.h"

struct nodes *nodes_open(struct gate *g, struct err *err);
struct nodes *nodes_free(struct nodes *n);
bool nodes_any_up(const struct gate *g);
/* Of all that are up */
unsigned nodes_cpus(const struct gate *g);
uint64_t nodes_memory_mb(const struct gate *g);         /* for workers */
uint64_t nodes_memory_largest_mb(const struct gate *g); /* the most that one has */
/* The most that one which is not there now may have: it is away, or has joined and did not come since the gate began,
 * not long ago. */
uint64_t nodes_memory_could_mb(const struct gate *g);
uint64_t nodes_memory_free_mb(const struct gate *g); /* as they said last: what could be used now */
/* Chooses a node for a worker of fn, starts it there. False: none has room for it. */
bool nodes_start_worker(struct gate *g, struct worker *w);
void nodes_stop_worker(const struct worker *w, const char *reason, unsigned grace_ms);
/* An idle worker gets no CPU until it is thawed; thawing is said with the INVOKE, not waited for. */
void nodes_freeze(const struct worker *w, bool on);
void nodes_park(const struct worker *w, bool on);
/* f was deployed: its packages are unpacked before the first call needs them, where it will run. */
void nodes_prepare(struct gate *g, const struct function *f);
/* A worker imported these of the machine's own modules (FRAME_KEY_IMPORTS). */
void nodes_learnt(const struct worker *w, struct str imports);
/* [{name, state, up, cpus, memory_mb, memory_free_mb, workers, zygotes: [as in STATUS]}]; the caller's. */
json_t *nodes_json(const struct gate *g);
const char *nodes_fingerprint(
	const struct gate *g);             /* of the key that remote nodes see; "" when they are not listened for */
uint16_t nodes_port(const struct gate *g); /* where; 0 */
/* Why a worker of fn has no place now, in words. */
void nodes_why(struct gate *g, const struct fn *fn, struct buf *text);
/* Where a worker runs and on what: " It runs on node gpu1, on 3/8 of NVIDIA H200 (mps)." */
void nodes_where(const struct worker *w, struct buf *text);
/* Where one would be started: {function, wish, chosen, reason, candidates} (docs/api-wick.md); the caller's. */
json_t *nodes_place_json(struct gate *g, const struct fn *fn);
bool nodes_some_to_come(const struct gate *g); /* a node that has joined was not here yet since the gate began */
/* -1: what is wished for is more than any device of its kinds has; err says what there is. Kinds that no node has yet
 * are no error: a node may come. */
int nodes_could_place(struct gate *g, const struct slice_wish *d, struct err *err);

/* The nodes as the gate sees them: one, local, over the unix link (more by later issues). */
#pragma once

#include "gate/worker.h"
#include "model/function.h"

struct nodes *nodes_open(struct gate *g);
struct nodes *nodes_free(struct nodes *n);
bool nodes_any_up(const struct gate *g);
unsigned nodes_cpus(const struct gate *g);
uint64_t nodes_memory_mb(const struct gate *g); /* for workers */
void nodes_start_worker(struct gate *g, struct worker *w);
void nodes_stop_worker(struct gate *g, const uint8_t id[static 16], const char *reason, unsigned grace_ms);
/* An idle worker gets no CPU until it is thawed; thawing is said with the INVOKE, not waited for. */
void nodes_freeze(struct gate *g, const uint8_t id[static 16], bool on);
/* f was deployed: the node unpacks its packages before the first call needs them. */
void nodes_prepare(struct gate *g, const struct function *f);
/* A worker of fn imported these of the machine's own modules (FRAME_KEY_IMPORTS). */
void nodes_learnt(struct gate *g, const struct fn *fn, struct str imports);
uint64_t nodes_memory_free_mb(const struct gate *g); /* as the node said last: what could be used now */
/* [{name, up, cpus, memory_mb, memory_free_mb, workers, zygotes: [as in STATUS]}]; the caller's. */
json_t *nodes_json(const struct gate *g);

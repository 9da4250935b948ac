/* One worker: from the order to start it until its process and all it left are gone. Loop thread. */
#pragma once

#include "node/code.h"
#include "node/conf.h"
#include "sys/child.h"
#include "wire/json.h"

struct worker;

/* Exactly one of failed and exited ends a worker, whose memory is freed when it returns. */
struct worker_handler {
	void (*started)(void *arg, struct worker *w, uint64_t prepare_us, int lane, int log_pipe); /* fds: ours */
	void (*failed)(void *arg, struct worker *w, const char *type, const char *error);
	void (*exited)(void *arg, struct worker *w, const struct child_exit *ex, bool oom);
};

struct worker_site {
	struct loop *loop;
	struct code *code;
	const struct node_conf *conf;
	const char *tmp; /* folder for the workers' own folders */
	const struct worker_handler *handler;
	void *arg;
	size_t *jobs; /* counts removals on pool threads that are under way */
};

/* order: the body of START. zip: taken over, -1 for none. failed may be called later only, never in here. */
struct worker *worker_start(const struct worker_site *site, const uint8_t id[static 16], const json_t *order, int zip);
/* SIGTERM now and SIGKILL after grace_ms; 0: SIGKILL. A worker that waits for its code fails. */
void worker_stop(struct worker *w, uint64_t grace_ms);
const uint8_t *worker_id(const struct worker *w);
uint32_t worker_memory_mb(const struct worker *w);
int worker_pid(const struct worker *w); /* -1: no process (yet) */
/* Ends it when it is over its memory. True: it uses other memory than at the last look. */
bool worker_watch_memory(struct worker *w);

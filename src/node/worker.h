/* One worker: from the order to start it until its process is gone. Loop thread. */
#pragma once

#include "node/code.h"
#include "node/conf.h"
#include "node/groups.h"
#include "node/learn.h"
#include "node/plan.h"
#include "node/pooled.h"
#include "node/prepare.h"
#include "node/slices.h"
#include "node/zygotes.h"
#include "sys/child.h"
#include "wire/json.h"

struct worker;
struct snapshots;

struct worker_end {
	struct child_exit exit;
	uint64_t peak_kib; /* memory at its highest; 0: not known */
	bool oom;
	const char *device_type; /* why its slice was lost (node/slices.h), and in words; NULL: it was not */
	const char *device_text;
};

/* Exactly one of failed and exited ends a worker, whose memory is freed when it returns. */
struct worker_handler {
	void (*started)(void *arg, struct worker *w, uint64_t prepare_us, int lane, int log_pipe); /* fds: ours */
	void (*door)(void *arg, struct worker *w, int fd); /* of its snapshot (node/snapshot.h); fd: the receiver's */
	/* output: what it had printed, the end of it. */
	void (*failed)(void *arg, struct worker *w, const char *type, const char *error, struct str output);
	void (*exited)(void *arg, struct worker *w, const struct worker_end *end);
};

/* What all workers of a node share. */
struct worker_site {
	struct loop *loop;
	struct code *code;
	struct fetch_from from;
	struct groups *groups;
	struct zygotes *zygotes;
	struct pooled *pooled;
	struct snapshots *snapshots;
	struct slices *slices;
	struct learn *learn;
	const struct plan_host *host;
	const struct node_conf *conf;
	const char *code_folder;
	const struct worker_handler *handler;
	void *arg;
	size_t *jobs; /* counts what is under way on pool threads */
};

/* order: the body of START. zips: taken over; the package, then the layers. failed may be called later only, never in
 * here. */
struct worker *worker_start(const struct worker_site *site, const uint8_t id[static 16], const json_t *order,
			    const int *zips, size_t n_zips);
/* Its lane was closed by the gate, and it is ended when it is still there after grace_ms; 0: now. One that does not run
 * yet fails, later and not in here. */
void worker_stop(struct worker *w, uint64_t grace_ms);
void worker_freeze(struct worker *w, bool on);
struct slice_hold *worker_slice(const struct worker *w); /* NULL: it holds none */
const uint8_t *worker_id(const struct worker *w);
int worker_pid(const struct worker *w); /* -1: no process (yet) */
/* Where the kernel enforces no limit: ends it when it is over its memory. True: it uses other memory than at the last
 * look. */
bool worker_watch_memory(struct worker *w);

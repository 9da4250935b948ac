/* What it takes to start one worker, as a box plan made by pure rules: which runtime, what its box holds, its whole
 * environment. worker.c carries it out. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/kv.h"
#include "model/options.h"
#include "wire/boxplan.h"

#define PLAN_TASK_ROOT   "/var/task"
#define PLAN_LAYERS      "/opt"
#define PLAN_POOL_CODE   "/run/wick/code" /* where a pooled box sees the node's packages until it is given one */
#define PLAN_API_PORT    9000             /* Wick's API in the box */
#define PLAN_RUNTIME_API "127.0.0.1:9001"

/* Top-level folders of this machine that are links on some systems and folders on others. */
struct plan_link {
	const char *path;
	char *target; /* NULL: a folder of its own, which is bound */
};
struct plan_host {
	struct plan_link links[6];
	size_t n_links;
};
void plan_host_look(struct plan_host *ret); /* the only function here that looks at the system */
void plan_host_done(struct plan_host *h);

/* What a worker's box holds beyond those of other workers: slices of devices (node/slices.c). */
struct plan_slice {
	const struct box_op *ops; /* DIR, LINK and BIND, in their order */
	size_t n_ops;
	const struct kv *env;
	size_t n_env;
	const char *const *writable; /* in the box, beside /dev: for Landlock */
	size_t n_writable;
};
#define PLAN_SLICE_OPS_MAX 128

enum plan_kind {
	PLAN_WORKER,
	PLAN_SNAPSHOT, /* a worker that forks workers after its initialisation */
	PLAN_RESTORE,  /* forked from that one, in its root */
	PLAN_POOL,     /* a box without a function */
	PLAN_SPECIAL   /* what makes such a box a function's */
};

struct plan_order {
	enum plan_kind kind;
	const struct plan_host *host;
	const struct function *f; /* not for POOL */
	const struct function_options *opt;
	const json_t *env;              /* {NAME: value, ...}, complete as the gate made it */
	const char *task_root;          /* host folder of the unpacked package */
	const char *layers;             /* host folder of the layers, or NULL */
	const char *code_folder;        /* POOL and SPECIAL: where all packages lie */
	const struct plan_slice *slice; /* WORKER only; NULL: none */
	unsigned extra_fds;             /* fds 2, ...: for the runtime: the control socket of a snapshot */
	unsigned joins;                 /* fds after those: what CGROUP writes to */
	bool wait;                      /* the last fd: a pipe that is waited for */
};

/* The program that makes zygotes for such functions: "wick-python". */
const char *plan_program(enum runtime_kind k);
/* Everything lives in a, or in what o points to. -1: err names what is wrong with the environment. */
int plan_make(struct boxplan *ret, const struct plan_order *o, struct arena *a, struct err *err);

/* What it takes to start one worker, as plain data made by pure rules: which program, its arguments, its whole
 * environment and its folder. worker.c carries it out; the box plan will be built here. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "model/function.h"

/* What worker.c prepares before the plan is made. */
struct plan_place {
	const char *task_root;   /* the unpacked package */
	const char *runtime_dir; /* where the runtime's program lies */
	const char *tmp;         /* the worker's own folder for temporary files */
};

struct start_plan {
	const char *program; /* full path */
	char **argv;
	char **envp;
	const char *cwd;
};

#define PLAN_LANE_FD 3

/* The program that runs such functions ("wick-python"), or NULL and err says what there is and what will come. */
const char *plan_runtime(const struct function *f, struct err *err);
/* env: {NAME: value, ...}, complete as the gate made it. The plan lives in a. -1: err names what is wrong with it. */
int plan_make(struct start_plan *ret, const struct function *f, const json_t *env, const struct plan_place *where,
	      struct arena *a, struct err *err);

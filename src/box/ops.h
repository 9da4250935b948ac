/* The operations of a box plan, one at a time: for box.c and template.c only. */
#pragma once

#include "base/err.h"
#include "wire/boxplan.h"

struct box_result;

struct box {
	const struct boxplan *plan;
	const int *fds;
	int root;     /* of the new tree, then of the box: where `to` begins; -1: not yet */
	int landlock; /* rule set; -1: none yet */
	struct box_result *result;
	const char *at; /* where a new root is attached until PIVOT */
};

/* Operation i of the plan. -1: err names it and the reason. */
int box_do(struct box *b, size_t i, struct err *err);
/* The new tree becomes what `to` begins at; the old root stays reachable by its paths. Takes the tree over. -errno. */
int box_set_root(struct box *b, int tree);
int box_open_root(struct box *b);        /* of the box that the process is in; -errno */
int box_rlimit(const struct box_op *op); /* -errno */

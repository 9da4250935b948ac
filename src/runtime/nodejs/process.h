/* One Node.js as a child of this program: started with the runtime's script, then told which function it is. */
#pragma once

#include "base/err.h"
#include "wire/boxplan.h"

#include <sys/types.h>

struct node_process {
	pid_t pid;
	int channel; /* our end of what Node.js takes for its parent's channel */
};

#define NODE_PROCESS_NULL ((struct node_process){.pid = -1, .channel = -1})

/* Started in the box with this process's environment. memory_mb: the function's, or the most that one can have.
 * drop_rights: this process keeps what it may, the child is left with what a worker may. */
int node_start(struct node_process *ret, uint64_t memory_mb, bool drop_rights, struct err *err);
/* Until it has loaded what all functions need. -1: it never will. */
int node_wait_loaded(struct node_process *p, struct err *err);
/* Goes the way of a function with it once, so that none has to go it for the first time. */
int node_rehearse(struct node_process *p, struct err *err);
/* It gets the plan's environment and its end of the lane, and is a worker from then on. lane stays the caller's. */
int node_specialise(struct node_process *p, const struct boxplan *plan, int lane, struct err *err);
/* Reaps whatever ends in the box until Node.js does. Returns its exit status; 128 and the signal's number if one
 * ended it. SIGTERM is passed on to it meanwhile. */
int node_wait(struct node_process *p);

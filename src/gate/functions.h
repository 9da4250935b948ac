/* Deployed functions in memory: read from the store when first named, kept while used. Each version holds the queue of
 * the invocations that wait for it and its workers. */
#pragma once

#include "gate/gate.h"
#include "model/function.h"

struct functions *functions_new(struct gate *g);
struct functions *functions_free(struct functions *fs);
/* The definition of $LATEST (borrowed until the next loop turn), or NULL: no such function. Memory, or one point
 * read. */
const struct function *functions_get(struct gate *g, struct str name);
/* After a commit that changed or deleted it, or what is configured beside it (an alias, a reservation, provisioned
 * concurrency): workers of a definition that is no more finish what they do and end; those of published versions, and
 * of a $LATEST that is as it was, stay. */
void functions_changed(struct gate *g, struct str name);

/* Invocations that functions without a reservation may run at once, what provisioned concurrency covers left out. */
unsigned functions_shared_limit(const struct gate *g);

/* Function versions that are in memory, with what they do now. */
struct function_activity {
	struct str name, version;
	unsigned queued, starting, idle, busy;
};
void functions_each(struct gate *g, void (*fn)(void *arg, const struct function_activity *a), void *arg);

/* X-Amzn-Trace-Id: which chain of invocations a call belongs to, and how often it went through a function. Source: AWS
 * X-Ray Developer Guide, "Tracing header"; AWS Lambda Developer Guide, "Lambda recursive loop detection". Pure.
 *
 *   Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1;Lineage=1a2b3c4d:3|5e6f7a8b:1 */
#pragma once

#include "base/arena.h"

#define TRACE_LINEAGE_MAX 32 /* functions remembered; the least often visited one is forgotten first */
#define TRACE_RANDOM_SIZE 20 /* bytes of randomness trace_next uses */

struct trace_lineage {
	uint32_t function; /* a hash of its ARN */
	uint32_t count;
};

struct trace {
	struct str root;   /* n == 0: none */
	struct str parent; /* 16 hex digits, n == 0: none */
	int sampled;       /* 1, 0, or -1: not said */
	struct trace_lineage lineage[TRACE_LINEAGE_MAX];
	size_t n_lineage;
};

/* Reads leniently: fields that are unknown or malformed are left out, since the header comes from anybody. The strings
 * are views into s. */
void trace_parse(struct str s, struct trace *ret);
char *trace_format(struct arena *a, const struct trace *t);
/* The trace under which function_arn is about to run, caused by `in` (n == 0: by nothing): a new root where there is
 * none, a new parent, and the function counted once more. *rounds is that count, at least 1. */
char *trace_next(struct arena *a, struct str in, struct str function_arn,
		 const uint8_t random[static TRACE_RANDOM_SIZE], int64_t now_s, uint32_t *rounds);

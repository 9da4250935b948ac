/* Why an invocation waits: a reason that programs know and a sentence for people, both from the view that placement
 * decides by. Pure. */
#pragma once

#include "base/buf.h"

/*	name, what programs are told */
#define WAIT_REASONS(X)                                                                                                \
	X(NONE, "")                                                                                                    \
	X(STARTING, "starting")           /* workers for it are on their way */                                        \
	X(BUSY, "busy-workers")           /* all are at work; one is free sooner than a new one could start */         \
	X(NO_NODE, "node-gone")           /* no machine is there */                                                    \
	X(TOO_LARGE, "too-large")         /* it asks for more memory than the machine has; never */                    \
	X(NO_MEMORY, "no-memory")         /* others have it */                                                         \
	X(RESERVED, "reserved-limit")     /* its reserved concurrency is used up */                                    \
	X(ACCOUNT, "account-limit")       /* what the account's limit leaves is used up */                             \
	X(CRASH_LOOPING, "crash-looping") /* its starts fail; who calls is told so at once */                          \
	X(BACKING_OFF, "backing-off")     /* a start has failed; the next try is soon */                               \
	X(STARTS, "starts-at-once")       /* others are starting, and more would only slow them down */                \
	X(FAIR_SHARE, "fair-share")       /* others who wait have less */                                              \
	X(NO_PLACE, "no-place")           /* no node that is fit for it has room (gate/place_node.h says why) */

#define WAIT_ENUM(name, text) WAIT_##name,
enum wait_reason { WAIT_REASONS(WAIT_ENUM) WAIT_REASON_COUNT };
#undef WAIT_ENUM

/* How far a worker is that is on its way. */
enum start_stage { START_ASKED, START_BOXING, START_INIT };

const char *wait_reason_name(enum wait_reason r);

struct place_view;
/* One sentence, as "All its 4 workers are busy.". */
void wait_text(struct buf *b, enum wait_reason r, const struct place_view *v);

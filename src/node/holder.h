/* Holds the lane of a worker whose gate is remote: the worker's socket and pipe on one side, a carrier to the gate on
 * the other, whole frames between. The clock of a run is here, and so is its limit: both hold while the gate is away.
 * Loop thread. */
#pragma once

#include "link/carrier.h"
#include "link/lane.h"

struct holder;

struct holder_handler {
	/* It is to be ended: at once, or after grace_ms if it has not left (its lane is closed). why: for the log. */
	void (*stop)(void *arg, struct holder *h, uint64_t grace_ms, const char *why);
	/* It is about to be given something to do. */
	void (*thaw)(void *arg, struct holder *h);
	/* Where its box's requests to Wick's API come in; the handler's now. */
	void (*listening)(void *arg, struct holder *h, int fd);
};

struct holder_conf {
	struct loop *loop;
	struct carriers *carriers;
	const int64_t *clock_off_ms; /* this machine's clock less the gate's; borrowed */
	const struct holder_handler *handler;
	void *arg;
};

/* lane, log_pipe: taken over. */
struct holder *holder_new(const struct holder_conf *conf, int lane, int log_pipe);
struct holder *holder_free(struct holder *h); /* NULL allowed; returns NULL */
/* The gate has opened a stream for it. */
void holder_attach(struct holder *h, struct h2_stream *s);
void holder_detach(struct holder *h); /* that connection is gone */
bool holder_attached(const struct holder *h);
/* The gate wants no more of the worker: its lane is closed, so that it can leave by itself. */
void holder_close(struct holder *h);
/* Its process is gone: what it said before is read to its end. */
void holder_exited(struct holder *h);
/* Its lane is over and the gate has all of it. */
bool holder_settled(const struct holder *h);
bool holder_is_busy(const struct holder *h); /* has an invocation in hand */
/* Initialised, nothing in hand, its lane whole: another life of the gate can take it up. */
bool holder_is_idle(const struct holder *h);
unsigned holder_concurrency(const struct holder *h); /* as it said when it was initialised; 0 before */
/* The gate has begun anew: what was said to the one before is dropped. Only of idle ones. */
void holder_restart(struct holder *h);

/* Without a connection, for tests. */
struct carrier *holder_carrier(struct holder *h);

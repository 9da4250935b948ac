/* Parking: an idle worker's device memory goes to host memory, and comes back when the worker is needed. Done by CUDA's
 * driver, asked by a program of its own, wick-park, that is started once and serves all workers of the node one after
 * the other (opening the driver costs seconds, and a call of it may hang: then that program is killed, not the node).
 * Loop thread. */
#pragma once

#include "base/err.h"
#include "sys/loop.h"

struct park;

struct park_conf {
	const char *libexec; /* as in struct node_conf; copied */
	uint64_t limit_ms;   /* for one parking, one waking and the start of wick-park: then it is killed */
	/* A worker that was parked when wick-park ended by itself or was killed, once for each; why is for people. What
	 * is parked is the driver's and the worker's, so a wake (by a new wick-park) may well succeed; an owner that
	 * cannot wait for that to fail ends the worker. May be NULL. Neither park_free nor park_start in it. */
	void (*lost)(void *arg, int pid, const char *why);
	void *arg;
};

/* What came of park_ask: ok, with the microseconds that the driver took; or not, and error says why ("lock: device not
 * ready (CUDA_ERROR_NOT_READY)"). An error of a parking leaves the worker running where the driver can; an error of a
 * waking leaves it of no use. park_ask and park_forget may be called in it, park_free not. */
typedef void park_done(void *arg, bool ok, uint64_t us, const char *error);

struct park *park_new(struct loop *l, const struct park_conf *conf);
/* Ends wick-park. Nobody is called. Waits for the program's end, which a call that hangs in the kernel can delay. */
struct park *park_free(struct park *p);
/* Starts wick-park ahead of the first ask, so that this does not wait for the driver: when a worker that may be parked
 * starts. No-op when it runs. -1: err. */
int park_start(struct park *p, struct err *err);
/* Parks (on) or wakes a worker: of its first process (pid, in this process's pid namespace) and its descendants those
 * that use CUDA; a worker in which none does is an error. done is called once, never in here, unless the worker is
 * forgotten before. The driver needs the worker's own threads for it, so one that is frozen (its control group) must be
 * thawed until done is called, else it hangs. The copy is the worker's memory: its control group must have room. */
void park_ask(struct park *p, int pid, bool on, park_done *done, void *arg);
/* The worker has ended (or its owner has): nobody is called for it any more. Must be called before pid can be used
 * anew, for one that is parked or asked for. */
void park_forget(struct park *p, int pid);
/* Why nothing can be parked on this machine: no driver, or one that is too old. NULL: it can be, or is not known yet
 * (nothing was started). Such a worker is to be ended where it would be parked; park_ask fails with the same text. */
const char *park_unsupported(const struct park *p);

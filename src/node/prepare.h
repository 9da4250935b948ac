/* What has to be on this node before a function can run: its package and layers, unpacked, and what they import. Loop
 * thread. */
#pragma once

#include "model/options.h"
#include "node/code.h"
#include "node/learn.h"

#define PREPARE_ZIPS_MAX (1 + CODE_MERGE_MAX)

struct prepare_site {
	struct loop *loop;
	struct code *code;
	struct fetch_from from; /* what did not come is had from there */
	struct learn *learn;
	size_t *jobs; /* counts what is under way on pool threads */
};

/* Called once, maybe before prepare_start returns. The references are the receiver's; layers NULL: it has none.
 * package NULL: type and error say why. */
typedef void prepare_ready(void *arg, struct code_package *package, struct code_package *layers, const char *type,
			   const char *error);

struct preparation;

/* f: its strings are copied. layers: [{sha256}, ...]. zips: taken over; the package and the layers, as far as they
 * came. ready NULL: nobody waits, it is for later. *ret (may be NULL) is set before anything is called: what
 * prepare_leave takes until ready is called. */
void prepare_start(const struct prepare_site *site, const struct function *f, enum runtime_kind kind,
		   const json_t *layers, const int *zips, size_t n_zips, prepare_ready *ready, void *arg,
		   struct preparation **ret);
/* Who waited does not any more; ready is not called. */
void prepare_leave(struct preparation *p);

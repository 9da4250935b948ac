/* What is configured about a function beside its document: aliases, URL, reserved and provisioned concurrency. Point
 * reads of the store, for who keeps the answer in memory with the function (functions.c) or needs it once. A commit
 * that changes one of them is followed by functions_changed or records' own notice to functions.c. */
#pragma once

#include "gate/gate.h"
#include "model/alias.h"
#include "model/url_conf.h"

/* False: there is none. Strings live in a. */
bool record_alias(struct gate *g, struct arena *a, struct str function, struct str alias, struct alias *ret);
bool record_url(struct gate *g, struct arena *a, struct str function, struct str qualifier /* n == 0: none */,
		struct url_conf *ret);
bool record_reserved(struct gate *g, struct str function, unsigned *ret);
/* Every reservation there is: the account's limit less their sum is for the other functions. Called at the start. */
void record_each_reserved(struct gate *g, void (*each)(void *arg, struct str function, unsigned n), void *arg);
/* Every provisioned concurrency there is: qualifier is a version or an alias. Called at the start, too. */
void record_each_provisioned(struct gate *g, struct str function /* n == 0: of all */,
			     void (*each)(void *arg, struct str function, struct str qualifier, unsigned n), void *arg);

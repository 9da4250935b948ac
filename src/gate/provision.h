/* Provisioned concurrency: workers that are started before anybody asks, kept warm, and replaced when they go. What is
 * asked for is in the store (gate/records.h); this file keeps the number of workers there. */
#pragma once

#include "gate/gate.h"

struct provision *provision_new(struct gate *g); /* reads what is configured */
struct provision *provision_free(struct provision *p);
/* After a commit that changed the configuration, a version or an alias of this function (functions_changed does it). */
void provision_changed(struct gate *g, struct str name);
/* For GetProvisionedConcurrencyConfig: of a version or an alias. Nothing configured: all 0. status: "IN_PROGRESS",
 * "READY", "FAILED". */
void provision_status(struct gate *g, struct str name, struct str qualifier, unsigned *requested, unsigned *allocated,
		      unsigned *available, const char **status);

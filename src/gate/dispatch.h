/* The run of an invocation on its worker. */
#pragma once

#include "gate/invoke.h"

/* The client is gone: true when the invocation was only waiting and will not run. */
bool dispatch_cancel_queued(struct invocation *inv);

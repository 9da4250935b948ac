/* A bucket's notification configuration: ours merged with what is there. Pure. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "cli/plan.h"

/* Writes the document to put: what `current` (XML, may be empty) holds but for the entries that a deploy of one of
 * the plan's functions made earlier, and the plan's triggers on this bucket. */
int notification_merge(const struct plan *p, struct str bucket, struct str current, struct str region,
		       struct str account, struct buf *ret, struct err *err);

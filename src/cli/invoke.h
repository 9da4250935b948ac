/* The event of an invocation, as the flag --event says it. */
#pragma once

#include "cli/cli.h"

/* JSON, @FILE or - (standard input); {} without the flag. */
int event_read(const struct cli *c, struct buf *b, struct err *err);

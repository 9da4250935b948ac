/* The reply step, and what streams need of it. */
#pragma once

#include "gate/invoke.h"

/* Gives r's reply to its connection, now. */
void reply_send(struct req *r);
/* Takes a header out of the reply that is being made; p == NULL: it is not there. */
struct str reply_take_header(struct req *r, const char *name);
/* The headers of an invocation's answer that are known from its start: the version, the trace. */
void reply_add_version(struct req *r);
/* The end of the invocation's log, base64. */
void reply_log_result(const struct invocation *inv, struct buf *b);

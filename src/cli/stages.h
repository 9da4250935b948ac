/* Where the time of an invocation went, as the gate says it in the headers of an answer (wick-queue-us and its
 * siblings, X-Wick-Stages) and in the REPORT line of a log. Pure. */
#pragma once

#include "base/buf.h"
#include "net/http_client.h"
#include "wire/json.h"

/* What an answer's headers say: an object of texts, {"queue-us": "80", ..., "cost-usd": "0.0000004"}. */
json_t *stages_of(const struct http_response *r);
/* "queue 0.08  start 2.10  box 0.90  init 4.10  run 0.30 ms   billed 5 ms   $0.0000004"; false: nothing was said. */
bool stages_text(struct buf *b, const json_t *stages);
/* The same of "REPORT RequestId: ...\tDuration: ..."; false: it is no such line. *failed: it says so. */
bool stages_of_report(struct buf *b, struct str line, bool *failed);

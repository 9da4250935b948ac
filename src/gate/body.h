/* Request bodies: gathered in memory for small operations, streamed through the signature's filter into a blob for
 * objects. */
#pragma once

#include "gate/req.h"

/* Bytes from the connection; returns how many were taken. */
size_t body_take(struct req *r, const uint8_t *p, size_t n);
/* The last byte has come. */
void body_over(struct req *r);
/* What the headers say of the body's form, hashes and checksums, as a filter in r->filter. MORE, or a refusal. */
enum step_result body_make_filter(struct req *r);

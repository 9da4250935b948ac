/* A socket's bytes over a stream of the link, both ways, with half-closes: connections of a box to Wick's API. Each
 * side reads only what the other takes. Loop thread. */
#pragma once

#include "net/h2.h"

struct splice;

/* sock is taken over. over: once; call splice_free in or after it. The stream's handlers are splice_stream, with the
 * splice as arg; splice_begin when the stream is there (from h2_request or before h2_respond). */
struct splice *splice_new(struct loop *l, int sock, void (*over)(void *arg), void *arg);
struct splice *splice_free(struct splice *p); /* closes both */
extern const struct h2_stream_handler splice_stream;
void splice_begin(struct splice *p, struct h2_stream *s);

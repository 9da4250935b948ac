/* What is said to and by an HTTP proxy that is asked for a tunnel (CONNECT, RFC 9110, 9.3.6). Pure: bytes in, bytes
 * out. */
#pragma once

#include "base/buf.h"

#define PROXY_HEAD_MAX (8u << 10)

struct proxy {
	char *host;        /* without brackets */
	uint16_t port;     /* 80 where the URL has none */
	char *credentials; /* "user:password", decoded; NULL: none. A secret */
};

/* "http://[USER:PASSWORD@]HOST[:PORT][/]". False: *why says what is wrong, without what stands in the URL. */
bool proxy_parse(struct str url, struct proxy *ret, const char **why);
void proxy_done(struct proxy *p);
/* A name or an address that may stand in a request's first line. */
bool proxy_is_host(struct str host);
/* The request, for a host that is one. An IPv6 address is put into brackets. */
void proxy_connect(struct buf *b, const struct proxy *p, const char *host, uint16_t port);
/* The head of the answer at the start of in: how many bytes it takes; 0: more are needed; -1: it is none, or longer
 * than PROXY_HEAD_MAX. status is 100 to 599; reason is a view of at most 100 visible bytes. */
ssize_t proxy_answer(struct str in, unsigned *status, struct str *reason);

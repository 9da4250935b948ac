/* The head of a request, checked for what two parsers could read differently. Pure. */
#pragma once

#include "net/http_server.h"

struct http_head {
	int64_t content_length; /* -1: chunked; 0: no body */
	bool expects;           /* Expect: 100-continue */
};

static inline bool http_named(const struct http_header *h, struct str name)
{
	return h->name.n == name.n && str_ieq(h->name, name);
}

/* The status to refuse with (400, 413, 501), or 0. RFC 9112, 6 and 11.2. */
unsigned http_head_check(struct str method, struct str target, const struct http_header *headers, size_t n, bool http11,
			 struct http_head *ret);

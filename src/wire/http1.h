/* HTTP/1.1 messages (RFC 9112): heads, and bodies by length, in chunks or until the end of the connection. Strict:
 * lines end in CRLF, no folding, no ambiguous length. Pure: bytes in, views out; nothing is copied but trailers. */
#pragma once

#include "base/buf.h"

#define HTTP1_HEAD_MAX    (64u << 10)
#define HTTP1_HEADERS_MAX 128

struct http1_header {
	struct str name, value;
};

struct http1_head {
	struct str method, target; /* of a request */
	unsigned status;           /* of an answer */
	unsigned minor;            /* of the version: HTTP/1.1 or HTTP/1.0 */
	struct http1_header headers[HTTP1_HEADERS_MAX];
	size_t n_headers;
	/* What the headers say of the message. */
	bool chunked, has_length, close, upgrade, expect_continue;
	uint64_t length;
};

/* The head at the start of p: how many bytes it takes; 0: more are needed; -1: *why says what is malformed. Views into
 * p. */
ssize_t http1_request(struct http1_head *ret, struct str p, const char **why);
ssize_t http1_response(struct http1_head *ret, struct str p, const char **why);
struct str http1_get(const struct http1_head *h, const char *name); /* the first of that name; p == NULL: none */
/* "Name: value" without its line's end; false: a name that is no token, a value with control characters. */
bool http1_header_line(struct str line, struct http1_header *ret);
bool http1_is_method(struct str s); /* a token */
bool http1_is_target(struct str s); /* visible characters, at least one */
/* Is token one of the comma-separated words of list? */
bool http1_list_has(struct str list, struct str token);
/* Is for this connection only (RFC 9110, 7.6.1) and not passed on. connection: the value of Connection, which may name
 * more. */
bool http1_hop_by_hop(struct str name, struct str connection);

enum http1_body_kind { HTTP1_NO_BODY, HTTP1_LENGTH, HTTP1_CHUNKED, HTTP1_UNTIL_CLOSE };

struct http1_body {
	enum http1_body_kind kind;
	bool done;
	uint64_t left; /* of the length, or of the chunk */
	int state;
	struct buf line; /* of the chunked coding; then its trailer lines, each ending in CRLF */
};

void http1_request_body(struct http1_body *b, const struct http1_head *h);
/* to_head: the request was HEAD. */
void http1_response_body(struct http1_body *b, const struct http1_head *h, bool to_head);
void http1_body_done(struct http1_body *b);
/* Goes over *in: takes off what it has used and gives the next piece of the body in *out (a view), or an empty one
 * when *in is used up or the body is at its end (b->done). At most max bytes are given. -1: malformed. */
int http1_body_next(struct http1_body *b, struct str *in, size_t max, struct str *out);
/* Bytes of the body that come next in a row, with nothing of the coding between; SIZE_MAX: until the end. Who takes
 * them by another way says so by skip. */
uint64_t http1_body_run(const struct http1_body *b);
void http1_body_skip(struct http1_body *b, uint64_t n);
struct str http1_trailer(const struct http1_body *b, const char *name); /* after done; p == NULL: none */
const char *http1_reason(unsigned status);                              /* "Not Found"; "" for others */

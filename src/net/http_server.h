/* HTTP/1.1 server on a listening socket, one thread, driven by the loop. net/http_server.c is the only user
 * of libmicrohttpd. The request line, its target and every header are handed on as received (the target is
 * not unescaped: signatures are over the raw bytes).
 *
 * Life of an exchange: begin -> (body)* -> body_end -> finished. A reply may be given in or after begin, once;
 * one given before body_end ends the body there (no further body calls; the rest is read and dropped, and when it is
 * long or does not come promptly, a reply of BYTES goes out before it and the connection closes after). A client that
 * closes its sending side while it waits, for a second or more, for a reply or more of a reply counts as gone. A PULL
 * reply of status 101 to a request without a body makes a tunnel of the connection: body and body_end are then what the
 * client sends (body_end comes once more, when it closes its side), the pull what it gets, until its end. finished is
 * always the last call, exactly once: the reply is sent or the connection is lost; what the handler owns is freed
 * there. Malformed HTTP is answered 400, 413, 431 by this layer. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "sys/loop.h"

struct http_server;
struct http_exchange;
struct http_door;

struct http_header {
	struct str name, value;
};

struct http_handler {
	/* Headers are complete: returns the handler's own context x (not NULL). */
	void *(*begin)(void *arg, struct http_exchange *ex);
	/* Body bytes; returns how many were taken. Taking fewer pauses the connection until
	 * http_exchange_resume, which offers the rest again. */
	size_t (*body)(void *x, const uint8_t *p, size_t n);
	void (*body_end)(void *x);
	void (*finished)(void *x, bool sent);
};

struct http_server_conf {
	int listen_fd; /* bound and listening, non-blocking; taken over */
	unsigned max_connections;
	unsigned idle_timeout_s; /* connection without progress is closed (slow clients) */
	size_t max_header_bytes; /* request line and headers together */
};

struct http_server *http_server_new(struct loop *l, const struct http_server_conf *conf, const struct http_handler *h,
				    void *arg, struct err *err);
/* Stops accepting; drained(arg) when the last exchange is over. */
void http_server_drain(struct http_server *s, void (*drained)(void *arg), void *arg);
struct http_server *http_server_free(struct http_server *s); /* closes connections at once */
unsigned http_server_connections(const struct http_server *s);
/* Listens on one more socket (listening, of any network namespace; taken over): few connections at once, one watch.
 * NULL: it cannot be watched. It may be unlistened after the server is gone, too. */
struct http_door *http_server_listen(struct http_server *s, int fd);
struct http_door *http_server_unlisten(struct http_door *d);
/* One more connection (a connected stream socket; taken over, also when it is refused: false). */
bool http_server_adopt(struct http_server *s, int fd);

/* The request; views stay valid until finished. */
struct str http_method(const struct http_exchange *ex);
struct str http_target(const struct http_exchange *ex);                            /* path and query, raw */
struct str http_get_header(const struct http_exchange *ex, struct str name);       /* p == NULL: absent */
const struct http_header *http_headers(const struct http_exchange *ex, size_t *n); /* as received, in order */
struct str http_peer(const struct http_exchange *ex);                              /* "127.0.0.1" */
/* Content-Length; -1 when chunked, 0 when there is no body. */
int64_t http_content_length(const struct http_exchange *ex);
void http_exchange_resume(struct http_exchange *ex);

/* What a reply's body is. The server takes over what is in it, also when sending fails. */
struct http_body {
	enum { HTTP_BODY_BYTES, HTTP_BODY_FD, HTTP_BODY_PULL } kind;
	struct buf bytes; /* BYTES: taken over; for HEAD, give the bytes, or a PULL of the length */
	int fd;           /* FD: sendfile from offset, length bytes; closed when done */
	uint64_t offset;
	uint64_t length; /* FD and PULL; HTTP_LENGTH_UNKNOWN: chunked */
	/* PULL: fills up to cap bytes; > 0 so many, 0 not yet (call http_exchange_resume later), HTTP_PULL_END,
	 * HTTP_PULL_ERROR (connection is cut so that the client notices). free(arg) once, at the end. */
	ssize_t (*pull)(void *arg, uint8_t *p, size_t cap);
	void (*pull_free)(void *arg);
	void *pull_arg;
	bool duplex; /* PULL: given before body_end, the body still goes on to the handler; the connection closes after
		      */
};
#define HTTP_LENGTH_UNKNOWN UINT64_MAX
#define HTTP_PULL_END       (-1)
#define HTTP_PULL_ERROR     (-2)

/* Content-Length is added from the body, Date always; for a HEAD request the headers of the body are sent and
 * the body is not (a FD or PULL body's length counts). A 304 is like HEAD: give the body, or a PULL of the length, that
 * a 200 would have; without one no Content-Length is sent, and the connection closes. No Content-Type is added. An
 * empty header value is sent as a blank, which readers trim. */
void http_reply(struct http_exchange *ex, unsigned status, const struct http_header *h, size_t n,
		struct http_body *body);

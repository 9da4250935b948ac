/* HTTP/2 over TLS 1.3 on the loop: long-lived streams that carry bytes both ways, many over one connection, none in the
 * way of another. The files of h2 are the only users of
 * nghttp2.
 *
 * The two roles are independent: who dialled is the TLS client, and either side may be the one that opens streams (the
 * HTTP client). All on the loop thread. Handlers may call anything here, h2_free too.
 *
 * Memory is bounded on both ways. Out: there is no write; when the connection can send, it asks the stream's `pull` for
 * bytes. In: the peer sends no more than a window of what h2_consumed has not said to be used, for each stream and for
 * the connection together. Beside windows a connection takes about 200 KiB. */
#pragma once

#include "base/kv.h"
#include "net/tls.h"
#include "sys/loop.h"

struct h2;
struct h2_stream;

/* Reasons of a stream's end: HTTP/2's own, and one that never stands on the wire. */
enum h2_code {
	H2_NO_ERROR = 0, /* both sides ended it */
	H2_PROTOCOL_ERROR = 1,
	H2_INTERNAL_ERROR = 2,
	H2_REFUSED_STREAM = 7, /* nothing was done; may be tried elsewhere */
	H2_CANCEL = 8,
	H2_LOST = 0x7fffffff, /* the connection is down */
};

/* 0 in a number: its default. */
struct h2_conf {
	const struct tls_context *tls; /* says who is TLS client; must outlive the connection */
	bool client;                   /* opens streams; else answers them */
	uint32_t stream_window;        /* bytes; 8 MiB + 64 KiB */
	uint32_t connection_window;    /* bytes; 64 MiB */
	uint32_t streams_max;          /* that the peer may have open at once; 100000 */
	unsigned handshake_ms;         /* until `up`; 10000 */
	unsigned ping_ms;              /* nothing came for so long: ask; 3000 */
	unsigned dead_ms;              /* nothing came for so long: down; 10000 */
};

struct h2_handler {
	/* TLS is done and the peer's settings are there. */
	void (*up)(void *arg, struct h2 *c);
	/* Not the client: a stream was opened. Views are good until it returns. It calls one of h2_respond, h2_accept
	 * and h2_reset; a stream of which it does not is refused. */
	void (*request)(void *arg, struct h2 *c, struct h2_stream *s, struct str method, struct str path,
			const struct kv *headers, size_t n_headers);
	/* Once, unless freed before, and after every stream's `closed`: nothing works any more but h2_free and what it
	 * can be asked. */
	void (*down)(void *arg, struct h2 *c, const char *reason);
};

struct h2_stream_handler {
	/* Client: the answer's head. Views are good until it returns. */
	void (*head)(void *arg, struct h2_stream *s, unsigned status, const struct kv *headers, size_t n_headers);
	/* A view. Every byte is to be given back with h2_consumed, now or later. */
	void (*data)(void *arg, struct h2_stream *s, struct str bytes);
	void (*end)(void *arg, struct h2_stream *s); /* the peer sends no more */
	/* Once; s is gone when it returns. What was not given back counts as used. */
	void (*closed)(void *arg, struct h2_stream *s, uint32_t code);
	/* Puts up to `room` bytes at `to`. 0: nothing now, it is asked again after h2_wake. */
	size_t (*pull)(void *arg, struct h2_stream *s, char *to, size_t room);
};

struct h2 *h2_new(struct loop *l, int fd /* taken over, connected */, const struct h2_conf *conf,
		  const struct h2_handler *h, void *arg);
/* Says goodbye if it can without waiting. `closed` of its streams is called (H2_LOST), `down` is not. */
struct h2 *h2_free(struct h2 *c); /* NULL allowed; returns NULL */
/* As h2_free, and the peer's `down` is told why (up to 200 bytes, no control characters). */
struct h2 *h2_close(struct h2 *c, const char *why);
bool h2_is_up(const struct h2 *c);
const char *h2_peer_fingerprint(const struct h2 *c); /* from `up` on */
const char *h2_peer_address(const struct h2 *c);     /* "192.0.2.7:41234" */
uint32_t h2_rtt_us(const struct h2 *c); /* 0: not known yet. Smoothed, of pings; before one, of the handshake */

/* Client. NULL: the connection is not up, the peer said that it takes no more, or method, path (from '/' on) or a
 * header is none that may be sent. All is copied. More than the peer takes at once wait for their turn. */
struct h2_stream *h2_request(struct h2 *c, const char *method, const char *path, const struct kv *headers,
			     size_t n_headers, const struct h2_stream_handler *h, void *arg);
/* Takes a request without answering yet: its data come, its answer follows with h2_respond. */
void h2_accept(struct h2_stream *s, const struct h2_stream_handler *h, void *arg);
/* The answer's head goes at once; bytes then go both ways. */
void h2_respond(struct h2_stream *s, unsigned status, const struct kv *headers, size_t n_headers,
		const struct h2_stream_handler *h, void *arg);
void h2_wake(struct h2_stream *s); /* pull has something; cheap, what a turn of the loop wakes goes out together */
void h2_end(struct h2_stream *s);  /* as soon as pull has no more, this side's end is sent */
/* Ends both ways. `closed` follows, not within this call; no other handler of the stream is called any more. */
void h2_reset(struct h2_stream *s, uint32_t code);
/* As h2_reset, and `closed` is not called either: its owner goes. */
void h2_drop(struct h2_stream *s, uint32_t code);
void h2_consumed(struct h2_stream *s, size_t n);
struct h2 *h2_of(const struct h2_stream *s);

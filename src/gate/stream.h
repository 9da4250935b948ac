/* An invocation whose answer is taken as it comes: by InvokeWithResponseStream, by a function URL, or as an HTTP
 * exchange of a web function, in which the request's body streams the other way as well. A stream never holds more than
 * a window (FRAME_WINDOW) of the answer in memory, and of the request what the worker's socket takes: a slow client
 * slows the function, a slow function its client. */
#pragma once

#include "gate/invoke.h"

/* How an api answers by a stream. */
struct stream_ops {
	/* The answer begins: status and headers of the reply, in r; out: what goes out before it. head: HEAD, or NULL
	 * where the function gave none. False: no answer can begin so; the worker is ended. */
	bool (*begin)(struct req *r, const struct frame *head, struct buf *out);
	/* A piece of the answer as it goes to the client; NULL: as it is. */
	void (*wrap)(struct buf *out, struct str piece);
	/* All was given, r->inv has its outcome: adds what comes last. False: the connection is cut, so that the client
	 * notices. NULL: false when the function failed. */
	bool (*finish)(struct req *r, struct buf *out);
	bool http; /* an exchange: only HEAD begins it */
};

/* For r->inv, once it is prepared. meta: further fields of its INVOKE (METHOD ...), must live as long as r. An answer
 * that has not begun when the run is over is given by r->inv->answer. */
void stream_new(struct invocation *inv, const struct stream_ops *ops, struct str meta);
void stream_free(struct stream *s);
/* The request's body follows as CHUNKs and END; body: what was gathered of it already (all, if the connection has no
 * more), as long as r lives. may_tunnel: END is kept back, an answer 101 makes both sides' bytes a tunnel. again:
 * without a body it may run twice, when its worker is gone and may have read it or not. */
void stream_body(struct stream *s, struct str body, bool may_tunnel, bool again);

/* A HEAD, CHUNK, END or WINDOW_MORE of an invocation that runs, from worker.c. False: the worker may not say this
 * (window overrun, chunk before its time); it is to be ended. */
bool stream_frame(struct invocation *inv, const struct frame *f);

/* dispatch.c: what INVOKE says; and that it was sent. */
void stream_fill_invoke(struct stream *s, struct lane_invoke *in);
void stream_run_begins(struct stream *s);
/* body.c: bytes of the request's body (returns how many were taken), and its end. */
bool stream_takes_body(const struct req *r);
size_t stream_take(struct stream *s, struct str bytes);
void stream_body_over(struct stream *s);
/* reply.c: the run is over and metered. True: the answer had begun, nothing else is to be replied. */
bool stream_over(struct stream *s);
/* flow.c: the client is gone (sent: with all it was promised); the run goes on. */
void stream_client_gone(struct stream *s, bool sent);

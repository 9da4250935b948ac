/* The web runtime: a program that listens on a port, spoken to as a reverse proxy would. An exchange is one invocation;
 * an upstream is one connection to the program, kept alive between exchanges.
 *
 * An INVOKE with METHOD is an HTTP exchange and streams both ways. One without (the Lambda Invoke API, events of
 * triggers) is POST / with the event as its JSON body; the answer's body is the result: as it is when it is JSON, as a
 * JSON string when it is other text, null when it is empty; a status of 400 or more is the error Web.ErrorStatus. */
#pragma once

#include "base/map.h"
#include "runtime/shim/shim.h"
#include "wire/http1.h"

enum framing {
	FRAMING_UNKNOWN, /* of the request's body: known by what follows, CHUNK or END */
	FRAMING_NONE,
	FRAMING_LENGTH,
	FRAMING_CHUNKED,
};

struct exchange {
	uint8_t id[16];
	struct web *web;
	struct upstream *up;
	bool http;    /* METHOD was given */
	bool pieces;  /* the answer goes on as CHUNKs */
	bool probe;   /* of readiness: no invocation */
	bool upgrade; /* asked for */
	bool to_head, idempotent;
	enum framing framing;
	uint64_t length_left; /* of a body with FRAMING_LENGTH */
	struct buf
		head; /* of the request, without the last empty line and what framing adds; and the body of an event */
	bool head_sent, request_ended;
	bool retried;   /* or was on a fresh connection: it is not tried again */
	bool responded; /* HEAD was said */
	unsigned status;
	uint64_t credit;
	struct buf answer; /* when it is no stream */
	/* It failed; whether because the program ended is known in a moment. */
	const char *failed_type, *failed_why;
	struct list_link on_failed;
};
DEFINE_LIST(exchange_list, struct exchange, on_failed)

enum upstream_state { UPSTREAM_HEAD, UPSTREAM_BODY, UPSTREAM_TUNNEL };

struct upstream {
	struct watch watch;
	struct web *web;
	struct exchange *x; /* NULL: idle */
	enum upstream_state state;
	bool connecting, reused, write_dead, end_after_out, keep;
	bool bulk; /* much comes at once: it is not worth a look */
	uint64_t idle_since_us;
	struct buf in, out;
	size_t out_at;
	uint64_t unacked; /* bytes of CHUNKs in out whose window was not given back */
	struct http1_body body;
	struct list_link on_list;
};
DEFINE_LIST(upstream_list, struct upstream, on_list)

struct web {
	struct shim shim;
	uint16_t port;
	const char *ready_path; /* NULL: the port is enough */
	char *name;             /* of the program */
	struct map exchanges;
	struct upstream_list idle, busy; /* idle: the longest idle first */
	struct poll_timer idle_over;
	int pipe[2]; /* through which bulk goes on; -1: not made yet */
	struct exchange_list failed;
	struct poll_timer verdict;
	/* Waiting for readiness. */
	struct poll_timer probe;
	uint64_t probe_wait_us, began_us, noted_us, note_wait_us;
	bool asked;      /* the ready path, which has not answered yet */
	struct buf said; /* why it is not ready yet */
	struct buf seen; /* what it was seen to listen on */
	bool over;
	int status;
};

/* exchange.c */
struct exchange *exchange_new(struct web *w, const struct frame *f); /* NULL: refused, and answered */
struct exchange *exchange_new_probe(struct web *w);
void exchange_begin(struct exchange *x); /* finds its upstream */
void exchange_chunk(struct exchange *x, struct str piece);
void exchange_end_of_request(struct exchange *x);
void exchange_cancel(struct exchange *x);
void exchange_window(struct exchange *x, uint64_t more);
/* From its upstream. */
bool exchange_is_held(const struct exchange *x); /* it may not say more now */
void exchange_head(struct exchange *x, const struct http1_head *h);
void exchange_piece(struct exchange *x, struct str piece);
void exchange_piped(struct exchange *x, size_t n); /* a piece that is in the pipe */
void exchange_done(struct exchange *x);            /* the answer is whole; x is gone after it */
void exchange_failed(struct exchange *x, const char *type, const char *why);
void exchange_refused(struct exchange *x);               /* no connection */
void exchange_lost(struct exchange *x, const char *why); /* its connection: it may be tried again */
void exchange_verdict(struct web *w);                    /* the program lives: those that failed are answered */

/* upstream.c */
struct upstream *upstream_get(struct web *w, int *error); /* idle or new; NULL: *error is errno */
void upstream_send(struct upstream *u, struct str bytes, size_t of_window);
void upstream_flush(struct upstream *u);
void upstream_resume(struct upstream *u);
void upstream_release(struct upstream *u); /* its exchange is over; kept for the next if it can be */
void upstreams_idle_over(struct web *w);   /* closes those that are idle for too long */
void upstream_keep(struct upstream *u);    /* becomes idle */
void upstream_close(struct upstream *u);

/* web.c */
void web_probed(struct web *w, bool ok);
void web_end_if_over(struct web *w);
void web_exchange_over(struct web *w, struct exchange *x); /* forgets and frees it */

/* listening.c: "0.0.0.0:3000, [::1]:3000": TCP ports that somebody in this box listens on, but the Runtime API's. */
void listening_describe(struct buf *ret);

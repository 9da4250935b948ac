/* Exchanges and servers from the inside, for the files that make up http_server.h: http_server.c, http_raw.c (replies
 * past libmicrohttpd) and http_tunnel.c. */
#pragma once

#include "base/arena.h"
#include "base/list.h"
#include "net/http_server.h"

#include <microhttpd.h>

struct http_doors;

struct http_exchange {
	struct list_link on_server;
	struct http_server *server;
	struct MHD_Connection *conn;
	struct arena arena;
	void *x;
	struct str method, target, peer;
	struct http_header *headers;
	size_t n_headers, cap_headers, header_bytes;
	int64_t content_length;
	uint64_t received;

	bool begun, has_body, expects, ended;
	bool in_call, suspended, resume_asked;
	unsigned rounds;      /* of the patrol, since it was suspended or replied to */
	struct watch *hangup; /* of a client that waits for long */
	bool gone;            /* it hung up */

	struct MHD_Response *reply;
	unsigned status;
	bool queued, bytes_only, head;
	struct str bytes; /* of a BYTES reply; the response owns them */
	struct http_body pull;
	bool pulling;

	struct http_tunnel *tunnel;
	struct list_link on_woken; /* a tunnel, or a duplex reply: it may go on */

	struct buf raw; /* reply written past libmicrohttpd, what is left of it */
	bool duplex;    /* it is pulled while the request's body still comes */
	bool chunked, pull_ended;
	struct watch *room; /* in the socket */
	bool lingers, raw_sent;
	uint64_t lingered;
};

DEFINE_LIST(exchange_list, struct http_exchange, on_server)
DEFINE_LIST(woken_list, struct http_exchange, on_woken)

/* A connection after an answer 101: its socket is read and written here, past libmicrohttpd. */
struct http_tunnel {
	struct http_exchange *ex;
	struct MHD_UpgradeResponseHandle *handle;
	struct watch *watch;
	int fd;
	struct buf in, out; /* read and not taken; pulled and not sent */
	size_t in_at, out_at;
	bool in_ended, out_ended, broken, closed;
};

struct http_server {
	struct loop *loop;
	struct MHD_Daemon *daemon;
	struct http_handler handler;
	void *arg;
	size_t max_header_bytes;
	struct watch *watch;
	struct timer *timer;
	struct timer *patrol;
	struct loop_hook *hook;
	struct http_doors *doors;
	bool timer_armed, patrolling;
	bool running; /* in MHD_run: callbacks of the handler are on the stack */
	bool dirty;   /* something was resumed */
	bool busy;    /* the handler was called since the hook looked */
	bool stopping;
	int quiesced_fd;
	void (*drained)(void *arg); /* set: draining */
	void *drained_arg;
	struct exchange_list live, spare;
	struct woken_list woken;
};

/* http_server.c */
void exchange_wake(struct http_exchange *ex);
int exchange_fd(const struct http_exchange *ex); /* -1: there is none any more */
void exchange_patrol_from_now(struct http_exchange *ex);

/* http_raw.c: a reply of BYTES written past libmicrohttpd, after which the connection closes. */
void exchange_raw_start(struct http_exchange *ex);
/* Sends what the socket takes; false when the connection is of no more use. */
bool exchange_raw_send(struct http_exchange *ex);

/* Or one that is pulled, while the request's body goes on to the handler. */
void exchange_duplex_start(struct http_exchange *ex);

/* http_tunnel.c */
struct MHD_Response *http_tunnel_response(struct http_exchange *ex);
void http_tunnel_run(struct http_tunnel *t);
/* It lingers and nothing comes, or the server stops. */
void http_tunnel_cut(struct http_tunnel *t);
struct http_tunnel *http_tunnel_free(struct http_tunnel *t);

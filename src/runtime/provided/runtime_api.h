/* The Lambda Runtime API, 2018-06-01, on a port of the box's loopback: connections, requests, the bodies of their
 * answers. */
#pragma once

#include "runtime/shim/poller.h"
#include "wire/http1.h"

struct invocation;
struct provided;

enum api_call { API_NEXT, API_RESPONSE, API_ERROR, API_INIT_ERROR, API_REFUSED };
enum api_state {
	API_HEAD,    /* a request's head is awaited */
	API_WAITING, /* for an invocation */
	API_BODY,    /* of a request */
};
/* How the body of a response is taken. */
enum api_mode {
	API_WHOLE,
	API_PRELUDE, /* streamed; JSON, then 8 NULs, then what follows */
	API_PIECES,  /* streamed */
	API_DROP,
};

struct api_conn {
	struct watch watch;
	struct provided *p;
	enum api_state state;
	struct buf in, out;
	size_t out_at;
	bool closing; /* after out is sent */
	/* The request in hand. */
	enum api_call call;
	enum api_mode mode;
	struct invocation *inv;     /* whose answer this is */
	struct invocation *fetched; /* whose event is in out: it is put back when the connection dies */
	struct http1_body body;
	struct buf payload, error_type;
	unsigned status; /* of what will be answered after the body */
	struct buf reply;
	struct list_link on_conns, on_waiting;
};
DEFINE_LIST(api_conn_list, struct api_conn, on_conns)
DEFINE_LIST(api_waiting_list, struct api_conn, on_waiting)

struct runtime_api {
	struct watch listener;
	struct provided *p;
	struct api_conn_list conns;
	struct api_waiting_list waiting;
};

/* Listens on address, "127.0.0.1:9001". -errno. */
int runtime_api_open(struct runtime_api *api, struct provided *p, const char *address);
bool runtime_api_deliver(struct runtime_api *api); /* queued invocations to those who wait */
void runtime_api_resume(struct api_conn *c);       /* its invocation has credit, or the lane has room */
void runtime_api_resume_all(struct runtime_api *api);
void runtime_api_settle(struct runtime_api *api); /* takes what was sent until now: the program has ended */

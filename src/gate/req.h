/* A request on its way through the gate: one struct, made by front.c (HTTP) or jobs.c (an event of the queue), moved
 * by flow.c, freed when the flow is done and nothing it started is pending.
 *
 * For an api (api_s3*.c, api_lambda*.c, api_admin.c): route() picks an operation; its run() is called in the `store`
 * step, with the whole body in r->body (REQ_BODY_BUFFER) or before the body has come (REQ_BODY_STREAM: call
 * req_stream_to_blob). run() either fills the reply and returns STEP_MORE, or starts something asynchronous by one of
 * the req_* helpers, each of which takes the function to go on with, and returns their STEP_WAIT. The client may be
 * gone by then; nothing needs to be checked for that, a reply to nobody is dropped. */
#pragma once

#include "base/arena.h"
#include "base/list.h"
#include "gate/fail.h"
#include "model/object.h"
#include "net/http_server.h"
#include "store/blob.h"
#include "store/store.h"
#include "wire/json.h"
#include "wire/sigv4.h"

struct gate;
struct req;
struct invocation;

enum step_result {
	STEP_MORE, /* this step is over, go on */
	STEP_WAIT, /* something will call req_continue */
	STEP_DONE, /* the flow is over */
};

typedef enum step_result req_fn(struct req *r);

enum req_body {
	REQ_BODY_NONE,   /* a body is refused beyond a few KiB */
	REQ_BODY_BUFFER, /* gathered in r->body, up to body_max */
	REQ_BODY_STREAM, /* run() says where it goes */
};

struct operation {
	const char *name;   /* "PutObject": in metrics and logs */
	const char *action; /* "s3:PutObject": what policies and roles speak of; NULL: open to everyone */
	const char *method; /* for tables matched by pattern; NULL otherwise */
	const char *path;   /* "/2015-03-31/functions/{}/code": each {} is one segment, decoded into r->args */
	enum req_body body;
	size_t body_max; /* bytes, BUFFER only */
	req_fn *run;
	bool invoke; /* run() prepares r->inv, and queue, place, dispatch follow when it is set */
};

struct api {
	const char *name;
	const char *service; /* of the SigV4 scope */
	/* The operation, or NULL after req_fail(). Fills r->bucket, r->key or r->args, and r->resource. */
	const struct operation *(*route)(struct req *r);
	/* Renders r->fail into the reply. */
	void (*render_fail)(struct req *r);
};

enum principal_kind { PRINCIPAL_ANONYMOUS, PRINCIPAL_ROOT, PRINCIPAL_ROLE };

struct principal {
	enum principal_kind kind;
	struct str access_key;
	struct str arn;      /* arn:aws:iam::ACCOUNT:root or the assumed role's */
	struct str function; /* ROLE: the function that runs as it */
};

struct req {
	uint32_t magic;
	struct gate *g;
	struct http_exchange *ex; /* NULL: from the queue, or the client is gone */
	struct arena arena;
	uint8_t id[16];
	char id_text[37];
	uint64_t began_us; /* monotonic */
	int64_t now_ms;    /* Unix time at the beginning */

	/* The request */
	struct str method;
	struct str path, query; /* raw */
	const struct http_header *headers;
	size_t n_headers;
	struct str peer;
	struct uri_param *params; /* of the query, decoded */
	size_t n_params;

	/* auth */
	struct principal who;
	struct sigv4_auth auth;
	uint8_t signing_key[SHA256_SIZE];
	bool auth_wants_body; /* the signature covers a hash of the body that is not in the headers */

	/* route */
	const struct api *api;
	const struct operation *op;
	struct str bucket, key; /* s3, decoded */
	struct str args[4];     /* the {} of a matched path, decoded */
	struct str resource;    /* ARN that policies speak of */

	/* body */
	struct buf body;
	bool body_ended;

	/* async helpers' answers */
	int store_result;  /* req_commit: 0, STORE_E_*, -errno */
	unsigned store_op; /* the operation of the transaction that failed */
	int blob_result;   /* req_stream_to_blob, req_copy_blob: 0, enum body_error, -errno */
	struct blob_info blob;
	void *api_state; /* the api's own, in the arena */

	struct invocation *inv;

	/* reply */
	enum fail fail;
	struct str fail_message; /* n == 0: the default one */
	struct str fail_resource;
	unsigned status;
	struct http_header *reply_headers;
	size_t n_reply_headers, cap_reply_headers;
	struct http_body reply_body;
	bool replied;

	/* flow.c, req.c and body.c only */
	struct list_link on_live;
	unsigned step;
	req_fn *run;
	unsigned pending; /* async things that will call back */
	bool running, again, gone, cut;
	struct body_filter *filter;
	struct blob_writer *writer;
	void (*on_done)(struct req *r, void *arg); /* jobs.c */
	void *on_done_arg;
};

#define REQ_MAGIC 0x77697265u

/* Request */
void req_free(struct req *r);
/* All requests of a gate: closing abandons those that are left, when nothing will call them back any more. */
void reqs_open(struct gate *g);
bool reqs_pending(const struct gate *g);                           /* something will still call one of them back */
struct req *req_find(struct gate *g, const uint8_t id[static 16]); /* one that is alive, or NULL */
void reqs_close(struct gate *g);
/* body.c: the last byte was given to the writer. */
void req_finish_blob(struct req *r);
struct str req_header(const struct req *r, const char *name); /* p == NULL: absent */
struct str req_param(const struct req *r, const char *name);
bool req_has_param(const struct req *r, const char *name);

/* Reply */
void req_set_header(struct req *r, const char *name, struct str value); /* value is copied into the arena */
void req_set_headerf(struct req *r, const char *name, const char *fmt, ...) _printf_(3, 4);
enum step_result req_reply_bytes(struct req *r, unsigned status, const char *content_type,
				 struct buf *body);                         /* takes body over */
enum step_result req_reply_json(struct req *r, unsigned status, json_t *j); /* takes j over */
enum step_result req_reply_empty(struct req *r, unsigned status);
/* Always STEP_MORE; what was set for a success is dropped. */
enum step_result req_fail(struct req *r, enum fail f);
enum step_result req_failf(struct req *r, enum fail f, const char *fmt, ...) _printf_(3, 4);
enum step_result req_fail_errno(struct req *r, int negative_errno); /* NO_SPACE or INTERNAL (logged) */
enum step_result req_fail_body(struct req *r, int blob_result);     /* enum body_error or -errno */

/* Asynchronous work: each returns STEP_WAIT and goes on with next(r). */
enum step_result req_commit(struct req *r, struct store_txn *t, req_fn *next);
/* The body of a REQ_BODY_STREAM request, through the signature's filter, into a new blob: r->blob_result, r->blob. */
enum step_result req_stream_to_blob(struct req *r, req_fn *next);
enum step_result req_copy_blob(struct req *r, const struct extent *e, size_t n, uint64_t offset, uint64_t size,
			       req_fn *next);
enum step_result req_put_blob(struct req *r, struct str bytes, req_fn *next); /* bytes must outlive it */
/* work runs on a pool thread with a reader (NULL where the store is not needed); it may touch arg only. */
enum step_result req_read_async(struct req *r, void (*work)(void *arg, struct store_reader *rd), void *arg,
				req_fn *next);
enum step_result req_work(struct req *r, void (*work)(void *arg), void *arg, req_fn *next);

/* What the files of function URLs share: /f/NAME/..., and /f/NAME:ALIAS/... for the URL of an alias (names have no
 * colon). */
#pragma once

#include "gate/api.h"
#include "gate/stream.h"
#include "model/url_conf.h"

struct url_call {                   /* r->api_state */
	struct str name, qualifier; /* qualifier n == 0: none */
	struct str version;         /* that it runs */
	struct str prefix, rest;    /* "/f/NAME" as it was asked for, and the path behind it, "/..." */
	struct url_conf conf;
	bool web; /* an HTTP exchange, not an event */
};

static inline struct url_call *url_call(const struct req *r)
{
	return r->api_state;
}

/* auth.c: is it a function's URL; its function and configuration (false after req_fail); must it be signed. */
bool url_is(struct str path);
bool url_open(struct req *r);
bool url_is_signed(const struct req *r);

/* The operations: an event of format 2.0 (api_url_event.c), an HTTP exchange (api_url_web.c). */
req_fn url_run_event, url_run_web;
/* Prepares r->inv for the version that was found. False after req_fail. */
bool url_prepare(struct req *r, struct str event);

/* The reply's status and headers from HEAD. False: it cannot be sent. */
bool url_head(struct req *r, const struct frame *head);
/* Adds what the configuration says of the request's origin; a function's own headers of the kind go. */
void url_add_cors(struct req *r);
/* 502: the function failed, or its answer cannot be sent (why, in its log; NULL: it is there already). */
void url_bad_answer(struct req *r, const char *why);

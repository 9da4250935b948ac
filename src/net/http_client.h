/* HTTP client, by libcurl (net/http_client.c is its only user). Blocking: for the CLI, one request at a time,
 * with the connection kept for the next. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

struct http_client;

struct http_call {
	const char *method;
	const char *url;
	const char *const *headers; /* "Name: value", NULL-terminated; may be NULL */
	struct str body;
	int body_fd; /* used when > 0: body_length bytes are read from it */
	uint64_t body_length;
	/* Where the answer's body goes; NULL: into response->body (at most max_body bytes). Returns false to stop. */
	bool (*sink)(void *arg, const void *p, size_t n);
	void *sink_arg;
	size_t max_body;     /* 0: 64 MiB */
	unsigned timeout_ms; /* 0: none */
};

struct http_response {
	unsigned status;
	struct buf body;
	struct buf headers; /* raw header lines of the last answer */
};

struct http_client *http_client_new(void);
struct http_client *http_client_free(struct http_client *c);
/* 0, or -1 with err: no answer (refused, lost, timed out). Any status is an answer. */
int http_client_call(struct http_client *c, const struct http_call *call, struct http_response *ret, struct err *err);
struct str http_response_header(const struct http_response *r, const char *name);
void http_response_done(struct http_response *r);

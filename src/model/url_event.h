/* What a function behind a URL is given for an HTTP request, and how its answer is read: payload format 2.0. Source:
 * AWS Lambda Developer Guide, "Invoking Lambda function URLs". Pure: bytes in, bytes out; fuzzed. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/kv.h"

struct url_request {
	struct str method, path /* raw, "/..." */, query /* raw */, protocol; /* "HTTP/1.1" */
	struct str host, peer, request_id;
	struct str api_id, account;
	const struct kv *headers; /* as received, in order */
	size_t n_headers;
	struct str body;
	int64_t now_ms;
	struct str iam_key, iam_arn; /* n == 0: nobody has signed */
};

/* The event, one JSON document. */
void url_event_write(struct buf *b, const struct url_request *q);

struct url_answer {
	unsigned status;
	struct kv *headers; /* cookies are Set-Cookie among them */
	size_t n_headers;
	struct buf body; /* the caller's to free, also after an error */
};

/* payload: what the function answered, a JSON document. With a statusCode it says status, headers, cookies and body;
 * without, it is the body itself. -1: err says why it is no answer. Strings live in a. */
int url_answer_read(struct url_answer *ret, struct str payload, struct arena *a, struct err *err);

/* Can it be sent as a header: a token, and a value without control characters. */
bool url_header_ok(struct str name, struct str value);

/* An asynchronous event on its way to a function, and what an invocation used. */
#pragma once

#include "base/str.h"

enum event_state { EVENT_QUEUED, EVENT_FAILED };

struct event {
	struct str id;       /* request id, UUID text */
	struct str function; /* name or name:qualifier */
	struct str payload;  /* JSON */
	struct str trace;    /* X-Amzn-Trace-Id it will run under */
	struct str source;   /* "s3:BUCKET", "invoke", ... for people */
	enum event_state state;
	uint32_t attempts; /* runs so far */
	int64_t created_ms;
	int64_t due_ms;    /* not before */
	struct str reason; /* why it failed last; empty: never */
};

#define EVENT_MAX_ATTEMPTS 3  /* AWS Lambda Developer Guide, "Asynchronous invocation": two retries */
#define EVENT_MAX_ROUNDS   16 /* ibid., "recursive loop detection" */

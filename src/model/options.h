/* What a function's wick: tags ask of the way it is run. Parsed and checked when a function is deployed or tagged (a
 * tag that does not parse is a refusal there), and again where it is used. Pure. */
#pragma once

#include "model/function.h"
#include "model/slice.h"

enum runtime_kind { RUNTIME_PYTHON, RUNTIME_NODEJS, RUNTIME_PROVIDED, RUNTIME_NATIVE, RUNTIME_WEB, RUNTIME_KINDS };
enum network_mode { NETWORK_NONE, NETWORK_GATEWAY, NETWORK_INTERNET };

#define OPTIONS_CONCURRENCY_MAX 1000
#define OPTIONS_IDLE_MAX_S      86400

struct function_options {
	enum runtime_kind kind;    /* wick:runtime=python|nodejs|provided|native|web, else by the runtime's name */
	enum network_mode network; /* wick:network=none|gateway|internet; default gateway */
	uint32_t concurrency;      /* wick:concurrency=N: invocations a worker takes at once; default 1, web 100 */
	int64_t idle_ms;           /* wick:idle=60s, as durations are written in settings; -1: the server's setting */
	struct str command;        /* wick:command: what a web function starts, words split at blanks; without it the
				      Handler */
	uint32_t port;             /* wick:port: where it listens (PORT); default 8080 */
	struct str ready; /* wick:ready=/path: ready when this answers 2xx to 4xx; n == 0: when the port does */
	struct slice_wish
		device; /* wick:device, slice, device-memory, place, park, spread; without a device n_kinds 0 */
};

/* -1: err names the tag or the runtime and says what is possible. Views into f. */
int function_options_parse(struct function_options *ret, const struct function *f, struct err *err);
const char *runtime_kind_name(enum runtime_kind k); /* "python" */

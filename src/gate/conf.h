/* Settings of the gate, from flags and environment given by the supervisor. */
#pragma once

#include "base/err.h"
#include "base/util.h"

struct gate_conf {
	const char *data;   /* folder of everything durable */
	const char *socket; /* the local node's */
	uint32_t listen_fd;
	const char *url; /* how functions and clients reach this gate: http://127.0.0.1:9000 */
	const char *region;
	const char *account; /* 12 digits, in ARNs */
	const char *domains; /* comma-separated suffixes for virtual-hosted buckets; s3.localhost always */
	uint32_t max_connections;
	uint32_t idle_timeout_s;
	uint64_t worker_idle_ms;                /* an unused worker ends after that */
	uint64_t queue_ms;                      /* a synchronous invocation waits so long for a worker */
	uint32_t concurrency;                   /* account limit: workers busy at once */
	uint64_t retry_ms;                      /* base of the delay between tries of an event */
	uint64_t log_max_bytes;                 /* kept per function */
	const char *price_gb_s, *price_request; /* USD, decimal */
};

int gate_conf_read(struct gate_conf *c, int argc, char **argv, struct err *err);

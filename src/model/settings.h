/* The settings of Wick: one table (settings.c) from which the flags, the WICK_* environment, wick.yaml, --help and
 * docs/settings.md are made. The supervisor reads all sources and hands every value on to gate and node as WICK_*
 * environment, which they read with the same table. Strings are malloc'd; defaults per table. */
#pragma once

#include "base/err.h"
#include "base/table.h"

struct settings {
	char *data;      /* --data, WICK_DATA: folder of everything durable */
	char *listen;    /* --listen: ADDR:PORT of the public port */
	char *url;       /* how clients and functions reach it; empty: http://LISTEN */
	char *region;    /* us-east-1 */
	char *account;   /* 12 digits, in ARNs: 000000000000 */
	char *domains;   /* comma-separated suffixes for virtual-hosted buckets besides s3.localhost */
	char *user;      /* as root: whom the gate runs as; empty: "wick" where such a user exists, else root without
			    capabilities */
	char *log_level; /* debug, info, warn, error */
	uint32_t max_connections;  /* 10000 */
	uint64_t idle_timeout_ms;  /* a connection without progress is closed: 60 s */
	uint64_t worker_idle_ms;   /* an unused worker ends after: 60 s */
	uint64_t init_limit_ms;    /* a worker may take so long to initialise: 10 min */
	uint64_t zygote_idle_ms;   /* a zygote that forked nobody ends after: 10 min */
	uint32_t prestart;         /* Node.js processes that wait for code: 2 */
	uint32_t box_uid;          /* as root: the user and group of boxes; 0: 64646 */
	char *internet_allow;      /* CIDRs, commas between, that wick:network=internet may reach though private */
	uint64_t park_limit_ms;    /* a worker's device memory is moved within: 60 s */
	uint64_t queue_wait_ms;    /* a synchronous invocation waits so long for a worker: 60 s */
	uint64_t drain_ms;         /* SIGTERM: running invocations are given so long: 30 s */
	uint32_t concurrency;      /* account limit of concurrent executions: 1000 */
	uint64_t worker_memory;    /* bytes for all workers together; 0: three quarters of the machine's */
	uint64_t retry_delay_ms;   /* base of the delay between tries of an event: 60 s */
	uint64_t log_max_bytes;    /* kept per function: 64 MiB */
	uint64_t code_cache_bytes; /* unpacked packages on a node: 10 GiB */
	char *devices;             /* devices that the node declares: model/device.h */
	char *node_cost;           /* USD an hour that this machine costs */
	char *node_labels;         /* commas between */
	bool share_devices;        /* workers of different roles may share a device */
	char *nvml, *opencl;       /* libraries by which devices are found; empty: the usual names */
	char *mps_control;         /* NVIDIA's MPS daemon; empty: as PATH has it */
	char *price_gb_second;     /* USD: 0.0000166667 */
	char *price_request;       /* USD: 0.0000002 */
	char *price_slices;        /* MODEL=USD a slot-second, commas between (price_parse_slices); empty: free */
	char *nodes;               /* ADDR:PORT where remote nodes connect; empty: none do */
	char *nodes_url;           /* HOST:PORT how they reach it; empty: the public URL's host and that port */
	uint64_t node_away_ms;     /* workers of a node that is away are kept so long: 5 min */
};

extern const struct setting settings_table[];
extern const size_t settings_count;

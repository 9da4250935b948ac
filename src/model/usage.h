/* What one invocation used, and the sums of a bill. Money is integer picodollars (1e-12 USD). */
#pragma once

#include "base/str.h"

enum usage_status {
	USAGE_OK,
	USAGE_FUNCTION_ERROR,
	USAGE_TIMEOUT,
	USAGE_INIT_ERROR,
	USAGE_EXITED,
	USAGE_KILLED,
	USAGE_OUT_OF_MEMORY
};

/* Strings are views: of what outlives the invocation, until its row is handed to the store. */
struct usage {
	struct str request_id; /* UUID text */
	struct str function, version;
	int64_t at_ms;     /* Unix time when the answer was there */
	uint64_t queue_us; /* waited for a place */
	uint64_t start_us; /* process start until the runtime's first word; 0 when warm */
	uint64_t init_us;  /* the function's own initialisation; 0 when warm */
	uint64_t run_us;
	uint64_t billed_ms;
	uint32_t memory_mb, max_memory_mb;
	enum usage_status status;
	struct str device;        /* model of what it held a slice of, "NVIDIA H200"; n == 0: of nothing */
	struct str device_kind;   /* "gpu": for its price; not stored */
	struct str rung;          /* how that was held: device_rung_name() */
	uint32_t slots;           /* held, of all devices together: DEVICE_SLOTS for a whole one */
	uint64_t device_slice_ms; /* slots * billed_ms */
	uint64_t cost_picousd;
};

struct usage_sum {
	struct str function;
	struct str device; /* of the runs that held this model; n == 0: of those that held none */
	uint64_t invocations, errors, billed_ms;
	uint64_t mb_ms; /* sum of memory_mb * billed_ms; GB-seconds = mb_ms / 1024 / 1000 */
	uint64_t device_slice_ms;
	uint64_t cost_picousd;
};

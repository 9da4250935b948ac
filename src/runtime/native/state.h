/* What a native worker's process shares with pid 1 of its box, which answers for it when it crashes: memory, so that it
 * outlives a process killed at any moment. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#define NATIVE_SLOTS 1000

struct native_state {
	_Atomic uint32_t ready;      /* READY was sent */
	_Atomic uint32_t init_error; /* the start's failure was sent */
	_Atomic uint32_t writing;    /* a frame is being written: the lane may end in a piece of one */
	struct native_slot {
		_Atomic uint32_t open;
		uint8_t id[16];
	} slots[NATIVE_SLOTS];
};

/* Names of the environment by which an executable linked with libwick finds both. */
#define NATIVE_LANE_ENV  "WICK_LANE_FD"
#define NATIVE_STATE_ENV "WICK_STATE_FD"

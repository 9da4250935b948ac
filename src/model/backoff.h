/* When a failed asynchronous event is tried again. Pure. */
#pragma once

#include <stdint.h>

/* Delay after that many runs (1, 2, ...): base, then twice that, and so on; AWS Lambda waits one minute, then two
 * (AWS Lambda Developer Guide, "Asynchronous invocation error handling"). Never more than six hours, which is how long
 * Lambda keeps an event. */
static inline uint64_t backoff_ms(uint32_t attempts, uint64_t base_ms)
{
	const uint64_t most = 6ull * 3600 * 1000;
	uint64_t ms = base_ms;

	for (uint32_t i = 1; i < attempts && ms && ms < most; i++)
		ms *= 2;
	return ms < most ? ms : most;
}

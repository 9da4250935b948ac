/* Clocks and randomness. Stateless; a kernel without a monotonic clock or getrandom is not supported, so nothing
 * here can fail. */
#include "sys/clock.h"

#include <errno.h>
#include <sys/random.h>
#include <string.h>
#include <time.h>

uint64_t clock_mono_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

int64_t clock_wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void random_bytes(void *p, size_t n)
{
	uint8_t *at = p;

	while (n > 0) {
		ssize_t r = getrandom(at, n, 0);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			abort();
		at += r;
		n -= (size_t)r;
	}
}

void random_id(uint8_t id[static 16])
{
	static __thread uint8_t pool[1024];
	static __thread size_t left;

	if (left == 0) {
		random_bytes(pool, sizeof(pool));
		left = sizeof(pool);
	}
	left -= 16;
	memcpy(id, pool + left, 16);
	explicit_bzero(pool + left, 16);
}

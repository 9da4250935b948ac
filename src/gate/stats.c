/* Counts of runs. Percentiles come from a histogram whose buckets grow with the value: the answer is the middle of the
 * bucket, so it is never wrong by more than a ninth. Owned by the function version. */
#include "gate/stats.h"

#define FADE_AT 32768
#define RATE_S  10

static unsigned bucket_of(uint64_t us)
{
	unsigned log, i;

	if (us < 4)
		return (unsigned)us;
	log = 63 - (unsigned)__builtin_clzll(us);
	i = (log - 1) * 4 + (unsigned)((us >> (log - 2)) & 3);
	return MIN(i, (unsigned)STATS_BUCKETS - 1);
}

static uint64_t middle_of(unsigned i)
{
	unsigned log = i / 4 + 1;
	uint64_t step = log > 2 ? 1ull << (log - 2) : 1;

	return i < 4 ? i : (4 + i % 4) * step + step / 2;
}

/* Seconds that passed without a run are emptied. */
static void to_second(struct stats *s, uint64_t now)
{
	if (now <= s->second)
		return;
	for (uint64_t at = MAX(s->second + 1, now - MIN(now, (uint64_t)STATS_SECONDS - 1)); at <= now; at++)
		s->per_second[at % STATS_SECONDS] = 0;
	s->second = now;
}

void stats_add(struct stats *s, uint64_t now_us, uint64_t run_us, bool failed, bool cold)
{
	to_second(s, now_us / 1000000);
	s->per_second[s->second % STATS_SECONDS]++;
	s->invocations++;
	s->errors += failed;
	s->cold += cold;
	s->bucket[bucket_of(run_us)]++;
	if (++s->counted < FADE_AT)
		return;
	s->counted = 0;
	for (unsigned i = 0; i < STATS_BUCKETS; i++) {
		s->bucket[i] /= 2;
		s->counted += s->bucket[i];
	}
}

uint64_t stats_percentile_us(const struct stats *s, unsigned percent)
{
	uint64_t rank = ((uint64_t)s->counted * percent + 99) / 100, seen = 0;

	for (unsigned i = 0; i < STATS_BUCKETS; i++) {
		seen += s->bucket[i];
		if (seen >= rank && s->bucket[i])
			return middle_of(i);
	}
	return 0;
}

double stats_per_s(const struct stats *s, uint64_t now_us)
{
	struct stats copy = *s;
	uint64_t now = now_us / 1000000, n = 0;

	to_second(&copy, now);
	for (unsigned i = 1; i <= RATE_S && i <= now; i++)
		n += copy.per_second[(now - i) % STATS_SECONDS];
	return (double)n / RATE_S;
}

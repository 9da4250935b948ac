/* What a function version does, in a few hundred bytes: counts, a rate and the spread of its runs. Pure but for the
 * allocation on the first run. */
#pragma once

#include "base/util.h"

#define STATS_BUCKETS 124 /* four to each power of two, from 1 us to half an hour */
#define STATS_SECONDS 12

struct stats {
	uint64_t invocations, errors, cold;
	uint32_t bucket[STATS_BUCKETS];
	uint32_t counted;                   /* in the buckets; halved when they are full, so that the past fades */
	uint64_t second;                    /* the newest of those that follow */
	uint32_t per_second[STATS_SECONDS]; /* by second modulo their number */
};

void stats_add(struct stats *s, uint64_t now_us, uint64_t run_us, bool failed, bool cold);
uint64_t stats_percentile_us(const struct stats *s, unsigned percent); /* 0: nothing has run. Within a ninth */
double stats_per_s(const struct stats *s, uint64_t now_us);            /* over the last ten whole seconds */

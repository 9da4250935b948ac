/* Functions that cannot start: a function whose workers fail at every start is started again ever more seldom, and
 * those who call it are told. */
#pragma once

#include "gate/fn.h"

struct crash {
	unsigned n;        /* starts that failed, one after another; several side by side count once */
	uint64_t last_us;  /* monotonic: the last of them */
	uint64_t until_us; /* no start before */
	char type[96];
	struct buf message; /* what the last one failed with */
	struct buf words;   /* and the last that it printed */
};

/* How long nobody is started after the n-th failure: 0 after the first, then 100 ms, doubling to 30 s. */
uint64_t crash_delay_us(unsigned n);
/* A worker that was asked for then never became ready. _doc: error is {"errorMessage": ...}. */
void crash_failed(struct fn *fn, uint64_t asked_us, struct str type, struct str message, struct str words);
void crash_failed_doc(struct fn *fn, uint64_t asked_us, struct str type, struct str doc, struct str words);
void crash_over(struct fn *fn); /* one became ready */
uint64_t crash_left_us(const struct fn *fn);
/* Answers an invocation with what the last start failed with, as Runtime.CrashLooping. */
void crash_answer(struct invocation *inv);
void crash_free(struct crash *c);

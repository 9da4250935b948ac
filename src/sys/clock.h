/* Clocks and randomness of the system. */
#pragma once

#include "base/util.h"

uint64_t clock_mono_us(void); /* CLOCK_MONOTONIC: durations */
int64_t clock_wall_ms(void);  /* Unix time in milliseconds: stamps that people and protocols see */
/* For names that must not repeat or be guessed (request ids): drawn from a pool, one system call for many. */
void random_id(uint8_t id[static 16]);
void random_bytes(void *p, size_t n); /* getrandom; cannot fail */

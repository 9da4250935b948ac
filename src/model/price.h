/* What an invocation costs: a fact after the run. Money is integer picodollars (1e-12 USD), all arithmetic exact with
 * 128-bit intermediates. Pure.
 *
 * Rounding: each of the parts of a cost (memory time, request, device) is rounded up to the next picodollar, so that
 * a bill is never less than the sum it is made of. */
#pragma once

#include "base/err.h"
#include "base/str.h"

#define PICODOLLARS 1000000000000ull /* in a dollar */

#define PRICE_SLICES_MAX 64

struct price_slice {
	struct str of; /* model of a device ("NVIDIA H200") or kind ("gpu") */
	uint64_t slice_second;
};

struct price_book {
	uint64_t gb_second; /* picodollars for 1024 MB over 1 s */
	uint64_t request;   /* picodollars each */
	/* Picodollars for one slot (an eighth of a device) over 1 s. */
	struct price_slice slices[PRICE_SLICES_MAX];
	size_t n_slices;
};

/* AWS Lambda Pricing (aws.amazon.com/lambda/pricing), x86, US East (N. Virginia), first tier: $0.0000166667 for every
 * GB-second, $0.20 per 1M requests. Device slices are free until the book says otherwise. */
#define PRICE_BOOK_DEFAULT ((struct price_book){.gb_second = 16666700, .request = 200000})

/* "NVIDIA H200=0.0001,gpu=0.00005": what a slot costs by model or, for models that are not named, by kind; in USD a
 * second. Replaces what the book had; names are views into text. -1: err says which part of it is wrong. */
int price_parse_slices(struct price_book *book, struct str text, struct err *err);
/* Picodollars for a slot-second of a device: by its model, else by its kind, in any case of letters; else 0. */
uint64_t price_slice_second(const struct price_book *book, struct str model, struct str kind);

/* Rounded up to the millisecond. The function's initialisation is billed with the run it was done for, as AWS does for
 * all packages since August 2025; time in queues and the start of the process are not. */
uint64_t price_billed_ms(uint64_t run_us, uint64_t init_us);
uint64_t price_slice_ms(uint32_t slots, uint64_t billed_ms); /* saturates */
/* slice_second: price_slice_second() of the device that slice_ms were held of. Saturates at UINT64_MAX (18 million
 * dollars). */
uint64_t price_cost(const struct price_book *book, uint32_t memory_mb, uint64_t billed_ms, uint64_t slice_ms,
		    uint64_t slice_second);

#define PRICE_TEXT_SIZE 32
/* "0.000000209" : exact, without trailing zeros but with two decimals at least. */
void price_format_usd(uint64_t picodollars, char out[static PRICE_TEXT_SIZE]);
/* "0.0000166667" or "12": a decimal without sign, at most 12 decimals. False: anything else, or beyond 64 bits. */
bool price_parse_usd(struct str s, uint64_t *ret);

/* The invocations that ended last, for who asks about one: how they ended and where their time went. In memory only;
 * what was used is in the store. */
#pragma once

#include "gate/invoke.h"

struct recent_entry {
	uint8_t id[16];
	char function[65], version[16];
	char outcome[64]; /* "ok", the error's type, or the refusal's code */
	bool ran;
	int64_t at_ms;
	uint64_t queue_us, start_us, box_us, init_us, run_us;
	char *text;  /* of an error */
	char *words; /* the last its worker printed, when that is gone */
};

struct recent;
struct recent *recent_new(void);
struct recent *recent_free(struct recent *r);
void recent_add(struct recent *r, const struct invocation *inv); /* it is over, or refused */
const struct recent_entry *recent_find(const struct recent *r, const uint8_t id[static 16]);

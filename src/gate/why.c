/* Why an invocation waits, in words. */
#include "gate/why.h"

#include "gate/place.h"

const char *wait_reason_name(enum wait_reason r)
{
#define WAIT_NAME(name, text) [WAIT_##name] = text,
	static const char *const names[WAIT_REASON_COUNT] = {WAIT_REASONS(WAIT_NAME)};

#undef WAIT_NAME
	return names[r];
}

static const char *s(uint64_t n)
{
	return n == 1 ? "" : "s";
}

void wait_text(struct buf *b, enum wait_reason r, const struct place_view *v)
{
	static const char *const stages[] = {
		[START_ASKED] = "its process is asked for",
		[START_BOXING] = "its box is made",
		[START_INIT] = "it initialises",
	};

	switch (r) {
	case WAIT_NONE:
		buf_adds(b, "Nothing holds it up.");
		break;
	case WAIT_STARTING:
		buf_printf(b, "%u worker%s for it %s starting, the first since %llu ms: %s.", v->starting,
			   s(v->starting), v->starting == 1 ? "is" : "are",
			   (unsigned long long)(v->start_age_us / 1000), stages[v->start_stage]);
		break;
	case WAIT_BUSY:
		buf_printf(b, "Its %u worker%s busy, and one will be free sooner than another could start.", v->ready,
			   v->ready == 1 ? " is" : "s are");
		break;
	case WAIT_NO_NODE:
		buf_adds(b, "No node is connected that could run it.");
		break;
	case WAIT_TOO_LARGE:
		buf_printf(b, "It asks for %llu MB of memory, and the machine has %llu MB for workers.",
			   (unsigned long long)v->memory_mb, (unsigned long long)v->memory_all_mb);
		break;
	case WAIT_NO_MEMORY:
		buf_printf(b,
			   "No memory: another worker of it is reckoned with %llu MB, and of %llu MB for workers %llu "
			   "MB are left.",
			   (unsigned long long)v->estimate_mb, (unsigned long long)v->memory_all_mb,
			   (unsigned long long)v->memory_free_mb);
		break;
	case WAIT_RESERVED:
		buf_printf(b,
			   "Its reserved concurrency of %u is used up: %u invocation%s in hand, %u worker%s starting.",
			   v->reserved, v->group_running, s(v->group_running), v->group_starting, s(v->group_starting));
		break;
	case WAIT_ACCOUNT:
		buf_printf(b,
			   "The account's limit is used up: %u invocations of functions without a reservation may run "
			   "at once, and %u do.",
			   v->shared_limit, v->shared_active);
		break;
	case WAIT_CRASH_LOOPING:
	case WAIT_BACKING_OFF:
		buf_printf(b, "It has failed to start %u time%s in a row; the next try is in %llu ms.", v->crashes,
			   s(v->crashes), (unsigned long long)(v->backoff_us / 1000));
		break;
	case WAIT_STARTS:
		buf_printf(b, "%u workers are starting, and more at once would only slow them down.", v->starts);
		break;
	case WAIT_FAIR_SHARE:
		buf_adds(b, "The machine is full, and functions that wait as well have less of it.");
		break;
	case WAIT_NO_PLACE:
		buf_adds(b, "No node that is fit for it has room.");
		break;
	case WAIT_REASON_COUNT:
		break;
	}
}

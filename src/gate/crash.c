/* Backing off from functions that crash at every start. Owned by the function version, from its first failed start
 * until one succeeds or the function is deployed anew. Without it, a function that is called often and cannot start
 * would be all that the machine does. */
#include "gate/crash.h"

#include "base/mem.h"
#include "sys/clock.h"
#include "sys/log.h"

#include <stdio.h>

#define FIRST_US 100000ull
#define MOST_US  30000000ull

uint64_t crash_delay_us(unsigned n)
{
	uint64_t us = FIRST_US;

	if (n < 2)
		return 0;
	while (--n > 1 && us < MOST_US)
		us *= 2;
	return MIN(us, MOST_US);
}

static void set(struct buf *b, struct str s)
{
	buf_clear(b);
	buf_add_str(b, s);
}

void crash_failed(struct fn *fn, uint64_t asked_us, struct str type, struct str message, struct str words)
{
	struct crash *c = fn->crash;
	uint64_t now = clock_mono_us();

	if (!c)
		c = fn->crash = xnew(struct crash);
	snprintf(c->type, sizeof(c->type), "%.*s", STR_ARG(type));
	set(&c->message, message);
	set(&c->words, words);
	/* Workers that were started side by side fail for one reason: only who was started after the last failure is
	 * another try. */
	if (c->n && asked_us <= c->last_us)
		return;
	c->n++;
	c->last_us = now;
	c->until_us = now + crash_delay_us(c->n);
	if (c->n > 1)
		log_warn("function %.*s:%.*s has failed to start %u times in a row: %.*s; the next try is in %llu ms",
			 STR_ARG(fn->def.name), STR_ARG(fn->def.version), c->n, STR_ARG(type),
			 (unsigned long long)(crash_delay_us(c->n) / 1000));
}

void crash_failed_doc(struct fn *fn, uint64_t asked_us, struct str type, struct str doc, struct str words)
{
	_cleanup_json_ json_t *j = json_parse(doc, NULL);

	crash_failed(fn, asked_us, type, json_get_str(j, "errorMessage", str_sub(doc, 0, 512)), words);
}

void crash_free(struct crash *c)
{
	if (!c)
		return;
	buf_done(&c->message);
	buf_done(&c->words);
	free(c);
}

void crash_over(struct fn *fn)
{
	crash_free(steal(&fn->crash));
}

uint64_t crash_left_us(const struct fn *fn)
{
	uint64_t now = fn->crash ? clock_mono_us() : 0;

	return fn->crash && fn->crash->until_us > now ? fn->crash->until_us - now : 0;
}

void crash_answer(struct invocation *inv)
{
	const struct crash *c = inv->fn->crash;
	uint64_t left_ms = crash_left_us(inv->fn) / 1000;
	struct buf doc = BUF_NULL, text = BUF_NULL;

	buf_printf(&text, "The function has failed to start %u times in a row; the next try is in %llu.%llu s. ", c->n,
		   (unsigned long long)(left_ms / 1000), (unsigned long long)(left_ms % 1000 / 100));
	buf_printf(&text, "The last failed with %s: ", c->type);
	buf_add_str(&text, buf_str(&c->message));
	buf_adds(&doc, "{\"errorType\":\"Runtime.CrashLooping\",\"errorMessage\":");
	json_write_string(&doc, buf_str(&text));
	if (c->words.n) {
		buf_adds(&doc, ",\"lastWords\":");
		json_write_string(&doc, buf_str(&c->words));
		inv->words = arena_str(&inv->r->arena, buf_str(&c->words));
	}
	buf_addc(&doc, '}');
	invocation_over(inv, USAGE_INIT_ERROR, "Runtime.CrashLooping", buf_str(&doc));
	buf_done(&doc);
	buf_done(&text);
}

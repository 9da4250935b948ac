/* A ring of ended invocations. Each costs the copy of a small struct; texts are kept of errors only. */
#include "gate/recent.h"

#include "base/mem.h"
#include "gate/fn.h"

#include <stdio.h>

#define KEPT     1024
#define TEXT_MAX 1024

struct recent {
	struct recent_entry ring[KEPT];
	size_t next;
};

struct recent *recent_new(void)
{
	return xnew(struct recent);
}

static void clear(struct recent_entry *e)
{
	free(e->text);
	free(e->words);
	*e = (struct recent_entry){0};
}

struct recent *recent_free(struct recent *r)
{
	if (!r)
		return NULL;
	for (size_t i = 0; i < KEPT; i++)
		clear(&r->ring[i]);
	free(r);
	return NULL;
}

static void copy(char *to, size_t size, struct str s)
{
	size_t n = MIN(s.n, size - 1);

	memcpy(to, s.p ? s.p : "", n);
	to[n] = '\0';
}

static char *keep(struct str s)
{
	return s.n ? str_dup(str_sub(s, 0, TEXT_MAX)) : NULL;
}

/* The function's own document: what a person reads of it is the message. */
static char *keep_message(const struct invocation *inv)
{
	_cleanup_json_ json_t *j = inv->result.n <= 65536 ? json_parse(buf_str(&inv->result), NULL) : NULL;

	return keep(json_get_str(j, "errorMessage", buf_str(&inv->result)));
}

void recent_add(struct recent *r, const struct invocation *inv)
{
	struct recent_entry *e = &r->ring[r->next++ % KEPT];
	const struct usage *u = &inv->usage;

	clear(e);
	memcpy(e->id, inv->r->id, sizeof(e->id));
	copy(e->function, sizeof(e->function), inv->fn->def.name);
	copy(e->version, sizeof(e->version), inv->fn->def.version);
	e->at_ms = u->at_ms ? u->at_ms : inv->r->now_ms;
	if (inv->r->fail) {
		const struct fail_info *info = fail_info(inv->r->fail);

		copy(e->outcome, sizeof(e->outcome), str_from(info->lambda_type));
		e->text = keep(inv->r->fail_message.n ? inv->r->fail_message : str_from(info->message));
		return;
	}
	e->ran = true;
	e->queue_us = u->queue_us;
	e->start_us = u->start_us;
	e->box_us = inv->box_us;
	e->init_us = u->init_us;
	e->run_us = u->run_us;
	copy(e->outcome, sizeof(e->outcome), u->status == USAGE_OK ? STR("ok") : str_from(inv->error_type));
	if (u->status == USAGE_OK)
		return;
	e->text = keep_message(inv);
	e->words = keep(inv->words);
}

const struct recent_entry *recent_find(const struct recent *r, const uint8_t id[static 16])
{
	/* The newest first: an event has been tried more than once under its id. */
	for (size_t i = 1; i <= KEPT && i <= r->next; i++) {
		const struct recent_entry *e = &r->ring[(r->next - i) % KEPT];

		if (memcmp(e->id, id, 16) == 0)
			return e;
	}
	return NULL;
}

/* Stages as text: one line, in the order in which they happen, those that took no time left out. Pure; cannot fail. */
#include "cli/stages.h"

#include "base/mem.h"

#include <stdio.h>

#define NO_NEWS_US 50

/* In the order in which they happen. */
static const char *const order[] = {"queue", "start", "box", "init", "run"};

/* "queue=80, start=2100" or "queue;dur=0.08, ...": the second is in milliseconds, as Server-Timing has it. */
static void split_stages(json_t *o, struct str value)
{
	while (value.n > 0) {
		struct str item, name, number;
		_cleanup_(freep) char *key = NULL;

		str_cut(value, ',', &item, &value);
		if (!str_cut(str_trim(item), '=', &name, &number))
			continue;
		name = str_trim(name);
		number = str_trim(number);
		if (str_ends(name, STR(";dur"))) {
			_cleanup_(freep) char *ms = str_dup(number);
			_cleanup_(freep) char *us = xasprintf("%.0f", strtod(ms, NULL) * 1000);

			key = xasprintf("%.*s-us", (int)(name.n - strlen(";dur")), name.p);
			json_object_set_new(o, key, json_string(us));
			continue;
		}
		key = str_ends(name, STR("us")) || str_ends(name, STR("usd")) || str_ends(name, STR("ms"))
			      ? str_dup(name)
			      : xasprintf("%.*s-us", STR_ARG(name));
		json_set_str(o, key, number);
	}
}

json_t *stages_of(const struct http_response *r)
{
	struct str rest = buf_str(&r->headers), line, name, value;
	json_t *o = json_object();

	while (rest.n > 0) {
		str_cut(rest, '\n', &line, &rest);
		if (!str_cut(line, ':', &name, &value))
			continue;
		while (value.n > 0 && value.p[value.n - 1] == '\r')
			value.n--;
		if (str_ieq(name, STR("x-wick-stages"))) {
			split_stages(o, str_trim(value));
		} else if (str_istarts(name, STR("wick-"))) {
			_cleanup_(freep) char *key = str_dup(str_sub(name, strlen("wick-"), name.n));

			json_set_str(o, key, str_trim(value));
		}
	}
	return o;
}

static void add_ms(struct buf *b, const char *name, double ms, bool *any)
{
	buf_printf(b, ms < 10 ? "%s%s %.2f" : ms < 1000 ? "%s%s %.1f" : "%s%s %.0f", *any ? "  " : "", name, ms);
	*any = true;
}

bool stages_text(struct buf *b, const json_t *stages)
{
	bool any = false;
	struct str billed = json_get_str(stages, "billed-ms", STR_NULL);
	struct str cost = json_get_str(stages, "cost-usd", STR_NULL);

	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		_cleanup_(freep) char *key = xasprintf("%s-us", order[i]);
		uint64_t us;

		/* A queue of no length and a warm worker's missing start are no news; the run always is. */
		if (str_to_u64(json_get_str(stages, key, STR_NULL), &us) &&
		    (us >= NO_NEWS_US || strcmp(order[i], "run") == 0))
			add_ms(b, order[i], (double)us / 1000, &any);
	}
	if (!any)
		return false;
	buf_adds(b, " ms");
	if (billed.n)
		buf_printf(b, "   billed %.*s ms", STR_ARG(billed));
	if (cost.n)
		buf_printf(b, "   $%.*s", STR_ARG(cost));
	return true;
}

/* "Init Duration: 3.10 ms": the number. */
static bool report_number(struct str field, const char *name, const char *unit, double *ret)
{
	struct str key, value;
	_cleanup_(freep) char *text = NULL;

	if (!str_cut(field, ':', &key, &value) || !str_eqz(str_trim(key), name))
		return false;
	value = str_trim(value);
	if (!str_ends(value, str_from(unit)))
		return false;
	text = str_dup(value);
	*ret = strtod(text, NULL);
	return true;
}

bool stages_of_report(struct buf *b, struct str line, bool *failed)
{
	static const struct {
		const char *name, *shown;
	} times[] = {{"Queue Duration", "queue"}, {"Start Duration", "start"},     {"Box Duration", "box"},
		     {"Init Duration", "init"},   {"Restore Duration", "restore"}, {"Duration", "run"}};
	double values[ARRAY_SIZE(times)] = {0}, billed = -1, used = -1, size = -1, v;
	struct str field, key, value, status = STR_NULL, type = STR_NULL;
	bool any = false;

	if (!str_starts(line, STR("REPORT ")))
		return false;
	while (line.n > 0) {
		str_cut(line, '\t', &field, &line);
		for (size_t i = 0; i < ARRAY_SIZE(times); i++)
			if (report_number(field, times[i].name, "ms", &v))
				values[i] = v;
		if (report_number(field, "Billed Duration", "ms", &v))
			billed = v;
		else if (report_number(field, "Max Memory Used", "MB", &v))
			used = v;
		else if (report_number(field, "Memory Size", "MB", &v))
			size = v;
		if (str_cut(field, ':', &key, &value) && str_eqz(key, "Status"))
			status = str_trim(value);
		else if (str_eqz(key, "Error Type"))
			type = str_trim(value);
	}
	*failed = status.n > 0;
	for (size_t i = 0; i < ARRAY_SIZE(times); i++)
		if (values[i] > 0 || i + 1 == ARRAY_SIZE(times))
			add_ms(b, times[i].shown, values[i], &any);
	buf_adds(b, " ms");
	if (billed >= 0)
		buf_printf(b, "   billed %.0f ms", billed);
	if (used >= 0 && size > 0)
		buf_printf(b, "   %.0f of %.0f MB", used, size);
	if (*failed)
		buf_printf(b, "   %.*s%s%.*s", STR_ARG(status), type.n ? " " : "", STR_ARG(type));
	return true;
}

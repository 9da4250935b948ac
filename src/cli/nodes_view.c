/* Nodes, their devices and a placement as tables. Names and reasons come from machines elsewhere: they are cleaned
 * before a terminal gets them. Pure; cannot fail. */
#include "cli/nodes_view.h"

#include "cli/out.h"

#include <stdio.h>

#define SLOTS 8 /* of every device */

static uint64_t number(const json_t *o, const char *key)
{
	int64_t v = json_get_int(o, key, 0);

	return v > 0 ? (uint64_t)v : 0;
}

static const char *cell(struct grid *g, const json_t *o, const char *key)
{
	return out_cell(&g->arena, json_get_str(o, key, STR_NULL));
}

static const char *joined(struct grid *g, const json_t *list, const char *between)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)list, i, one)
		buf_printf(&b, "%s%.*s", i ? between : "", STR_ARG(json_str_value(one)));
	return out_cell(&g->arena, buf_str(&b));
}

/* ---- nodes ---- */

/* "up", "away, drained", "failing: the GPU fell off the bus". */
static const char *state(struct grid *g, const json_t *node)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	struct str s = json_get_str(node, "state", json_get_bool(node, "up", false) ? STR("up") : STR("away"));
	struct str why = json_get_str(node, "why", STR_NULL);

	buf_add_str(&b, s);
	if (json_get_bool(node, "drained", false) && !str_eqz(s, "drained"))
		buf_adds(&b, ", drained");
	if (why.n)
		buf_printf(&b, ": %.*s", STR_ARG(why));
	return out_cell(&g->arena, buf_str(&b));
}

/* "2 gpu, 1 cpu", by kind in the order in which they come. */
static const char *devices(struct grid *g, const json_t *list)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	for (size_t i = 0; i < json_array_size(list); i++) {
		struct str kind = json_get_str(json_array_get(list, i), "kind", STR("?"));
		bool seen = false;
		size_t n = 0;

		for (size_t k = 0; k < json_array_size(list); k++)
			if (str_eq(kind, json_get_str(json_array_get(list, k), "kind", STR("?")))) {
				seen = seen || k < i;
				n++;
			}
		if (!seen)
			buf_printf(&b, "%s%zu %.*s", b.n ? ", " : "", n, STR_ARG(kind));
	}
	return out_cell(&g->arena, buf_str(&b));
}

static const char *slots(struct grid *g, const json_t *list)
{
	uint64_t used = 0;

	if (!json_array_size(list))
		return "-";
	for (size_t i = 0; i < json_array_size(list); i++)
		used += number(json_array_get(list, i), "slots_used");
	return arena_printf(&g->arena, "%llu/%zu", (unsigned long long)used, json_array_size(list) * SLOTS);
}

static const char *seen(const json_t *node, char buf[static OUT_TEXT])
{
	int64_t ms = json_get_int(node, "seen_ms", 0);

	if (json_get_bool(node, "up", false))
		return "now";
	return ms > 0 ? out_local_time(ms, buf) : "-";
}

static const char *workers(struct grid *g, const json_t *node)
{
	unsigned long long all = number(node, "workers"), parked = number(node, "parked");

	return parked ? arena_printf(&g->arena, "%llu (%llu parked)", all, parked)
		      : arena_printf(&g->arena, "%llu", all);
}

void nodes_view(struct buf *b, const json_t *nodes, int fd)
{
	_cleanup_(grid_done) struct grid g = {
		.head = "NAME\tSTATE\tLABELS\tADDRESS\tVERSION\tDEVICES\t>SLOTS\t>RTT\t>WORKERS\tSEEN"};
	char rtt[OUT_TEXT], when[OUT_TEXT];

	for (size_t i = 0; i < json_array_size(nodes); i++) {
		const json_t *n = json_array_get(nodes, i), *list = json_get_array(n, "devices");
		uint64_t rtt_us = number(n, "rtt_us");

		grid_add(&g, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s", cell(&g, n, "name"), state(&g, n),
			 joined(&g, json_get_array(n, "labels"), ","), cell(&g, n, "address"), cell(&g, n, "version"),
			 devices(&g, list), slots(&g, list), rtt_us ? out_us(rtt_us, rtt) : "-", workers(&g, n),
			 seen(n, when));
	}
	grid_text(&g, b, fd);
}

/* ---- devices ---- */

/* How a fraction of it is held. */
static const char *rung(struct grid *g, const json_t *d)
{
	if (json_get_str(d, "rung", STR_NULL).n)
		return cell(g, d, "rung");
	if (str_eqz(json_get_str(d, "kind", STR_NULL), "cpu"))
		return "-";
	return json_get_bool(d, "mig_mode", false) ? "mig" : json_get_bool(d, "mps", false) ? "mps" : "watched";
}

static const char *mb(struct grid *g, const json_t *d, const char *key)
{
	return arena_printf(&g->arena, "%llu MB", (unsigned long long)number(d, key));
}

static void device_row(struct grid *g, const json_t *node, const json_t *d)
{
	/* Only NVML measures; and what has no account of its memory promises none. */
	bool measured = str_eqz(json_get_str(d, "source", STR_NULL), "nvml"), memory = number(d, "memory_mb");
	bool promises = memory && !str_eqz(json_get_str(d, "kind", STR_NULL), "cpu");
	const char *util = "-", *temp = "-";

	if (measured) {
		util = arena_printf(&g->arena, "%llu%%", (unsigned long long)number(d, "utilisation_percent"));
		temp = arena_printf(&g->arena, "%llu C", (unsigned long long)number(d, "temperature_c"));
	}
	grid_add(g, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%llu/%d\t%s\t%s\t%s\t%s", cell(g, node, "name"), cell(g, d, "id"),
		 cell(g, d, "model"), cell(g, d, "kind"), memory ? mb(g, d, "memory_mb") : "-",
		 measured ? mb(g, d, "memory_used_mb") : "-", promises ? mb(g, d, "memory_promised_mb") : "-",
		 (unsigned long long)number(d, "slots_used"), SLOTS, rung(g, d), util, temp, cell(g, d, "trouble"));
}

void nodes_view_devices(struct buf *b, const json_t *nodes, int fd)
{
	_cleanup_(grid_done) struct grid g = {
		.head = "NODE\tDEVICE\tMODEL\tKIND\t>MEMORY\t>USED\t>PROMISED\t>SLOTS\tRUNG\t>UTIL\t>TEMP\tTROUBLE"};

	for (size_t i = 0; i < json_array_size(nodes); i++) {
		const json_t *n = json_array_get(nodes, i), *list = json_get_array(n, "devices");

		for (size_t k = 0; k < json_array_size(list); k++)
			device_row(&g, n, json_array_get(list, k));
	}
	grid_text(&g, b, fd);
}

/* ---- placement ---- */

/* "3/8 of a gpu or else a cpu, 4096 MB of device memory, on a node labelled edge; 512 MB of memory". */
static const char *wish(struct grid *g, const json_t *o)
{
	const json_t *kinds = json_get_array(o, "kinds"), *labels = json_get_array(o, "labels");
	struct str slice = json_get_str(o, "slice", STR_NULL);
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	bool whole = !str_ends(slice, STR("/8"));

	if (slice.n && json_array_size(kinds))
		buf_printf(&b, "%.*s%s%s", STR_ARG(slice), whole ? " of kind " : " of a ",
			   joined(g, kinds, whole ? ", else " : ", else of a "));
	else if (json_array_size(kinds))
		buf_printf(&b, "a node with a %s", joined(g, kinds, ", else a "));
	else
		buf_adds(&b, "no device");
	if (number(o, "device_memory_mb"))
		buf_printf(&b, ", %llu MB of its memory", (unsigned long long)number(o, "device_memory_mb"));
	if (json_array_size(labels))
		buf_printf(&b, ", a node labelled %s", joined(g, labels, " and "));
	if (number(o, "memory_mb"))
		buf_printf(&b, "; it is reckoned with %llu MB of a node's memory",
			   (unsigned long long)number(o, "memory_mb"));
	return out_cell(&g->arena, buf_str(&b));
}

/* "gpu1, where an idle worker of train is parked for it". */
static void add_way(struct buf *b, struct grid *g, const json_t *way, int fd)
{
	struct str how = json_get_str(way, "how", STR_NULL);

	buf_printf(b, "%s%s%s, ", tone_on(fd, TONE_WARN), cell(g, way, "node"), tone_off(fd, TONE_WARN));
	if (str_eqz(how, "leaves"))
		buf_printf(b, "once a worker of %s that leaves is gone", cell(g, way, "function"));
	else
		buf_printf(b, "where an idle worker of %s is %s for it", cell(g, way, "function"), cell(g, way, "how"));
}

static void add_chosen(struct buf *b, struct grid *g, const json_t *place, int fd)
{
	const json_t *chosen = json_object_get(place, "chosen"), *list = json_get_array(chosen, "devices");

	if (!json_is_object(chosen) && json_is_object(json_object_get(place, "makes_way"))) {
		add_way(b, g, json_object_get(place, "makes_way"), fd);
		return;
	}
	if (!json_is_object(chosen)) {
		buf_printf(b, "%snowhere%s", tone_on(fd, TONE_WARN), tone_off(fd, TONE_WARN));
		return;
	}
	buf_printf(b, "%s%s%s", tone_on(fd, TONE_GOOD), cell(g, chosen, "node"), tone_off(fd, TONE_GOOD));
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *d = json_array_get(list, i);

		buf_printf(b, "%s%s (%s) %llu/%d", i ? "; " : ": ", cell(g, d, "model"), cell(g, d, "id"),
			   (unsigned long long)number(d, "slots"), SLOTS);
		if (number(d, "memory_mb"))
			buf_printf(b, ", %llu MB", (unsigned long long)number(d, "memory_mb"));
		if (json_get_str(d, "rung", STR_NULL).n && !str_eqz(json_get_str(d, "rung", STR_NULL), "none"))
			buf_printf(b, ", %s", cell(g, d, "rung"));
	}
}

void place_view(struct buf *b, const json_t *place, int fd)
{
	_cleanup_(grid_done) struct grid g = {.head = "NODE\tVERDICT\tWHY"};
	const json_t *list = json_get_array(place, "candidates");

	buf_printf(b, "%s asks for: %s\nIt would start on: ", cell(&g, place, "function"),
		   wish(&g, json_get_object(place, "wish")));
	add_chosen(b, &g, place, fd);
	buf_addc(b, '\n');
	if (json_get_str(place, "reason", STR_NULL).n)
		buf_printf(b, "%s\n", cell(&g, place, "reason"));
	if (!json_array_size(list))
		return;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *c = json_array_get(list, i);

		grid_add(&g, "%s\t%s\t%s", cell(&g, c, "node"),
			 json_get_bool(c, "chosen", false) ? "chosen" : cell(&g, c, "verdict"), cell(&g, c, "text"));
	}
	grid_text(&g, b, fd);
}

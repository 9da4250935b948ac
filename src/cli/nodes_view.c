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

void nodes_view(struct buf *b, const json_t *nodes, int fd)
{
	_cleanup_(grid_done) struct grid g = {
		.head = "NAME\tSTATE\tLABELS\tADDRESS\tVERSION\tDEVICES\t>SLOTS\t>RTT\t>WORKERS\tSEEN"};
	char rtt[OUT_TEXT], when[OUT_TEXT];

	for (size_t i = 0; i < json_array_size(nodes); i++) {
		const json_t *n = json_array_get(nodes, i), *list = json_get_array(n, "devices");
		uint64_t rtt_us = number(n, "rtt_us");

		grid_add(&g, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%llu\t%s", cell(&g, n, "name"), state(&g, n),
			 joined(&g, json_get_array(n, "labels"), ","), cell(&g, n, "address"), cell(&g, n, "version"),
			 devices(&g, list), slots(&g, list), rtt_us ? out_us(rtt_us, rtt) : "-",
			 (unsigned long long)number(n, "workers"), seen(n, when));
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

static void device_row(struct grid *g, const json_t *node, const json_t *d)
{
	/* Only NVML measures. */
	bool measured = str_eqz(json_get_str(d, "source", STR_NULL), "nvml");
	uint64_t memory = number(d, "memory_mb");
	const char *util = "-", *temp = "-", *room = "-";

	if (measured) {
		util = arena_printf(&g->arena, "%llu%%", (unsigned long long)number(d, "utilisation_percent"));
		temp = arena_printf(&g->arena, "%llu C", (unsigned long long)number(d, "temperature_c"));
	}
	if (memory)
		room = arena_printf(&g->arena, "%llu/%llu MB", (unsigned long long)number(d, "memory_used_mb"),
				    (unsigned long long)memory);
	grid_add(g, "%s\t%s\t%s\t%s\t%s\t%llu/%d\t%s\t%s\t%s\t%s", cell(g, node, "name"), cell(g, d, "id"),
		 cell(g, d, "model"), cell(g, d, "kind"), room, (unsigned long long)number(d, "slots_used"), SLOTS,
		 rung(g, d), util, temp, cell(g, d, "trouble"));
}

void nodes_view_devices(struct buf *b, const json_t *nodes, int fd)
{
	_cleanup_(grid_done) struct grid g = {
		.head = "NODE\tDEVICE\tMODEL\tKIND\t>MEMORY\t>SLOTS\tRUNG\t>UTIL\t>TEMP\tTROUBLE"};

	for (size_t i = 0; i < json_array_size(nodes); i++) {
		const json_t *n = json_array_get(nodes, i), *list = json_get_array(n, "devices");

		for (size_t k = 0; k < json_array_size(list); k++)
			device_row(&g, n, json_array_get(list, k));
	}
	grid_text(&g, b, fd);
}

/* ---- placement ---- */

static void add_value(struct buf *b, const json_t *v)
{
	if (json_is_string(v)) {
		buf_add_str(b, json_str_value(v));
	} else if (json_is_array(v)) {
		for (size_t i = 0; i < json_array_size(v); i++) {
			buf_adds(b, i ? "," : "");
			add_value(b, json_array_get(v, i));
		}
	} else {
		json_write(b, v);
	}
}

/* Whatever the function asks for, "kinds gpu,cpu, slots 3"; what it leaves open is left out. */
static const char *wish(struct grid *g, const json_t *o)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	const char *name;
	json_t *v;

	json_object_foreach((json_t *)o, name, v)
	{
		bool nothing = json_is_null(v) || json_is_false(v) ||
			       (json_is_number(v) && json_number_value(v) == 0) ||
			       (json_is_string(v) && json_string_length(v) == 0) ||
			       (json_is_array(v) && json_array_size(v) == 0);

		if (nothing)
			continue;
		buf_printf(&b, "%s%s ", b.n ? ", " : "", name);
		add_value(&b, v);
	}
	return b.n ? out_cell(&g->arena, buf_str(&b)) : "nothing of a device";
}

static void add_chosen(struct buf *b, struct grid *g, const json_t *chosen, int fd)
{
	const json_t *list = json_get_array(chosen, "devices");

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
	add_chosen(b, &g, json_object_get(place, "chosen"), fd);
	buf_addc(b, '\n');
	if (json_get_str(place, "reason", STR_NULL).n)
		buf_printf(b, "%s\n", cell(&g, place, "reason"));
	if (!json_array_size(list))
		return;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *c = json_array_get(list, i);

		grid_add(&g, "%s\t%s\t%s", cell(&g, c, "node"), cell(&g, c, "verdict"), cell(&g, c, "text"));
	}
	grid_text(&g, b, fd);
}

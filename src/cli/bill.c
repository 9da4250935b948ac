/* wick bill: what was used and what it cost, by function or by invocation. */
#include "cli/commands.h"
#include "cli/out.h"

#include "sys/clock.h"

#include <stdio.h>
#include <unistd.h>

static uint64_t number(const json_t *o, const char *key)
{
	int64_t v = json_get_int(o, key, 0);

	return v > 0 ? (uint64_t)v : 0;
}

/* Of --from and --to, as Unix ms in the query. */
static int add_time(const struct cli *c, const char *flag, const char *name, struct buf *query, int64_t *ret)
{
	const char *s = cli_get(c, flag);
	char text[24];

	if (!s)
		return 0;
	if (!out_parse_since(str_from(s), clock_wall_ms(), ret))
		return cli_usage(c, "--%s %s: expected 2h, 3d, 2026-01-31 or 2026-01-31T12:00", flag, s);
	snprintf(text, sizeof(text), "%lld", (long long)*ret);
	cli_query(query, name, name ? text : NULL);
	return 0;
}

static void sum_row(struct grid *g, const char *name, const char *device, const json_t *s)
{
	char usd[OUT_TEXT];

	grid_add(g, "%s\t%llu\t%llu\t%.6f\t%s\t%.3f\t%s", name, (unsigned long long)number(s, "invocations"),
		 (unsigned long long)number(s, "errors"), (double)number(s, "mb_ms") / 1024 / 1000, device,
		 (double)number(s, "device_slice_ms") / 1000, out_usd(number(s, "cost_picousd"), usd));
}

/* A line for all runs, and one for those of each model of device that they held. */
static void sum_rows(struct grid *g, struct str name, const json_t *s)
{
	const json_t *devices = json_get_array(s, "devices");

	sum_row(g, out_cell(&g->arena, name), json_array_size(devices) ? "all" : "-", s);
	for (size_t i = 0; i < json_array_size(devices); i++) {
		const json_t *d = json_array_get(devices, i);

		sum_row(g, "", out_cell(&g->arena, json_get_str(d, "device", STR_NULL)), d);
	}
}

static void print_sums(const json_t *bill)
{
	_cleanup_(grid_done) struct grid g = {
		.head = "FUNCTION\t>INVOCATIONS\t>ERRORS\t>GB-SECONDS\tDEVICE\t>SLICE-SECONDS\t>COST"};
	json_t *s;
	size_t i;

	json_array_foreach(json_object_get(bill, "functions"), i, s)
		sum_rows(&g, json_get_str(s, "function", STR_NULL), s);
	sum_rows(&g, STR("total"), json_object_get(bill, "total"));
	grid_print(&g, STDOUT_FILENO);
}

/* "NVIDIA H200 3/8 mps" */
static const char *device_cell(struct grid *g, const json_t *u)
{
	struct str device = json_get_str(u, "device", STR_NULL), rung = json_get_str(u, "rung", STR(""));
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	if (device.n)
		buf_printf(&b, "%.*s %llu/8 %.*s", STR_ARG(device), (unsigned long long)number(u, "slots"),
			   STR_ARG(rung));
	return out_cell(&g->arena, str_trim(buf_str(&b)));
}

static void print_invocations(const json_t *answer, int64_t from)
{
	_cleanup_(grid_done) struct grid g = {.head = "TIME\tFUNCTION\tREQUEST\tSTATUS\t>QUEUE\t>START\t>INIT\t>RUN\t>"
						      "BILLED\t>MEMORY\tDEVICE\t>COST"};
	char at[OUT_TEXT], queue[OUT_TEXT], start[OUT_TEXT], init[OUT_TEXT], run[OUT_TEXT], usd[OUT_TEXT];
	json_t *u;
	size_t i;

	json_array_foreach(json_object_get(answer, "invocations"), i, u)
	{
		if (json_get_int(u, "at_ms", 0) < from)
			break;
		grid_add(&g, "%s\t%.*s\t%.*s\t%.*s\t%s\t%s\t%s\t%s\t%llu ms\t%llu MB\t%s\t%s",
			 out_local_time(json_get_int(u, "at_ms", 0), at),
			 STR_ARG(json_get_str(u, "function", STR("-"))),
			 STR_ARG(json_get_str(u, "request_id", STR("-"))), STR_ARG(json_get_str(u, "status", STR("-"))),
			 out_us(number(u, "queue_us"), queue), out_us(number(u, "start_us"), start),
			 out_us(number(u, "init_us"), init), out_us(number(u, "run_us"), run),
			 (unsigned long long)number(u, "billed_ms"), (unsigned long long)number(u, "max_memory_mb"),
			 device_cell(&g, u), out_usd(number(u, "cost_picousd"), usd));
	}
	grid_print(&g, STDOUT_FILENO);
}

int bill_run(const struct cli *c)
{
	bool single = cli_has(c, "invocations");
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_(buf_done) struct buf query = BUF_NULL;
	_cleanup_json_ json_t *answer = NULL;
	struct err err = ERR_NULL;
	char code[64];
	int64_t from = 0, to = 0;

	if (c->n_args)
		return cli_usage(c, "takes no operands");
	cli_query(&query, "function", cli_get(c, "function"));
	/* Invocations are listed backwards from a time: where to stop is seen here. */
	if (add_time(c, "from", single ? NULL : "from", &query, &from) ||
	    add_time(c, "to", single ? "before" : "to", &query, &to))
		return EXIT_USAGE;
	if (single)
		cli_query(&query, "max", cli_get(c, "max") ? cli_get(c, "max") : "50");
	client = cli_client(c);
	if (!client)
		return EXIT_FAILURE;
	if (client_json(client, "wick", "GET", single ? "/_wick/invocations" : "/_wick/bill", buf_cstr(&query), NULL,
			&answer, code, &err) < 0)
		return cli_fail(c, &err);
	if (c->json)
		cli_print_json(steal(&answer));
	else if (single)
		print_invocations(answer, from);
	else
		print_sums(answer);
	return EXIT_SUCCESS;
}

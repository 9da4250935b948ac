/* wick ls: the functions, a line each. */
#include "cli/commands.h"
#include "cli/out.h"

#include <stdio.h>
#include <unistd.h>

/* All pages of ListFunctions in one array; NULL with err set. */
static json_t *list_all(struct client *client, struct err *err)
{
	_cleanup_json_ json_t *all = json_array();
	_cleanup_(buf_done) struct buf query = BUF_NULL;
	char code[64];

	for (;;) {
		_cleanup_json_ json_t *page = NULL;
		struct str next;

		if (client_json(client, "lambda", "GET", "/2015-03-31/functions", buf_cstr(&query), NULL, &page, code,
				err) < 0)
			return NULL;
		json_array_extend(all, json_object_get(page, "Functions"));
		next = json_get_str(page, "NextMarker", STR_NULL);
		if (next.n == 0)
			return steal(&all);
		buf_clear(&query);
		cli_query(&query, "Marker", json_string_value(json_object_get(page, "NextMarker")));
	}
}

int ls_run(const struct cli *c)
{
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_(grid_done) struct grid grid = {.head = "NAME\tRUNTIME\tHANDLER\t>MEMORY\t>TIMEOUT\t>CODE\tMODIFIED"};
	_cleanup_json_ json_t *all = NULL;
	struct err err = ERR_NULL;
	char size[OUT_TEXT], when[OUT_TEXT];
	json_t *f;
	size_t i;

	if (c->n_args)
		return cli_usage(c, "takes no operands");
	client = cli_client(c);
	if (!client)
		return EXIT_FAILURE;
	all = list_all(client, &err);
	if (!all)
		return cli_fail(c, &err);
	if (c->json) {
		cli_print_json(steal(&all));
		return EXIT_SUCCESS;
	}
	if (json_array_size(all) == 0) {
		puts("No functions yet. Deploy one: wick deploy PATH");
		return EXIT_SUCCESS;
	}
	json_array_foreach(all, i, f)
	{
		grid_add(&grid, "%.*s\t%.*s\t%.*s\t%lld MB\t%lld s\t%s\t%s",
			 STR_ARG(json_get_str(f, "FunctionName", STR("-"))),
			 STR_ARG(json_get_str(f, "Runtime", STR("-"))), STR_ARG(json_get_str(f, "Handler", STR("-"))),
			 (long long)json_get_int(f, "MemorySize", 0), (long long)json_get_int(f, "Timeout", 0),
			 out_bytes((uint64_t)json_get_int(f, "CodeSize", 0), size),
			 out_local_iso(json_get_str(f, "LastModified", STR("-")), when));
	}
	grid_print(&grid, STDOUT_FILENO);
	return EXIT_SUCCESS;
}

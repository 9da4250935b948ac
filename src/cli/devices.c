/* wick devices: what this machine could give to functions. Asks the program that a node asks, so that both say the
 * same; needs no server. */
#include "cli/commands.h"
#include "cli/look.h"
#include "cli/out.h"
#include "cli/program.h"

#include "base/mem.h"
#include "sys/file.h"
#include "wire/yaml.h"

#include <stdio.h>
#include <unistd.h>

#define LIMIT_MS 10000

json_t *look_at_devices(struct err *err)
{
	_cleanup_(freep) char *path = program_find("wick-devices", err);
	const char *argv[] = {path, NULL};
	_cleanup_(buf_done) struct buf out = BUF_NULL;
	struct str rest, line;
	int r;

	if (!path)
		return NULL;
	r = program_run(argv, LIMIT_MS, &out);
	/* Drivers print, too. */
	for (rest = buf_str(&out); r == 0 && rest.n;) {
		str_cut(rest, '\n', &line, &rest);
		if (str_starts(line, STR("{\"devices\"")))
			return json_parse(line, err);
	}
	err_set(err, 0, "a driver of this machine crashed, or did not answer within %d s", LIMIT_MS / 1000);
	return NULL;
}

static int declared(struct arena *a, json_t **doc, struct device **ret, size_t *n, struct err *err)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	const char *text = getenv("WICK_DEVICES");
	int r;

	if (!text || text[0] != '@')
		return devices_declared_parse(str_from(text), a, ret, n, err);
	r = file_read(text + 1, YAML_MAX, &b);
	if (r < 0)
		return err_set(err, -r, "read %s", text + 1);
	*doc = yaml_parse(buf_str(&b), err);
	return *doc ? devices_declared_from_json(*doc, a, ret, n, err) : -1;
}

/* What a node here would tell: the found ones, unless declared ones take their place. */
static json_t *list(const json_t *seen, struct arena *a, struct err *err)
{
	_cleanup_json_ json_t *doc = NULL;
	json_t *all = json_array(), *o;
	struct device *own, one;
	size_t n_own = 0, i;

	if (declared(a, &doc, &own, &n_own, err) < 0) {
		json_decref(all);
		return NULL;
	}
	for (i = 0; i < n_own; i++)
		json_array_append_new(all, device_to_json(&own[i]));
	json_array_foreach(json_get_array(seen, "devices"), i, o)
	{
		if (device_from_json(&one, o, a, err) == 0 && !device_is_declared(own, n_own, &one))
			json_array_append(all, o);
	}
	return all;
}

static const char *number(struct arena *a, uint64_t v, const char *unit)
{
	return v ? arena_printf(a, "%llu%s", (unsigned long long)v, unit) : "-";
}

static const char *state_of(struct arena *a, const struct device *d)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	if (!d->mig_mode)
		return d->mps ? "MPS" : "-";
	buf_adds(&b, "MIG");
	for (size_t i = 0; i < d->n_mig; i++)
		buf_printf(&b, "%s%.*s", i ? "," : " ", STR_ARG(d->mig[i].profile));
	return arena_dup(a, buf_str(&b));
}

static void add_row(struct grid *g, const struct device *d, struct arena *a)
{
	_cleanup_(buf_done) struct buf model = BUF_NULL, trouble = BUF_NULL;
	const char *slots = d->mig_mode ? arena_printf(a, "%zu", d->n_mig) : arena_printf(a, "%d", DEVICE_SLOTS);
	char memory[OUT_TEXT] = "-";

	if (d->memory_mb)
		out_bytes(d->memory_mb << 20, memory);
	out_clean(&model, d->model);
	out_clean(&trouble, d->trouble.n ? d->trouble : STR("-"));
	grid_add(g, "%.*s\t%.*s\t%s\t%s\t%s\t%s\t%.*s\t%s\t%s\t%s\t%s\t%s", STR_ARG(d->id), STR_ARG(d->kind),
		 buf_cstr(&model), memory, slots, device_rung_name(device_rung_of(d, 1, d->mig_mode)),
		 STR_ARG(d->driver.n ? d->driver : STR("-")), state_of(a, d),
		 d->source == DEVICE_NVML ? arena_printf(a, "%u%%", d->utilisation_percent) : "-",
		 number(a, d->temperature_c, " C"), number(a, d->power_w, " W"), buf_cstr(&trouble));
}

int devices_run(const struct cli *c)
{
	_cleanup_(grid_done) struct grid grid = {
		.head = "DEVICE\tKIND\tMODEL\t>MEMORY\t>SLOTS\tSLICES\tDRIVER\tSTATE\t>USE\t>TEMP\t>POWER\tTROUBLE"};
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	_cleanup_json_ json_t *seen = NULL, *all = NULL;
	struct err err = ERR_NULL;
	struct device d;
	json_t *o;
	size_t i;

	if (c->n_args)
		return cli_usage(c, "takes no operands");
	seen = look_at_devices(&err);
	all = seen ? list(seen, &a, &err) : NULL;
	if (!all)
		return cli_fail(c, &err);
	if (c->json) {
		cli_print_json(steal(&all));
		return EXIT_SUCCESS;
	}
	json_array_foreach(all, i, o)
	{
		if (device_from_json(&d, o, &a, NULL) == 0)
			add_row(&grid, &d, &a);
	}
	grid_print(&grid, STDOUT_FILENO);
	return EXIT_SUCCESS;
}

/* What commands share: reading their flags, opening the client, saying what went wrong. Owns nothing. */
#include "cli/cli.h"

#include "base/mem.h"
#include "cli/out.h"
#include "wire/uri.h"

#include <stdio.h>
#include <unistd.h>

const char *cli_nth(const struct cli *c, const char *flag, size_t i)
{
	for (size_t k = 0; k < c->n_values; k++)
		if (strcmp(c->values[k].flag, flag) == 0 && i-- == 0)
			return c->values[k].value;
	return NULL;
}

const char *cli_get(const struct cli *c, const char *flag)
{
	const char *last = NULL;

	for (size_t k = 0; k < c->n_values; k++)
		if (strcmp(c->values[k].flag, flag) == 0)
			last = c->values[k].value;
	return last;
}

bool cli_has(const struct cli *c, const char *flag)
{
	for (size_t k = 0; k < c->n_values; k++)
		if (strcmp(c->values[k].flag, flag) == 0)
			return true;
	return false;
}

int cli_fail(const struct cli *c, struct err *err)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	/* A message may quote what a server said. */
	out_clean(&b, str_from(err->msg ? err->msg : "failed"));
	fflush(stdout);
	fprintf(stderr, "%swick: %s:%s %s\n", tone_on(STDERR_FILENO, TONE_BAD), c->name,
		tone_off(STDERR_FILENO, TONE_BAD), buf_cstr(&b));
	err_done(err);
	return EXIT_FAILURE;
}

int cli_usage(const struct cli *c, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "wick: %s: ", c->name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, " (see `wick %s --help`)\n", c->name);
	return EXIT_USAGE;
}

struct client *cli_client(const struct cli *c)
{
	struct err err = ERR_NULL;
	struct client *client = client_open(c->data, &err);

	if (!client)
		cli_fail(c, &err);
	return client;
}

void cli_print_json(json_t *j)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	json_write_pretty(&b, j);
	json_decref(j);
	puts(buf_cstr(&b));
}

bool cli_kv(const char *s, struct kv *ret)
{
	return str_cut(str_from(s), '=', &ret->k, &ret->v) && ret->k.n > 0;
}

char *cli_path(const char *prefix, struct str name, const char *suffix)
{
	struct buf b = BUF_NULL;

	buf_adds(&b, prefix);
	uri_encode(&b, name, false);
	buf_adds(&b, suffix);
	return buf_steal(&b);
}

void cli_query(struct buf *q, const char *name, const char *value)
{
	if (!value)
		return;
	if (q->n)
		buf_addc(q, '&');
	buf_adds(q, name);
	buf_addc(q, '=');
	uri_encode(q, str_from(value), false);
}

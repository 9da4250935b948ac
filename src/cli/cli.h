/* What a command gets: its flags and operands, parsed, and how it says things. */
#pragma once

#include "base/err.h"
#include "base/kv.h"
#include "base/table.h"
#include "cli/client.h"

#define EXIT_USAGE 2

struct cli {
	const char *name; /* of the command */
	bool json;
	const char *data;        /* --data, or NULL */
	const char *const *args; /* operands */
	size_t n_args;
	const struct cli_value *values; /* flags in order of appearance */
	size_t n_values;
};

struct cli_value {
	const char *flag;  /* without dashes */
	const char *value; /* NULL: it takes none */
};

/* The last value of a flag; NULL: not given. cli_nth counts from 0. */
const char *cli_get(const struct cli *c, const char *flag);
const char *cli_nth(const struct cli *c, const char *flag, size_t i);
bool cli_has(const struct cli *c, const char *flag);

/* "wick: deploy: message" on standard error; the exit status to end with. */
int cli_fail(const struct cli *c, struct err *err);
int cli_usage(const struct cli *c, const char *fmt, ...) _printf_(2, 3);
/* The client, or NULL after cli_fail. */
struct client *cli_client(const struct cli *c);
/* On standard output, followed by a newline; takes j over. */
void cli_print_json(json_t *j);
/* "K=V" into *ret; false when there is no '=' or no name. */
bool cli_kv(const char *s, struct kv *ret);
/* "/_wick/logs/" + name, encoded; malloc'd. */
char *cli_path(const char *prefix, struct str name, const char *suffix);
/* Adds "name=value" to a query, encoded; nothing when value is NULL. */
void cli_query(struct buf *q, const char *name, const char *value);

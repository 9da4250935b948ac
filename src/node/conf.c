/* Reads the node's few settings. The supervisor has read all sources and made one set of WICK_* variables of them;
 * flags are for a person who starts the node by hand. Owns the strings of struct node_conf. Fails on a flag or a
 * number that it does not understand, naming it. */
#include "node/conf.h"

#include "base/mem.h"
#include "base/str.h"
#include "sys/file.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define CODE_CACHE_DEFAULT (10ull << 30)
#define HOST_NAME_SIZE     256

enum kind { KIND_TEXT, KIND_NUMBER, KIND_LEVEL };

static const struct setting {
	const char *flag, *env, *what;
	enum kind kind;
	size_t offset;
} table[] = {
	{"data", "WICK_DATA", "folder of everything durable", KIND_TEXT, offsetof(struct node_conf, data)},
	{"socket", "WICK_NODE_SOCKET", "where the gate finds the node", KIND_TEXT, offsetof(struct node_conf, socket)},
	{"libexec", "WICK_LIBEXEC", "folders with the runtimes' programs, ':' between them", KIND_TEXT,
	 offsetof(struct node_conf, libexec)},
	{"name", "WICK_NODE_NAME", "name of this machine", KIND_TEXT, offsetof(struct node_conf, name)},
	{"memory-mb", "WICK_NODE_MEMORY_MB", "memory for all workers together", KIND_NUMBER,
	 offsetof(struct node_conf, memory_mb)},
	{"code-cache-bytes", "WICK_CODE_CACHE_BYTES", "bytes of unpacked packages to keep", KIND_NUMBER,
	 offsetof(struct node_conf, code_cache_max)},
	{"log-level", "WICK_LOG_LEVEL", "debug, info, warn or error", KIND_LEVEL,
	 offsetof(struct node_conf, log_level)},
};

static bool parse_level(const char *text, enum log_level *ret)
{
	static const char *const names[] = {
		[LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcasecmp(text, names[i]) == 0) {
			*ret = (enum log_level)i;
			return true;
		}
	}
	return false;
}

static int conf_set(struct node_conf *c, const struct setting *s, const char *value, struct err *err)
{
	void *field = (char *)c + s->offset;

	switch (s->kind) {
	case KIND_TEXT:
		free(*(char **)field);
		*(char **)field = xstrdup(value);
		return 0;
	case KIND_NUMBER:
		if (str_to_u64(str_from(value), field))
			return 0;
		return err_set(err, 0, "--%s (%s): \"%s\" is no number", s->flag, s->env, value);
	case KIND_LEVEL:
		if (parse_level(value, field))
			return 0;
		return err_set(err, 0, "--%s (%s): \"%s\" is none of debug, info, warn, error", s->flag, s->env, value);
	}
	__builtin_unreachable();
}

static int conf_env(struct node_conf *c, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		const char *value = getenv(table[i].env);

		if (value && value[0] && conf_set(c, &table[i], value, err) < 0)
			return -1;
	}
	return 0;
}

static void print_help(void)
{
	printf("Usage: wick-node --data DIR --socket PATH [FLAG VALUE]...\n"
	       "The part of Wick that runs functions; `wick serve` starts it.\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		printf("  --%-17s %s (%s)\n", table[i].flag, table[i].what, table[i].env);
}

static int conf_flags(struct node_conf *c, int argc, char **argv, bool *help, struct err *err)
{
	struct option options[ARRAY_SIZE(table) + 2] = {0};
	int index, r;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		options[i] = (struct option){.name = table[i].flag, .has_arg = required_argument};
	options[ARRAY_SIZE(table)] = (struct option){.name = "help", .val = 'h'};
	opterr = 0;
	while ((r = getopt_long(argc, argv, "h", options, &index)) != -1) {
		if (r == 'h') {
			print_help();
			*help = true;
			return 0;
		}
		if (r == '?')
			return err_set(err, 0, "flag %s is unknown or lacks its value (see --help)", argv[optind - 1]);
		if (conf_set(c, &table[index], optarg, err) < 0)
			return -1;
	}
	if (optind < argc)
		return err_set(err, 0, "unexpected argument %s (see --help)", argv[optind]);
	return 0;
}

static void conf_machine(struct node_conf *c)
{
	uint64_t pages = (uint64_t)sysconf(_SC_PHYS_PAGES), page = (uint64_t)sysconf(_SC_PAGESIZE);
	_cleanup_(freep) char *self = self_dir();
	char name[HOST_NAME_SIZE] = "node";

	c->cpus = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
	if (!c->memory_mb)
		c->memory_mb = pages / 4 * 3 * page >> 20;
	if (!c->name) {
		gethostname(name, sizeof(name) - 1);
		c->name = xstrdup(name);
	}
	if (!c->libexec)
		c->libexec =
			self ? xasprintf("%s:%s/../runtime:" WICK_LIBEXECDIR, self, self) : xstrdup(WICK_LIBEXECDIR);
}

int conf_read(struct node_conf *ret, int argc, char **argv, bool *help, struct err *err)
{
	*ret = (struct node_conf){.code_cache_max = CODE_CACHE_DEFAULT, .log_level = LOG_INFO};
	*help = false;
	if (conf_env(ret, err) < 0 || conf_flags(ret, argc, argv, help, err) < 0)
		return -1;
	if (*help)
		return 0;
	if (!ret->data || !ret->socket)
		return err_set(err, 0, "--data and --socket are needed (see --help)");
	conf_machine(ret);
	return 0;
}

void conf_done(struct node_conf *c)
{
	free(c->data);
	free(c->socket);
	free(c->libexec);
	free(c->name);
}

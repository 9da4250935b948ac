/* From argv to a command: finds it in the table, reads its flags, runs it; --help and suggestions come from the same
 * table. Flags may stand anywhere; "--" ends them. Wrong use ends with status 2 and one line that says how it goes. */
#include "cli/commands.h"

#include "base/mem.h"

#include <stdio.h>
#include <unistd.h>

#define HELP_WIDTH 80

const struct flag common_flags[] = {
	{"data", 0, "DIR", "the data folder of a local server, instead of the AWS_* variables"},
	{"json", 0, NULL, "print JSON"},
	{"help", 'h', NULL, "explain this command"},
	{0},
};

const struct cmd *cmd_find(const char *name)
{
	for (size_t i = 0; i < n_commands; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static void overview(struct buf *b)
{
	buf_adds(b, "Usage: wick COMMAND [...]\n\nServerless functions on your own machines, with AWS's own APIs.\n\n");
	for (size_t i = 0; i < n_commands; i++)
		if (!commands[i].hidden)
			buf_printf(b, "  %-12s%s\n", commands[i].name, commands[i].help);
	buf_adds(b, "\nFirst steps:\n"
		    "  wick serve                     in one terminal\n"
		    "  wick deploy examples/hello     in another\n"
		    "  wick invoke hello --event '{\"name\": \"Ada\"}' --log\n"
		    "  wick dev examples/hello        deployed as you save it\n"
		    "\n`wick COMMAND --help` explains a command. Clients find the server by AWS_ENDPOINT_URL and "
		    "the\nkeys of `wick env`, or by the data folder of this machine.\n");
}

static void help_flags(const struct flag *f, struct buf *b)
{
	for (; f && f->name; f++) {
		_cleanup_(freep) char *head = xasprintf("%s--%s%s%s", f->letter ? "-x, " : "", f->name,
							f->metavar ? " " : "", f->metavar ? f->metavar : "");

		if (f->letter)
			head[1] = f->letter;
		buf_printf(b, "  %-22s", head);
		if (strlen(head) > 21)
			buf_printf(b, "\n%24s", "");
		text_wrap(b, f->help, 24, HELP_WIDTH);
	}
}

static void help_examples(const char *lines, struct buf *b)
{
	struct str rest = str_from(lines), line;

	if (lines)
		buf_adds(b, "\nExamples:\n");
	while (rest.n > 0) {
		str_cut(rest, '\n', &line, &rest);
		buf_printf(b, "  %.*s\n", STR_ARG(line));
	}
}

void cmd_help(const struct cmd *cmd, struct buf *b)
{
	buf_printf(b, "Usage: wick %s%s%s\n\n", cmd->name, *cmd->operands ? " " : "", cmd->operands);
	buf_printf(b, "%c%s.\n", cmd->help[0] - 'a' + 'A', cmd->help + 1);
	if (cmd->more) {
		buf_addc(b, '\n');
		text_wrap(b, cmd->more, 0, HELP_WIDTH);
	}
	if (cmd->run_raw && !cmd->flags) {
		serve_help(b);
	} else {
		buf_adds(b, "\nOptions:\n");
		help_flags(cmd->flags, b);
		help_flags(common_flags, b);
	}
	help_examples(cmd->examples, b);
}

static const struct flag *find_flag(const struct cmd *cmd, struct str name, char letter)
{
	const struct flag *tables[] = {cmd->flags, common_flags};

	for (size_t t = 0; t < ARRAY_SIZE(tables); t++)
		for (const struct flag *f = tables[t]; f && f->name; f++)
			if (letter ? f->letter == letter : str_eqz(name, f->name))
				return f;
	return NULL;
}

static int unknown_flag(const struct cli *c, const struct cmd *cmd, const char *arg, struct str name)
{
	const struct flag *tables[] = {cmd->flags, common_flags};
	_cleanup_(freep) char *given = str_dup(name);

	for (size_t t = 0; t < ARRAY_SIZE(tables); t++)
		for (const struct flag *f = tables[t]; f && f->name; f++)
			if (near_miss(given, f->name))
				return cli_usage(c, "unknown option %s; did you mean --%s?", arg, f->name);
	return cli_usage(c, "unknown option %s", arg);
}

/* Reads the flags into c; its arrays have room for argc of each. 0, or the exit status to end with. */
static int read_flags(struct cli *c, const struct cmd *cmd, int argc, char **argv, const char **args,
		      struct cli_value *values)
{
	bool ended = false;

	c->args = args;
	c->values = values;
	for (int i = 0; i < argc; i++) {
		const char *arg = argv[i];
		struct str name, value = STR_NULL;
		const struct flag *f;
		bool has_value = false;

		if (!ended && strcmp(arg, "--") == 0) {
			ended = true;
			continue;
		}
		if (ended || arg[0] != '-' || !arg[1]) {
			args[c->n_args++] = arg;
			continue;
		}
		name = str_from(arg[1] == '-' ? arg + 2 : arg + 1);
		if (arg[1] == '-')
			has_value = str_cut(name, '=', &name, &value);
		f = arg[1] == '-' ? find_flag(cmd, name, 0) : name.n == 1 ? find_flag(cmd, name, arg[1]) : NULL;
		if (!f)
			return unknown_flag(c, cmd, arg, name);
		if (!f->metavar && has_value)
			return cli_usage(c, "--%s takes no value", f->name);
		if (f->metavar && !has_value && i + 1 >= argc)
			return cli_usage(c, "--%s needs a value: %s", f->name, f->metavar);
		values[c->n_values++] = (struct cli_value){f->name, !f->metavar ? "" : has_value ? value.p : argv[++i]};
	}
	c->json = cli_has(c, "json");
	c->data = cli_get(c, "data");
	return 0;
}

static int print_help(const struct cmd *cmd)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	cmd_help(cmd, &b);
	fputs(buf_cstr(&b), stdout);
	return EXIT_SUCCESS;
}

static int unknown_command(const char *name)
{
	for (size_t i = 0; i < n_commands; i++)
		if (!commands[i].hidden && near_miss(name, commands[i].name)) {
			fprintf(stderr, "wick: there is no command '%s'; did you mean '%s'?\n", name, commands[i].name);
			return EXIT_USAGE;
		}
	fprintf(stderr, "wick: there is no command '%s'; `wick --help` lists them\n", name);
	return EXIT_USAGE;
}

static int run(const struct cmd *cmd, int argc, char **argv)
{
	_cleanup_(freep) const char **args = xnew_n(const char *, (size_t)argc + 1);
	_cleanup_(freep) struct cli_value *values = xnew_n(struct cli_value, (size_t)argc + 1);
	struct cli c = {.name = cmd->name};
	int r;

	if (cmd->run_raw)
		return cmd->run_raw(argc, argv);
	r = read_flags(&c, cmd, argc - 1, argv + 1, args, values);
	if (r != 0)
		return r;
	if (cli_has(&c, "help"))
		return print_help(cmd);
	r = cmd->run(&c);
	if ((fflush(stdout) != 0 || ferror(stdout)) && r == EXIT_SUCCESS) {
		fprintf(stderr, "wick: %s: standard output cannot be written\n", cmd->name);
		return EXIT_FAILURE;
	}
	return r;
}

int cmd_main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "--help";
	const struct cmd *cmd;

	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		name = "help";
	else if (strcmp(name, "--version") == 0)
		name = "version";
	cmd = cmd_find(name);
	if (!cmd)
		return unknown_command(name);
	return run(cmd, argc > 1 ? argc - 1 : 1, argc > 1 ? argv + 1 : argv);
}

int help_run(const struct cli *c)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	const struct cmd *cmd = c->n_args ? cmd_find(c->args[0]) : NULL;

	if (c->n_args && !cmd)
		return unknown_command(c->args[0]);
	if (cmd)
		cmd_help(cmd, &b);
	else
		overview(&b);
	fputs(buf_cstr(&b), stdout);
	return EXIT_SUCCESS;
}

int version_run(const struct cli *c)
{
	if (c->json)
		cli_print_json(json_pack("{s:s}", "version", WICK_VERSION));
	else
		printf("wick %s\n", WICK_VERSION);
	return EXIT_SUCCESS;
}

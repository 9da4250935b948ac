/* Man pages from the tables: `wick man PAGE` prints one, the build calls it for each. What a page says of a flag is
 * what the parser knows of it. */
#include "cli/commands.h"

#include "model/settings.h"

#include <stdio.h>

static void text(struct buf *b, const char *s)
{
	bool start = true;

	for (; *s; s++) {
		if (start && (*s == '.' || *s == '\''))
			buf_adds(b, "\\&");
		if (*s == '\\')
			buf_adds(b, "\\e");
		else if (*s == '-')
			buf_adds(b, "\\-");
		else
			buf_addc(b, *s);
		start = *s == '\n';
	}
}

static void head(struct buf *b, const char *name, const char *section, const char *what)
{
	buf_printf(b, ".TH %s %s \"\" \"wick %s\" \"Wick\"\n.SH NAME\n", name, section, WICK_VERSION);
	text(b, what);
	buf_addc(b, '\n');
}

static void flags(struct buf *b, const struct flag *f)
{
	for (; f && f->name; f++) {
		buf_adds(b, ".TP\n.B ");
		if (f->letter)
			buf_printf(b, "\\-%c, ", f->letter);
		text(b, "--");
		text(b, f->name);
		if (f->metavar) {
			buf_addc(b, ' ');
			text(b, f->metavar);
		}
		buf_addc(b, '\n');
		text(b, f->help);
		buf_addc(b, '\n');
	}
}

static void examples(struct buf *b, const char *lines)
{
	if (!lines)
		return;
	buf_adds(b, ".PP\n.nf\n.RS\n");
	text(b, lines);
	buf_adds(b, ".RE\n.fi\n");
}

static void wick_1(struct buf *b)
{
	head(b, "WICK", "1", "wick - serverless functions on your own machines, with AWS's own APIs");
	buf_adds(b, ".SH SYNOPSIS\n.B wick\nCOMMAND [...]\n.SH DESCRIPTION\n");
	text(b,
	     "One program runs the server (wick serve, see wick-serve(1)) and talks to one. It finds the server by the "
	     "AWS_* variables, or by the data folder of this machine.\n");
	buf_adds(b, ".SH COMMANDS\n");
	for (size_t i = 0; i < n_commands; i++) {
		const struct cmd *c = &commands[i];

		if (c->hidden)
			continue;
		buf_adds(b, ".SS wick ");
		text(b, c->name);
		buf_addc(b, ' ');
		text(b, c->operands);
		buf_addc(b, '\n');
		buf_addc(b, (char)(c->help[0] - 'a' + 'A'));
		text(b, c->help + 1);
		buf_adds(b, ".\n");
		if (c->more) {
			text(b, c->more);
			buf_addc(b, '\n');
		}
		flags(b, c->flags);
		examples(b, c->examples);
	}
	buf_adds(b, ".SH COMMON OPTIONS\n");
	flags(b, common_flags);
	buf_adds(b, ".SH ENVIRONMENT\n.TP\n.B AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, "
		    "AWS_SESSION_TOKEN\nThe server and the keys. Without AWS_ENDPOINT_URL the data folder says both.\n"
		    ".TP\n.B WICK_DATA\nThe data folder.\n.TP\n.B NO_COLOR\nNo colours, also on a terminal.\n"
		    ".SH EXIT STATUS\n0: done. 1: it failed, or the function did. 2: wrong use.\n"
		    ".SH SEE ALSO\n.BR wick\\-serve (1),\n.BR wick.yaml (5)\n");
}

static void serve_1(struct buf *b)
{
	const struct cmd *c = cmd_find("serve");

	head(b, "WICK\\-SERVE", "1", "wick-serve - run Wick on this machine");
	buf_adds(b, ".SH SYNOPSIS\n.B wick serve\n");
	text(b, c->operands);
	buf_adds(b, "\n.SH DESCRIPTION\n");
	text(b, c->more);
	buf_adds(b, "\n.SH OPTIONS\n.TP\n.B \\-\\-config FILE\nA settings file, see wick.yaml(5).\n");
	settings_roff(settings_table, settings_count, b);
	buf_adds(b,
		 ".SH FILES\n.TP\n.B DATA/credentials\nThe root key, as AWS tools read it.\n.TP\n"
		 ".B DATA/run/endpoint\nWhere the server is.\n.TP\n.B DATA/wick.yaml, /etc/wick/wick.yaml\n"
		 "Settings.\n.SH SIGNALS\nSIGTERM and SIGINT stop it when what runs has ended; a second one at once.\n"
		 ".SH EXAMPLES\n");
	examples(b, c->examples);
	buf_adds(b, ".SH SEE ALSO\n.BR wick (1),\n.BR wick.yaml (5)\n");
}

static void yaml_5(struct buf *b)
{
	head(b, "WICK.YAML", "5", "wick.yaml - settings of wick serve");
	buf_adds(b,
		 ".SH DESCRIPTION\nA YAML file with one setting a line, NAME: VALUE. Read from \\-\\-config FILE, else "
		 "DATA/wick.yaml, else as root /etc/wick/wick.yaml. The environment and flags win over it. A name that "
		 "is not in this list is an error.\n.SH SETTINGS\n");
	for (size_t i = 0; i < settings_count; i++) {
		const struct setting *s = &settings_table[i];

		if (strcmp(s->name, "data") == 0)
			continue;
		buf_adds(b, ".TP\n.B ");
		text(b, s->name);
		buf_adds(b, ": ");
		text(b, s->metavar);
		buf_addc(b, '\n');
		text(b, s->help);
		if (s->dflt) {
			buf_adds(b, " Default: ");
			text(b, s->dflt);
			buf_addc(b, '.');
		}
		buf_printf(b, " Environment: %s.\n", s->env);
	}
	buf_adds(b, ".SH EXAMPLE\n.nf\nlisten: 0.0.0.0:9000\nlog_level: warn\nconcurrency: 200\ndrain: 10s\n.fi\n"
		    ".SH SEE ALSO\n.BR wick\\-serve (1)\n");
}

int man_run(const struct cli *c)
{
	static const struct {
		const char *name;
		void (*write)(struct buf *b);
	} pages[] = {{"wick.1", wick_1}, {"wick-serve.1", serve_1}, {"wick.yaml.5", yaml_5}};
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	for (size_t i = 0; c->n_args == 1 && i < ARRAY_SIZE(pages); i++)
		if (strcmp(c->args[0], pages[i].name) == 0)
			pages[i].write(&b);
	if (b.n == 0 && c->n_args == 1 && strcmp(c->args[0], "settings.md") == 0)
		settings_markdown(settings_table, settings_count, &b);
	if (b.n == 0)
		return cli_usage(c, "expected one of wick.1, wick-serve.1, wick.yaml.5 and settings.md");
	fputs(buf_cstr(&b), stdout);
	return EXIT_SUCCESS;
}

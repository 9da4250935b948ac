/* wick completion: scripts for shells, made from the command table, so that they know what the commands know. Names of
 * functions are completed by asking the server. */
#include "cli/commands.h"

#include "model/settings.h"

#include <stdio.h>

static bool takes_function(const struct cmd *c)
{
	return strncmp(c->operands, "NAME", 4) == 0;
}

static bool takes_path(const struct cmd *c)
{
	return strncmp(c->operands, "PATH", 4) == 0;
}

static void each_flag(const struct cmd *c, void (*fn)(const struct cmd *c, const struct flag *f))
{
	for (const struct flag *f = c->flags; f && f->name; f++)
		fn(c, f);
	if (c->run_raw && !c->flags) {
		fn(c, &(struct flag){"config", 0, "FILE", "file with settings"});
		for (size_t i = 0; i < settings_count; i++)
			if (settings_table[i].flag)
				fn(c, &(struct flag){settings_table[i].flag + 2, 0,
						     settings_table[i].type == SETTING_BOOL ? NULL
											    : settings_table[i].metavar,
						     settings_table[i].help});
	}
	for (const struct flag *f = common_flags; f->name; f++)
		if (!c->run_raw || c->flags || strcmp(f->name, "help") == 0)
			fn(c, f);
}

static void bash_flag(const struct cmd *c, const struct flag *f)
{
	printf(" --%s", f->name);
}

static void bash(void)
{
	puts("# bash completion for wick; made by `wick completion bash`");
	puts("_wick() {\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} words=\n\tCOMPREPLY=()\n\tif ((COMP_CWORD == 1)); then");
	printf("\t\twords='");
	for (size_t i = 0; i < n_commands; i++)
		if (!commands[i].hidden)
			printf("%s ", commands[i].name);
	puts("help'\n\telse\n\t\tcase ${COMP_WORDS[1]} in");
	for (size_t i = 0; i < n_commands; i++) {
		const struct cmd *c = &commands[i];

		if (c->hidden)
			continue;
		printf("\t\t%s)\n\t\t\tif [[ $cur == -* ]]; then\n\t\t\t\twords='", c->name);
		each_flag(c, bash_flag);
		puts("'");
		if (takes_function(c))
			puts("\t\t\telse\n\t\t\t\twords=$(wick ls 2>/dev/null | awk 'NR > 1 { print $1 }')");
		else if (strcmp(c->name, "completion") == 0)
			puts("\t\t\telse\n\t\t\t\twords='bash zsh fish'");
		else if (strcmp(c->name, "node") == 0)
			puts("\t\t\telif ((COMP_CWORD == 2)); then\n\t\t\t\twords='drain resume remove label'");
		puts("\t\t\tfi\n\t\t\t;;");
	}
	puts("\t\tesac\n\tfi\n\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n}");
	puts("complete -o bashdefault -o default -F _wick wick");
}

/* A description inside '...' and, for zsh, [...]. */
static void print_quoted(const char *s)
{
	for (; *s && *s != '\n'; s++)
		if (*s == '\'')
			fputs("'\\''", stdout);
		else if (strchr("[]:\\", *s))
			putchar(' ');
		else
			putchar(*s);
}

static void zsh_flag(const struct cmd *c, const struct flag *f)
{
	printf(" \\\n\t\t\t'*--%s%s[", f->name, f->metavar ? "=" : "");
	print_quoted(f->help);
	putchar(']');
	if (f->metavar) {
		putchar(':');
		print_quoted(f->metavar);
		fputs(strcmp(f->metavar, "DIR") == 0 || strcmp(f->metavar, "FILE") == 0 ? ":_files" : ":", stdout);
	}
	putchar('\'');
}

static void zsh(void)
{
	puts("#compdef wick\n# zsh completion for wick; made by `wick completion zsh`");
	puts("_wick_functions() {\n\tlocal -a names=(${(f)\"$(wick ls 2>/dev/null | awk 'NR > 1 { print $1 }')\"})\n"
	     "\tcompadd -a names\n}");
	puts("_wick() {\n\tlocal -a commands=(");
	for (size_t i = 0; i < n_commands; i++) {
		if (commands[i].hidden)
			continue;
		printf("\t\t'%s:", commands[i].name);
		print_quoted(commands[i].help);
		puts("'");
	}
	puts("\t)\n\tif ((CURRENT == 2)); then\n\t\t_describe command commands\n\t\treturn\n\tfi\n"
	     "\tlocal command=$words[2]\n\tshift words\n\t((CURRENT--))\n\tcase $command in");
	for (size_t i = 0; i < n_commands; i++) {
		const struct cmd *c = &commands[i];

		if (c->hidden)
			continue;
		printf("\t%s)\n\t\t_arguments", c->name);
		each_flag(c, zsh_flag);
		if (takes_function(c))
			printf(" \\\n\t\t\t'*:function:_wick_functions'");
		else if (takes_path(c))
			printf(" \\\n\t\t\t'1:path:_files'");
		else if (strcmp(c->name, "completion") == 0)
			printf(" \\\n\t\t\t'1:shell:(bash zsh fish)'");
		else if (strcmp(c->name, "node") == 0)
			printf(" \\\n\t\t\t'1:what:(drain resume remove label)'");
		puts("\n\t\t;;");
	}
	puts("\tesac\n}\ncompdef _wick wick");
}

static void fish_flag(const struct cmd *c, const struct flag *f)
{
	printf("complete -c wick -n '__fish_seen_subcommand_from %s' -l %s", c->name, f->name);
	if (f->letter)
		printf(" -s %c", f->letter);
	if (f->metavar)
		printf(" -r");
	printf(" -d '");
	for (const char *s = f->help; *s; s++)
		if (*s == '\'' || *s == '\\')
			printf("\\%c", *s);
		else
			putchar(*s);
	puts("'");
}

static void fish(void)
{
	puts("# fish completion for wick; made by `wick completion fish`");
	for (size_t i = 0; i < n_commands; i++) {
		const struct cmd *c = &commands[i];

		if (c->hidden)
			continue;
		printf("complete -c wick -n __fish_use_subcommand -f -a %s -d '", c->name);
		print_quoted(c->help);
		puts("'");
		each_flag(c, fish_flag);
		if (takes_function(c))
			printf("complete -c wick -n '__fish_seen_subcommand_from %s' -f -a "
			       "\"(wick ls 2>/dev/null | awk 'NR > 1 { print \\$1 }')\"\n",
			       c->name);
		else if (strcmp(c->name, "completion") == 0)
			puts("complete -c wick -n '__fish_seen_subcommand_from completion' -f -a 'bash zsh fish'");
		else if (strcmp(c->name, "node") == 0)
			puts("complete -c wick -n '__fish_seen_subcommand_from node' -f -a 'drain resume remove "
			     "label'");
	}
}

int completion_run(const struct cli *c)
{
	static const struct {
		const char *name;
		void (*print)(void);
	} shells[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};

	for (size_t i = 0; c->n_args == 1 && i < ARRAY_SIZE(shells); i++)
		if (strcmp(c->args[0], shells[i].name) == 0) {
			shells[i].print();
			return EXIT_SUCCESS;
		}
	return cli_usage(c, "expected one of bash, zsh and fish");
}

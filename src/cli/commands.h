/* The commands: one table in main.c, one file each. */
#pragma once

#include "base/kv.h"
#include "cli/cli.h"

struct flag {
	const char *name;    /* "memory" */
	char letter;         /* 'f', or 0 */
	const char *metavar; /* NULL: it takes no value */
	const char *help;
};

struct cmd {
	const char *name;
	const char *operands;     /* "NAME [--event JSON]": what stands behind the name in the usage line */
	const char *help;         /* one line */
	const char *more;         /* a paragraph, or NULL */
	const char *examples;     /* lines */
	const struct flag *flags; /* ends with a zero one; NULL: only the common ones */
	bool hidden;
	int (*run)(const struct cli *c);
	/* Instead of run: reads its own flags, those of flags or (NULL) the settings. */
	int (*run_raw)(int argc, char **argv);
};

extern const struct cmd commands[];
extern const size_t n_commands;
extern const struct flag common_flags[];

/* Finds the command, reads its flags, runs it: the exit status. */
int cmd_main(int argc, char **argv);
void cmd_help(const struct cmd *cmd, struct buf *b);
const struct cmd *cmd_find(const char *name);

int bill_run(const struct cli *c);
int completion_run(const struct cli *c);
int deploy_run(const struct cli *c);
int dev_run(const struct cli *c);
int devices_run(const struct cli *c);
int doctor_run(const struct cli *c);
int env_run(const struct cli *c);
int events_run(const struct cli *c);
int help_run(const struct cli *c);
int invoke_run(const struct cli *c);
int logs_run(const struct cli *c);
int ls_run(const struct cli *c);
int man_run(const struct cli *c);
int nodes_run(const struct cli *c);
int place_run(const struct cli *c);
int rm_run(const struct cli *c);
int show_run(const struct cli *c);
int token_run(const struct cli *c);
int top_run(const struct cli *c);
int version_run(const struct cli *c);
int why_run(const struct cli *c);

int node_main(int argc, char **argv);
int serve_main(int argc, char **argv);
int node_join_main(int argc, char **argv); /* wick node, but for what is done to other nodes */
void serve_help(struct buf *b);

/* wick: one command for everything that a person types. This file is the table of contents. */
#include "cli/commands.h"
#include "cli/flags.h"

/* clang-format off */
const struct cmd commands[] = {
	{"serve", "[--data DIR] [--listen ADDR:PORT] [SETTINGS]", "run Wick on this machine",
	 SERVE_MORE, SERVE_EXAMPLES, NULL, false, NULL, serve_main},
	{"env", "[--data DIR]", "print the AWS_* variables of the local server, for eval",
	 ENV_MORE, ENV_EXAMPLES, NULL, false, env_run, NULL},
	{"deploy", "PATH [--name NAME] [--on s3:BUCKET[/PREFIX]] ...", "deploy a .py file, a folder, a .zip or a SAM template",
	 DEPLOY_MORE, DEPLOY_EXAMPLES, deploy_flags, false, deploy_run, NULL},
	{"dev", "PATH [--event JSON|@FILE] [--rm] ...", "deploy a folder as it is saved, and watch it run",
	 DEV_MORE, DEV_EXAMPLES, dev_flags, false, dev_run, NULL},
	{"invoke", "NAME [--event JSON|@FILE|-] [--stream] [--record FILE] ...", "run a function once",
	 INVOKE_MORE, INVOKE_EXAMPLES, invoke_flags, false, invoke_run, NULL},
	{"logs", "NAME [-f] [--since TIME]", "show what a function printed",
	 LOGS_MORE, LOGS_EXAMPLES, logs_flags, false, logs_run, NULL},
	{"ls", "", "list the functions", NULL, LS_EXAMPLES, NULL, false, ls_run, NULL},
	{"show", "NAME", "show one function", NULL, SHOW_EXAMPLES, NULL, false, show_run, NULL},
	{"rm", "NAME...", "delete functions, versions, aliases and layers", RM_MORE, RM_EXAMPLES, NULL, false, rm_run, NULL},
	{"top", "[--once] [--interval TIME]", "watch functions and workers live",
	 TOP_MORE, TOP_EXAMPLES, top_flags, false, top_run, NULL},
	{"why", "ID", "say why an invocation waits",
	 WHY_MORE, WHY_EXAMPLES, NULL, false, why_run, NULL},
	{"bill", "[--invocations] [--function NAME] [--from TIME] [--to TIME]", "what was used and what it cost",
	 BILL_MORE, BILL_EXAMPLES, bill_flags, false, bill_run, NULL},
	{"events", "[--failed|--queued] [--function NAME] [--redrive [ID]]", "asynchronous events: waiting, failed, again",
	 EVENTS_MORE, EVENTS_EXAMPLES, events_flags, false, events_run, NULL},
	{"nodes", "[--devices]", "the nodes and their devices",
	 NODES_MORE, NODES_EXAMPLES, nodes_flags, false, nodes_run, NULL},
	{"node", "[--join HOST:PORT --token T ...] | drain|resume|remove NAME | label NAME +LABEL|-LABEL...",
	 "run a node here; drain, label or remove one",
	 NODE_MORE, NODE_EXAMPLES, node_flags, false, NULL, node_main},
	{"token", "[--name NAME] [--label LABEL]... [--ttl TIME] [--uses N] | --list | --revoke ID", "make what a machine joins with as a node",
	 TOKEN_MORE, TOKEN_EXAMPLES, token_flags, false, token_run, NULL},
	{"place", "NAME --dry-run", "say where a function would run",
	 PLACE_MORE, PLACE_EXAMPLES, place_flags, false, place_run, NULL},
	{"devices", "", "list the devices of this machine",
	 DEVICES_MORE, DEVICES_EXAMPLES, NULL, false, devices_run, NULL},
	{"doctor", "[--data DIR]", "check what this machine lacks",
	 DOCTOR_MORE, DOCTOR_EXAMPLES, NULL, false, doctor_run, NULL},
	{"completion", "bash|zsh|fish", "print completion for a shell",
	 NULL, COMPLETION_EXAMPLES, NULL, false, completion_run, NULL},
	{"version", "", "print the version", NULL, VERSION_EXAMPLES, NULL, false, version_run, NULL},
	{"help", "[COMMAND]", "explain a command", NULL, NULL, NULL, true, help_run, NULL},
	{"man", "wick.1|wick-serve.1|wick.yaml.5", "print a man page", NULL, NULL, NULL, true, man_run, NULL},
};
/* clang-format on */

const size_t n_commands = ARRAY_SIZE(commands);

int main(int argc, char **argv)
{
	return cmd_main(argc, argv);
}

/* wick node: what is done to a node that has joined (drain, resume, remove, label), and a node itself. Reads its own
 * flags: a label that goes begins with '-', and a node of this machine has flags of its own. */
#include "cli/commands.h"

#include "base/mem.h"
#include "model/node.h"

#include <stdio.h>

static int change(const struct cli *c, struct client *client, const json_t *body, const char *what)
{
	_cleanup_(freep) char *path = cli_path("/_wick/nodes/", str_from(c->args[0]), "");
	_cleanup_json_ json_t *answer = NULL;
	struct err err = ERR_NULL;
	char code[64];

	if (client_json(client, "wick", "POST", path, NULL, body, &answer, code, &err) < 0)
		return cli_fail(c, &err);
	if (c->json)
		cli_print_json(steal(&answer));
	else
		printf("%s: %s\n", c->args[0], what);
	return EXIT_SUCCESS;
}

static int set_drained(const struct cli *c, struct client *client, bool on)
{
	_cleanup_json_ json_t *body = json_pack("{s:b}", "drained", (int)on);

	return change(c, client, body, on ? "gets no new work; what runs there ends" : "gets work again");
}

static int drain(const struct cli *c, struct client *client)
{
	return set_drained(c, client, true);
}

static int resume(const struct cli *c, struct client *client)
{
	return set_drained(c, client, false);
}

static int take_away(const struct cli *c, struct client *client)
{
	_cleanup_(freep) char *path = cli_path("/_wick/nodes/", str_from(c->args[0]), "");
	struct err err = ERR_NULL;
	char code[64];

	if (client_json(client, "wick", "DELETE", path, NULL, NULL, NULL, code, &err) < 0)
		return cli_fail(c, &err);
	if (c->json)
		cli_print_json(json_pack("{s:s}", "removed", c->args[0]));
	else
		printf("%s: removed; to come back it joins with a new token\n", c->args[0]);
	return EXIT_SUCCESS;
}

static int label(const struct cli *c, struct client *client)
{
	_cleanup_json_ json_t *add = json_array(), *remove = json_array(), *body = NULL;
	_cleanup_(buf_done) struct buf what = BUF_NULL;

	buf_adds(&what, "labelled");
	for (size_t i = 1; i < c->n_args; i++) {
		json_array_append_new(c->args[i][0] == '+' ? add : remove, json_str(str_from(c->args[i] + 1)));
		buf_printf(&what, " %s", c->args[i]);
	}
	body = json_pack("{s:{s:O,s:O}}", "labels", "add", add, "remove", remove);
	return change(c, client, body, buf_cstr(&what));
}

static const struct verb {
	const char *name;
	bool labels; /* +LABEL and -LABEL follow the NAME */
	int (*run)(const struct cli *c, struct client *client);
} verbs[] = {
	{"drain", false, drain},
	{"resume", false, resume},
	{"remove", false, take_away},
	{"label", true, label},
};

static int help(void)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	cmd_help(cmd_find("node"), &b);
	fputs(buf_cstr(&b), stdout);
	return EXIT_SUCCESS;
}

/* +LABEL, or -LABEL, which is no flag because those begin with two dashes here. */
static bool is_label(const char *arg)
{
	return (arg[0] == '+' || arg[0] == '-') && node_label_ok(str_from(arg + 1));
}

static int check_operands(const struct cli *c, const struct verb *v)
{
	if (c->n_args == 0)
		return cli_usage(c, "%s needs the NAME of a node", v->name);
	if (!v->labels && c->n_args > 1)
		return cli_usage(c, "unexpected operand %s", c->args[1]);
	if (v->labels && c->n_args < 2)
		return cli_usage(c, "label needs what to change: +LABEL or -LABEL");
	for (size_t i = 1; i < c->n_args; i++)
		if (!is_label(c->args[i]))
			return cli_usage(c, "'%s' is not +LABEL or -LABEL (1 to %d of A-Z, a-z, 0-9 and ._=-)",
					 c->args[i], NODE_LABEL_MAX);
	return EXIT_SUCCESS;
}

static int run_verb(const struct verb *v, int argc, char **argv)
{
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_(freep) const char **args = xnew_n(const char *, (size_t)argc + 1);
	struct cli c = {.name = "node", .args = args};
	int status;

	for (int i = 0; i < argc; i++) {
		const char *arg = argv[i];

		if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)
			return help();
		if (strcmp(arg, "--json") == 0)
			c.json = true;
		else if (strncmp(arg, "--data=", 7) == 0)
			c.data = arg + 7;
		else if (strcmp(arg, "--data") == 0 && i + 1 < argc)
			c.data = argv[++i];
		else if (strcmp(arg, "--data") == 0)
			return cli_usage(&c, "--data needs a value: DIR");
		else if (arg[0] == '-' && !(v->labels && is_label(arg)))
			return cli_usage(&c, "unknown option %s", arg);
		else
			args[c.n_args++] = arg;
	}
	status = check_operands(&c, v);
	if (status != EXIT_SUCCESS)
		return status;
	client = cli_client(&c);
	if (!client)
		return EXIT_FAILURE;
	status = v->run(&c, client);
	if (fflush(stdout) != 0 && status == EXIT_SUCCESS) {
		fprintf(stderr, "wick: node: standard output cannot be written\n");
		return EXIT_FAILURE;
	}
	return status;
}

int node_main(int argc, char **argv)
{
	const char *first = argc > 1 ? argv[1] : "";

	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (strcmp(first, verbs[i].name) == 0)
			return run_verb(&verbs[i], argc - 2, argv + 2);
	if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0)
		return help();
	if (*first && *first != '-')
		return cli_usage(
			&(struct cli){.name = "node"},
			"expected drain, resume, remove or label, and the NAME of a node; or the flags of a node "
			"to run here");
	return node_join_main(argc, argv);
}

/* wick deploy: a .py file, a folder, a .zip or a SAM template becomes functions, buckets and triggers. Makes the whole
 * plan first and asks the server nothing until it stands; apply.c does it. */
#include "cli/apply.h"
#include "cli/commands.h"
#include "cli/deploy.h"
#include "cli/guess.h"
#include "cli/package.h"
#include "cli/template.h"

#include "base/mem.h"
#include "sys/file.h"
#include "wire/yaml.h"

#include <libgen.h>
#include <stdio.h>

#define TEMPLATE_MAX ((size_t)4 << 20)

static const char *const code_flags[] = {"handler", "runtime", "memory",      "timeout", "env",   "on",
					 "tag",     "role",    "description", "command", "layer", "url"};

static int read_params(const struct cli *c, struct plan *p, struct kv **ret, size_t *n, struct err *err)
{
	const char *s;

	for (size_t i = 0; (s = cli_nth(c, "parameter", i)); i++) {
		struct kv *kv = plan_grow(&p->arena, (void **)ret, n, sizeof(**ret));

		if (!cli_kv(s, kv))
			return err_set(err, 0, "--parameter %s: expected NAME=VALUE", s);
	}
	return 0;
}

static int plan_template(const struct cli *c, const char *file, const struct client_conf *client, struct plan *p,
			 struct err *err)
{
	_cleanup_(buf_done) struct buf text = BUF_NULL;
	_cleanup_json_ json_t *doc = NULL;
	_cleanup_(freep) char *copy = xstrdup(file), *stack = NULL;
	struct template_conf conf = {
		.file = file,
		.region = str_from(client->region),
		.account = str_from(client->account),
	};
	struct kv *params = NULL;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(code_flags); i++)
		if (cli_has(c, code_flags[i]))
			return err_set(err, 0, "--%s: a template says this itself; change %s", code_flags[i], file);
	r = file_read(file, TEMPLATE_MAX, &text);
	if (r < 0)
		return err_set(err, -r, "%s", file);
	doc = str_ends(str_from(file), STR(".json")) ? json_parse(buf_str(&text), err)
						     : yaml_parse(buf_str(&text), err);
	if (!doc)
		return err_wrap(err, "%s", file);
	p->folder = arena_dup(&p->arena, str_from(dirname(copy)));
	stack = cli_get(c, "name") ? xstrdup(cli_get(c, "name")) : package_name(p->folder, err);
	if (!stack || read_params(c, p, &params, &conf.n_params, err) < 0)
		return -1;
	conf.text = buf_str(&text);
	conf.stack = str_from(stack);
	conf.params = params;
	return template_plan(doc, &conf, p, err);
}

static int read_number(const struct cli *c, const char *flag, uint64_t *ret, struct err *err)
{
	const char *s = cli_get(c, flag);

	if (!s || (str_to_u64(str_from(s), ret) && *ret > 0))
		return 0;
	return err_set(err, 0, "--%s %s: expected a whole number above 0", flag, s);
}

static int read_kvs(const struct cli *c, struct plan *p, const char *flag, struct kv **ret, size_t *n, struct err *err)
{
	const char *s;

	for (size_t i = 0; (s = cli_nth(c, flag, i)); i++) {
		struct kv *kv = plan_grow(&p->arena, (void **)ret, n, sizeof(**ret));

		if (!cli_kv(s, kv))
			return err_set(err, 0, "--%s %s: expected NAME=VALUE", flag, s);
	}
	return 0;
}

/* s3:BUCKET[/PREFIX] */
static int read_trigger(struct plan *p, struct str function, const char *s, struct err *err)
{
	struct plan_trigger *g;
	struct plan_permission *m;
	struct str rest = str_from(s);

	if (!str_starts(rest, STR("s3:")) || rest.n == 3)
		return err_set(err, 0, "--on %s: expected s3:BUCKET or s3:BUCKET/PREFIX", s);
	rest = str_sub(rest, 3, rest.n);
	while (str_starts(rest, STR("/")))
		rest = str_sub(rest, 1, rest.n);
	g = plan_add(p, triggers);
	str_cut(rest, '/', &g->bucket, &g->prefix);
	g->function = function;
	*(struct str *)plan_grow(&p->arena, (void **)&g->events, &g->n_events, sizeof(struct str)) =
		STR("s3:ObjectCreated:*");
	plan_add(p, buckets)->name = g->bucket;
	m = plan_add(p, permissions);
	*m = (struct plan_permission){
		.function = function,
		.statement_id = str_from(arena_printf(&p->arena, "wick-s3-%.*s", STR_ARG(g->bucket))),
		.action = STR("lambda:InvokeFunction"),
		.principal = STR("s3.amazonaws.com"),
		.source_arn = str_from(arena_printf(&p->arena, "arn:aws:s3:::%.*s", STR_ARG(g->bucket))),
	};
	return 0;
}

static const char *runtime_of_file(const char *path)
{
	struct str s = str_from(path);

	return str_ends(s, STR("js")) ? "nodejs20.x" : str_ends(s, STR(".so")) ? "native" : NULL;
}

/* What the flags say, and of the rest what the code says. */
static int read_runtime(const struct cli *c, const char *path, struct guess *g, struct err *err)
{
	const char *handler = cli_get(c, "handler"), *runtime = cli_get(c, "runtime"), *command = cli_get(c, "command");

	if (command && !runtime)
		runtime = "web";
	if (command && strcmp(runtime, "web") != 0)
		return err_set(err, 0, "--command is for --runtime web; others are told what to run by --handler");
	/* Nothing is left to find when both are said; a runtime that is not said keeps that of the function. */
	if (!handler && !command && guess_code(path, runtime, g, err) < 0)
		return -1;
	if (!g->runtime && !runtime)
		runtime = runtime_of_file(path);
	if (!g->runtime && runtime)
		g->runtime = xstrdup(runtime);
	if (handler || command) {
		free(g->handler);
		g->handler = xstrdup(handler ? handler : "web");
	}
	if (command) {
		free(g->command);
		g->command = xstrdup(command);
	}
	return 0;
}

static int plan_code(const struct cli *c, const char *path, const struct client_conf *client, struct plan *p,
		     struct err *err)
{
	_cleanup_(freep) char *name = cli_get(c, "name") ? xstrdup(cli_get(c, "name")) : package_name(path, err);
	_cleanup_(guess_done) struct guess guess = {0};
	struct plan_function *f;
	const char *s;

	if (!name || read_runtime(c, path, &guess, err) < 0)
		return -1;
	if (cli_has(c, "parameter"))
		return err_set(err, 0, "--parameter: only a template has parameters");
	f = plan_add(p, functions);
	*f = (struct plan_function){
		.name = arena_str(&p->arena, str_from(name)),
		.handler = arena_str(&p->arena, str_from(guess.handler)),
		.runtime = guess.runtime ? arena_str(&p->arena, str_from(guess.runtime)) : STR_NULL,
		.description = str_from(cli_get(c, "description")),
		.role = str_from(cli_get(c, "role")),
		.code_kind = PLAN_CODE_PATH,
		.code = str_from(path),
		.env_said = cli_has(c, "env"),
	};
	if (f->role.n && !str_starts(f->role, STR("arn:")))
		f->role = str_from(
			arena_printf(&p->arena, "arn:aws:iam::%s:role/%.*s", client->account, STR_ARG(f->role)));
	if (read_number(c, "memory", &f->memory_mb, err) < 0 || read_number(c, "timeout", &f->timeout_s, err) < 0 ||
	    read_kvs(c, p, "env", &f->env, &f->n_env, err) < 0 || read_kvs(c, p, "tag", &f->tags, &f->n_tags, err) < 0)
		return -1;
	if (guess.command)
		*(struct kv *)plan_grow(&p->arena, (void **)&f->tags, &f->n_tags, sizeof(*f->tags)) =
			(struct kv){STR("wick:command"), arena_str(&p->arena, str_from(guess.command))};
	for (size_t i = 0; (s = cli_nth(c, "layer", i)); i++) {
		f->layers_said = true;
		*(struct str *)plan_grow(&p->arena, (void **)&f->layers, &f->n_layers, sizeof(*f->layers)) =
			str_from(s);
	}
	f->url = cli_has(c, "url");
	if (f->url)
		plan_public_url(p, f);
	for (size_t i = 0; (s = cli_nth(c, "on", i)); i++)
		if (read_trigger(p, f->name, s, err) < 0)
			return -1;
	return 0;
}

static void say_next(const struct plan *p)
{
	const struct plan_trigger *g = p->n_triggers ? &p->triggers[0] : NULL;

	if (g && str_starts(g->events[0], STR("s3:ObjectCreated")))
		printf("\nTry:  aws s3 cp FILE%.*s s3://%.*s/%.*s\n      wick logs %.*s -f\n", STR_ARG(g->suffix),
		       STR_ARG(g->bucket), STR_ARG(g->prefix), STR_ARG(g->function));
	else if (p->n_functions)
		printf("\nTry:  wick invoke %.*s --event '{}' --log\n", STR_ARG(p->functions[0].name));
}

int deploy_plan(const struct cli *c, const char *path, const struct client_conf *client, struct plan *p,
		struct err *err)
{
	_cleanup_(freep) char *file = package_template(path);

	return file ? plan_template(c, file, client, p, err) : plan_code(c, path, client, p, err);
}

int deploy_run(const struct cli *c)
{
	const char *path = c->n_args ? c->args[0] : NULL;
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_(plan_done) struct plan plan = {0};
	_cleanup_json_ json_t *report = c->json ? json_object() : NULL;
	struct err err = ERR_NULL;
	int r;

	if (c->n_args != 1)
		return cli_usage(c, "expected one PATH: a .py file, a folder, a .zip or a template.yaml");
	client = cli_client(c);
	if (!client)
		return EXIT_FAILURE;
	r = deploy_plan(c, path, client_conf(client), &plan, &err);
	if (r == 0)
		r = plan_apply(&plan, client, report, &err);
	if (r < 0)
		return cli_fail(c, &err);
	if (report)
		cli_print_json(steal(&report));
	else
		say_next(&plan);
	return EXIT_SUCCESS;
}

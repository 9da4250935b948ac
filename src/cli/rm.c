/* wick rm: functions go, and with them the triggers in the buckets that may invoke them; buckets and objects stay. Goes
 * on after a function that cannot be deleted, and then ends with status 1. */
#include "cli/rm.h"

#include "cli/commands.h"
#include "cli/triggers.h"

#include "base/mem.h"

#include <stdio.h>

static int drop_triggers(struct client *client, struct plan *p, struct str bucket, struct err *err)
{
	_cleanup_(freep) char *path = cli_path("/", bucket, "");
	_cleanup_(http_response_done) struct http_response r = {0};
	_cleanup_(buf_done) struct buf doc = BUF_NULL;
	struct client_call call = {.service = "s3", .method = "GET", .path = path, .query = "notification="};
	char code[64];

	if (client_do(client, &call, &r, code, err) < 0) {
		if (strcmp(code, "NoSuchBucket") != 0)
			return -1;
		err_done(err);
		return 0;
	}
	/* No trigger of this plan: what an earlier deploy of its function made is left out. */
	if (notification_merge(p, bucket, buf_str(&r.body), STR(""), STR(""), &doc, err) < 0)
		return -1;
	call.method = "PUT";
	call.body = buf_str(&doc);
	return client_do(client, &call, NULL, code, err);
}

int function_remove(struct client *client, const char *name, struct err *err)
{
	_cleanup_(freep) char *path = cli_path("/2015-03-31/functions/", str_from(name), "");
	_cleanup_(freep) char *policy_path = cli_path("/2015-03-31/functions/", str_from(name), "/policy");
	_cleanup_json_ json_t *answer = NULL, *policy = NULL;
	_cleanup_(plan_done) struct plan plan = {.whole = true};
	static const char arn[] = "arn:aws:s3:::";
	char code[64];
	json_t *s;
	size_t i;

	plan_add(&plan, functions)->name = str_from(name);
	if (client_json(client, "lambda", "GET", policy_path, NULL, NULL, &answer, code, err) == 0)
		policy = json_parse(json_get_str(answer, "Policy", STR("{}")), err);
	err_done(err);
	json_array_foreach(json_object_get(policy, "Statement"), i, s)
	{
		const json_t *like = json_object_get(json_object_get(s, "Condition"), "ArnLike");
		struct str source = json_get_str(like, "AWS:SourceArn", STR_NULL);

		if (str_starts(source, str_from(arn)) &&
		    drop_triggers(client, &plan, str_sub(source, sizeof(arn) - 1, source.n), err) < 0)
			return err_wrap(err, "its trigger in %.*s", STR_ARG(source));
	}
	return client_json(client, "lambda", "DELETE", path, NULL, NULL, NULL, code, err);
}

/* "hello:3", "hello:live": a version or an alias. */
static int remove_qualified(struct client *client, struct str name, struct str qualifier, struct err *err)
{
	_cleanup_(freep) char *path = NULL, *rest = NULL;
	_cleanup_(buf_done) struct buf query = BUF_NULL;
	bool version = qualifier.n > 0;
	char code[64];

	for (size_t i = 0; i < qualifier.n; i++)
		version = version && qualifier.p[i] >= '0' && qualifier.p[i] <= '9';
	rest = version ? NULL : cli_path("/aliases/", qualifier, "");
	path = cli_path("/2015-03-31/functions/", name, rest ? rest : "");
	if (version) {
		_cleanup_(freep) char *text = str_dup(qualifier);

		cli_query(&query, "Qualifier", text);
	}
	return client_json(client, "lambda", "DELETE", path, buf_cstr(&query), NULL, NULL, code, err);
}

static int remove_layer_version(struct client *client, struct str name, struct str version, struct err *err)
{
	_cleanup_(freep) char *rest = xasprintf("/versions/%.*s", STR_ARG(version));
	_cleanup_(freep) char *path = cli_path("/2018-10-31/layers/", name, rest);
	char code[64];

	return client_json(client, "lambda", "DELETE", path, NULL, NULL, NULL, code, err);
}

/* "layer:tools:3", or all versions: "layer:tools". */
static int remove_layer(struct client *client, struct str s, struct err *err)
{
	_cleanup_json_ json_t *list = NULL;
	_cleanup_(freep) char *path = NULL;
	struct str name, version;
	char code[64];
	json_t *v;
	size_t i;

	if (str_cut(s, ':', &name, &version))
		return remove_layer_version(client, name, version, err);
	path = cli_path("/2018-10-31/layers/", name, "/versions");
	if (client_json(client, "lambda", "GET", path, NULL, NULL, &list, code, err) < 0)
		return -1;
	if (json_array_size(json_object_get(list, "LayerVersions")) == 0)
		return err_set(err, 0, "there is no layer %.*s", STR_ARG(name));
	json_array_foreach(json_object_get(list, "LayerVersions"), i, v)
	{
		_cleanup_(freep) char *number = xasprintf("%lld", (long long)json_get_int(v, "Version", 0));

		if (remove_layer_version(client, name, str_from(number), err) < 0)
			return -1;
	}
	return 0;
}

static int remove_one(struct client *client, const char *what, struct err *err)
{
	struct str s = str_from(what), name, qualifier, layer = STR("layer:");
	ssize_t at = str_find(s, STR(":layer:"));

	if (str_starts(s, STR("arn:")) && at >= 0)
		return remove_layer(client, str_sub(s, (size_t)at + 7, s.n), err);
	if (str_starts(s, layer))
		return remove_layer(client, str_sub(s, layer.n, s.n), err);
	if (!str_starts(s, STR("arn:")) && str_cut(s, ':', &name, &qualifier))
		return remove_qualified(client, name, qualifier, err);
	return function_remove(client, what, err);
}

int rm_run(const struct cli *c)
{
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_json_ json_t *gone = json_array();
	int status = EXIT_SUCCESS;

	if (c->n_args == 0)
		return cli_usage(c, "expected NAMEs of functions, NAME:VERSION, NAME:ALIAS or layer:NAME");
	client = cli_client(c);
	if (!client)
		return EXIT_FAILURE;
	for (size_t i = 0; i < c->n_args; i++) {
		struct err err = ERR_NULL;

		if (remove_one(client, c->args[i], &err) < 0) {
			err_wrap(&err, "%s", c->args[i]);
			status = cli_fail(c, &err);
			continue;
		}
		json_array_append_new(gone, json_string(c->args[i]));
		if (!c->json)
			printf(strchr(c->args[i], ':') ? "Deleted %s\n" : "Deleted function %s\n", c->args[i]);
	}
	if (c->json)
		cli_print_json(json_pack("{s:O}", "deleted", gone));
	return status;
}

/* What stands beside a function's configuration: a published version with its alias, reserved and provisioned
 * concurrency, the URL. A whole plan (a template) also takes away what it does not name. */
#include "cli/apply_parts.h"

#include "wire/uri.h"

/* There is none, or the server cannot have any: no error, for who only asks or takes away. */
static bool absent(struct apply *a, const char *code)
{
	if (strcmp(code, "ResourceNotFoundException") != 0 && strcmp(code, "NotImplementedException") != 0 &&
	    strcmp(code, "ProvisionedConcurrencyConfigNotFoundException") != 0)
		return false;
	err_done(a->err);
	return true;
}

static const char *path_of(struct apply *a, const char *date, struct str function, const char *rest, struct str last)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	buf_printf(&b, "/%s/functions/", date);
	uri_encode(&b, function, false);
	buf_adds(&b, rest);
	uri_encode(&b, last, false);
	return arena_dup(&a->p->arena, buf_str(&b));
}

static const char *qualifier_query(struct apply *a, struct str qualifier)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	if (qualifier.n) {
		buf_adds(&b, "Qualifier=");
		uri_encode(&b, qualifier, false);
	}
	return arena_dup(&a->p->arena, buf_str(&b));
}

/* ---- a version, and the alias on it ---- */

static int put_alias(struct apply *a, const struct plan_function *f, struct str version)
{
	const char *path = path_of(a, "2015-03-31", f->name, "/aliases/", f->alias);
	_cleanup_json_ json_t *have = NULL, *body = json_object();
	char code[64];

	json_object_set_new(body, "FunctionVersion", apply_text(version));
	if (client_json(a->c, "lambda", "GET", path, NULL, NULL, &have, code, a->err) < 0) {
		if (!absent(a, code))
			return -1;
		json_object_set_new(body, "Name", apply_text(f->alias));
		return client_json(a->c, "lambda", "POST", path_of(a, "2015-03-31", f->name, "/aliases", STR_NULL),
				   NULL, body, NULL, code, a->err) < 0
			       ? -1
			       : 1;
	}
	if (str_eq(json_get_str(have, "FunctionVersion", STR_NULL), version))
		return 0;
	return client_json(a->c, "lambda", "PUT", path, NULL, body, NULL, code, a->err) < 0 ? -1 : 1;
}

static int publish_alias(struct apply *a, const struct plan_function *f)
{
	_cleanup_json_ json_t *body = json_object(), *version = NULL;
	struct str number;
	char code[64];
	int r = client_json(a->c, "lambda", "POST", path_of(a, "2015-03-31", f->name, "/versions", STR_NULL), NULL,
			    body, &version, code, a->err);

	if (r < 0)
		return -1;
	number = json_get_str(version, "Version", STR_NULL);
	r = put_alias(a, f, number);
	if (r < 0)
		return err_wrap(a->err, "alias %.*s", STR_ARG(f->alias));
	apply_say(a, "aliases",
		  json_pack("{s:o, s:o, s:o}", "function", apply_text(f->name), "name", apply_text(f->alias), "version",
			    apply_text(number)),
		  r ? "Alias %.*s:%.*s is version %.*s now" : "Unchanged: alias %.*s:%.*s is version %.*s",
		  STR_ARG(f->name), STR_ARG(f->alias), STR_ARG(number));
	return 0;
}

/* ---- concurrency ---- */

static int put_reserved(struct apply *a, const struct plan_function *f, bool fresh)
{
	const char *put = path_of(a, "2017-10-31", f->name, "/concurrency", STR_NULL);
	const char *get = path_of(a, "2019-09-30", f->name, "/concurrency", STR_NULL);
	_cleanup_json_ json_t *have = NULL, *body = NULL;
	char code[64];
	int64_t now;

	if (!f->reserved_said && (fresh || !a->p->whole))
		return 0;
	if (client_json(a->c, "lambda", "GET", get, NULL, NULL, &have, code, a->err) < 0 && !absent(a, code))
		return -1;
	now = json_get_int(have, "ReservedConcurrentExecutions", -1);
	if (!f->reserved_said)
		return now < 0 ? 0 : client_json(a->c, "lambda", "DELETE", put, NULL, NULL, NULL, code, a->err);
	if (now == (int64_t)f->reserved)
		return 0;
	body = json_pack("{s:I}", "ReservedConcurrentExecutions", (json_int_t)f->reserved);
	return client_json(a->c, "lambda", "PUT", put, NULL, body, NULL, code, a->err);
}

static int put_provisioned(struct apply *a, const struct plan_function *f, bool fresh)
{
	const char *path = path_of(a, "2019-09-30", f->name, "/provisioned-concurrency", STR_NULL);
	const char *query = qualifier_query(a, f->alias);
	_cleanup_json_ json_t *have = NULL, *body = NULL;
	char code[64];
	int64_t now = 0;

	if (f->alias.n == 0 || (!f->provisioned && (fresh || !a->p->whole)))
		return 0;
	if (client_json(a->c, "lambda", "GET", path, query, NULL, &have, code, a->err) == 0)
		now = json_get_int(have, "RequestedProvisionedConcurrentExecutions", 0);
	else if (!absent(a, code))
		return -1;
	if (now == (int64_t)f->provisioned)
		return 0;
	if (!f->provisioned)
		return client_json(a->c, "lambda", "DELETE", path, query, NULL, NULL, code, a->err);
	body = json_pack("{s:I}", "ProvisionedConcurrentExecutions", (json_int_t)f->provisioned);
	return client_json(a->c, "lambda", "PUT", path, query, body, NULL, code, a->err);
}

/* ---- the URL ---- */

static const char *url_path(struct apply *a, struct str function)
{
	return path_of(a, "2021-10-31", function, "/url", STR_NULL);
}

static json_t *url_body(const struct plan_function *f, struct err *err)
{
	json_t *body = json_object(), *cors = f->url_cors.n ? json_parse(f->url_cors, err) : NULL;

	json_object_set_new(body, "AuthType", apply_text(f->url_auth.n ? f->url_auth : STR("NONE")));
	json_object_set_new(body, "InvokeMode", apply_text(f->url_mode.n ? f->url_mode : STR("BUFFERED")));
	if (cors)
		json_object_set_new(body, "Cors", cors);
	return body;
}

static int put_url(struct apply *a, const struct plan_function *f, bool fresh)
{
	const char *path = url_path(a, f->name), *query = qualifier_query(a, f->alias);
	_cleanup_json_ json_t *have = NULL, *body = NULL, *now = NULL;
	char code[64];
	bool there;

	if (!f->url && (fresh || !a->p->whole))
		return 0;
	there = client_json(a->c, "lambda", "GET", path, query, NULL, &have, code, a->err) == 0;
	if (!there && !absent(a, code))
		return -1;
	if (!f->url)
		return there ? client_json(a->c, "lambda", "DELETE", path, query, NULL, NULL, code, a->err) : 0;
	body = url_body(f, a->err);
	if (client_json(a->c, "lambda", there ? "PUT" : "POST", path, query, body, &now, code, a->err) < 0)
		return -1;
	apply_say(a, "urls",
		  json_pack("{s:o, s:o}", "function", apply_text(f->name), "url",
			    apply_text(json_get_str(now, "FunctionUrl", STR_NULL))),
		  "URL of %.*s: %.*s", STR_ARG(f->name), STR_ARG(json_get_str(now, "FunctionUrl", STR_NULL)));
	return 0;
}

int apply_url_of(struct apply *a, struct str function, struct str *ret)
{
	_cleanup_json_ json_t *have = NULL;
	struct str alias = STR_NULL;
	char code[64];

	for (size_t i = 0; i < a->p->n_functions; i++)
		if (str_eq(a->p->functions[i].name, function))
			alias = a->p->functions[i].alias;
	if (client_json(a->c, "lambda", "GET", url_path(a, function), qualifier_query(a, alias), NULL, &have, code,
			a->err) < 0)
		return err_wrap(a->err, "the URL of function %.*s", STR_ARG(function));
	*ret = arena_str(&a->p->arena, json_get_str(have, "FunctionUrl", STR_NULL));
	return 0;
}

int apply_versions(struct apply *a, const struct plan_function *f, bool fresh)
{
	if (f->alias.n && publish_alias(a, f) < 0)
		return err_wrap(a->err, "a version of function %.*s", STR_ARG(f->name));
	if (put_reserved(a, f, fresh) < 0)
		return err_wrap(a->err, "the reserved concurrency of function %.*s", STR_ARG(f->name));
	if (put_provisioned(a, f, fresh) < 0)
		return err_wrap(a->err, "the provisioned concurrency of function %.*s", STR_ARG(f->name));
	if (put_url(a, f, fresh) < 0)
		return err_wrap(a->err, "the URL of function %.*s", STR_ARG(f->name));
	return 0;
}

/* Configurations of function URLs: Create, Get, Update, Delete and List. What is served under the URL is api_url.c's.
 * Source: AWS Lambda API Reference, CreateFunctionUrlConfig and Cors. Fails by refusal only. */
#include "gate/api_lambda.h"

#include "base/time.h"
#include "gate/records.h"

#define PAGE_MAX          50
#define CORS_LIST_MAX     100
#define CORS_METHODS_MAX  6
#define CORS_HEADER_MAX   1024
#define CORS_ORIGIN_MAX   253
#define CORS_MAX_AGE      86400
#define QUALIFIER_PATTERN "((?!^\\d+$)^[0-9a-zA-Z-_]+$)"

/* ---- what is told ---- */

static void set_list(json_t *j, const char *name, const struct str *s, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_str(s[i]));
	if (n)
		json_object_set_new(j, name, list);
	else
		json_decref(list);
}

static json_t *cors_json(const struct url_cors *c)
{
	json_t *j = json_object();

	json_object_set_new(j, "AllowCredentials", json_boolean(c->credentials));
	set_list(j, "AllowHeaders", c->headers, c->n_headers);
	set_list(j, "AllowMethods", c->methods, c->n_methods);
	set_list(j, "AllowOrigins", c->origins, c->n_origins);
	set_list(j, "ExposeHeaders", c->expose, c->n_expose);
	if (c->max_age)
		json_object_set_new(j, "MaxAge", json_integer(c->max_age));
	return j;
}

static void set_time(json_t *j, const char *name, int64_t ms)
{
	char text[TIME_ISO8601_SIZE];

	time_iso8601_ms(ms, text);
	json_object_set_new(j, name, json_string(text));
}

static json_t *url_json(struct req *r, const struct url_conf *u, struct str qualifier, bool created)
{
	const struct lambda_target *t = lambda_target(r);
	const char *colon = qualifier.n ? ":" : "";
	json_t *j = json_object();

	json_object_set_new(
		j, "FunctionUrl",
		json_sprintf("%s/f/%.*s%s%.*s/", r->g->conf.url, STR_ARG(t->name), colon, STR_ARG(qualifier)));
	json_object_set_new(j, "FunctionArn",
			    json_sprintf("%.*s%s%.*s", STR_ARG(r->resource), colon, STR_ARG(qualifier)));
	json_object_set_new(j, "AuthType", json_string(u->auth == URL_AUTH_IAM ? "AWS_IAM" : "NONE"));
	if (u->cors.on)
		json_object_set_new(j, "Cors", cors_json(&u->cors));
	set_time(j, "CreationTime", u->created_ms);
	if (!created)
		set_time(j, "LastModifiedTime", u->modified_ms);
	json_object_set_new(j, "InvokeMode", json_string(u->mode == URL_STREAM ? "RESPONSE_STREAM" : "BUFFERED"));
	return j;
}

/* ---- what a client says ---- */

struct list_rule {
	const char *member, *told;
	size_t max, length;
};

static bool is_method(struct str s)
{
	static const char *const all[] = {"GET", "PUT", "HEAD", "POST", "PATCH", "DELETE", "*"};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (str_eqz(s, all[i]))
			return true;
	return false;
}

static bool read_list(struct req *r, const json_t *j, const struct list_rule *rule, struct violations *v,
		      struct str **ret, size_t *n)
{
	json_t *list = json_object_get(j, rule->member), *one;
	size_t i;

	if (!list || json_is_null(list))
		return true;
	if (!json_is_array(list)) {
		req_failf(r, FAIL_SERIALIZATION, "%s can not be converted to a list of Strings", rule->member);
		return false;
	}
	if (json_array_size(list) > rule->max) {
		violations_add(v, str_from(arena_printf(&r->arena, "%zu items", json_array_size(list))), rule->told,
			       "Member must have length less than or equal to %zu", rule->max);
		return true;
	}
	*ret = arena_new_n(&r->arena, struct str, json_array_size(list) + 1);
	json_array_foreach(list, i, one)
	{
		struct str s = json_str_value(one);

		if (!s.p) {
			req_failf(r, FAIL_SERIALIZATION, "%s can not be converted to a list of Strings", rule->member);
			return false;
		}
		if (s.n == 0 || s.n > rule->length)
			violations_add(v, s, rule->told,
				       "Member must satisfy constraint: [Member must have length less than or equal to "
				       "%zu, Member must have length greater than or equal to 1]",
				       rule->length);
		(*ret)[(*n)++] = arena_str(&r->arena, s);
	}
	return true;
}

static bool read_cors(struct req *r, const json_t *j, struct violations *v, struct url_cors *ret)
{
	static const struct list_rule headers = {"AllowHeaders", "cors.allowHeaders", CORS_LIST_MAX, CORS_HEADER_MAX},
				      methods = {"AllowMethods", "cors.allowMethods", CORS_METHODS_MAX, 6},
				      origins = {"AllowOrigins", "cors.allowOrigins", CORS_LIST_MAX, CORS_ORIGIN_MAX},
				      expose = {"ExposeHeaders", "cors.exposeHeaders", CORS_LIST_MAX, CORS_HEADER_MAX};
	const json_t *credentials = json_object_get(j, "AllowCredentials");
	struct url_cors c = {.on = true};
	int64_t max_age = 0;
	const char *why;
	bool given;

	if (!json_is_object(j) || (credentials && !json_is_boolean(credentials) && !json_is_null(credentials))) {
		req_failf(r, FAIL_SERIALIZATION, "Cors can not be converted to a structure");
		return false;
	}
	if (!read_list(r, j, &headers, v, &c.headers, &c.n_headers) ||
	    !read_list(r, j, &methods, v, &c.methods, &c.n_methods) ||
	    !read_list(r, j, &origins, v, &c.origins, &c.n_origins) ||
	    !read_list(r, j, &expose, v, &c.expose, &c.n_expose) || !lambda_number(r, j, "MaxAge", &max_age, &given))
		return false;
	for (size_t i = 0; i < c.n_methods; i++)
		if (c.methods[i].n && c.methods[i].n <= methods.length && !is_method(c.methods[i]))
			violations_add(v, c.methods[i], methods.told,
				       "Member must satisfy enum value set: [GET, PUT, HEAD, POST, PATCH, DELETE, *]");
	why = limit_number(&r->arena, max_age, 0, CORS_MAX_AGE);
	if (why)
		violations_add(v, str_from(arena_printf(&r->arena, "%lld", (long long)max_age)), "cors.maxAge", "%s",
			       why);
	c.credentials = json_is_true(credentials);
	c.max_age = (uint32_t)MAX(max_age, 0);
	/* An empty structure takes the rules away. */
	*ret = json_object_size(j) ? c : (struct url_cors){.on = false};
	return true;
}

/* Into u, over what it says already. */
static bool read_conf(struct req *r, const json_t *j, struct url_conf *u, bool create)
{
	struct str auth = STR_NULL, mode = STR_NULL;
	const json_t *cors = json_object_get(j, "Cors");
	struct violations v = {0};

	if (!lambda_text(r, j, "AuthType", &auth) || !lambda_text(r, j, "InvokeMode", &mode))
		return false;
	if (!auth.p && create)
		violations_add(&v, STR_NULL, "authType", "Member must not be null");
	if (auth.p && !str_eqz(auth, "NONE") && !str_eqz(auth, "AWS_IAM"))
		violations_add(&v, auth, "authType", "Member must satisfy enum value set: [NONE, AWS_IAM]");
	if (mode.p && !str_eqz(mode, "BUFFERED") && !str_eqz(mode, "RESPONSE_STREAM"))
		violations_add(&v, mode, "invokeMode",
			       "Member must satisfy enum value set: [RESPONSE_STREAM, BUFFERED]");
	if (cors && !json_is_null(cors) && !read_cors(r, cors, &v, &u->cors)) {
		buf_done(&v.text);
		return false;
	}
	if (auth.p)
		u->auth = str_eqz(auth, "AWS_IAM") ? URL_AUTH_IAM : URL_AUTH_NONE;
	if (mode.p)
		u->mode = str_eqz(mode, "RESPONSE_STREAM") ? URL_STREAM : URL_BUFFERED;
	return !violations_refuse(r, &v);
}

/* A URL is of the function, or of an alias. */
static bool check_qualifier(struct req *r)
{
	const struct lambda_target *t = lambda_target(r);
	struct violations v = {0};
	struct alias al;

	if (t->qualifier.n && (t->qualifier.p[0] == '$' || lambda_is_number(t->qualifier)))
		violations_add(&v, t->qualifier, "qualifier", "Member must satisfy regular expression pattern: %s",
			       QUALIFIER_PATTERN);
	if (violations_refuse(r, &v) || !lambda_function_exists(r))
		return false;
	if (t->qualifier.n && !record_alias(r->g, &r->arena, t->name, t->qualifier, &al))
		lambda_not_found(r);
	return !r->fail;
}

static enum step_result no_url(struct req *r)
{
	return req_failf(r, FAIL_NOT_FOUND, "The resource you requested does not exist.");
}

/* ---- operations ---- */

struct put_url {
	struct lambda_state lambda; /* r->api_state goes on to be one */
	struct url_conf conf;
	bool create;
};

static enum step_result stored(struct req *r)
{
	const struct put_url *p = r->api_state;
	const struct lambda_target *t = lambda_target(r);

	if (r->store_result == STORE_E_EXISTS)
		return req_failf(r, FAIL_CONFLICT,
				 "Failed to create function url config for [functionArn = %.*s%s%.*s]. Error message:  "
				 "FunctionUrlConfig exists for this Lambda function",
				 STR_ARG(r->resource), t->qualifier.n ? ":" : "", STR_ARG(t->qualifier));
	if (r->store_result == STORE_E_MISSING && !p->create)
		return no_url(r);
	if (r->store_result != 0)
		return lambda_fail_store(r, r->store_result);
	functions_changed(r->g, t->name);
	return req_reply_json(r, p->create ? 201 : 200, url_json(r, &p->conf, t->qualifier, p->create));
}

static enum step_result put_url(struct req *r, struct put_url *p)
{
	const struct lambda_target *t = lambda_target(r);
	_cleanup_json_ json_t *j = url_conf_to_json(&p->conf);
	_cleanup_(buf_done) struct buf doc = BUF_NULL;
	struct store_txn *txn = store_begin(r->g->store);

	json_write(&doc, j);
	p->lambda = *(struct lambda_state *)r->api_state;
	r->api_state = p;
	store_put_record(
		txn, p->create ? PUT_CREATE : PUT_REPLACE,
		&(struct record){.kind = RECORD_URL, .function = t->name, .key = t->qualifier, .doc = buf_str(&doc)},
		STR(""), 0);
	return req_commit(r, txn, stored);
}

enum step_result lambda_create_url(struct req *r)
{
	struct put_url *p = arena_new(&r->arena, struct put_url);
	_cleanup_json_ json_t *j = lambda_body(r);

	if (!j || !check_qualifier(r) || !read_conf(r, j, &p->conf, true))
		return STEP_MORE;
	p->create = true;
	p->conf.created_ms = p->conf.modified_ms = r->now_ms;
	return put_url(r, p);
}

enum step_result lambda_update_url(struct req *r)
{
	struct put_url *p = arena_new(&r->arena, struct put_url);
	const struct lambda_target *t = lambda_target(r);
	_cleanup_json_ json_t *j = lambda_body(r);

	if (!j || !check_qualifier(r))
		return STEP_MORE;
	if (!record_url(r->g, &r->arena, t->name, t->qualifier, &p->conf))
		return no_url(r);
	if (!read_conf(r, j, &p->conf, false))
		return STEP_MORE;
	p->conf.modified_ms = r->now_ms;
	return put_url(r, p);
}

enum step_result lambda_get_url(struct req *r)
{
	const struct lambda_target *t = lambda_target(r);
	struct url_conf u;

	if (!check_qualifier(r))
		return STEP_MORE;
	if (!record_url(r->g, &r->arena, t->name, t->qualifier, &u))
		return no_url(r);
	return req_reply_json(r, 200, url_json(r, &u, t->qualifier, false));
}

static enum step_result deleted(struct req *r)
{
	if (r->store_result == STORE_E_MISSING)
		return no_url(r);
	if (r->store_result != 0)
		return lambda_fail_store(r, r->store_result);
	functions_changed(r->g, lambda_target(r)->name);
	return req_reply_empty(r, 204);
}

enum step_result lambda_delete_url(struct req *r)
{
	struct store_txn *t;

	if (!check_qualifier(r))
		return STEP_MORE;
	t = store_begin(r->g->store);
	store_delete_record(t, RECORD_URL, lambda_target(r)->name, lambda_target(r)->qualifier);
	return req_commit(r, t, deleted);
}

enum step_result lambda_list_urls(struct req *r)
{
	struct record *all;
	struct str after;
	bool truncated;
	json_t *j, *list;
	uint32_t max;
	size_t n;
	int res;

	if (!lambda_only_function(r) || !lambda_page(r, PAGE_MAX, &after, &max) || !lambda_function_exists(r))
		return STEP_MORE;
	res = store_list_records(store_reader(r->g->store), &r->arena, RECORD_URL, lambda_target(r)->name, after, max,
				 &all, &n, &truncated);
	if (res != 0)
		return req_fail_errno(r, res);
	j = json_object();
	list = json_array();
	for (size_t i = 0; i < n; i++) {
		struct url_conf u;

		if (record_url(r->g, &r->arena, all[i].function, all[i].key, &u))
			json_array_append_new(list, url_json(r, &u, all[i].key, false));
	}
	json_object_set_new(j, "FunctionUrlConfigs", list);
	/* The function's own URL has no key, and is the first: a page that ends with it ends with "*", which sorts
	 * before every alias. */
	lambda_next_marker(j, truncated && n, n && all[n - 1].key.n ? all[n - 1].key : STR("*"));
	return req_reply_json(r, 200, j);
}

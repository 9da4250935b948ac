/* Function URLs' configuration as the store keeps it. Pure; a stored document may be damaged: every wrong member is
 * named. */
#include "model/url_conf.h"

/* The lists of Cors: one table for both directions. */
static const struct list_member {
	const char *name;
	size_t list, count;
} list_members[] = {
	{"origins", offsetof(struct url_cors, origins), offsetof(struct url_cors, n_origins)},
	{"methods", offsetof(struct url_cors, methods), offsetof(struct url_cors, n_methods)},
	{"headers", offsetof(struct url_cors, headers), offsetof(struct url_cors, n_headers)},
	{"expose", offsetof(struct url_cors, expose), offsetof(struct url_cors, n_expose)},
};

static struct str **list_at(const struct url_cors *c, const struct list_member *m)
{
	return (struct str **)((char *)c + m->list);
}

static size_t *count_at(const struct url_cors *c, const struct list_member *m)
{
	return (size_t *)((char *)c + m->count);
}

static json_t *cors_to_json(const struct url_cors *c)
{
	json_t *o = json_object();

	json_object_set_new(o, "credentials", json_boolean(c->credentials));
	json_object_set_new(o, "max_age", json_integer(c->max_age));
	for (size_t i = 0; i < ARRAY_SIZE(list_members); i++) {
		const struct list_member *m = &list_members[i];
		json_t *list = json_array();

		for (size_t k = 0; k < *count_at(c, m); k++)
			json_array_append_new(list, json_str((*list_at(c, m))[k]));
		json_object_set_new(o, m->name, list);
	}
	return o;
}

json_t *url_conf_to_json(const struct url_conf *u)
{
	json_t *o = json_object();

	json_object_set_new(o, "auth", json_string(u->auth == URL_AUTH_IAM ? "AWS_IAM" : "NONE"));
	json_object_set_new(o, "mode", json_string(u->mode == URL_STREAM ? "RESPONSE_STREAM" : "BUFFERED"));
	json_object_set_new(o, "created_ms", json_integer(u->created_ms));
	json_object_set_new(o, "modified_ms", json_integer(u->modified_ms));
	if (u->cors.on)
		json_object_set_new(o, "cors", cors_to_json(&u->cors));
	return o;
}

static int list_from_json(struct url_cors *c, const struct list_member *m, const json_t *j, struct arena *a,
			  struct err *err)
{
	json_t *list = json_object_get(j, m->name), *v;
	size_t i;

	if (!list || json_is_null(list))
		return 0;
	if (!json_is_array(list))
		return err_set(err, 0, "%s is not an array", m->name);
	*list_at(c, m) = arena_new_n(a, struct str, json_array_size(list) + 1);
	json_array_foreach(list, i, v)
	{
		if (!json_is_string(v))
			return err_set(err, 0, "%s: an element is not a string", m->name);
		(*list_at(c, m))[(*count_at(c, m))++] = json_str_value(v);
	}
	return 0;
}

static int cors_from_json(struct url_cors *c, const json_t *j, struct arena *a, struct err *err)
{
	int64_t max_age = 0;

	if (!j || json_is_null(j))
		return 0;
	if (!json_is_object(j))
		return err_set(err, 0, "cors is not an object");
	if (json_opt_int(j, "max_age", 0, UINT32_MAX, &max_age, err))
		return -1;
	c->on = true;
	c->credentials = json_get_bool(j, "credentials", false);
	c->max_age = (uint32_t)max_age;
	for (size_t i = 0; i < ARRAY_SIZE(list_members); i++)
		if (list_from_json(c, &list_members[i], j, a, err) < 0)
			return -1;
	return 0;
}

int url_conf_from_json(struct url_conf *ret, const json_t *j, struct arena *a, struct err *err)
{
	struct str auth, mode = STR("BUFFERED");
	struct url_conf u = {0};

	if (!json_is_object(j))
		return err_set(err, 0, "a URL's configuration is not an object");
	if (json_need_str(j, "auth", &auth, err) || json_opt_str(j, "mode", &mode, err) ||
	    json_opt_int(j, "created_ms", INT64_MIN, INT64_MAX, &u.created_ms, err) ||
	    json_opt_int(j, "modified_ms", INT64_MIN, INT64_MAX, &u.modified_ms, err) ||
	    cors_from_json(&u.cors, json_object_get(j, "cors"), a, err) < 0)
		return -1;
	if (!str_eqz(auth, "NONE") && !str_eqz(auth, "AWS_IAM"))
		return err_set(err, 0, "auth is unknown");
	if (!str_eqz(mode, "BUFFERED") && !str_eqz(mode, "RESPONSE_STREAM"))
		return err_set(err, 0, "mode is unknown");
	u.auth = str_eqz(auth, "AWS_IAM") ? URL_AUTH_IAM : URL_AUTH_NONE;
	u.mode = str_eqz(mode, "RESPONSE_STREAM") ? URL_STREAM : URL_BUFFERED;
	*ret = u;
	return 0;
}

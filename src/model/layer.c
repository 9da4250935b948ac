/* Layer versions as the store keeps them, and the ways in which clients name them. Pure; a stored document may be
 * damaged: every wrong member is named. */
#include "model/layer.h"

static json_t *list_to_json(const struct str *s, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_str(s[i]));
	return list;
}

json_t *layer_to_json(const struct layer_version *l)
{
	json_t *o = json_object();

	json_set_str(o, "name", l->name);
	json_set_str(o, "arn", l->arn);
	json_object_set_new(o, "version", json_integer((json_int_t)l->version));
	json_set_str(o, "description", l->description);
	json_set_str(o, "license", l->license);
	json_object_set_new(o, "runtimes", list_to_json(l->runtimes, l->n_runtimes));
	json_object_set_new(o, "architectures", list_to_json(l->architectures, l->n_architectures));
	json_set_str(o, "sha256", l->sha256);
	json_set_str(o, "blob", l->blob);
	json_object_set_new(o, "size", json_integer((json_int_t)l->size));
	json_object_set_new(o, "unpacked", json_integer((json_int_t)l->unpacked));
	json_object_set_new(o, "created_ms", json_integer(l->created_ms));
	return o;
}

static int list_from_json(const json_t *o, const char *key, struct arena *a, struct str **ret, size_t *n,
			  struct err *err)
{
	json_t *j = json_object_get(o, key), *v;
	size_t i;

	if (!j || json_is_null(j))
		return 0;
	if (!json_is_array(j))
		return err_set(err, 0, "%s is not an array", key);
	*ret = arena_new_n(a, struct str, json_array_size(j) + 1);
	json_array_foreach(j, i, v)
	{
		if (!json_is_string(v))
			return err_set(err, 0, "%s: an element is not a string", key);
		(*ret)[(*n)++] = json_str_value(v);
	}
	return 0;
}

int layer_from_json(struct layer_version *ret, const json_t *j, struct arena *a, struct err *err)
{
	struct layer_version l = {.description = STR(""), .license = STR("")};
	int64_t version = 0, size = 0, unpacked = 0;

	if (!json_is_object(j))
		return err_set(err, 0, "a layer version is not an object");
	if (json_need_str(j, "name", &l.name, err) || json_need_str(j, "arn", &l.arn, err) ||
	    json_opt_int(j, "version", 1, INT64_MAX, &version, err) ||
	    json_opt_str(j, "description", &l.description, err) || json_opt_str(j, "license", &l.license, err) ||
	    json_need_str(j, "sha256", &l.sha256, err) || json_need_str(j, "blob", &l.blob, err) ||
	    json_opt_int(j, "size", 0, INT64_MAX, &size, err) ||
	    json_opt_int(j, "unpacked", 0, INT64_MAX, &unpacked, err) ||
	    json_opt_int(j, "created_ms", INT64_MIN, INT64_MAX, &l.created_ms, err) ||
	    list_from_json(j, "runtimes", a, &l.runtimes, &l.n_runtimes, err) ||
	    list_from_json(j, "architectures", a, &l.architectures, &l.n_architectures, err))
		return -1;
	l.version = (uint64_t)version;
	l.size = (uint64_t)size;
	l.unpacked = (uint64_t)unpacked;
	*ret = l;
	return 0;
}

static bool is_name(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
		      c == '_'))
			return false;
	}
	return s.n > 0 && s.n <= 140;
}

/* arn:PARTITION:lambda:REGION:ACCOUNT:layer:NAME[:VERSION] */
static bool parse_arn(struct str s, struct layer_name *ret)
{
	struct str part, version;

	str_cut(s, ':', &part, &s);
	if (!str_cut(s, ':', &part, &s) || !str_starts(part, STR("aws")))
		return false;
	if (!str_cut(s, ':', &part, &s) || !str_eqz(part, "lambda"))
		return false;
	if (!str_cut(s, ':', &part, &s) || !is_name(part) || !str_cut(s, ':', &part, &s) || part.n != 12 ||
	    !is_name(part))
		return false;
	if (!str_cut(s, ':', &part, &s) || !str_eqz(part, "layer"))
		return false;
	ret->version = 0;
	if (str_cut(s, ':', &ret->name, &version) && (!str_to_u64(version, &ret->version) || !ret->version))
		return false;
	return is_name(ret->name);
}

bool layer_name_parse(struct str s, struct layer_name *ret)
{
	if (str_starts(s, STR("arn:")))
		return parse_arn(s, ret);
	*ret = (struct layer_name){.name = s};
	return is_name(s);
}

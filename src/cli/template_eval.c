/* The values of a template. Pure. Everything lives in the plan's arena or in json_t's that the caller owns. Fails on
 * names that nobody defines, on functions that are not supported and on values that need themselves. */
#include "cli/template_eval.h"

#include "base/buf.h"

#include <ctype.h>

#define DEPTH_MAX 64

void template_enter(struct template *t, const char *key)
{
	if (t->n_path < TEMPLATE_PATH_MAX)
		t->path[t->n_path] = key;
	t->n_path++;
}

void template_leave(struct template *t)
{
	t->n_path--;
}

/* The line where the keys of the path stand below each other; good for YAML and for JSON written in lines. */
static size_t find_line(const struct template *t)
{
	struct str rest = t->conf->text, line;
	size_t at = 0, number = 0, found = 0;

	while (rest.n > 0 && at < MIN(t->n_path, (size_t)TEMPLATE_PATH_MAX)) {
		struct str key = str_from(t->path[at]);

		str_cut(rest, '\n', &line, &rest);
		number++;
		while (line.n > 0 && (isspace((unsigned char)line.p[0]) || line.p[0] == '-' || line.p[0] == '"'))
			line = str_sub(line, 1, line.n);
		if (!str_starts(line, key))
			continue;
		line = str_sub(line, key.n, line.n);
		if (str_starts(line, STR("\"")))
			line = str_sub(line, 1, line.n);
		if (str_starts(str_trim(line), STR(":"))) {
			found = number;
			at++;
		}
	}
	return found;
}

int template_fail(struct template *t, const char *fmt, ...)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	size_t line = find_line(t);
	va_list ap;

	buf_adds(&b, t->conf->file);
	if (line > 0)
		buf_printf(&b, ":%zu", line);
	buf_adds(&b, ": ");
	for (size_t i = 0; i < MIN(t->n_path, (size_t)TEMPLATE_PATH_MAX); i++)
		buf_printf(&b, "%s%s", i ? "." : "", t->path[i]);
	if (t->n_path > 0)
		buf_adds(&b, ": ");
	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	return err_set(t->err, 0, "%s", buf_cstr(&b));
}

bool template_text(struct template *t, const json_t *v, struct str *ret)
{
	struct arena *a = &t->plan->arena;

	if (json_is_string(v))
		*ret = arena_str(a, str_n(json_string_value(v), json_string_length(v)));
	else if (json_is_integer(v))
		*ret = str_from(arena_printf(a, "%" JSON_INTEGER_FORMAT, json_integer_value(v)));
	else if (json_is_real(v))
		*ret = str_from(arena_printf(a, "%.17g", json_real_value(v)));
	else if (json_is_boolean(v))
		*ret = json_is_true(v) ? STR("true") : STR("false");
	else
		return false;
	return true;
}

int template_string(struct template *t, const json_t *v, struct str *ret)
{
	_cleanup_json_ json_t *done = template_eval(t, v);

	if (!done)
		return -1;
	return template_text(t, done, ret) ? 0 : template_fail(t, "must be a string");
}

static const json_t *resource(const struct template *t, const char *logical)
{
	return json_object_get(t->resources, logical);
}

static const char *type_of(const json_t *r)
{
	const char *type = json_string_value(json_object_get(r, "Type"));

	return type ? type : "";
}

static bool is_function(const char *type)
{
	return strcmp(type, TYPE_SAM_FUNCTION) == 0 || strcmp(type, TYPE_FUNCTION) == 0;
}

static bool is_layer(const char *type)
{
	return strcmp(type, TYPE_SAM_LAYER) == 0 || strcmp(type, TYPE_LAYER) == 0;
}

int template_name(struct template *t, const char *logical, struct str *ret)
{
	const json_t *r = resource(t, logical), *props = json_object_get(r, "Properties");
	const char *type = type_of(r);
	const char *key = is_function(type)                ? "FunctionName"
			  : strcmp(type, TYPE_BUCKET) == 0 ? "BucketName"
			  : strcmp(type, TYPE_ROLE) == 0   ? "RoleName"
			  : is_layer(type)                 ? "LayerName"
							   : NULL;
	const json_t *said = key ? json_object_get(props, key) : NULL;
	char *name;
	int result;

	if (said) {
		if (t->depth > DEPTH_MAX)
			return template_fail(t, "%s needs its own name", logical);
		t->depth++;
		result = template_string(t, said, ret);
		t->depth--;
		return result;
	}
	name = arena_printf(&t->plan->arena, "%.*s-%s", STR_ARG(t->conf->stack), logical);
	if (strcmp(type, TYPE_BUCKET) == 0)
		for (char *c = name; *c; c++)
			*c = (char)tolower((unsigned char)*c);
	*ret = str_from(name);
	return 0;
}

/* A parameter's value: --parameter, else its Default. 1: no such parameter. */
static int parameter(struct template *t, const char *name, json_t **ret)
{
	const json_t *p = json_object_get(t->params, name), *dflt = json_object_get(p, "Default");
	struct str type = json_get_str(p, "Type", STR("String")), text = STR_NULL, item;
	bool list = str_eqz(type, "CommaDelimitedList") || str_starts(type, STR("List<"));

	if (!p)
		return 1;
	for (size_t i = 0; i < t->conf->n_params; i++)
		if (str_eqz(t->conf->params[i].k, name))
			text = t->conf->params[i].v;
	if (!text.p && !dflt)
		return template_fail(t, "parameter %s has no Default: give it with --parameter %s=VALUE", name, name);
	if (!text.p && !template_text(t, dflt, &text))
		return template_fail(t, "the Default of parameter %s must be a string or a number", name);
	if (!list) {
		*ret = json_stringn(text.p, text.n);
		return *ret ? 0 : template_fail(t, "parameter %s is not UTF-8", name);
	}
	*ret = json_array();
	while (text.n > 0) {
		str_cut(text, ',', &item, &text);
		item = str_trim(item);
		json_array_append_new(*ret, json_stringn(item.p, item.n));
	}
	return 0;
}

static json_t *text_json(struct str s)
{
	return json_stringn(s.p ? s.p : "", s.n);
}

static json_t *pseudo(struct template *t, const char *name)
{
	const struct template_conf *c = t->conf;

	if (strcmp(name, "AWS::Region") == 0)
		return text_json(c->region);
	if (strcmp(name, "AWS::AccountId") == 0)
		return text_json(c->account);
	if (strcmp(name, "AWS::StackName") == 0)
		return text_json(c->stack);
	if (strcmp(name, "AWS::StackId") == 0)
		return json_sprintf("arn:aws:cloudformation:%.*s:%.*s:stack/%.*s/wick", STR_ARG(c->region),
				    STR_ARG(c->account), STR_ARG(c->stack));
	if (strcmp(name, "AWS::Partition") == 0)
		return json_string("aws");
	if (strcmp(name, "AWS::URLSuffix") == 0)
		return json_string("amazonaws.com");
	return strcmp(name, "AWS::NoValue") == 0 ? json_null() : NULL;
}

static json_t *ref(struct template *t, const char *name)
{
	json_t *v = pseudo(t, name);
	struct str s;
	int r;

	if (v)
		return v;
	r = parameter(t, name, &v);
	if (r <= 0)
		return r == 0 ? v : NULL;
	if (is_layer(type_of(resource(t, name))))
		return json_sprintf(PLAN_LAYER "%s" PLAN_END, name); /* a version that is not published yet */
	if (resource(t, name))
		return template_name(t, name, &s) < 0 ? NULL : text_json(s);
	template_fail(t, "!Ref %s: the template has no parameter or resource of that name", name);
	return NULL;
}

/* SAM makes a resource FUNCTIONUrl beside a function with a FunctionUrlConfig. NULL: it is not that. */
static json_t *function_url(struct template *t, const char *logical, const char *attribute)
{
	struct str s = str_from(logical), name;
	char *function;

	if (!str_ends(s, STR("Url")) || strcmp(attribute, "FunctionUrl") != 0)
		return NULL;
	function = arena_dup(&t->plan->arena, str_sub(s, 0, s.n - 3));
	if (!json_object_get(json_object_get(resource(t, function), "Properties"), "FunctionUrlConfig") ||
	    template_name(t, function, &name) < 0)
		return NULL;
	return json_sprintf(PLAN_URL "%.*s" PLAN_END, STR_ARG(name));
}

static json_t *get_att(struct template *t, const char *logical, const char *attribute)
{
	const json_t *r = resource(t, logical);
	const struct template_conf *c = t->conf;
	const char *type = type_of(r);
	struct str name;
	json_t *url = r ? NULL : function_url(t, logical, attribute);

	if (url)
		return url;
	if (!r) {
		template_fail(t, "!GetAtt %s.%s: the template has no resource %s", logical, attribute, logical);
		return NULL;
	}
	if (template_name(t, logical, &name) < 0)
		return NULL;
	if (strcmp(attribute, "Arn") == 0 && is_function(type))
		return json_sprintf("arn:aws:lambda:%.*s:%.*s:function:%.*s", STR_ARG(c->region), STR_ARG(c->account),
				    STR_ARG(name));
	if (strcmp(attribute, "Arn") == 0 && strcmp(type, TYPE_BUCKET) == 0)
		return json_sprintf("arn:aws:s3:::%.*s", STR_ARG(name));
	if (strcmp(attribute, "Arn") == 0 && strcmp(type, TYPE_ROLE) == 0)
		return json_sprintf("arn:aws:iam::%.*s:role/%.*s", STR_ARG(c->account), STR_ARG(name));
	if (strcmp(attribute, "DomainName") == 0 && strcmp(type, TYPE_BUCKET) == 0)
		return json_sprintf("%.*s.s3.amazonaws.com", STR_ARG(name));
	template_fail(t, "!GetAtt %s.%s: this attribute of %s is not supported", logical, attribute, type);
	return NULL;
}

static json_t *get_att_of(struct template *t, const json_t *arg)
{
	const char *logical = json_string_value(json_array_get(arg, 0));
	struct str attribute = STR_NULL, head;

	if (json_is_string(arg) && str_cut(str_from(json_string_value(arg)), '.', &head, &attribute))
		return get_att(t, arena_dup(&t->plan->arena, head), arena_dup(&t->plan->arena, attribute));
	if (json_array_size(arg) != 2 || !logical || template_string(t, json_array_get(arg, 1), &attribute) < 0) {
		template_fail(t, "!GetAtt takes RESOURCE.ATTRIBUTE");
		return NULL;
	}
	return get_att(t, logical, arena_dup(&t->plan->arena, attribute));
}

/* One ${...} of a !Sub into b. */
static int sub_one(struct template *t, struct str name, const json_t *vars, struct buf *b)
{
	char *text = arena_dup(&t->plan->arena, str_trim(name));
	const json_t *own = json_object_get(vars, text);
	_cleanup_json_ json_t *v = NULL;
	struct str s, head, attribute;

	if (text[0] == '!') {
		buf_printf(b, "${%s}", text + 1);
		return 0;
	}
	if (own)
		v = template_eval(t, own);
	else if (str_cut(str_from(text), '.', &head, &attribute))
		v = get_att(t, arena_dup(&t->plan->arena, head), attribute.p);
	else
		v = ref(t, text);
	if (!v)
		return -1;
	if (!template_text(t, v, &s))
		return template_fail(t, "!Sub: ${%s} is not a string", text);
	buf_add_str(b, s);
	return 0;
}

static json_t *sub(struct template *t, const json_t *arg)
{
	const json_t *text = json_is_array(arg) ? json_array_get(arg, 0) : arg;
	const json_t *vars = json_is_array(arg) ? json_array_get(arg, 1) : NULL;
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	struct str s;

	if (!json_is_string(text)) {
		template_fail(t, "!Sub takes a string, or a list of a string and its variables");
		return NULL;
	}
	s = str_n(json_string_value(text), json_string_length(text));
	for (;;) {
		ssize_t at = str_find(s, STR("${"));
		ssize_t end = at < 0 ? -1 : str_chr(s, '}', (size_t)at);

		buf_add_str(&b, str_sub(s, 0, at < 0 ? s.n : (size_t)at));
		if (at < 0)
			break;
		if (end < 0) {
			template_fail(t, "!Sub: a ${ is not closed");
			return NULL;
		}
		if (sub_one(t, str_sub(s, (size_t)at + 2, (size_t)(end - at - 2)), vars, &b) < 0)
			return NULL;
		s = str_sub(s, (size_t)end + 1, s.n);
	}
	return text_json(buf_str(&b));
}

static json_t *join(struct template *t, const json_t *arg)
{
	_cleanup_json_ json_t *list = NULL;
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	struct str delimiter, s;

	if (json_array_size(arg) != 2 || !template_text(t, json_array_get(arg, 0), &delimiter)) {
		template_fail(t, "!Join takes [delimiter, [values]]");
		return NULL;
	}
	list = template_eval(t, json_array_get(arg, 1));
	for (size_t i = 0; i < json_array_size(list); i++) {
		if (!template_text(t, json_array_get(list, i), &s)) {
			template_fail(t, "!Join: value %zu is not a string", i + 1);
			return NULL;
		}
		if (i > 0)
			buf_add_str(&b, delimiter);
		buf_add_str(&b, s);
	}
	if (!list)
		return NULL;
	if (!json_is_array(list)) {
		template_fail(t, "!Join takes [delimiter, [values]]");
		return NULL;
	}
	return text_json(buf_str(&b));
}

static json_t *select_item(struct template *t, const json_t *arg)
{
	_cleanup_json_ json_t *list = NULL;
	struct str index;
	uint64_t i;

	if (json_array_size(arg) != 2 || template_string(t, json_array_get(arg, 0), &index) < 0 ||
	    !str_to_u64(index, &i)) {
		template_fail(t, "!Select takes [index, [values]]");
		return NULL;
	}
	list = template_eval(t, json_array_get(arg, 1));
	if (!list)
		return NULL;
	if (!json_array_get(list, i)) {
		template_fail(t, "!Select: there is no value %zu", (size_t)i);
		return NULL;
	}
	return json_incref(json_array_get(list, i));
}

static json_t *split(struct template *t, const json_t *arg)
{
	_cleanup_json_ json_t *list = json_array();
	struct str delimiter, s;

	if (json_array_size(arg) != 2 || !template_text(t, json_array_get(arg, 0), &delimiter) || delimiter.n == 0 ||
	    template_string(t, json_array_get(arg, 1), &s) < 0) {
		template_fail(t, "!Split takes [delimiter, string]");
		return NULL;
	}
	for (;;) {
		ssize_t at = str_find(s, delimiter);

		json_array_append_new(list, text_json(str_sub(s, 0, at < 0 ? s.n : (size_t)at)));
		if (at < 0)
			break;
		s = str_sub(s, (size_t)at + delimiter.n, s.n);
	}
	return steal(&list);
}

static json_t *intrinsic(struct template *t, const char *key, const json_t *arg)
{
	static const struct {
		const char *name;
		json_t *(*fn)(struct template *t, const json_t *arg);
	} table[] = {
		{"Fn::Sub", sub},     {"Fn::GetAtt", get_att_of}, {"Fn::Join", join}, {"Fn::Select", select_item},
		{"Fn::Split", split},
	};

	if (strcmp(key, "Ref") == 0) {
		if (json_is_string(arg))
			return ref(t, json_string_value(arg));
		template_fail(t, "!Ref takes a name");
		return NULL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (strcmp(key, table[i].name) == 0)
			return table[i].fn(t, arg);
	template_fail(
		t,
		"the function %s is not supported (Ref, Fn::Sub, Fn::GetAtt, Fn::Join, Fn::Select and Fn::Split are)",
		key);
	return NULL;
}

static json_t *eval_children(struct template *t, const json_t *v)
{
	_cleanup_json_ json_t *ret = json_is_array(v) ? json_array() : json_object();
	const char *key;
	json_t *e;
	size_t i;

	if (json_is_array(v)) {
		json_array_foreach(v, i, e)
		{
			_cleanup_json_ json_t *done = template_eval(t, e);

			if (!done)
				return NULL;
			if (!json_is_null(done))
				json_array_append(ret, done);
		}
		return steal(&ret);
	}
	json_object_foreach((json_t *)v, key, e)
	{
		_cleanup_json_ json_t *done = template_eval(t, e);

		if (!done)
			return NULL;
		if (!json_is_null(done))
			json_object_set(ret, key, done);
	}
	return steal(&ret);
}

json_t *template_eval(struct template *t, const json_t *v)
{
	json_t *ret;
	void *it;

	if (!json_is_object(v) && !json_is_array(v))
		return json_incref((json_t *)v);
	if (t->depth > DEPTH_MAX) {
		template_fail(t, "a value needs itself");
		return NULL;
	}
	t->depth++;
	it = json_object_size(v) == 1 ? json_object_iter((json_t *)v) : NULL;
	if (it && (strcmp(json_object_iter_key(it), "Ref") == 0 || strncmp(json_object_iter_key(it), "Fn::", 4) == 0))
		ret = intrinsic(t, json_object_iter_key(it), json_object_iter_value(it));
	else
		ret = eval_children(t, v);
	t->depth--;
	return ret;
}

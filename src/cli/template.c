/* SAM templates into a plan. Pure: reads no file and asks no server. Two walks over the resources: functions and
 * buckets first, what joins them after. Each type has a table of the properties it takes; one that is not in the table
 * is an error that names it, so that nothing a template asks for is dropped without a word. */
#include "cli/template.h"

#include "base/buf.h"
#include "cli/template_eval.h"
#include "cli/template_props.h"

static const struct template_property bucket_properties[] = {
	{"BucketName", NULL},
	{"NotificationConfiguration", NULL}, /* the second walk */
	{0},
};

static int plan_bucket_of(struct template *t, const char *logical, const char *type, const json_t *props)
{
	struct plan_bucket *b = plan_add(t->plan, buckets);

	if (template_name(t, logical, &b->name) < 0)
		return -1;
	return template_properties(t, type, bucket_properties, props, (union template_item){.bucket = b});
}

static int plan_role_of(struct template *t, const char *logical, const char *type, const json_t *props)
{
	plan_note(t->plan, "%s: the role is accepted as a name, but roles are not narrowed yet", logical);
	return 0;
}

/* "name" or its ARN. */
static struct str function_name(struct str s)
{
	ssize_t at = str_find(s, STR(":function:"));

	return at < 0 ? s : str_sub(s, (size_t)at + strlen(":function:"), s.n);
}

#define PERMISSION_TEXT(member)                                                                                        \
	static int set_permission_##member(struct template *t, union template_item it, const json_t *v)                \
	{                                                                                                              \
		return template_want_text(t, v, &it.permission->member);                                               \
	}
PERMISSION_TEXT(function)
PERMISSION_TEXT(action)
PERMISSION_TEXT(principal)
PERMISSION_TEXT(source_arn)
PERMISSION_TEXT(source_account)
PERMISSION_TEXT(url_auth)

static const struct template_property permission_properties[] = {
	{"FunctionName", set_permission_function},
	{"Action", set_permission_action},
	{"Principal", set_permission_principal},
	{"SourceArn", set_permission_source_arn},
	{"SourceAccount", set_permission_source_account},
	{"FunctionUrlAuthType", set_permission_url_auth},
	{0},
};

static int plan_permission_of(struct template *t, const char *logical, const char *type, const json_t *props)
{
	struct plan_permission *p = plan_add(t->plan, permissions);

	p->statement_id = arena_str(&t->plan->arena, str_from(logical));
	if (template_properties(t, type, permission_properties, props, (union template_item){.permission = p}) < 0)
		return -1;
	p->function = function_name(p->function);
	if (p->function.n == 0 || p->action.n == 0 || p->principal.n == 0)
		return template_fail(t, "needs FunctionName, Action and Principal");
	return 0;
}

/* Prefix and suffix of {"S3Key": {"Rules": [{"Name", "Value"}]}}. */
static int read_filter(struct template *t, struct plan_trigger *g, const json_t *filter)
{
	const json_t *rules = json_object_get(json_object_get(filter, "S3Key"), "Rules");
	struct str name, value;
	json_t *e;
	size_t i;

	if (!json_is_array(rules))
		return template_fail(t, "a Filter needs S3Key with Rules");
	json_array_foreach((json_t *)rules, i, e)
	{
		if (!template_text(t, json_object_get(e, "Name"), &name) ||
		    !template_text(t, json_object_get(e, "Value"), &value))
			return template_fail(t, "each rule of a Filter needs Name and Value");
		if (str_ieq(name, STR("prefix")))
			g->prefix = value;
		else if (str_ieq(name, STR("suffix")))
			g->suffix = value;
		else
			return template_fail(t, "a Filter's rule is named prefix or suffix, not %.*s", STR_ARG(name));
	}
	return 0;
}

static int read_events(struct template *t, struct plan_trigger *g, const json_t *v)
{
	struct str s;

	if (!json_is_array(v)) {
		if (template_want_text(t, v, &s) < 0)
			return -1;
		*(struct str *)plan_grow(&t->plan->arena, (void **)&g->events, &g->n_events, sizeof(s)) = s;
		return 0;
	}
	for (size_t i = 0; i < json_array_size(v); i++) {
		if (template_want_text(t, json_array_get(v, i), &s) < 0)
			return -1;
		*(struct str *)plan_grow(&t->plan->arena, (void **)&g->events, &g->n_events, sizeof(s)) = s;
	}
	return 0;
}

/* S3 may call the function: what SAM adds by itself next to an S3 event. */
static void allow_bucket(struct plan *p, const struct plan_trigger *g)
{
	struct plan_permission *m = plan_add(p, permissions);

	*m = (struct plan_permission){
		.function = g->function,
		.statement_id = str_from(arena_printf(&p->arena, "wick-s3-%.*s", STR_ARG(g->bucket))),
		.action = STR("lambda:InvokeFunction"),
		.principal = STR("s3.amazonaws.com"),
		.source_arn = str_from(arena_printf(&p->arena, "arn:aws:s3:::%.*s", STR_ARG(g->bucket))),
	};
	for (size_t i = 0; i + 1 < p->n_permissions; i++)
		if (str_eq(p->permissions[i].statement_id, m->statement_id) &&
		    str_eq(p->permissions[i].function, m->function)) {
			p->n_permissions--;
			return;
		}
}

static int trigger_bucket(struct template *t, union template_item it, const json_t *v)
{
	return template_want_text(t, v, &it.trigger->bucket);
}

static int trigger_events(struct template *t, union template_item it, const json_t *v)
{
	return read_events(t, it.trigger, v);
}

static int trigger_filter(struct template *t, union template_item it, const json_t *v)
{
	return read_filter(t, it.trigger, v);
}

static int trigger_function(struct template *t, union template_item it, const json_t *v)
{
	if (template_want_text(t, v, &it.trigger->function) < 0)
		return -1;
	it.trigger->function = function_name(it.trigger->function);
	return 0;
}

static const struct template_property sam_s3_event[] = {
	{"Bucket", trigger_bucket},
	{"Events", trigger_events},
	{"Filter", trigger_filter},
	{0},
};

static const struct template_property bucket_notification[] = {
	{"Event", trigger_events},
	{"Function", trigger_function},
	{"Filter", trigger_filter},
	{0},
};

static int plan_event(struct template *t, struct str function, const json_t *event)
{
	const char *type = json_string_value(json_object_get(event, "Type"));
	struct plan_trigger *g;

	if (!type || strcmp(type, "S3") != 0)
		return template_fail(t, "an event of type %s is not supported (S3 is)", type ? type : "(none)");
	g = plan_add(t->plan, triggers);
	g->function = function;
	template_enter(t, "Properties");
	if (template_properties(t, "an S3 event", sam_s3_event, json_object_get(event, "Properties"),
				(union template_item){.trigger = g}) < 0)
		return -1;
	if (g->bucket.n == 0 || g->n_events == 0)
		return template_fail(t, "an S3 event needs Bucket and Events");
	template_leave(t);
	allow_bucket(t->plan, g);
	return 0;
}

/* The second walk over a function: its Events. */
static int join_function(struct template *t, const char *logical, const json_t *props)
{
	const json_t *events = json_object_get(props, "Events");
	struct str name;
	const char *key;
	json_t *e;

	if (!events)
		return 0;
	if (template_name(t, logical, &name) < 0)
		return -1;
	template_enter(t, "Events");
	json_object_foreach((json_t *)events, key, e)
	{
		template_enter(t, key);
		if (plan_event(t, name, e) < 0)
			return -1;
		template_leave(t);
	}
	template_leave(t);
	return 0;
}

/* The second walk over a bucket: NotificationConfiguration.LambdaConfigurations. */
static int join_bucket(struct template *t, const char *logical, const json_t *props)
{
	const json_t *conf = json_object_get(props, "NotificationConfiguration");
	const json_t *list = json_object_get(conf, "LambdaConfigurations");
	struct str name;
	json_t *e;
	size_t i;

	if (!conf)
		return 0;
	template_enter(t, "NotificationConfiguration");
	if (!json_is_array(list) || json_object_size(conf) != 1)
		return template_fail(t, "only LambdaConfigurations is supported");
	if (template_name(t, logical, &name) < 0)
		return -1;
	json_array_foreach((json_t *)list, i, e)
	{
		struct plan_trigger *g = plan_add(t->plan, triggers);

		g->bucket = name;
		if (template_properties(t, "LambdaConfigurations", bucket_notification, e,
					(union template_item){.trigger = g}) < 0)
			return -1;
		if (g->function.n == 0 || g->n_events == 0)
			return template_fail(t, "each of LambdaConfigurations needs Event and Function");
	}
	template_leave(t);
	return 0;
}

static const struct resource_type {
	const char *name;
	int (*plan)(struct template *t, const char *logical, const char *type, const json_t *props);
	int (*join)(struct template *t, const char *logical, const json_t *props);
} resource_types[] = {
	{TYPE_SAM_FUNCTION, template_function, join_function},
	{TYPE_FUNCTION, template_function, NULL},
	{TYPE_SAM_LAYER, template_layer, NULL},
	{TYPE_LAYER, template_layer, NULL},
	{TYPE_BUCKET, plan_bucket_of, join_bucket},
	{TYPE_PERMISSION, plan_permission_of, NULL},
	{TYPE_ROLE, plan_role_of, NULL},
};

static const struct resource_type *resource_type(struct template *t, const json_t *r)
{
	const char *type = json_string_value(json_object_get(r, "Type"));

	for (size_t i = 0; type && i < ARRAY_SIZE(resource_types); i++)
		if (strcmp(type, resource_types[i].name) == 0)
			return &resource_types[i];
	template_fail(t, "a resource of type %s is not supported", type ? type : "(none)");
	return NULL;
}

static bool is_one_of(const char *s, const char *const *known, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(s, known[i]) == 0)
			return true;
	return false;
}

static int check_attributes(struct template *t, const json_t *r)
{
	static const char *const known[] = {"Type",     "Properties",     "DependsOn",
					    "Metadata", "DeletionPolicy", "UpdateReplacePolicy"};
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)r, key, v)
	{
		if (!is_one_of(key, known, ARRAY_SIZE(known)))
			return template_fail(t, "the attribute %s is not supported", key);
	}
	return 0;
}

static int walk(struct template *t, bool second)
{
	const char *logical;
	json_t *r;

	template_enter(t, "Resources");
	json_object_foreach((json_t *)t->resources, logical, r)
	{
		const struct resource_type *type;
		const json_t *props = json_object_get(r, "Properties");

		template_enter(t, logical);
		type = resource_type(t, r);
		if (!type || (!second && check_attributes(t, r) < 0))
			return -1;
		template_enter(t, "Properties");
		if (!second && type->plan(t, logical, type->name, props) < 0)
			return -1;
		if (second && type->join && type->join(t, logical, props) < 0)
			return -1;
		template_leave(t);
		template_leave(t);
	}
	template_leave(t);
	return 0;
}

static int check_sections(struct template *t, const json_t *doc)
{
	static const char *const known[] = {"AWSTemplateFormatVersion",
					    "Transform",
					    "Description",
					    "Metadata",
					    "Globals",
					    "Parameters",
					    "Resources",
					    "Outputs"};
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)doc, key, v)
	{
		if (is_one_of(key, known, ARRAY_SIZE(known)))
			continue;
		template_enter(t, key);
		return template_fail(t, "this section is not supported");
	}
	json_object_foreach((json_t *)t->globals, key, v)
	{
		if (strcmp(key, "Function") == 0)
			continue;
		template_enter(t, "Globals");
		template_enter(t, key);
		return template_fail(t, "only Function is supported in Globals");
	}
	for (size_t i = 0; i < t->conf->n_params; i++) {
		_cleanup_(freep) char *name = str_dup(t->conf->params[i].k);

		if (!json_object_get(t->params, name))
			return template_fail(t, "--parameter %s: the template has no such parameter", name);
	}
	return 0;
}

static int outputs(struct template *t, const json_t *list)
{
	const char *key;
	json_t *o;

	template_enter(t, "Outputs");
	json_object_foreach((json_t *)list, key, o)
	{
		struct plan_output *out = plan_add(t->plan, outputs);
		const json_t *description = json_object_get(o, "Description");

		template_enter(t, key);
		out->name = arena_str(&t->plan->arena, str_from(key));
		if (!json_object_get(o, "Value"))
			return template_fail(t, "needs a Value");
		if (template_string(t, json_object_get(o, "Value"), &out->value) < 0 ||
		    (description && template_string(t, description, &out->description) < 0))
			return -1;
		template_leave(t);
	}
	template_leave(t);
	return 0;
}

int template_plan(const json_t *doc, const struct template_conf *conf, struct plan *ret, struct err *err)
{
	struct template t = {
		.conf = conf,
		.params = json_object_get(doc, "Parameters"),
		.resources = json_object_get(doc, "Resources"),
		.globals = json_object_get(doc, "Globals"),
		.plan = ret,
		.err = err,
	};

	ret->whole = true;
	if (!json_is_object(doc) || json_object_size(t.resources) == 0)
		return template_fail(&t, "not a template: there is no mapping named Resources");
	if (check_sections(&t, doc) < 0 || walk(&t, false) < 0 || walk(&t, true) < 0)
		return -1;
	return outputs(&t, json_object_get(doc, "Outputs"));
}

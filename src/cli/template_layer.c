/* Layers of a template: AWS::Serverless::LayerVersion and AWS::Lambda::LayerVersion into the plan. Pure. */
#include "cli/template_props.h"

static int set_description(struct template *t, union template_item it, const json_t *v)
{
	return template_want_text(t, v, &it.layer->description);
}

static int set_license(struct template *t, union template_item it, const json_t *v)
{
	return template_want_text(t, v, &it.layer->license);
}

static int set_content(struct template *t, union template_item it, const json_t *v)
{
	struct plan_layer *l = it.layer;

	if (template_code(t, v, &l->code_kind, &l->code, &l->code_key) < 0)
		return -1;
	return l->code_kind == PLAN_CODE_INLINE ? template_fail(t, "ZipFile is not supported for a layer") : 0;
}

static int set_runtimes(struct template *t, union template_item it, const json_t *v)
{
	struct plan_layer *l = it.layer;

	if (!json_is_array(v))
		return template_fail(t, "must be a list of runtimes");
	for (size_t i = 0; i < json_array_size(v); i++)
		if (template_want_text(t, json_array_get(v, i),
				       plan_grow(&t->plan->arena, (void **)&l->runtimes, &l->n_runtimes,
						 sizeof(*l->runtimes))) < 0)
			return -1;
	return 0;
}

static int set_architectures(struct template *t, union template_item it, const json_t *v)
{
	struct str s;

	for (size_t i = 0; i < json_array_size(v); i++)
		if (template_text(t, json_array_get(v, i), &s) && str_eqz(s, "x86_64"))
			return 0;
	return template_fail(t, "only x86_64 is supported");
}

static const struct template_property sam_layer[] = {
	{"LayerName", NULL}, /* template_name */
	{"ContentUri", set_content},
	{"CompatibleRuntimes", set_runtimes},
	{"CompatibleArchitectures", set_architectures},
	{"Description", set_description},
	{"LicenseInfo", set_license},
	{"RetentionPolicy", NULL}, /* versions are kept */
	{0},
};

static const struct template_property lambda_layer[] = {
	{"LayerName", NULL},
	{"Content", set_content},
	{"CompatibleRuntimes", set_runtimes},
	{"CompatibleArchitectures", set_architectures},
	{"Description", set_description},
	{"LicenseInfo", set_license},
	{0},
};

int template_layer(struct template *t, const char *logical, const char *type, const json_t *props)
{
	bool sam = strcmp(type, TYPE_SAM_LAYER) == 0;
	struct plan_layer *l = plan_add(t->plan, layers);

	l->logical = arena_str(&t->plan->arena, str_from(logical));
	if (template_name(t, logical, &l->name) < 0 ||
	    template_properties(t, type, sam ? sam_layer : lambda_layer, props, (union template_item){.layer = l}) < 0)
		return -1;
	return l->code_kind == PLAN_CODE_NONE ? template_fail(t, sam ? "needs ContentUri" : "needs Content") : 0;
}

/* Properties of a template's resources: a table for each type, and readers of values. Shared by the files of the
 * template reader only. */
#pragma once

#include "cli/template_eval.h"

union template_item {
	struct plan_function *function;
	struct plan_bucket *bucket;
	struct plan_permission *permission;
	struct plan_trigger *trigger;
	struct plan_layer *layer;
};

struct template_property {
	const char *name;
	/* v is evaluated. NULL: accepted, and it changes nothing. */
	int (*set)(struct template *t, union template_item it, const json_t *v);
};

/* Each of props by its entry in the table; one that is not there is an error that names it. */
int template_properties(struct template *t, const char *type, const struct template_property *table,
			const json_t *props, union template_item it);
int template_want_text(struct template *t, const json_t *v, struct str *ret);

/* The resources themselves: template_function.c, template_layer.c. */
int template_function(struct template *t, const char *logical, const char *type, const json_t *props);
int template_layer(struct template *t, const char *logical, const char *type, const json_t *props);

/* A path, s3://BUCKET/KEY, or a mapping with bucket and key, or ZipFile. */
int template_code(struct template *t, const json_t *v, enum plan_code *kind, struct str *code, struct str *key);

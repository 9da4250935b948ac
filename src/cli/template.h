/* SAM and CloudFormation templates, as far as functions, buckets and what joins them need: JSON in (yaml.h reads the
 * YAML), a plan out. What is not supported is an error that names it; nothing is skipped in silence. */
#pragma once

#include "base/err.h"
#include "cli/plan.h"
#include "wire/json.h"

struct template_conf {
	const char *file; /* for messages */
	struct str text;  /* the file as it is, to find line numbers; may be empty */
	struct str region, account, stack;
	const struct kv *params; /* --parameter NAME=VALUE */
	size_t n_params;
};

int template_plan(const json_t *doc, const struct template_conf *conf, struct plan *ret, struct err *err);

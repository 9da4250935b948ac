/* The values of a template: its parameters, resources' names and the functions !Ref, !Sub, !GetAtt, !Join, !Select and
 * !Split. Shared by the files of the template reader only. */
#pragma once

#include "cli/template.h"

#define TEMPLATE_PATH_MAX 12

struct template
{
	const struct template_conf *conf;
	const json_t *params, *resources, *globals;
	struct plan *plan;
	struct err *err;
	const char *path[TEMPLATE_PATH_MAX]; /* where in the document the reader is, for messages */
	size_t n_path;
	unsigned depth;
};

void template_enter(struct template *t, const char *key);
void template_leave(struct template *t);
/* Sets the error, with file, line and place before it. Returns -1. */
int template_fail(struct template *t, const char *fmt, ...) _printf_(2, 3);

/* v with every function in it done; null stands for AWS::NoValue and is left out of what contains it. NULL: error. */
json_t *template_eval(struct template *t, const json_t *v);
/* Text of a scalar; false when v is none. The result is in the plan's arena. */
bool template_text(struct template *t, const json_t *v, struct str *ret);
/* Evaluated and turned into text, or -1 with the error set. */
int template_string(struct template *t, const json_t *v, struct str *ret);
/* The name a resource will have; -1 with the error set when it cannot be known. */
int template_name(struct template *t, const char *logical, struct str *ret);

#define TYPE_SAM_FUNCTION "AWS::Serverless::Function"
#define TYPE_FUNCTION     "AWS::Lambda::Function"
#define TYPE_SAM_LAYER    "AWS::Serverless::LayerVersion"
#define TYPE_LAYER        "AWS::Lambda::LayerVersion"
#define TYPE_PERMISSION   "AWS::Lambda::Permission"
#define TYPE_BUCKET       "AWS::S3::Bucket"
#define TYPE_ROLE         "AWS::IAM::Role"

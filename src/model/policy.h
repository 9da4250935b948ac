/* Resource policies of buckets and functions: the part of IAM's policy language that decides who may do what. Source:
 * AWS IAM User Guide, "Policy elements reference" and "Policy evaluation logic". Pure; a policy is its JSON document.
 *
 * Conditions: StringEquals, StringLike, ArnEquals, ArnLike on aws:SourceArn and aws:SourceAccount, which
 * Lambda's AddPermission makes. A statement with any other condition never allows, and denies if its effect is Deny. */
#pragma once

#include "wire/json.h"

enum policy_verdict { POLICY_NONE, POLICY_ALLOW, POLICY_DENY };

/* Who asks. All empty: anonymous. */
struct policy_who {
	struct str arn;     /* arn:aws:iam::ACCOUNT:user/x, ...:root, arn:aws:sts::ACCOUNT:assumed-role/... */
	struct str service; /* "s3.amazonaws.com" */
	struct str source_arn, source_account; /* on whose behalf a service asks */
};

/* NULL with err set: the sentence for MalformedPolicy. */
json_t *policy_parse(struct str text, struct err *err);
/* who NULL: anonymous. policy must come from policy_parse or the functions below; NULL says nothing. */
enum policy_verdict policy_evaluate(const json_t *policy, const struct policy_who *who, struct str action,
				    struct str resource);
/* Would anyone at all be allowed something? */
bool policy_is_public(const json_t *policy);

/* Lambda's AddPermission and RemovePermission work on one statement at a time. */
json_t *policy_new(void); /* no statements */
/* Takes st. False: a statement of that Sid is there. */
bool policy_add(json_t *policy, json_t *st);
bool policy_remove(json_t *policy, struct str sid); /* false: no such statement */
size_t policy_count(const json_t *policy);
/* principal: "*", a service, an account or an ARN, as AddPermission takes it; empty strings: not given. */
json_t *policy_lambda_statement(struct str sid, struct str action, struct str principal, struct str source_arn,
				struct str source_account, struct str function_arn);
/* "StringEquals", "AWS:SourceAccount": what else must hold; an empty value adds nothing. */
void policy_add_condition(json_t *st, const char *op, const char *key, struct str value);

/* '*' any run, '?' any one byte. */
bool policy_glob(struct str pattern, struct str s, bool fold_case);

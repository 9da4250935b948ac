/* The admit step: may this principal do this to that resource. The root key may do everything; a function's role may
 * use objects and invoke functions (roles are not narrowed by policies yet); everyone else may do what is open or what
 * a bucket's policy gives to everyone. Keeps no state. */
#include "gate/api.h"
#include "gate/flow.h"
#include "model/policy.h"

static const char *const role_denied[] = {
	"s3:PutBucketPolicy", "s3:DeleteBucketPolicy", "s3:PutBucketNotification", "s3:CreateBucket", "s3:DeleteBucket",
};

static bool role_may(const char *action)
{
	for (size_t i = 0; i < ARRAY_SIZE(role_denied); i++)
		if (strcmp(action, role_denied[i]) == 0)
			return false;
	return strncmp(action, "s3:", 3) == 0 || strcmp(action, "lambda:InvokeFunction") == 0 ||
	       strcmp(action, "lambda:InvokeFunctionUrl") == 0;
}

static bool bucket_is_open_for(struct req *r)
{
	_cleanup_json_ json_t *policy = NULL;
	struct bucket *b;

	if (r->api != &api_s3 || r->bucket.n == 0)
		return false;
	if (store_get_bucket(store_reader(r->g->store), &r->arena, r->bucket, &b) != 0 || b->policy.n == 0)
		return false;
	policy = json_parse(b->policy, NULL);
	return policy && policy_evaluate(policy, NULL, str_from(r->op->action), r->resource) == POLICY_ALLOW;
}

enum step_result admit_step(struct req *r)
{
	if (!r->op || !r->op->action)
		return STEP_MORE;
	switch (r->who.kind) {
	case PRINCIPAL_ROOT:
		return STEP_MORE;
	case PRINCIPAL_ROLE:
		if (role_may(r->op->action))
			return STEP_MORE;
		return req_failf(r, FAIL_ACCESS_DENIED, "User: %.*s is not authorized to perform: %s on resource: %.*s",
				 STR_ARG(r->who.arn), r->op->action, STR_ARG(r->resource));
	case PRINCIPAL_ANONYMOUS:
		if (bucket_is_open_for(r))
			return STEP_MORE;
		return req_fail(r, r->api == &api_s3 ? FAIL_ACCESS_DENIED : FAIL_MISSING_AUTH);
	}
	return req_fail(r, FAIL_INTERNAL);
}

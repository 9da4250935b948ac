/* Any bytes as a policy: evaluation ends, anonymous is never allowed more than a denial leaves. */
#include "model/policy.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy_who who = {.arn = STR("arn:aws:iam::000000000000:user/u"), .source_arn = STR("arn:aws:s3:::b")};
	_cleanup_(err_done) struct err err = ERR_NULL;
	_cleanup_json_ json_t *p = policy_parse(str_n(data, size), &err);
	struct str action = STR("s3:GetObject"), resource = STR("arn:aws:s3:::b/k");
	struct str cut = str_n(data, size / 2), rest = str_n(data + size / 2, size - size / 2);

	policy_glob(cut, rest, size % 2);
	if (!p)
		return 0;
	policy_evaluate(p, &who, action, resource);
	if (policy_evaluate(p, NULL, action, resource) == POLICY_ALLOW)
		assert(policy_is_public(p));
	policy_add(p, policy_lambda_statement(STR("s"), action, STR("*"), STR(""), STR(""), resource));
	assert(policy_remove(p, STR("s")));
	return 0;
}

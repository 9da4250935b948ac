/* Policies: validation, evaluation, editing. Pure; documents are jansson values, owned as those are. Only parsing can
 * fail. Whatever a statement says that is not understood makes it weaker when it allows, never when it denies. */
#include "model/policy.h"

static char folded(char c, bool fold_case)
{
	return fold_case && c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool policy_glob(struct str pattern, struct str s, bool fold_case)
{
	size_t p = 0, i = 0, star = SIZE_MAX, from = 0;

	/* One remembered star is enough: an earlier one never has to take more once a later one was reached. */
	while (i < s.n) {
		if (p < pattern.n && pattern.p[p] == '*') {
			star = p++;
			from = i;
		} else if (p < pattern.n &&
			   (pattern.p[p] == '?' || folded(pattern.p[p], fold_case) == folded(s.p[i], fold_case))) {
			p++;
			i++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			i = ++from;
		} else {
			return false;
		}
	}
	while (p < pattern.n && pattern.p[p] == '*')
		p++;
	return p == pattern.n;
}

/* A member that is one string or an array of them, walked alike. */
static struct str one_of(const json_t *v, size_t i)
{
	if (json_is_string(v))
		return i == 0 ? json_str_value(v) : STR_NULL;
	return json_str_value(json_array_get(v, i));
}

static bool strings_valid(const json_t *v)
{
	size_t n = json_array_size(v);

	if (json_is_string(v))
		return true;
	for (size_t i = 0; i < n; i++)
		if (!json_is_string(json_array_get(v, i)))
			return false;
	return n > 0;
}

static int check_principal(const json_t *v, struct err *err)
{
	const char *key;
	json_t *names;

	if (!v)
		return err_set(err, 0, "Missing required field Principal");
	if (json_is_string(v))
		return str_eqz(json_str_value(v), "*") ? 0 : err_set(err, 0, "Invalid principal in policy");
	if (!json_is_object(v) || json_object_size(v) == 0)
		return err_set(err, 0, "Invalid principal in policy");
	json_object_foreach((json_t *)v, key, names)
	{
		struct str kind = str_from(key);

		if (!str_eqz(kind, "AWS") && !str_eqz(kind, "Service") && !str_eqz(kind, "Federated") &&
		    !str_eqz(kind, "CanonicalUser"))
			return err_set(err, 0, "Invalid principal in policy");
		if (!strings_valid(names))
			return err_set(err, 0, "Invalid principal in policy");
	}
	return 0;
}

/* Exactly one of a pair, as strings. */
static int check_pair(const json_t *st, const char *name, const char *negated, struct err *err)
{
	const json_t *a = json_object_get(st, name), *b = json_object_get(st, negated);

	if (!a && !b)
		return err_set(err, 0, "Missing required field %s", name);
	if (a && b)
		return err_set(err, 0, "A statement cannot have both %s and %s", name, negated);
	if (!strings_valid(a ? a : b))
		return err_set(err, 0, "Policy has invalid %s", name);
	return 0;
}

static int check_statement(const json_t *st, struct err *err)
{
	static const char *const known[] = {"Sid",       "Effect",   "Principal",   "Action",
					    "NotAction", "Resource", "NotResource", "Condition"};
	const json_t *condition = json_object_get(st, "Condition"), *sid = json_object_get(st, "Sid");
	struct str effect = json_get_str(st, "Effect", STR(""));
	const char *key;
	json_t *v;

	if (!json_is_object(st))
		return err_set(err, 0, "A statement is not an object");
	json_object_foreach((json_t *)st, key, v)
	{
		bool found = false;

		for (size_t i = 0; i < ARRAY_SIZE(known); i++)
			found |= strcmp(key, known[i]) == 0;
		if (!found)
			return err_set(err, 0, "Unknown field %.64s", key);
	}
	if (!str_eqz(effect, "Allow") && !str_eqz(effect, "Deny"))
		return err_set(err, 0, "Effect must be Allow or Deny");
	if (sid && !json_is_string(sid))
		return err_set(err, 0, "Policy has invalid Sid");
	if (condition && !json_is_object(condition))
		return err_set(err, 0, "Policy has an invalid condition");
	if (check_principal(json_object_get(st, "Principal"), err) || check_pair(st, "Action", "NotAction", err) ||
	    check_pair(st, "Resource", "NotResource", err))
		return -1;
	return 0;
}

static const json_t *statement(const json_t *policy, size_t i)
{
	const json_t *v = json_object_get(policy, "Statement");

	if (json_is_object(v))
		return i == 0 ? v : NULL;
	return json_array_get(v, i);
}

static int check(const json_t *policy, struct err *err)
{
	struct str version = json_get_str(policy, "Version", STR("2008-10-17"));
	const json_t *st;

	if (!json_is_object(policy))
		return err_set(err, 0, "Policies must be valid JSON objects");
	if (!str_eqz(version, "2012-10-17") && !str_eqz(version, "2008-10-17"))
		return err_set(err, 0, "The policy must contain a valid version string");
	if (!statement(policy, 0))
		return err_set(err, 0, "Missing required field Statement");
	for (size_t i = 0; (st = statement(policy, i)); i++) {
		struct str sid;

		if (check_statement(st, err))
			return -1;
		sid = json_get_str(st, "Sid", STR(""));
		for (size_t j = 0; sid.n && j < i; j++)
			if (str_eq(sid, json_get_str(statement(policy, j), "Sid", STR(""))))
				return err_set(err, 0, "Statement IDs (SID) in a single policy must be unique");
	}
	return 0;
}

json_t *policy_parse(struct str text, struct err *err)
{
	_cleanup_json_ json_t *j = json_parse(text, err);

	if (!j) {
		err_wrap(err, "Policies must be valid JSON");
		return NULL;
	}
	return check(j, err) ? NULL : steal(&j);
}

/* arn:aws:iam::ACCOUNT:... */
static struct str account_of(struct str arn)
{
	struct str part = STR("");

	for (int i = 0; i < 5; i++)
		str_cut(arn, ':', &part, &arn);
	return part;
}

static bool aws_principal_is(struct str name, const struct policy_who *who)
{
	struct str account;

	if (str_eqz(name, "*"))
		return true;
	if (who->arn.n == 0)
		return false;
	if (str_eq(name, who->arn))
		return true;
	account = account_of(who->arn);
	if (account.n == 0)
		return false;
	/* The account, bare or as its root, stands for everyone in it. */
	return str_eq(name, account) || (str_ends(name, STR(":root")) && str_eq(account_of(name), account));
}

static bool principal_is(const json_t *v, const struct policy_who *who)
{
	const json_t *aws = json_object_get(v, "AWS"), *service = json_object_get(v, "Service");
	struct str name;

	if (json_is_string(v))
		return str_eqz(json_str_value(v), "*");
	for (size_t i = 0; (name = one_of(aws, i)).p; i++)
		if (aws_principal_is(name, who))
			return true;
	for (size_t i = 0; (name = one_of(service, i)).p; i++)
		if (who->service.n && str_eq(name, who->service))
			return true;
	return false;
}

static bool any_glob(const json_t *patterns, struct str s, bool fold_case)
{
	struct str pattern;

	for (size_t i = 0; (pattern = one_of(patterns, i)).p; i++)
		if (policy_glob(pattern, s, fold_case))
			return true;
	return false;
}

static bool pair_matches(const json_t *st, const char *name, const char *negated, struct str s, bool fold_case)
{
	const json_t *v = json_object_get(st, name);

	if (v)
		return any_glob(v, s, fold_case);
	return !any_glob(json_object_get(st, negated), s, fold_case);
}

enum truth { NO, YES, UNKNOWN };

static enum truth operator_holds(const char *op, const json_t *keys, const struct policy_who *who)
{
	bool equals = strcmp(op, "StringEquals") == 0;
	const char *key;
	json_t *v;

	if (!equals && strcmp(op, "StringLike") != 0 && strcmp(op, "ArnEquals") != 0 && strcmp(op, "ArnLike") != 0)
		return UNKNOWN;
	if (!json_is_object(keys))
		return UNKNOWN;
	json_object_foreach((json_t *)keys, key, v)
	{
		struct str name = str_from(key), have, want;
		bool held = false;

		if (str_ieq(name, STR("aws:SourceArn")))
			have = who->source_arn;
		else if (str_ieq(name, STR("aws:SourceAccount")))
			have = who->source_account;
		else
			return UNKNOWN;
		if (!strings_valid(v))
			return UNKNOWN;
		for (size_t i = 0; have.n && (want = one_of(v, i)).p; i++)
			held |= equals ? str_eq(want, have) : policy_glob(want, have, false);
		if (!held)
			return NO;
	}
	return YES;
}

static enum truth condition_holds(const json_t *condition, const struct policy_who *who)
{
	enum truth all = YES;
	const char *op;
	json_t *keys;

	json_object_foreach((json_t *)condition, op, keys)
	{
		enum truth t = operator_holds(op, keys, who);

		if (t == NO)
			return NO;
		if (t == UNKNOWN)
			all = UNKNOWN;
	}
	return all;
}

enum policy_verdict policy_evaluate(const json_t *policy, const struct policy_who *who, struct str action,
				    struct str resource)
{
	static const struct policy_who anonymous = {0};
	enum policy_verdict verdict = POLICY_NONE;
	const json_t *st;

	if (!who)
		who = &anonymous;
	for (size_t i = 0; (st = statement(policy, i)); i++) {
		bool deny = str_eqz(json_get_str(st, "Effect", STR("")), "Deny");
		enum truth t;

		if (!principal_is(json_object_get(st, "Principal"), who) ||
		    !pair_matches(st, "Action", "NotAction", action, true) ||
		    !pair_matches(st, "Resource", "NotResource", resource, false))
			continue;
		t = condition_holds(json_object_get(st, "Condition"), who);
		if (deny && t != NO)
			return POLICY_DENY;
		if (!deny && t == YES)
			verdict = POLICY_ALLOW;
	}
	return verdict;
}

bool policy_is_public(const json_t *policy)
{
	static const struct policy_who anonymous = {0};
	const json_t *st;

	for (size_t i = 0; (st = statement(policy, i)); i++)
		if (str_eqz(json_get_str(st, "Effect", STR("")), "Allow") &&
		    json_object_size(json_object_get(st, "Condition")) == 0 &&
		    principal_is(json_object_get(st, "Principal"), &anonymous))
			return true;
	return false;
}

json_t *policy_new(void)
{
	json_t *o = json_object();

	json_set_str(o, "Version", STR("2012-10-17"));
	json_set_str(o, "Id", STR("default"));
	json_object_set_new(o, "Statement", json_array());
	return o;
}

static ssize_t find_sid(const json_t *policy, struct str sid)
{
	const json_t *st;

	for (size_t i = 0; (st = statement(policy, i)); i++)
		if (str_eq(json_get_str(st, "Sid", STR("")), sid))
			return (ssize_t)i;
	return -1;
}

bool policy_add(json_t *policy, json_t *st)
{
	json_t *list = json_object_get(policy, "Statement");

	if (find_sid(policy, json_get_str(st, "Sid", STR(""))) >= 0) {
		json_decref(st);
		return false;
	}
	if (!json_is_array(list)) {
		json_t *only = json_incref(list);

		list = json_array();
		if (only)
			json_array_append_new(list, only);
		json_object_set_new(policy, "Statement", list);
	}
	json_array_append_new(list, st);
	return true;
}

bool policy_remove(json_t *policy, struct str sid)
{
	json_t *list = json_object_get(policy, "Statement");
	ssize_t i = find_sid(policy, sid);

	if (i < 0)
		return false;
	if (json_is_array(list))
		json_array_remove(list, (size_t)i);
	else
		json_object_set_new(policy, "Statement", json_array());
	return true;
}

size_t policy_count(const json_t *policy)
{
	size_t n = 0;

	while (statement(policy, n))
		n++;
	return n;
}

static json_t *principal_json(struct str principal)
{
	json_t *o;
	uint64_t account;

	if (str_eqz(principal, "*"))
		return json_str(principal);
	o = json_object();
	if (principal.n == 12 && str_to_u64(principal, &account)) {
		json_object_set_new(o, "AWS", json_sprintf("arn:aws:iam::%.*s:root", STR_ARG(principal)));
	} else if (str_starts(principal, STR("arn:")) || str_chr(principal, '.', 0) < 0) {
		json_set_str(o, "AWS", principal);
	} else {
		json_set_str(o, "Service", principal);
	}
	return o;
}

void policy_add_condition(json_t *st, const char *op, const char *key, struct str value)
{
	json_t *conditions, *o;

	if (value.n == 0)
		return;
	conditions = json_object_get(st, "Condition");
	if (!conditions) {
		conditions = json_object();
		json_object_set_new(st, "Condition", conditions);
	}
	o = json_object_get(conditions, op);
	if (!o) {
		o = json_object();
		json_object_set_new(conditions, op, o);
	}
	json_set_str(o, key, value);
}

json_t *policy_lambda_statement(struct str sid, struct str action, struct str principal, struct str source_arn,
				struct str source_account, struct str function_arn)
{
	json_t *st = json_object();

	json_set_str(st, "Sid", sid);
	json_set_str(st, "Effect", STR("Allow"));
	json_object_set_new(st, "Principal", principal_json(principal));
	json_set_str(st, "Action", action);
	json_set_str(st, "Resource", function_arn);
	policy_add_condition(st, "StringEquals", "AWS:SourceAccount", source_account);
	policy_add_condition(st, "ArnLike", "AWS:SourceArn", source_arn);
	return st;
}

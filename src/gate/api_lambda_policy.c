/* The resource policy of a function: AddPermission, RemovePermission, GetPolicy. It is kept in the function's document;
 * its language is model/policy.h's. Fails by refusal only. */
#include "gate/api_lambda.h"

#include "model/policy.h"

#define SID_MAX 100

struct permission {
	struct lambda_change change;
	json_t *statement; /* until the change is over */
	struct str sid;
};

static struct permission *permission_of(struct req *r)
{
	return container_of(lambda_changed(r), struct permission, change);
}

static enum step_result refused(struct req *r)
{
	json_decref(steal(&permission_of(r)->statement));
	return STEP_MORE;
}

/* The policy that a document holds, or an empty one. */
static json_t *policy_of(const struct function *f)
{
	json_t *j = f->policy.n ? policy_parse(f->policy, NULL) : NULL;

	return j ? j : policy_new();
}

static void set_policy(struct req *r, struct function *f, const json_t *policy)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	if (policy_count(policy))
		json_write(&b, policy);
	if (b.n > LIMIT_FUNCTION_POLICY)
		req_failf(r, FAIL_POLICY_TOO_LARGE, "The final policy size (%zu) is bigger than the limit (%llu).", b.n,
			  LIMIT_FUNCTION_POLICY);
	else
		f->policy = arena_str(&r->arena, buf_str(&b));
}

/* ---- add ---- */

static void add_statement(struct req *r, struct function *f, void *arg)
{
	struct permission *p = arg;
	_cleanup_json_ json_t *policy = policy_of(f);

	if (policy_add(policy, json_incref(p->statement)))
		set_policy(r, f, policy);
	else
		req_failf(r, FAIL_CONFLICT,
			  "The statement id (%.*s) provided already exists. Please provide a new statement "
			  "id, or remove the existing statement.",
			  STR_ARG(p->sid));
}

static enum step_result added(struct req *r)
{
	_cleanup_json_ json_t *statement = steal(&permission_of(r)->statement);
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	json_t *j = json_object();

	json_write(&b, statement);
	json_set_str(j, "Statement", buf_str(&b));
	return req_reply_json(r, 201, j);
}

static bool is_word(struct str s, const char *more)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      (c && strchr(more, c))))
			return false;
	}
	return s.n > 0;
}

static bool is_action(struct str s)
{
	if (str_eqz(s, "*") || str_eqz(s, "lambda:*"))
		return true;
	return str_starts(s, STR("lambda:")) && is_word(str_sub(s, 7, s.n), "");
}

static struct str read_member(struct req *r, const json_t *j, const char *name)
{
	const json_t *v = json_object_get(j, name);

	if (v && !json_is_null(v) && !json_is_string(v))
		req_failf(r, FAIL_SERIALIZATION, "%s can not be converted to a String", name);
	return arena_str(&r->arena, json_get_str(j, name, STR("")));
}

static void check_words(struct req *r, const json_t *j, struct str sid, struct str action, struct str principal)
{
	struct violations v = {0};
	struct str absent = STR_NULL;

	if (!is_word(sid, "-_"))
		violations_add(&v, json_object_get(j, "StatementId") ? sid : absent, "statementId",
			       "Member must satisfy regular expression pattern: ([a-zA-Z0-9-_]+)");
	if (sid.n > SID_MAX)
		violations_add(&v, sid, "statementId", "Member must have length less than or equal to %d", SID_MAX);
	if (!is_action(action))
		violations_add(&v, json_object_get(j, "Action") ? action : absent, "action",
			       "Member must satisfy regular expression pattern: (lambda:[*]|lambda:[a-zA-Z]+|[*])");
	if (!principal.n)
		violations_add(&v, json_object_get(j, "Principal") ? principal : absent, "principal",
			       "Member must satisfy regular expression pattern: [^\\s]+");
	violations_refuse(r, &v);
}

static void check_unknown(struct req *r, const json_t *j)
{
	static const char *const known[] = {"Action",        "Principal",  "StatementId", "SourceArn",
					    "SourceAccount", "RevisionId", "Qualifier",   "FunctionName"};
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)j, name, value)
	{
		bool is_known = json_is_null(value);

		for (size_t i = 0; i < ARRAY_SIZE(known); i++)
			is_known = is_known || strcmp(name, known[i]) == 0;
		if (!is_known)
			req_failf(r, FAIL_INVALID_ARGUMENT, "%.64s is not built into this release of Wick.", name);
	}
}

static void read_permission(struct req *r, const json_t *j, struct permission *p)
{
	struct str action = read_member(r, j, "Action"), principal = read_member(r, j, "Principal");
	struct str source_arn = read_member(r, j, "SourceArn"), account = read_member(r, j, "SourceAccount");

	p->sid = read_member(r, j, "StatementId");
	p->change.expect = read_member(r, j, "RevisionId");
	if (r->fail)
		return;
	check_unknown(r, j);
	if (!r->fail)
		check_words(r, j, p->sid, action, principal);
	if (!r->fail)
		p->statement = policy_lambda_statement(p->sid, action, principal, source_arn, account, r->resource);
	if (!r->fail && !p->statement)
		req_failf(r, FAIL_INVALID_ARGUMENT,
			  "The provided principal was invalid. Please check the principal and try again.");
}

enum step_result lambda_add_permission(struct req *r)
{
	struct permission *p = arena_new(&r->arena, struct permission);
	_cleanup_json_ json_t *j = NULL;

	if (!lambda_only_latest(r) || !(j = lambda_body(r)))
		return STEP_MORE;
	read_permission(r, j, p);
	if (r->fail)
		return STEP_MORE;
	p->change.name = lambda_target(r)->name;
	p->change.quiet = true;
	p->change.edit = add_statement;
	p->change.answer = added;
	p->change.failed = refused;
	p->change.arg = p;
	return lambda_change(r, &p->change);
}

/* ---- remove ---- */

static void remove_statement(struct req *r, struct function *f, void *arg)
{
	struct permission *p = arg;
	_cleanup_json_ json_t *policy = policy_of(f);

	if (policy_remove(policy, p->sid))
		set_policy(r, f, policy);
	else
		req_failf(r, FAIL_NOT_FOUND, "Statement %.*s is not found in resource policy.", STR_ARG(p->sid));
}

static enum step_result removed(struct req *r)
{
	return req_reply_empty(r, 204);
}

enum step_result lambda_remove_permission(struct req *r)
{
	struct permission *p = arena_new(&r->arena, struct permission);

	if (!lambda_only_latest(r))
		return STEP_MORE;
	p->sid = r->args[1];
	p->change = (struct lambda_change){
		.name = lambda_target(r)->name,
		.expect = req_param(r, "RevisionId"),
		.quiet = true,
		.edit = remove_statement,
		.answer = removed,
		.arg = p,
	};
	return lambda_change(r, &p->change);
}

/* ---- get ---- */

enum step_result lambda_get_policy(struct req *r)
{
	struct function f;
	json_t *j;

	if (!lambda_only_latest(r) || !lambda_read(r, lambda_target(r)->name, &f))
		return STEP_MORE;
	if (!f.policy.n)
		return req_failf(r, FAIL_NOT_FOUND, "The resource you requested does not exist.");
	j = json_object();
	json_set_str(j, "Policy", f.policy);
	json_set_str(j, "RevisionId", f.revision_id);
	return req_reply_json(r, 200, j);
}

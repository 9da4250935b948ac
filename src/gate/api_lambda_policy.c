/* Resource policies: AddPermission, RemovePermission, GetPolicy. A function, each of its versions and each alias has
 * its own, kept in its document; its language is model/policy.h's. Fails by refusal only. */
#include "gate/api_lambda.h"

#include "gate/records.h"
#include "model/policy.h"

#define SID_MAX 100

struct permission {
	struct lambda_change change;      /* of a function or a version */
	struct lambda_alias_change alias; /* or of an alias */
	json_t *statement;                /* until the change is over */
	struct str sid, expect;
	void (*edit)(struct req *r, struct permission *p, struct str *policy);
};

static struct permission *permission_of(struct req *r)
{
	const struct lambda_state *state = r->api_state;

	return state->change ? container_of(state->change, struct permission, change)
			     : container_of(state->alias_change, struct permission, alias);
}

static bool names_alias(struct str qualifier)
{
	return qualifier.n && qualifier.p[0] != '$' && !lambda_is_number(qualifier);
}

static void edit_function(struct req *r, struct function *f, void *arg)
{
	struct permission *p = arg;

	p->edit(r, p, &f->policy);
}

static void edit_alias(struct req *r, struct alias *al, void *arg)
{
	struct permission *p = arg;

	p->edit(r, p, &al->policy);
}

static enum step_result change_policy(struct req *r, struct permission *p, req_fn *answer, req_fn *failed)
{
	const struct lambda_target *t = lambda_target(r);

	if (names_alias(t->qualifier)) {
		p->alias = (struct lambda_alias_change){.name = t->qualifier,
							.expect = p->expect,
							.edit = edit_alias,
							.answer = answer,
							.failed = failed,
							.arg = p};
		return lambda_change_alias(r, &p->alias);
	}
	p->change = (struct lambda_change){.name = t->name,
					   .version = t->qualifier,
					   .expect = p->expect,
					   .quiet = true,
					   .edit = edit_function,
					   .answer = answer,
					   .failed = failed,
					   .arg = p};
	return lambda_change(r, &p->change);
}

static enum step_result refused(struct req *r)
{
	json_decref(steal(&permission_of(r)->statement));
	return STEP_MORE;
}

/* The policy that a document holds, or an empty one. */
static json_t *policy_of(struct str text)
{
	json_t *j = text.n ? policy_parse(text, NULL) : NULL;

	return j ? j : policy_new();
}

static void set_policy(struct req *r, struct str *text, const json_t *policy)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	if (policy_count(policy))
		json_write(&b, policy);
	if (b.n > LIMIT_FUNCTION_POLICY)
		req_failf(r, FAIL_POLICY_TOO_LARGE, "The final policy size (%zu) is bigger than the limit (%llu).", b.n,
			  LIMIT_FUNCTION_POLICY);
	else
		*text = arena_str(&r->arena, buf_str(&b));
}

/* ---- add ---- */

static void add_statement(struct req *r, struct permission *p, struct str *text)
{
	_cleanup_json_ json_t *policy = policy_of(*text);

	if (policy_add(policy, json_incref(p->statement)))
		set_policy(r, text, policy);
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
	static const char *const known[] = {
		"Action",     "Principal", "StatementId",  "SourceArn",           "SourceAccount",
		"RevisionId", "Qualifier", "FunctionName", "FunctionUrlAuthType", "InvokedViaFunctionUrl"};
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

static void check_url_auth(struct req *r, struct str auth, struct str action)
{
	struct violations v = {0};

	if (!str_eqz(auth, "NONE") && !str_eqz(auth, "AWS_IAM"))
		violations_add(&v, auth, "functionUrlAuthType", "Member must satisfy enum value set: [NONE, AWS_IAM]");
	if (!violations_refuse(r, &v) && !str_eqz(action, "lambda:InvokeFunctionUrl"))
		req_failf(r, FAIL_INVALID_ARGUMENT,
			  "FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action");
}

static struct str resource_of(struct req *r)
{
	struct str qualifier = lambda_target(r)->qualifier;

	if (!qualifier.n || qualifier.p[0] == '$')
		return r->resource;
	return str_from(arena_printf(&r->arena, "%.*s:%.*s", STR_ARG(r->resource), STR_ARG(qualifier)));
}

static void read_permission(struct req *r, const json_t *j, struct permission *p)
{
	struct str action = read_member(r, j, "Action"), principal = read_member(r, j, "Principal");
	struct str source_arn = read_member(r, j, "SourceArn"), account = read_member(r, j, "SourceAccount");

	struct str url_auth = read_member(r, j, "FunctionUrlAuthType");

	p->sid = read_member(r, j, "StatementId");
	p->expect = read_member(r, j, "RevisionId");
	if (r->fail)
		return;
	check_unknown(r, j);
	if (!r->fail)
		check_words(r, j, p->sid, action, principal);
	if (!r->fail && url_auth.n)
		check_url_auth(r, url_auth, action);
	if (!r->fail)
		p->statement = policy_lambda_statement(p->sid, action, principal, source_arn, account, resource_of(r));
	if (!r->fail && !p->statement)
		req_failf(r, FAIL_INVALID_ARGUMENT,
			  "The provided principal was invalid. Please check the principal and try again.");
	if (r->fail)
		return;
	if (url_auth.n)
		policy_add_condition(p->statement, "StringEquals", "lambda:FunctionUrlAuthType", url_auth);
	if (json_get_bool(j, "InvokedViaFunctionUrl", false))
		policy_add_condition(p->statement, "Bool", "lambda:InvokedViaFunctionUrl", STR("true"));
}

enum step_result lambda_add_permission(struct req *r)
{
	struct permission *p = arena_new(&r->arena, struct permission);
	_cleanup_json_ json_t *j = NULL;

	if (str_eqz(lambda_target(r)->qualifier, "$LATEST"))
		return req_failf(r, FAIL_INVALID_ARGUMENT, "We currently do not support adding policies for $LATEST.");
	if (!(j = lambda_body(r)))
		return STEP_MORE;
	read_permission(r, j, p);
	if (r->fail) {
		json_decref(p->statement);
		return STEP_MORE;
	}
	p->edit = add_statement;
	return change_policy(r, p, added, refused);
}

/* ---- remove ---- */

static void remove_statement(struct req *r, struct permission *p, struct str *text)
{
	_cleanup_json_ json_t *policy = policy_of(*text);

	if (policy_remove(policy, p->sid))
		set_policy(r, text, policy);
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

	p->sid = r->args[1];
	p->expect = req_param(r, "RevisionId");
	p->edit = remove_statement;
	return change_policy(r, p, removed, NULL);
}

/* ---- get ---- */

enum step_result lambda_get_policy(struct req *r)
{
	const struct lambda_target *t = lambda_target(r);
	struct str policy, revision;
	struct function f;
	struct alias al;
	json_t *j;

	if (names_alias(t->qualifier)) {
		if (!record_alias(r->g, &r->arena, t->name, t->qualifier, &al))
			return lambda_not_found(r);
		policy = al.policy;
		revision = al.revision;
	} else {
		if (!lambda_read_target(r, &f))
			return STEP_MORE;
		policy = f.policy;
		revision = f.revision_id;
	}
	if (!policy.n)
		return req_failf(r, FAIL_NOT_FOUND, "The resource you requested does not exist.");
	j = json_object();
	json_set_str(j, "Policy", policy);
	json_set_str(j, "RevisionId", revision);
	return req_reply_json(r, 200, j);
}

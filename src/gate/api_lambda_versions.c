/* Published versions: PublishVersion and ListVersionsByFunction. A version is a copy of the $LATEST document under a
 * number that was never given before, made in the transaction that counts the number up. Fails by refusal only. */
#include "gate/api_lambda.h"

#define PAGE_MAX 50 /* AWS Lambda API Reference, ListVersionsByFunction: a page has at most 50 items */

struct publish {
	struct lambda_change change;
	struct str sha256; /* CodeSha256 that the client demands; n == 0: any */
};

static void check_code(struct req *r, struct function *f, void *arg)
{
	const struct publish *p = arg;

	if (p->sha256.n && !str_eq(p->sha256, f->code_sha256))
		req_failf(r, FAIL_INVALID_ARGUMENT,
			  "CodeSHA256 (%.*s) is different from current CodeSHA256 in $LATEST (%.*s). Please try again "
			  "with the CodeSHA256 in $LATEST.",
			  STR_ARG(str_sub(p->sha256, 0, 64)), STR_ARG(f->code_sha256));
}

static enum step_result published(struct req *r)
{
	const struct function *f = &lambda_changed(r)->published;

	return lambda_reply_conf(r, 201, f, f->version);
}

enum step_result lambda_publish_version(struct req *r)
{
	struct publish *p = arena_new(&r->arena, struct publish);
	struct lambda_change *c = &p->change;
	_cleanup_json_ json_t *j = NULL;
	struct violations v = {0};
	const char *why;

	if (!lambda_only_function(r) || !(j = lambda_body(r)))
		return STEP_MORE;
	if (!lambda_text(r, j, "CodeSha256", &p->sha256) || !lambda_text(r, j, "RevisionId", &c->expect) ||
	    !lambda_text(r, j, "Description", &c->description))
		return STEP_MORE;
	why = limit_text(&r->arena, c->description, LIMIT_DESCRIPTION);
	if (why)
		violations_add(&v, c->description, "description", "%s", why);
	if (violations_refuse(r, &v))
		return STEP_MORE;
	c->name = lambda_target(r)->name;
	c->quiet = true;
	c->publish = true;
	c->edit = check_code;
	c->answer = published;
	c->arg = p;
	return lambda_change(r, c);
}

enum step_result lambda_list_versions(struct req *r)
{
	struct str after, *docs, last = STR_NULL;
	int64_t number = -1;
	uint32_t max;
	bool truncated;
	json_t *j, *list;
	size_t n;
	int res;

	if (!lambda_only_function(r) || !lambda_page(r, PAGE_MAX, &after, &max) || !lambda_function_exists(r))
		return STEP_MORE;
	if (after.n && !str_to_i64(after, &number))
		number = 0; /* $LATEST was the last of the page before */
	res = store_list_versions(store_reader(r->g->store), &r->arena, lambda_target(r)->name, STR(""), number, max,
				  &docs, &n, &truncated);
	if (res != 0)
		return req_fail_errno(r, res);
	j = json_object();
	list = json_array();
	for (size_t i = 0; i < n; i++) {
		_cleanup_json_ json_t *doc = json_parse(docs[i], NULL);
		struct function f;

		if (!doc || function_from_json(&f, doc, &r->arena, NULL) < 0)
			continue; /* a damaged row; GetFunction of it says so in the log */
		last = arena_str(&r->arena, f.version);
		json_array_append_new(list, lambda_conf_json(r, &f, f.version));
	}
	json_object_set_new(j, "Versions", list);
	lambda_next_marker(j, truncated && last.n, last);
	return req_reply_json(r, 200, j);
}

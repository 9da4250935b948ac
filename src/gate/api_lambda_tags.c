/* Tags of a function: TagResource, UntagResource, ListTags. A tag of Wick's own (wick:...) says where and how workers
 * run, so a change of one ends the workers of before. Fails by refusal only. */
#include "gate/api_lambda.h"

struct tagging {
	struct lambda_change change;
	json_t *tags; /* TagResource, until the change is over */
};

static struct tagging *tagging_of(struct req *r)
{
	return container_of(lambda_changed(r), struct tagging, change);
}

static bool put_tag(struct req *r, struct function *f, struct str key, struct str value)
{
	const char *why = limit_function_tag(&r->arena, key, value);
	size_t i = 0;

	if (why) {
		req_failf(r, FAIL_INVALID_ARGUMENT, "%s", why);
		return false;
	}
	while (i < f->n_tags && !str_eq(f->tags[i].k, key))
		i++;
	f->tags[i] = (struct kv){.k = arena_str(&r->arena, key), .v = arena_str(&r->arena, value)};
	f->n_tags += i == f->n_tags;
	return true;
}

bool lambda_read_tags(struct req *r, const json_t *tags, struct function *f)
{
	struct kv *all = arena_new_n(&r->arena, struct kv, f->n_tags + json_object_size(tags) + 1);
	const char *name;
	size_t len;
	json_t *value;

	if (f->n_tags)
		memcpy(all, f->tags, f->n_tags * sizeof(*all));
	f->tags = all;
	if (!json_is_object(tags)) {
		req_failf(r, FAIL_SERIALIZATION, "Tags can not be converted to a map of strings");
		return false;
	}
	json_object_keylen_foreach((json_t *)tags, name, len, value)
	{
		if (!json_is_string(value)) {
			req_failf(r, FAIL_SERIALIZATION, "Tags can not be converted to a map of strings");
			return false;
		}
		if (!put_tag(r, f, str_n(name, len), json_str_value(value)))
			return false;
	}
	if (f->n_tags > LIMIT_FUNCTION_TAGS) {
		req_failf(r, FAIL_INVALID_ARGUMENT, "A function has at most %d tags.", LIMIT_FUNCTION_TAGS);
		return false;
	}
	return true;
}

static bool is_ours(struct str key)
{
	return str_starts(key, STR("wick:"));
}

/* The path holds an ARN, and not that of a version. */
static bool is_arn(struct req *r)
{
	if (str_starts(r->args[0], STR("arn:")) && lambda_target(r)->qualifier.n == 0)
		return true;
	req_failf(r, FAIL_INVALID_ARGUMENT, "Tags are of a function: '%.*s' is not the ARN of one, without a version.",
		  STR_ARG(str_sub(r->args[0], 0, 256)));
	return false;
}

static enum step_result over(struct req *r)
{
	json_decref(steal(&tagging_of(r)->tags));
	return STEP_MORE;
}

static enum step_result changed(struct req *r)
{
	over(r);
	return req_reply_empty(r, 204);
}

static void add_tags(struct req *r, struct function *f, void *arg)
{
	struct tagging *t = arg;
	const char *name;
	json_t *value;

	if (!lambda_read_tags(r, t->tags, f))
		return;
	json_object_foreach(t->tags, name, value) t->change.restart = t->change.restart || is_ours(str_from(name));
	if (t->change.restart)
		lambda_check_options(r, f);
}

static enum step_result change_tags(struct req *r, struct tagging *t,
				    void (*edit)(struct req *, struct function *, void *))
{
	t->change = (struct lambda_change){
		.name = lambda_target(r)->name,
		.quiet = true,
		.edit = edit,
		.answer = changed,
		.failed = over,
		.arg = t,
	};
	return lambda_change(r, &t->change);
}

enum step_result lambda_tag(struct req *r)
{
	struct tagging *t = arena_new(&r->arena, struct tagging);
	_cleanup_json_ json_t *j = NULL;

	if (!is_arn(r) || !(j = lambda_body(r)))
		return STEP_MORE;
	t->tags = json_incref(json_get_object(j, "Tags"));
	if (!t->tags)
		return req_failf(r, FAIL_VALIDATION,
				 "1 validation error detected: Value null at 'tags' failed to satisfy "
				 "constraint: Member must not be null");
	return change_tags(r, t, add_tags);
}

static bool goes(const struct req *r, struct str key)
{
	for (size_t i = 0; i < r->n_params; i++)
		if (str_eqz(r->params[i].name, "tagKeys") && str_eq(r->params[i].value, key))
			return true;
	return false;
}

static void remove_tags(struct req *r, struct function *f, void *arg)
{
	struct tagging *t = arg;
	size_t kept = 0;

	for (size_t i = 0; i < f->n_tags; i++) {
		if (!goes(r, f->tags[i].k))
			f->tags[kept++] = f->tags[i];
		else if (is_ours(f->tags[i].k))
			t->change.restart = true;
	}
	f->n_tags = kept;
	if (t->change.restart)
		lambda_check_options(r, f);
}

enum step_result lambda_untag(struct req *r)
{
	struct tagging *t = arena_new(&r->arena, struct tagging);

	if (!is_arn(r))
		return STEP_MORE;
	if (!req_has_param(r, "tagKeys"))
		return req_failf(r, FAIL_VALIDATION,
				 "1 validation error detected: Value null at 'tagKeys' failed to satisfy "
				 "constraint: Member must not be null");
	return change_tags(r, t, remove_tags);
}

enum step_result lambda_list_tags(struct req *r)
{
	struct function f;
	json_t *j;

	if (!is_arn(r) || !lambda_read(r, lambda_target(r)->name, STR("$LATEST"), &f))
		return STEP_MORE;
	j = json_object();
	json_object_set_new(j, "Tags", lambda_pairs_json(f.tags, f.n_tags));
	return req_reply_json(r, 200, j);
}

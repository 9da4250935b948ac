/* Code: CreateFunction and UpdateFunctionCode. The package comes in by api_lambda_package.c; a blob whose document was
 * refused, or whose bytes the function has already, is removed again. Fails by refusal only. */
#include "gate/api_lambda.h"

#include "gate/nodes.h"

struct code {
	struct lambda_change change; /* UpdateFunctionCode */
	struct package package;
	bool create, dry_run, publish, same;
	struct function f;         /* CreateFunction */
	struct function published; /* CreateFunction with Publish */
};

static struct code *code_of(struct req *r)
{
	return container_of(((struct lambda_state *)r->api_state)->package, struct code, package);
}

static bool read_name(struct req *r, struct code *c)
{
	struct str name = json_get_str(c->package.doc, "FunctionName", STR_NULL);
	struct function_ref ref = {0};
	struct violations v = {0};

	if (name.p && function_ref_parse(name, &ref) && ref.qualifier.n == 0) {
		c->f.name = arena_str(&r->arena, ref.name);
		c->f.version = STR("$LATEST");
		r->resource = str_from(arena_printf(&r->arena, "arn:aws:lambda:%s:%s:function:%.*s",
						    r->g->conf.s.region, r->g->conf.s.account, STR_ARG(ref.name)));
		c->f.arn = r->resource;
		return true;
	}
	if (!name.p)
		violations_add(&v, STR_NULL, "functionName", "Member must not be null");
	else
		violations_add(&v, name, "functionName", "Member must satisfy regular expression pattern: %s",
			       LAMBDA_NAME_PATTERN);
	violations_refuse(r, &v);
	return false;
}

static bool read_create(struct req *r, struct code *c)
{
	c->f = (struct function){.timeout_s = 3, .memory_mb = 128, .ephemeral_mb = 512, .state = FUNCTION_ACTIVE};
	if (!read_name(r, c) || !lambda_read_settings(r, c->package.doc, &c->f, true))
		return false;
	if (!functions_get(r->g, c->f.name))
		return true;
	req_failf(r, FAIL_CONFLICT, "Function already exist: %.*s", STR_ARG(c->f.name));
	return false;
}

static bool read_update(struct req *r, struct code *c)
{
	static const char *const known[] = {"S3Bucket", "S3Key",  "S3ObjectVersion", "ImageUri",
					    "Publish",  "DryRun", "RevisionId",      "Architectures"};
	json_t *settings = json_object();
	const char *name;
	json_t *value;
	bool ok = true;

	json_object_foreach(c->package.doc, name, value)
	{
		bool is_known = false;

		for (size_t i = 0; i < ARRAY_SIZE(known); i++)
			is_known = is_known || strcmp(name, known[i]) == 0;
		/* What both operations share is checked by the table of CreateFunction's members. */
		if (!is_known || strcmp(name, "Publish") == 0 || strcmp(name, "Architectures") == 0)
			json_object_set(settings, name, value);
	}
	c->f = (struct function){.role = STR("-"), .runtime = STR("provided"), .handler = STR("-")};
	ok = lambda_read_settings(r, settings, &c->f, true);
	json_decref(settings);
	c->dry_run = json_get_bool(c->package.doc, "DryRun", false);
	c->change.expect = arena_str(&r->arena, json_get_str(c->package.doc, "RevisionId", STR("")));
	return ok && lambda_read(r, lambda_target(r)->name, STR("$LATEST"), &c->f);
}

static enum step_result created(struct req *r)
{
	struct code *c = code_of(r);

	lambda_package_settle(r, r->store_result == 0);
	if (r->store_result == 0) {
		functions_changed(r->g, c->f.name);
		nodes_prepare(r->g, &c->f);
		return lambda_reply_conf(r, 201, c->publish ? &c->published : &c->f, STR(""));
	}
	if (r->store_result == STORE_E_EXISTS)
		return req_failf(r, FAIL_CONFLICT, "Function already exist: %.*s", STR_ARG(c->f.name));
	return lambda_fail_store(r, r->store_result);
}

static void set_code(struct req *r, struct function *f, void *arg)
{
	struct code *c = arg;

	/* The same bytes again keep their blob, and with it the workers that run them. */
	c->same = str_eq(f->code_sha256, c->package.sha256) && f->code_blob.n;
	if (!c->same)
		f->code_blob = c->package.blob;
	f->code_sha256 = c->package.sha256;
	f->code_size = c->package.size;
	f->code_unpacked = c->package.unpacked;
	lambda_check_unpacked(r, f);
}

static enum step_result updated(struct req *r)
{
	const struct lambda_change *change = lambda_changed(r);

	lambda_package_settle(r, !code_of(r)->same);
	nodes_prepare(r->g, &change->f);
	if (change->publish)
		return lambda_reply_conf(r, 200, &change->published, change->published.version);
	return lambda_reply_conf(r, 200, &change->f, lambda_target(r)->qualifier);
}

static enum step_result update_failed(struct req *r)
{
	lambda_package_settle(r, false);
	return STEP_MORE;
}

static enum step_result create(struct req *r, struct code *c)
{
	struct store_txn *t;

	set_code(r, &c->f, c);
	if (r->fail)
		return update_failed(r);
	lambda_touch(r, &c->f, true);
	t = store_begin(r->g->store);
	if (c->publish)
		lambda_next_version(r, &c->f, STR_NULL, &c->published);
	lambda_put(r, t, PUT_CREATE, &c->f, STR(""));
	if (c->publish)
		lambda_put(r, t, PUT_CREATE, &c->published, STR(""));
	return req_commit(r, t, created);
}

static enum step_result stored(struct req *r)
{
	struct code *c = code_of(r);

	if (c->create)
		return create(r, c);
	c->change.name = lambda_target(r)->name;
	c->change.edit = set_code;
	c->change.answer = updated;
	c->change.failed = update_failed;
	c->change.publish = c->publish;
	c->change.arg = c;
	return lambda_change(r, &c->change);
}

static enum step_result dry_run(struct req *r, struct code *c)
{
	lambda_package_done(r);
	if (c->change.expect.n && !str_eq(c->change.expect, c->f.revision_id))
		return lambda_stale_revision(r);
	c->package.blob = c->f.code_blob;
	set_code(r, &c->f, c);
	return r->fail ? STEP_MORE : lambda_reply_conf(r, 200, &c->f, lambda_target(r)->qualifier);
}

static enum step_result checked(struct req *r)
{
	struct code *c = code_of(r);

	return c->dry_run ? dry_run(r, c) : lambda_package_store(r, stored);
}

static enum step_result decoded(struct req *r)
{
	struct code *c = code_of(r);

	c->publish = json_get_bool(c->package.doc, "Publish", false);
	if (c->create ? read_create(r, c) : read_update(r, c))
		return lambda_package_check(r, checked);
	lambda_package_done(r);
	return STEP_MORE;
}

enum step_result lambda_create(struct req *r)
{
	struct code *c = arena_new(&r->arena, struct code);

	c->create = true;
	c->package.member = "Code";
	return lambda_package_read(r, &c->package, decoded);
}

enum step_result lambda_update_code(struct req *r)
{
	struct code *c = arena_new(&r->arena, struct code);

	return lambda_only_function(r) ? lambda_package_read(r, &c->package, decoded) : STEP_MORE;
}

/* Layers: PublishLayerVersion, GetLayerVersion (by number and by ARN), ListLayers, ListLayerVersions,
 * DeleteLayerVersion, and the Layers of a function. A version never changes; a deleted one is told and listed no more,
 * but functions that have it keep it (the store counts them). Source: AWS Lambda API Reference. Fails by refusal only.
 */
#include "gate/api_lambda.h"

#include "base/time.h"
#include "gate/layers.h"
#include "model/layer.h"
#include "sys/log.h"

#define PAGE_MAX        50
#define LAYERS_MAX      5 /* of a function */
#define RUNTIMES_MAX    15
#define ARCHITECTURES   2
#define PUBLISH_TRIES   8
#define LICENSE_MAX     512
#define NAME_PATTERN    "(arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:\\d{12}:layer:[a-zA-Z0-9-_]+)|[a-zA-Z0-9-_]+"
#define VERSION_PATTERN "arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:\\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+"

static json_t *strings_json(const struct str *s, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_str(s[i]));
	return list;
}

static struct str layer_arn(const struct layer_version *l)
{
	size_t n = l->arn.n;

	while (n && l->arn.p[n - 1] != ':')
		n--;
	return str_sub(l->arn, 0, n ? n - 1 : 0);
}

/* What lists tell of a version. */
static json_t *version_json(const struct layer_version *l)
{
	json_t *j = json_object();
	char created[TIME_LAMBDA_SIZE];

	time_lambda(l->created_ms, created);
	json_set_str(j, "LayerVersionArn", l->arn);
	json_object_set_new(j, "Version", json_integer((json_int_t)l->version));
	json_set_str(j, "Description", l->description);
	json_object_set_new(j, "CreatedDate", json_string(created));
	if (l->n_runtimes)
		json_object_set_new(j, "CompatibleRuntimes", strings_json(l->runtimes, l->n_runtimes));
	if (l->n_architectures)
		json_object_set_new(j, "CompatibleArchitectures", strings_json(l->architectures, l->n_architectures));
	if (l->license.n)
		json_set_str(j, "LicenseInfo", l->license);
	return j;
}

static json_t *whole_json(struct req *r, const struct layer_version *l)
{
	_cleanup_(buf_done) struct buf path = BUF_NULL;
	json_t *j = version_json(l), *content = json_object();

	buf_printf(&path, "/_wick/layers/%.*s/%llu", STR_ARG(l->name), (unsigned long long)l->version);
	json_object_set_new(content, "Location", lambda_download_url(r, buf_str(&path), STR("")));
	json_set_str(content, "CodeSha256", l->sha256);
	json_object_set_new(content, "CodeSize", json_integer((json_int_t)l->size));
	json_object_set_new(j, "Content", content);
	json_set_str(j, "LayerArn", layer_arn(l));
	return j;
}

/* Views into *doc, which the caller frees. */
static bool read_doc(struct req *r, struct str text, json_t **doc, struct layer_version *ret)
{
	_cleanup_(err_done) struct err err = ERR_NULL;

	*doc = json_parse(text, &err);
	if (*doc && layer_from_json(ret, *doc, &r->arena, &err) == 0)
		return true;
	log_error("a stored layer is unreadable: %s", err.msg);
	return false;
}

/* ---- names ---- */

static bool read_name(struct req *r, struct str *ret)
{
	struct violations v = {0};
	struct layer_name name;
	struct str own;

	if (!layer_name_parse(r->args[0], &name) || name.version) {
		violations_add(&v, r->args[0], "layerName", "Member must satisfy regular expression pattern: %s",
			       NAME_PATTERN);
		violations_refuse(r, &v);
		return false;
	}
	*ret = arena_str(&r->arena, name.name);
	own = str_from(arena_printf(&r->arena, "arn:aws:lambda:%s:%s:layer:%.*s", r->g->conf.s.region,
				    r->g->conf.s.account, STR_ARG(name.name)));
	if (str_starts(r->args[0], STR("arn:")) && !str_eq(r->args[0], own)) {
		req_failf(r, FAIL_NOT_FOUND, "The resource you requested does not exist.");
		return false;
	}
	r->resource = own;
	return true;
}

static bool read_number(struct req *r, struct str text, uint64_t *ret)
{
	struct violations v = {0};

	if (str_to_u64(text, ret) && *ret >= 1 && *ret <= INT64_MAX)
		return true;
	violations_add(&v, text, "versionNumber", "Member must be a number greater than or equal to 1");
	violations_refuse(r, &v);
	return false;
}

/* ---- publish ---- */

struct publish {
	struct package package;
	struct layer_version l;
	unsigned tries;
};

static struct publish *publish_of(struct req *r)
{
	return container_of(((struct lambda_state *)r->api_state)->package, struct publish, package);
}

static enum step_result put(struct req *r);

static enum step_result committed(struct req *r)
{
	struct publish *p = publish_of(r);

	if (r->store_result == STORE_E_EXISTS && ++p->tries < PUBLISH_TRIES)
		return put(r); /* another one took the number */
	lambda_package_settle(r, r->store_result == 0);
	if (r->store_result != 0)
		return r->store_result < 0 ? req_fail_errno(r, r->store_result)
					   : req_failf(r, FAIL_CONFLICT, "The layer is published too often at once.");
	return req_reply_json(r, 201, whole_json(r, &p->l));
}

static enum step_result put(struct req *r)
{
	struct publish *p = publish_of(r);
	_cleanup_(buf_done) struct buf doc = BUF_NULL;
	_cleanup_json_ json_t *j = NULL;
	struct store_txn *t;
	uint64_t last;
	int res = store_last_layer(store_reader(r->g->store), p->l.name, &last);

	if (res < 0) {
		lambda_package_settle(r, false);
		return req_fail_errno(r, res);
	}
	p->l.version = last + 1;
	p->l.arn = str_from(arena_printf(&r->arena, "%.*s:%llu", STR_ARG(r->resource), (unsigned long long)last + 1));
	j = layer_to_json(&p->l);
	json_write(&doc, j);
	t = store_begin(r->g->store);
	store_put_layer(t, p->l.name, p->l.version, buf_str(&doc), p->l.blob);
	return req_commit(r, t, committed);
}

static enum step_result stored(struct req *r)
{
	struct publish *p = publish_of(r);

	p->l.sha256 = p->package.sha256;
	p->l.size = p->package.size;
	p->l.unpacked = p->package.unpacked;
	p->l.blob = p->package.blob;
	p->l.created_ms = r->now_ms;
	return put(r);
}

static enum step_result checked(struct req *r)
{
	return lambda_package_store(r, stored);
}

static bool read_strings(struct req *r, const json_t *j, const char *name, size_t max, struct str **ret, size_t *n)
{
	json_t *list = json_object_get(j, name), *v;
	size_t i;

	*n = 0;
	if (!list || json_is_null(list))
		return true;
	*ret = arena_new_n(&r->arena, struct str, json_array_size(list) + 1);
	json_array_foreach(list, i, v) if (json_is_string(v))(*ret)[(*n)++] = arena_str(&r->arena, json_str_value(v));
	if (json_is_array(list) && *n == json_array_size(list) && *n <= max)
		return true;
	req_failf(r, FAIL_SERIALIZATION, "%s can not be converted to a list of at most %zu Strings", name, max);
	return false;
}

static bool read_words(struct req *r, const json_t *doc, struct layer_version *l)
{
	struct violations v = {0};
	const char *why;

	if (!lambda_text(r, doc, "Description", &l->description) || !lambda_text(r, doc, "LicenseInfo", &l->license) ||
	    !read_strings(r, doc, "CompatibleRuntimes", RUNTIMES_MAX, &l->runtimes, &l->n_runtimes) ||
	    !read_strings(r, doc, "CompatibleArchitectures", ARCHITECTURES, &l->architectures, &l->n_architectures))
		return false;
	why = limit_text(&r->arena, l->description, LIMIT_DESCRIPTION);
	if (why)
		violations_add(&v, l->description, "description", "%s", why);
	why = limit_text(&r->arena, l->license, LICENSE_MAX);
	if (why)
		violations_add(&v, l->license, "licenseInfo", "%s", why);
	for (size_t i = 0; i < l->n_architectures; i++)
		if (!str_eqz(l->architectures[i], "x86_64") && !str_eqz(l->architectures[i], "arm64"))
			violations_add(&v, l->architectures[i], "compatibleArchitectures",
				       "Member must satisfy enum value set: [x86_64, arm64]");
	return !violations_refuse(r, &v);
}

static enum step_result decoded(struct req *r)
{
	struct publish *p = publish_of(r);

	if (read_words(r, p->package.doc, &p->l))
		return lambda_package_check(r, checked);
	lambda_package_done(r);
	return STEP_MORE;
}

enum step_result lambda_publish_layer(struct req *r)
{
	struct publish *p = arena_new(&r->arena, struct publish);

	p->l.description = p->l.license = STR("");
	p->package.member = "Content";
	return read_name(r, &p->l.name) ? lambda_package_read(r, &p->package, decoded) : STEP_MORE;
}

/* ---- get ---- */

static enum step_result reply_version(struct req *r, struct str name, uint64_t number, struct str arn)
{
	_cleanup_json_ json_t *doc = NULL;
	struct layer_version l;
	struct str text;
	bool deleted;
	int res = store_get_layer(store_reader(r->g->store), &r->arena, name, number, &text, &deleted);

	if (res < 0)
		return req_fail_errno(r, res);
	if (res == 0 && !read_doc(r, text, &doc, &l))
		return req_fail(r, FAIL_INTERNAL);
	if (res != 0 || deleted || (arn.n && !str_eq(arn, l.arn)))
		return req_failf(r, FAIL_NOT_FOUND, "The resource you requested does not exist.");
	return req_reply_json(r, 200, whole_json(r, &l));
}

enum step_result lambda_get_layer(struct req *r)
{
	struct str name;
	uint64_t number;

	if (!read_name(r, &name) || !read_number(r, r->args[1], &number))
		return STEP_MORE;
	return reply_version(r, name, number, STR(""));
}

static enum step_result get_by_arn(struct req *r)
{
	struct str arn = req_param(r, "Arn");
	struct violations v = {0};
	struct layer_name name;

	if (!str_starts(arn, STR("arn:")) || !layer_name_parse(arn, &name) || !name.version) {
		violations_add(&v, arn, "arn", "Member must satisfy regular expression pattern: %s", VERSION_PATTERN);
		violations_refuse(r, &v);
		return STEP_MORE;
	}
	return reply_version(r, name.name, name.version, arn);
}

/* ---- lists ---- */

static bool has(const struct str *list, size_t n, struct str s)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(list[i], s))
			return true;
	return false;
}

/* CompatibleRuntime and CompatibleArchitecture of the query. */
static bool is_asked(struct req *r, const struct layer_version *l)
{
	struct str runtime = req_param(r, "CompatibleRuntime"), arch = req_param(r, "CompatibleArchitecture");

	return (!runtime.n || has(l->runtimes, l->n_runtimes, runtime)) &&
	       (!arch.n || has(l->architectures, l->n_architectures, arch));
}

/* Adds the versions that are asked for, newest first, up to max; *last: the number of the last one looked at. */
static int add_versions(struct req *r, struct str name, uint64_t before, uint32_t max, json_t *list, uint64_t *last,
			bool *truncated)
{
	*truncated = true;
	*last = before;
	while (*truncated && json_array_size(list) < max) {
		struct str *docs;
		size_t n = 0;
		int res = store_list_layer_versions(store_reader(r->g->store), &r->arena, name, *last, max, &docs, &n,
						    truncated);

		if (res < 0)
			return res;
		for (size_t i = 0; i < n; i++) {
			_cleanup_json_ json_t *doc = NULL;
			struct layer_version l;

			if (json_array_size(list) == max) {
				*truncated = true;
				return 0;
			}
			if (!read_doc(r, docs[i], &doc, &l)) {
				*truncated = false;
				return 0;
			}
			*last = l.version;
			if (is_asked(r, &l))
				json_array_append_new(list, version_json(&l));
		}
	}
	return 0;
}

enum step_result lambda_list_layer_versions(struct req *r)
{
	struct str name, after;
	uint64_t before = INT64_MAX, last;
	bool truncated;
	json_t *j, *list;
	uint32_t max;
	int res;

	if (!read_name(r, &name) || !lambda_page(r, PAGE_MAX, &after, &max))
		return STEP_MORE;
	if (after.n && !str_to_u64(after, &before))
		return req_failf(r, FAIL_INVALID_ARGUMENT, "Invalid pagination token.");
	list = json_array();
	res = add_versions(r, name, before, max, list, &last, &truncated);
	if (res < 0) {
		json_decref(list);
		return req_fail_errno(r, res);
	}
	j = json_object();
	json_object_set_new(j, "LayerVersions", list);
	lambda_next_marker(j, truncated, str_from(arena_printf(&r->arena, "%llu", (unsigned long long)last)));
	return req_reply_json(r, 200, j);
}

static int add_layer(struct req *r, struct str name, json_t *list)
{
	_cleanup_json_ json_t *newest = json_array();
	uint64_t last;
	bool truncated;
	json_t *j, *version;
	int res = add_versions(r, name, INT64_MAX, 1, newest, &last, &truncated);

	version = json_array_get(newest, 0);
	if (res < 0 || !version)
		return res;
	j = json_object();
	json_set_str(j, "LayerName", name);
	json_object_set_new(j, "LayerArn",
			    json_sprintf("arn:aws:lambda:%s:%s:layer:%.*s", r->g->conf.s.region, r->g->conf.s.account,
					 STR_ARG(name)));
	json_object_set(j, "LatestMatchingVersion", version);
	json_array_append_new(list, j);
	return 0;
}

enum step_result lambda_list_layers(struct req *r)
{
	struct str after, *names;
	json_t *j, *list;
	bool truncated;
	uint32_t max;
	size_t n;
	int res;

	if (req_has_param(r, "find"))
		return get_by_arn(r); /* GetLayerVersionByArn has the same path */
	if (!lambda_page(r, PAGE_MAX, &after, &max))
		return STEP_MORE;
	res = store_list_layers(store_reader(r->g->store), &r->arena, after, max, &names, &n, &truncated);
	list = json_array();
	for (size_t i = 0; i < n && res == 0; i++)
		res = add_layer(r, names[i], list);
	if (res < 0) {
		json_decref(list);
		return req_fail_errno(r, res);
	}
	j = json_object();
	json_object_set_new(j, "Layers", list);
	lambda_next_marker(j, truncated && n, n ? names[n - 1] : STR(""));
	return req_reply_json(r, 200, j);
}

/* ---- delete ---- */

static enum step_result deleted(struct req *r)
{
	return r->store_result < 0 ? req_fail_errno(r, r->store_result) : req_reply_empty(r, 204);
}

enum step_result lambda_delete_layer(struct req *r)
{
	struct store_txn *t;
	struct str name;
	uint64_t number;

	if (!read_name(r, &name) || !read_number(r, r->args[1], &number))
		return STEP_MORE;
	t = store_begin(r->g->store);
	store_delete_layer(t, name, number);
	return req_commit(r, t, deleted);
}

/* ---- of a function ---- */

/* A version that was deleted is taken from a function that has it already. */
static bool exists(struct req *r, struct str arn, const struct layer_name *name, const struct function *f)
{
	_cleanup_json_ json_t *doc = NULL;
	struct layer_version l;
	struct str text;
	bool deleted;

	return store_get_layer(store_reader(r->g->store), &r->arena, name->name, name->version, &text, &deleted) == 0 &&
	       (!deleted || has(f->layers, f->n_layers, arn)) && read_doc(r, text, &doc, &l) && str_eq(l.arn, arn);
}

static bool read_one(struct req *r, const json_t *v, const struct function *f, struct str *all, size_t n)
{
	struct layer_name name, other;
	struct str arn;

	if (!json_is_string(v)) {
		req_failf(r, FAIL_SERIALIZATION, "Layers can not be converted to a list of Strings");
		return false;
	}
	arn = arena_str(&r->arena, json_str_value(v));
	if (!str_starts(arn, STR("arn:")) || !layer_name_parse(arn, &name) || !name.version) {
		struct violations bad = {0};

		violations_add(&bad, arn, "layers", "Member must satisfy regular expression pattern: %s",
			       VERSION_PATTERN);
		violations_refuse(r, &bad);
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		if (!layer_name_parse(all[i], &other) || !str_eq(other.name, name.name))
			continue;
		req_failf(r, FAIL_INVALID_ARGUMENT,
			  "Two different versions of the same layer are not allowed to be referenced in the same "
			  "function. %.*s and %.*s.",
			  STR_ARG(all[i]), STR_ARG(arn));
		return false;
	}
	if (!exists(r, arn, &name, f)) {
		req_failf(r, FAIL_INVALID_ARGUMENT, "Layer version %.*s does not exist.", STR_ARG(arn));
		return false;
	}
	all[n] = arn;
	return true;
}

bool lambda_read_layers(struct req *r, const json_t *list, struct function *f)
{
	size_t n = json_array_size(list);
	struct str *all = arena_new_n(&r->arena, struct str, n + 1);

	if (!json_is_array(list)) {
		req_failf(r, FAIL_SERIALIZATION, "Layers can not be converted to a list of Strings");
		return false;
	}
	if (n > LAYERS_MAX) {
		req_failf(r, FAIL_INVALID_ARGUMENT, "Cannot reference more than %d layers.", LAYERS_MAX);
		return false;
	}
	for (size_t i = 0; i < n; i++)
		if (!read_one(r, json_array_get(list, i), f, all, i))
			return false;
	f->layers = all;
	f->n_layers = n;
	return lambda_check_unpacked(r, f);
}

bool lambda_check_unpacked(struct req *r, const struct function *f)
{
	uint64_t bytes = f->code_unpacked;

	for (size_t i = 0; i < f->n_layers; i++) {
		struct layer_name name;
		struct str text;
		bool deleted;

		if (layer_name_parse(f->layers[i], &name) &&
		    store_get_layer(store_reader(r->g->store), &r->arena, name.name, name.version, &text, &deleted) ==
			    0) {
			_cleanup_json_ json_t *doc = json_parse(text, NULL);

			bytes += (uint64_t)json_get_int(doc, "unpacked", 0);
		}
	}
	if (bytes <= LIMIT_ZIP_UNPACKED)
		return true;
	req_failf(r, FAIL_INVALID_ARGUMENT,
		  "Function code combined with layers exceeds the maximum allowed size of %llu bytes. The actual size "
		  "is %llu bytes.",
		  LIMIT_ZIP_UNPACKED, (unsigned long long)bytes);
	return false;
}

/* Layers of a plan: a version is published when the content differs from that of the newest one; and what the plan
 * could only refer to before is put in its place. Owns nothing but the ARNs in the plan's arena. */
#include "cli/apply_parts.h"

#include "cli/out.h"
#include "wire/uri.h"

#include <stdio.h>

static const char *layer_path(struct apply *a, struct str name, const char *rest)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	buf_adds(&b, "/2018-10-31/layers/");
	uri_encode(&b, name, false);
	buf_adds(&b, rest);
	return arena_dup(&a->p->arena, buf_str(&b));
}

/* 1: the newest version has this content, l->arn is its; 0: it has not, or there is none. */
static int find_published(struct apply *a, struct plan_layer *l, const struct buf *zip)
{
	_cleanup_json_ json_t *list = NULL, *version = NULL;
	_cleanup_(buf_done) struct buf hash = BUF_NULL;
	const json_t *newest;
	char code[64], rest[40];

	if (l->code_kind != PLAN_CODE_PATH)
		return 0;
	if (client_json(a->c, "lambda", "GET", layer_path(a, l->name, "/versions"), "MaxItems=1", NULL, &list, code,
			a->err) < 0) {
		if (strcmp(code, "ResourceNotFoundException") != 0)
			return -1;
		err_done(a->err);
		return 0;
	}
	newest = json_array_get(json_object_get(list, "LayerVersions"), 0);
	if (!newest)
		return 0;
	snprintf(rest, sizeof(rest), "/versions/%lld", (long long)json_get_int(newest, "Version", 0));
	if (client_json(a->c, "lambda", "GET", layer_path(a, l->name, rest), NULL, NULL, &version, code, a->err) < 0)
		return -1;
	apply_hash(zip, &hash);
	if (!str_eq(json_get_str(json_object_get(version, "Content"), "CodeSha256", STR_NULL), buf_str(&hash)))
		return 0;
	l->arn = arena_str(&a->p->arena, json_get_str(version, "LayerVersionArn", STR_NULL));
	return 1;
}

static int publish(struct apply *a, struct plan_layer *l, const struct buf *zip)
{
	_cleanup_json_ json_t *body = json_object(), *answer = NULL;
	json_t *content = NULL, *runtimes = json_array();
	char code[64];
	int r;

	if (apply_code(a, l->name, &(struct plan_source){l->code_kind, l->code, l->code_key, zip}, &content) < 0) {
		json_decref(runtimes);
		return -1;
	}
	for (size_t i = 0; i < l->n_runtimes; i++)
		json_array_append_new(runtimes, apply_text(l->runtimes[i]));
	json_object_set_new(body, "Content", content);
	json_object_set_new(body, "CompatibleRuntimes", runtimes);
	if (l->description.n)
		json_object_set_new(body, "Description", apply_text(l->description));
	if (l->license.n)
		json_object_set_new(body, "LicenseInfo", apply_text(l->license));
	apply_progress(a, l->name, zip->n);
	r = client_json(a->c, "lambda", "POST", layer_path(a, l->name, "/versions"), NULL, body, &answer, code, a->err);
	apply_progress(a, l->name, 0);
	apply_drop_uploaded(a, content);
	if (r == 0)
		l->arn = arena_str(&a->p->arena, json_get_str(answer, "LayerVersionArn", STR_NULL));
	return r;
}

int apply_layers(struct apply *a)
{
	for (size_t i = 0; i < a->p->n_layers; i++) {
		struct plan_layer *l = &a->p->layers[i];
		int there = find_published(a, l, &a->layer_zips[i]);
		char size[OUT_TEXT];

		if (there < 0 || (there == 0 && publish(a, l, &a->layer_zips[i]) < 0))
			return err_wrap(a->err, "layer %.*s", STR_ARG(l->name));
		apply_say(a, "layers",
			  json_pack("{s:o, s:s, s:o}", "name", apply_text(l->name), "action",
				    there ? "unchanged" : "published", "arn", apply_text(l->arn)),
			  there ? "Unchanged: layer %.*s (%s)" : "Published layer %.*s (%s)", STR_ARG(l->arn),
			  out_bytes(a->layer_zips[i].n, size));
	}
	return 0;
}

static struct str layer_arn(const struct apply *a, struct str logical)
{
	for (size_t i = 0; i < a->p->n_layers; i++)
		if (str_eq(a->p->layers[i].logical, logical))
			return a->p->layers[i].arn;
	return STR_NULL;
}

json_t *apply_layer_arns(const struct apply *a, const struct plan_function *f)
{
	struct str mark = STR(PLAN_LAYER), name, rest;
	json_t *list = json_array();

	for (size_t i = 0; i < f->n_layers; i++) {
		struct str s = f->layers[i];

		if (str_starts(s, mark)) {
			str_cut(str_sub(s, mark.n, s.n), *PLAN_END, &name, &rest);
			s = layer_arn(a, name);
		}
		json_array_append_new(list, apply_text(s));
	}
	return list;
}

int apply_resolve_text(struct apply *a, struct str text, struct str *ret)
{
	struct str layer = STR(PLAN_LAYER), url = STR(PLAN_URL);
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	while (text.n > 0) {
		bool is_layer = str_starts(text, layer), is_url = str_starts(text, url);
		struct str name, value;

		if (!is_layer && !is_url) {
			buf_addc(&b, *text.p);
			text = str_sub(text, 1, text.n);
			continue;
		}
		str_cut(str_sub(text, is_layer ? layer.n : url.n, text.n), *PLAN_END, &name, &text);
		if (is_layer)
			value = layer_arn(a, name);
		else if (apply_url_of(a, name, &value) < 0)
			return -1;
		buf_add_str(&b, value);
	}
	*ret = arena_str(&a->p->arena, buf_str(&b));
	return 0;
}

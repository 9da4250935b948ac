/* A plan being done: what the files that do it share. */
#pragma once

#include "cli/apply.h"

struct apply {
	struct plan *p;
	struct client *c;
	json_t *report;
	struct str account;
	struct err *err;
	struct buf *zips; /* one a function; empty where the code is in S3 or not said */
	size_t n_zips;
	struct buf *layer_zips; /* one a layer */
	size_t n_layer_zips;
};

/* One thing that was done: an entry of the report's list (taken over), or a line. */
void apply_say(struct apply *a, const char *list, json_t *entry, const char *fmt, ...) _printf_(4, 5);
json_t *apply_text(struct str s);
/* "/2015-03-31/functions/NAME" and rest. */
const char *apply_function_path(struct apply *a, struct str name, const char *rest);
/* "Uploading" while it lasts (n > 0), on a terminal only. */
void apply_progress(struct apply *a, struct str name, size_t n);

struct plan_source {
	enum plan_code kind;
	struct str code, key;
	const struct buf *zip;
};
/* The Code of CreateFunction, which UpdateFunctionCode takes as its body and PublishLayerVersion as Content. What went
 * by way of a bucket is dropped when it has been taken. */
int apply_code(struct apply *a, struct str name, const struct plan_source *src, json_t **ret);
void apply_drop_uploaded(struct apply *a, const json_t *code);
/* CodeSha256 as the server says it. */
void apply_hash(const struct buf *zip, struct buf *ret);

/* apply_layers.c */
int apply_layers(struct apply *a);
/* The ARNs of a function's layers. */
json_t *apply_layer_arns(const struct apply *a, const struct plan_function *f);
/* Text with what a template could only refer to (PLAN_LAYER, PLAN_URL) put in. */
int apply_resolve_text(struct apply *a, struct str text, struct str *ret);

/* apply_versions.c: versions, aliases, concurrency, URL. fresh: the function was just made. */
int apply_versions(struct apply *a, const struct plan_function *f, bool fresh);
/* The URL of a function's configuration; err when it has none. */
int apply_url_of(struct apply *a, struct str function, struct str *ret);

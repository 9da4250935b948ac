/* What a deploy is going to do: made by template.c from a SAM template or by deploy.c from flags, done by apply.c.
 * Strings are views into the plan's arena. Order of doing: buckets, layers, functions with
 * their versions, concurrency and URLs, permissions, triggers. */
#pragma once

#include "base/arena.h"
#include "base/kv.h"

enum plan_code {
	PLAN_CODE_NONE,
	PLAN_CODE_PATH,   /* .py file, folder or .zip, relative to the plan's folder */
	PLAN_CODE_INLINE, /* source text, for index.py */
	PLAN_CODE_S3,
};

struct plan_function {
	struct str logical;                                   /* name in the template, for messages */
	struct str name, runtime, handler, role, description; /* n == 0: not said */
	uint64_t timeout_s, memory_mb, ephemeral_mb;          /* 0: not said */
	struct kv *env;
	size_t n_env;
	bool env_said; /* the environment is replaced, also by an empty one */
	struct kv *tags;
	size_t n_tags;
	enum plan_code code_kind;
	struct str code, code_key; /* path | text | bucket and key */
	struct str *layers;        /* ARNs, or PLAN_LAYER and the logical name of one of the plan's */
	size_t n_layers;
	bool layers_said;
	struct str snap_start; /* "PublishedVersions", "None"; n == 0: not said */
	struct str alias;      /* published after every change, and this alias set to it; n == 0: none */
	bool reserved_said;
	uint64_t reserved, provisioned; /* provisioned: 0: none */
	bool url;
	struct str url_auth, url_mode; /* n == 0: NONE, BUFFERED */
	struct str url_cors;           /* JSON, as the API takes it; n == 0: none */
};

/* What a template refers to before it is there, up to PLAN_END; apply_layers.c puts in what came of it. */
#define PLAN_LAYER "wick:layer:" /* then the logical name: the ARN of its version */
#define PLAN_URL   "wick:url:"   /* then the name of a function: its URL */
#define PLAN_END   ";"

struct plan_layer {
	struct str logical, name, description, license; /* n == 0: not said */
	struct str *runtimes;
	size_t n_runtimes;
	enum plan_code code_kind;
	struct str code, code_key;
	struct str arn; /* of its version, when it is published */
};

struct plan_bucket {
	struct str name;
};

struct plan_permission {
	struct str function, statement_id, action, principal, source_arn, source_account;
	struct str url_auth, qualifier; /* n == 0: not said; of the function itself */
};

struct plan_trigger {
	struct str bucket, function; /* names */
	struct str *events;          /* "s3:ObjectCreated:*" */
	size_t n_events;
	struct str prefix, suffix;
};

struct plan_output {
	struct str name, value, description;
};

struct plan {
	struct arena arena;
	const char *folder; /* what relative code paths are relative to */
	struct plan_function *functions;
	struct plan_bucket *buckets;
	struct plan_layer *layers;
	struct plan_permission *permissions;
	struct plan_trigger *triggers;
	struct plan_output *outputs;
	struct str *notes; /* accepted, and what it does not do: said to the user */
	size_t n_functions, n_buckets, n_layers, n_permissions, n_triggers, n_outputs, n_notes;
	/* A template says everything: what it leaves out gets its default on an update too. */
	bool whole;
};

void plan_done(struct plan *p);
/* One more zeroed element at the end of an array of n; the old array stays in the arena. */
void *plan_grow(struct arena *a, void **array, size_t *n, size_t size);
#define plan_add(p, what)                                                                                              \
	((__typeof__((p)->what))plan_grow(&(p)->arena, (void **)&(p)->what, &(p)->n_##what, sizeof(*(p)->what)))
/* Everybody may call the URL of a function: what NONE stands for. */
void plan_public_url(struct plan *p, const struct plan_function *f);
void plan_note(struct plan *p, const char *fmt, ...) _printf_(2, 3);

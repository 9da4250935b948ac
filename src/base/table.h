/* Settings as a table: parser, --help, and docs all come from one declaration with its prose. Pure: printing
 * goes into a buf. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum setting_type {
	SETTING_STRING,   /* char *, malloc'd */
	SETTING_PATH,     /* char *, malloc'd, not empty unless the default is */
	SETTING_U32,      /* uint32_t */
	SETTING_U64,      /* uint64_t */
	SETTING_BYTES,    /* uint64_t; 64m: k, m, g, t are powers of 1024 */
	SETTING_DURATION, /* uint64_t, milliseconds; 500ms, 60s, 5m, 2h, 1d; a bare number is seconds */
	SETTING_BOOL,     /* bool; true, yes, on, 1 and their opposites; as a flag it takes no value */
	SETTING_MONEY,    /* char *, malloc'd: a decimal amount of USD */
};

struct setting {
	const char *name;    /* "listen": in wick.yaml */
	const char *flag;    /* "--listen", or NULL */
	const char *env;     /* "WICK_LISTEN", or NULL */
	const char *metavar; /* "ADDR:PORT" */
	enum setting_type type;
	const char *dflt;  /* as text; NULL: "" or 0 */
	uint64_t min, max; /* of numbers, in bytes or milliseconds; max 0: no limit */
	size_t offset;     /* in the struct of settings */
	const char *help;
};

/* Frees the strings. */
void settings_done(const struct setting *t, size_t n, void *conf);
void settings_defaults(const struct setting *t, size_t n, void *conf); /* conf must be zero or hold settings */
/* One from text. source names it in errors: "wick.yaml line 3: listen", "--listen". */
int setting_set(const struct setting *s, void *conf, const char *source, const char *text, struct err *err);
/* By its name in a file; an unknown one is an error with a suggestion. */
int settings_set(const struct setting *t, size_t n, void *conf, const char *name, const char *text, const char *source,
		 struct err *err);
/* env as execve(2) takes it. Unknown variables are others' business. */
int settings_apply_env(const struct setting *t, size_t n, void *conf, char *const *env, struct err *err);
/* Takes the flags out of argv (argv[0] is an argument like the others): --x=y, --x y, --bool, --no-bool; "--" ends
 * them. What is no flag stays, *argc is the number of those. Unknown flags are errors with a suggestion. */
int settings_apply_argv(const struct setting *t, size_t n, void *conf, int *argc, char **argv, struct err *err);
/* The value as text that setting_set takes again. */
void setting_format(const struct setting *s, const void *conf, struct buf *b);
void settings_help(const struct setting *t, size_t n, struct buf *b);     /* 80 columns */
void settings_markdown(const struct setting *t, size_t n, struct buf *b); /* a table for docs */
void settings_roff(const struct setting *t, size_t n, struct buf *b);     /* .TP paragraphs for a man page */

/* Text broken at blanks into lines of at most width columns, every line but the first indented. */
void text_wrap(struct buf *b, const char *text, size_t indent, size_t width);
/* Few enough edits (Levenshtein) to be a slip of the fingers? */
bool near_miss(const char *a, const char *b);

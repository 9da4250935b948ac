/* wick why: where one invocation is, why it waits, and what to do about that. The gate says the reason; this file knows
 * the way out of each. */
#include "cli/commands.h"
#include "cli/out.h"

#include "base/mem.h"

#include <stdio.h>
#include <unistd.h>

/* What helps against a reason; NAME stands for the function. */
static const struct {
	const char *reason, *advice;
} ways_out[] = {
	{"starting", "Nothing: it runs as soon as a worker is there. `wick logs NAME -f` shows what that prints."},
	{"busy-workers", "Nothing: it is next when one is free."},
	{"starts-at-once", "Nothing: its worker is started as soon as others are."},
	{"fair-share", "Nothing: the machine is full, and every function gets its share of it in turn."},
	{"no-memory",
	 "Wait for other workers to end, give functions less memory (wick deploy --memory), or let workers "
	 "have more of the machine's (wick serve --worker-memory); `wick top` shows who has it."},
	{"no-place",
	 "`wick place NAME --dry-run` says of each node what is missing, `wick nodes --devices` who has how much."},
	{"too-large", "Give it less memory (wick deploy --memory): this machine can never run it so."},
	{"reserved-limit", "Raise or remove its limit: aws lambda put-function-concurrency (or "
			   "delete-function-concurrency) --function-name NAME."},
	{"account-limit", "Raise the limit of all functions together: wick serve --concurrency N."},
	{"crash-looping", "Mend what it dies of: `wick logs NAME` has its last words. A new deploy is tried at once."},
	{"backing-off", "If it stays so, mend what it dies of: `wick logs NAME` has its last words."},
	{"node-gone", "Wait for the node: wick serve starts it again by itself, and its log says why it ended."},
};

static const char *advice_for(struct str reason)
{
	for (size_t i = 0; i < ARRAY_SIZE(ways_out); i++)
		if (str_eqz(reason, ways_out[i].reason))
			return ways_out[i].advice;
	return NULL;
}

static void print_advice(const char *text, struct str function)
{
	struct str rest = str_from(text);
	_cleanup_(buf_done) struct buf named = BUF_NULL, b = BUF_NULL;
	ssize_t at;

	while ((at = str_find(rest, STR("NAME"))) >= 0) {
		buf_add(&named, rest.p, (size_t)at);
		buf_add_str(&named, function);
		rest = str_sub(rest, (size_t)at + 4, rest.n);
	}
	buf_add_str(&named, rest);
	text_wrap(&b, buf_cstr(&named), 0, 100);
	printf("%s%s%s", tone_on(STDOUT_FILENO, TONE_DIM), buf_cstr(&b), tone_off(STDOUT_FILENO, TONE_DIM));
}

/* "hello (version 7)"; $LATEST goes without saying. */
static void who(struct buf *b, const json_t *j)
{
	struct str version = json_get_str(j, "version", STR_NULL);

	buf_add_str(b, json_get_str(j, "function", STR("?")));
	if (version.n && !str_eqz(version, "$LATEST"))
		buf_printf(b, " (version %.*s)", STR_ARG(version));
}

static enum tone tone_of_state(struct str state)
{
	if (str_eqz(state, "queued"))
		return TONE_WARN;
	return str_eqz(state, "running") || str_eqz(state, "done") ? TONE_GOOD : TONE_BOLD;
}

static void print_workers(const json_t *workers)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	const char *name;
	json_t *n;

	json_object_foreach((json_t *)workers, name, n)
	{
		if (json_integer_value(n) > 0)
			buf_printf(&b, "%s%lld %s", b.n ? ", " : "", (long long)json_integer_value(n), name);
	}
	printf("%sIts workers: %s.%s\n", tone_on(STDOUT_FILENO, TONE_DIM), b.n ? buf_cstr(&b) : "none",
	       tone_off(STDOUT_FILENO, TONE_DIM));
}

/* What it printed before it died. */
static void print_last_words(struct str words)
{
	struct str line;

	while (words.n > 0) {
		_cleanup_(buf_done) struct buf b = BUF_NULL;

		str_cut(words, '\n', &line, &words);
		out_clean(&b, line);
		printf("  %s\n", buf_cstr(&b));
	}
}

static void print_why(const json_t *j)
{
	struct str state = json_get_str(j, "state", STR("unknown")), text = json_get_str(j, "text", STR_NULL);
	struct str reason = json_get_str(j, "reason", STR_NULL);
	int64_t since_ms = json_get_int(j, "since_ms", -1), position = json_get_int(j, "position", 0);
	enum tone tone = tone_of_state(state);
	const char *advice = advice_for(reason);
	_cleanup_(buf_done) struct buf b = BUF_NULL, clean = BUF_NULL;
	bool over = str_eqz(state, "done");
	char took[OUT_TEXT];

	who(&b, j);
	out_clean(&clean, text);
	printf("%s%.*s%s  %s", tone_on(STDOUT_FILENO, tone), STR_ARG(state), tone_off(STDOUT_FILENO, tone),
	       buf_cstr(&b));
	if (since_ms >= 0 && !over)
		printf(", for %s", out_us((uint64_t)since_ms * 1000, took));
	if (position > 0)
		printf(position == 1 ? ", next in line" : ", number %lld in line", (long long)position);
	printf("%s%s\n", clean.n ? ": " : "", buf_cstr(&clean));
	print_last_words(json_get_str(j, "last_words", STR_NULL));
	if (over)
		return;
	print_workers(json_object_get(j, "workers"));
	if (advice)
		print_advice(advice, json_get_str(j, "function", STR("NAME")));
}

int why_run(const struct cli *c)
{
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_(freep) char *path = NULL;
	_cleanup_json_ json_t *j = NULL;
	struct err err = ERR_NULL;
	struct str state;
	char code[64];

	if (c->n_args != 1)
		return cli_usage(c, "expected the request ID of one invocation");
	client = cli_client(c);
	if (!client)
		return EXIT_FAILURE;
	path = cli_path("/_wick/why/", str_from(c->args[0]), "");
	if (client_json(client, "wick", "GET", path, NULL, NULL, &j, code, &err) < 0)
		return cli_fail(c, &err);
	state = json_get_str(j, "state", STR("unknown"));
	if (str_eqz(state, "unknown")) {
		if (c->json)
			cli_print_json(steal(&j));
		else
			err_set(&err, 0,
				"no invocation %s waits, runs or has ended lately; `wick bill --invocations` lists "
				"those "
				"that ran, `wick events` those that wait to be tried again",
				c->args[0]);
		return c->json ? EXIT_FAILURE : cli_fail(c, &err);
	}
	if (c->json)
		cli_print_json(steal(&j));
	else
		print_why(j);
	return EXIT_SUCCESS;
}

/* wick logs: what a function printed, and the platform's lines about it; with -f also what comes, through restarts of
 * the server. Each record is written out as soon as it is whole, so that Ctrl-C loses nothing that was shown. */
#include "cli/commands.h"
#include "cli/follow.h"
#include "cli/out.h"

#include "sys/clock.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static enum tone tone_of(struct str text)
{
	if (str_starts(text, STR("START ")) || str_starts(text, STR("END ")) || str_starts(text, STR("REPORT ")))
		return TONE_DIM;
	if (str_starts(text, STR("[ERROR]")) || str_find(text, STR("Traceback (most recent call last)")) >= 0)
		return TONE_BAD;
	return str_starts(text, STR("[WARNING]")) ? TONE_WARN : TONE_PLAIN;
}

static bool print_record(void *arg, const struct log_record *r, struct str line)
{
	const struct cli *c = arg;
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	enum tone tone = tone_of(r->text);
	char when[OUT_TEXT];

	if (c->json) {
		printf("%.*s\n", STR_ARG(line));
	} else {
		out_clean(&b, r->text);
		printf("%s%s.%03d %-8.*s%s %s%s%s\n", tone_on(STDOUT_FILENO, TONE_DIM), out_local_time(r->at_ms, when),
		       (int)(r->at_ms % 1000), (int)MIN(r->id.n, (size_t)8), r->id.p, tone_off(STDOUT_FILENO, TONE_DIM),
		       tone_on(STDOUT_FILENO, tone), buf_cstr(&b), tone_off(STDOUT_FILENO, tone));
	}
	fflush(stdout);
	return !ferror(stdout);
}

static void say_away(void *arg, const char *why)
{
	fprintf(stderr, "%swick: logs: %s%s%s%s\n", tone_on(STDERR_FILENO, TONE_DIM),
		why ? "the server is away, waiting for it (" : "the server is back", why ? why : "", why ? ")" : "",
		tone_off(STDERR_FILENO, TONE_DIM));
}

static void on_interrupt(int signo)
{
	_exit(0);
}

int logs_run(const struct cli *c)
{
	_cleanup_(client_closep) struct client *client = NULL;
	const char *since = cli_get(c, "since");
	struct follow f = {
		.on = cli_has(c, "follow"),
		.record = print_record,
		.away = say_away,
		.arg = (void *)c,
	};
	struct err err = ERR_NULL;

	if (c->n_args != 1)
		return cli_usage(c, "expected one function NAME");
	f.function = c->args[0];
	if (since && !out_parse_since(str_from(since), clock_wall_ms(), &f.since_ms))
		return cli_usage(c, "--since %s: expected 90s, 10m, 2h, 3d or a time as 2026-01-31T12:00", since);
	if (f.on)
		signal(SIGINT, on_interrupt);
	client = cli_client(c);
	if (!client)
		return EXIT_FAILURE;
	if (follow_log(client, &f, &err) < 0) {
		err_wrap(&err, "%s", c->args[0]);
		return cli_fail(c, &err);
	}
	return EXIT_SUCCESS;
}

/* wick logs: what a function printed, and the platform's lines about it; with -f also what comes. Each record is
 * written out as soon as it is whole, so that Ctrl-C loses nothing that was shown. */
#include "cli/commands.h"
#include "cli/out.h"

#include "base/mem.h"
#include "base/time.h"
#include "sys/clock.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

struct reader {
	bool json;
	struct buf part; /* a line that has not come whole */
};

static enum tone tone_of(struct str text)
{
	if (str_starts(text, STR("START ")) || str_starts(text, STR("END ")) || str_starts(text, STR("REPORT ")))
		return TONE_DIM;
	if (str_starts(text, STR("[ERROR]")) || str_find(text, STR("Traceback (most recent call last)")) >= 0)
		return TONE_BAD;
	return str_starts(text, STR("[WARNING]")) ? TONE_WARN : TONE_PLAIN;
}

static void print_record(struct reader *rd, struct str line)
{
	struct err ignored = ERR_NULL;
	_cleanup_json_ json_t *j = NULL;
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	char when[OUT_TEXT];
	struct str text, id;
	int64_t at;
	enum tone tone;

	if (str_trim(line).n == 0)
		return;
	if (rd->json) {
		printf("%.*s\n", STR_ARG(line));
		fflush(stdout);
		return;
	}
	j = json_parse(line, &ignored);
	err_done(&ignored);
	text = json_get_str(j, "text", STR_NULL);
	id = json_get_str(j, "id", STR_NULL);
	at = json_get_int(j, "at", 0);
	if (!text.p)
		return;
	out_clean(&b, text);
	tone = tone_of(text);
	printf("%s%s.%03d %-8.*s%s %s%s%s\n", tone_on(STDOUT_FILENO, TONE_DIM), out_local_time(at, when),
	       (int)(at % 1000), (int)MIN(id.n, (size_t)8), id.p ? id.p : "", tone_off(STDOUT_FILENO, TONE_DIM),
	       tone_on(STDOUT_FILENO, tone), buf_cstr(&b), tone_off(STDOUT_FILENO, tone));
	fflush(stdout);
}

static bool on_bytes(void *arg, const void *p, size_t n)
{
	struct reader *rd = arg;
	ssize_t at;

	buf_add(&rd->part, p, n);
	while ((at = str_chr(buf_str(&rd->part), '\n', 0)) >= 0) {
		print_record(rd, str_n(rd->part.p, (size_t)at));
		buf_consume(&rd->part, (size_t)at + 1);
	}
	return !ferror(stdout);
}

static void on_interrupt(int signo)
{
	_exit(0);
}

int logs_run(const struct cli *c)
{
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_(freep) char *path = NULL;
	_cleanup_(buf_done) struct buf query = BUF_NULL;
	_cleanup_(http_response_done) struct http_response r = {0};
	struct reader rd = {.json = c->json};
	const char *since = cli_get(c, "since");
	struct client_call call = {.service = "wick", .method = "GET", .sink = on_bytes, .sink_arg = &rd};
	struct err err = ERR_NULL;
	char number[24], code[64];
	int64_t ms;
	int result;

	if (c->n_args != 1)
		return cli_usage(c, "expected one function NAME");
	if (since) {
		if (!out_parse_since(str_from(since), clock_wall_ms(), &ms))
			return cli_usage(c, "--since %s: expected 90s, 10m, 2h, 3d or a time as 2026-01-31T12:00",
					 since);
		snprintf(number, sizeof(number), "%lld", (long long)ms);
		cli_query(&query, "since", number);
	}
	if (cli_has(c, "follow")) {
		cli_query(&query, "follow", "1");
		signal(SIGINT, on_interrupt);
	}
	client = cli_client(c);
	if (!client)
		return EXIT_FAILURE;
	path = cli_path("/_wick/logs/", str_from(c->args[0]), "");
	call.path = path;
	call.query = buf_cstr(&query);
	result = client_do(client, &call, &r, code, &err);
	if (rd.part.n && result == 0)
		print_record(&rd, buf_str(&rd.part));
	buf_done(&rd.part);
	if (result < 0) {
		err_wrap(&err, "%s", c->args[0]);
		return cli_fail(c, &err);
	}
	return EXIT_SUCCESS;
}

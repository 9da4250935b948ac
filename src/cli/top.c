/* wick top: a live view of functions and workers. A request a turn on a pool thread, so that keys are heard while a
 * server is slow; the last picture stays when it goes away. Without a terminal it prints once. */
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/term.h"
#include "cli/top_view.h"

#include "base/mem.h"
#include "sys/clock.h"
#include "sys/loop.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define INTERVAL_MS      1000
#define ANSWER_WITHIN_MS 5000

struct top {
	const struct cli *c;
	struct client *client;
	struct loop *loop;
	struct timer *timer;
	json_t *now;      /* the last answer */
	struct err error; /* why there is no newer one */
	bool asking, over, json_lines;
	int status;
	/* of the request under way, the pool thread's until it is done */
	json_t *answer;
	struct err answer_error;
	bool final; /* asking again does not mend it */
};

static int fetch(struct client *client, json_t **ret, bool *final, struct err *err)
{
	_cleanup_(http_response_done) struct http_response r = {0};
	struct client_call call = {
		.service = "wick", .method = "GET", .path = "/_wick/top", .timeout_ms = ANSWER_WITHIN_MS};
	char code[64];

	*final = false;
	if (client_do(client, &call, &r, code, err) < 0) {
		*final = code[0] != '\0' && r.status < 500;
		return -1;
	}
	*ret = json_parse(buf_str(&r.body), err);
	*final = !*ret;
	return *ret ? 0 : err_wrap(err, "/_wick/top: the answer is not JSON");
}

static const char *clock_text(char buf[static OUT_TEXT])
{
	out_local_time(clock_wall_ms(), buf);
	return buf + strlen("2026-01-31 ");
}

/* The whole picture in one write, line by line over the old one, so that nothing flickers. */
static void draw(const struct top *t)
{
	struct term_size size = term_size(STDOUT_FILENO);
	_cleanup_(buf_done) struct buf text = BUF_NULL, b = BUF_NULL;
	char now[OUT_TEXT];
	struct top_view v = {
		.top = t->now,
		.away = t->error.msg,
		.cols = size.cols,
		.rows = size.rows > 1 ? size.rows - 1 : 1,
		.colour = out_is_coloured(STDOUT_FILENO),
		.clock = clock_text(now),
	};
	struct str rest, line;

	top_view(&text, &v);
	buf_adds(&b, "\033[H");
	for (rest = buf_str(&text); rest.n > 0;) {
		str_cut(rest, '\n', &line, &rest);
		buf_printf(&b, "%.*s\033[K\n", STR_ARG(line));
	}
	buf_adds(&b, "\033[J");
	if (v.colour)
		buf_adds(&b, tone_code(TONE_DIM));
	if (size.rows > 2)
		buf_printf(&b, "\033[%u;1H%.*s\033[K", size.rows, (int)MIN(size.cols, 6u), "q quit");
	if (v.colour)
		buf_adds(&b, tone_code(TONE_PLAIN));
	fwrite(b.p, 1, b.n, stdout);
	fflush(stdout);
}

static void print_plain(const struct top *t)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	char now[OUT_TEXT];
	bool tty = out_is_tty(STDOUT_FILENO);
	struct top_view v = {
		.top = t->now,
		.cols = tty ? term_size(STDOUT_FILENO).cols : 200,
		.colour = out_is_coloured(STDOUT_FILENO),
		.clock = clock_text(now),
	};

	top_view(&b, &v);
	fputs(buf_cstr(&b), stdout);
}

static void finish(struct top *t, int status)
{
	t->over = true;
	t->status = status;
	loop_stop(t->loop);
}

static void ask(void *arg)
{
	struct top *t = arg;

	fetch(t->client, &t->answer, &t->final, &t->answer_error);
}

static void answered(void *arg)
{
	struct top *t = arg;

	t->asking = false;
	if (t->over) {
		json_decref(t->answer);
		err_done(&t->answer_error);
		return;
	}
	err_done(&t->error);
	t->error = t->answer_error;
	t->answer_error = ERR_NULL;
	if (t->answer) {
		json_decref(t->now);
		t->now = steal(&t->answer);
	} else if (t->final) {
		finish(t, EXIT_FAILURE);
		return;
	}
	if (!t->json_lines) {
		draw(t);
	} else if (!t->error.msg) {
		_cleanup_(buf_done) struct buf b = BUF_NULL;

		json_write(&b, t->now);
		puts(buf_cstr(&b));
		if (fflush(stdout) != 0)
			finish(t, EXIT_FAILURE);
	}
}

static void tick(void *arg)
{
	struct top *t = arg;

	if (t->asking)
		return;
	t->asking = true;
	loop_work(t->loop, ask, answered, t);
}

static void on_key(void *arg, int events)
{
	struct top *t = arg;
	char keys[64];
	ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));

	if (n <= 0) {
		finish(t, EXIT_SUCCESS);
		return;
	}
	for (ssize_t i = 0; i < n; i++)
		if (keys[i] == 'q' || keys[i] == 'Q' || keys[i] == 4) {
			finish(t, EXIT_SUCCESS);
			return;
		}
	tick(t);
}

static void on_signal(void *arg, int signo)
{
	struct top *t = arg;

	if (signo == SIGTSTP)
		term_suspend();
	if (signo == SIGWINCH || signo == SIGTSTP) {
		if (!t->json_lines && (t->now || t->error.msg))
			draw(t);
		return;
	}
	finish(t, EXIT_SUCCESS);
}

static int live(struct top *t, uint64_t interval_ms)
{
	static const int signals[] = {SIGWINCH, SIGTSTP, SIGINT, SIGTERM, SIGHUP};
	struct signal_watch *watched[ARRAY_SIZE(signals)];
	struct watch *keys;

	t->loop = loop_new();
	t->timer = timer_new(t->loop, tick, t);
	keys = t->json_lines ? NULL : watch_new(t->loop, STDIN_FILENO, WATCH_READ, on_key, t);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		watched[i] = signal_watch_new(t->loop, signals[i], on_signal, t);
	timer_repeat(t->timer, interval_ms);
	tick(t);
	loop_run(t->loop);
	term_close();
	if (t->asking) {
		/* The pool thread waits for a server that may be gone; nothing here is worth waiting for it. */
		fflush(stdout);
		_exit(t->status);
	}
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		signal_watch_free(watched[i]);
	watch_free(keys);
	timer_free(t->timer);
	loop_free(t->loop);
	return t->status;
}

static int once(struct top *t)
{
	struct err err = ERR_NULL;

	if (fetch(t->client, &t->now, &t->final, &err) < 0)
		return cli_fail(t->c, &err);
	if (t->c->json)
		cli_print_json(json_incref(t->now));
	else
		print_plain(t);
	return EXIT_SUCCESS;
}

int top_run(const struct cli *c)
{
	_cleanup_(client_closep) struct client *client = NULL;
	struct top t = {.c = c};
	const char *interval = cli_get(c, "interval");
	uint64_t ms = INTERVAL_MS;
	int status;

	if (c->n_args)
		return cli_usage(c, "takes no operands");
	if (interval && (!out_parse_interval(str_from(interval), &ms) || ms < 100))
		return cli_usage(c, "--interval %s: expected 100ms or more, as in 500ms, 2s or 1m", interval);
	client = t.client = cli_client(c);
	if (!client)
		return EXIT_FAILURE;
	t.json_lines = c->json && interval && !cli_has(c, "once");
	if (t.json_lines || (!c->json && !cli_has(c, "once") && term_open(true)))
		status = live(&t, ms);
	else
		status = once(&t);
	if (status == EXIT_FAILURE && t.error.msg)
		cli_fail(c, &t.error);
	err_done(&t.error);
	json_decref(t.now);
	return status;
}

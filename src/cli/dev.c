/* wick dev: a folder that is deployed as it is saved. The loop's thread watches the tree, the keys and the log; what
 * takes time (deploying, invoking, checking syntax) is one job each on a pool thread, and a change that comes during a
 * deploy makes another one after it. The log comes from a child, `wick logs -f --json`, which waits for a server that
 * is away. Owns the plan (the deploy job's while that runs) and what is under way; the function stays when it ends. */
#include "cli/apply.h"
#include "cli/commands.h"
#include "cli/deploy.h"
#include "cli/dev_show.h"
#include "cli/invoke.h"
#include "cli/package.h"
#include "cli/rm.h"
#include "cli/stages.h"
#include "cli/syntax.h"
#include "cli/term.h"

#include "base/mem.h"
#include "base/time.h"
#include "sys/child.h"
#include "sys/clock.h"
#include "sys/tree_watch.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define QUIET_MS    20
#define SLOW_MS     500
#define RETRY_MS    500
#define LATE_MS     200 /* how long an answer waits for what its run printed */
#define ID_SIZE     40
#define REPORTS_MAX 64

static const char *const never_mind[] = {".git",  "__pycache__", "*.pyc", "*~",        ".#*",   "#*#",
					 "*.swp", "*.swx",       "4913",  ".DS_Store", ".idea", NULL};
static const char *const slow[] = {"node_modules", "site-packages", ".venv", NULL};

/* A deploy, the pool thread's while it runs. */
struct deploy_job {
	bool running, again, retry;
	bool whole;                      /* all of the plan, not only code */
	bool plan_again;                 /* the template was saved */
	char *changed[TREE_WATCH_PATHS]; /* to check; none: the whole tree */
	size_t n_changed;
	json_t *conf; /* as the server last said it */
	struct buf wrong;
	struct err err, said; /* said: what was shown last of a fault that is tried again */
	int result;           /* 1: sent; 0: nothing to send; -1: err, or syntax (wrong) */
	uint64_t us;
};

struct invoke_job {
	bool running;
	struct buf event;
	struct http_response answer;
	struct err err;
	uint64_t us;
};

struct dev {
	const struct cli *c;
	const char *path;
	struct plan plan;
	char *name, *since, *invoke_path;
	struct client *deployer, *invoker;
	struct loop *loop;
	struct tree_watch *tree;
	struct child *follower;
	struct watch *log, *keys;
	struct timer *retry, *follow_again, *answer_late;
	int log_fd;
	struct buf log_part;
	struct deploy_job deploy;
	struct invoke_job invoke;
	char *reports[REPORTS_MAX]; /* lines that came while an invocation of ours was under way */
	size_t n_reports;
	char own[ID_SIZE]; /* the request that was answered last, until its REPORT has come */
	bool hinted;
	bool away; /* the server, and that was said */
};

static const struct plan_function *function_of(const struct dev *d)
{
	return &d->plan.functions[0];
}

/* ---- deploying ---- */

static void deploy_work(void *arg)
{
	struct dev *d = arg;
	struct deploy_job *j = &d->deploy;
	uint64_t began = clock_mono_us();
	_cleanup_json_ json_t *report = NULL;
	bool ok;

	ok = j->n_changed ? syntax_check((const char *const *)j->changed, j->n_changed, &j->wrong)
			  : syntax_check_tree(d->path, &j->wrong);
	if (!ok) {
		j->result = -1;
		return;
	}
	if (!j->whole) {
		j->result = plan_apply_code(&d->plan, d->deployer, &j->conf, &j->err);
		/* Somebody deleted it meanwhile. */
		j->whole = j->result < 0 && strstr(j->err.msg, "ResourceNotFoundException");
	}
	if (j->whole) {
		err_done(&j->err);
		report = json_object();
		j->result = plan_apply(&d->plan, d->deployer, report, &j->err) < 0 ? -1 : 1;
		if (j->result > 0) {
			const json_t *f = json_array_get(json_object_get(report, "functions"), 0);

			json_decref(j->conf);
			j->conf = json_incref(json_object_get(f, "configuration"));
			if (str_eqz(json_get_str(f, "action", STR_NULL), "unchanged"))
				j->result = 0;
		}
	}
	j->us = clock_mono_us() - began;
}

static void start_deploy(struct dev *d);

static void forget_changed(struct deploy_job *j)
{
	for (size_t i = 0; i < j->n_changed; i++)
		free(j->changed[i]);
	j->n_changed = 0;
}

static void say_deployed(struct dev *d)
{
	const struct deploy_job *j = &d->deploy;
	char size[OUT_TEXT], took[OUT_TEXT];

	out_bytes((uint64_t)json_get_int(j->conf, "CodeSize", 0), size);
	out_us(j->us, took);
	if (j->whole)
		dev_sayf(TONE_GOOD, j->result ? "deployed" : "there", "%s  %.*s  %.*s  %lld MB  %s  in %s", d->name,
			 STR_ARG(json_get_str(j->conf, "Runtime", STR_NULL)),
			 STR_ARG(json_get_str(j->conf, "Handler", STR_NULL)),
			 (long long)json_get_int(j->conf, "MemorySize", 128), size, took);
	else if (j->result)
		dev_sayf(TONE_GOOD, "deployed", "%s in %s", size, took);
}

static void deployed(void *arg)
{
	struct dev *d = arg;
	struct deploy_job *j = &d->deploy;
	j->running = false;
	if (j->wrong.n) {
		dev_say(0, TONE_BAD, "syntax", str_trim(buf_str(&j->wrong)));
		dev_sayf(TONE_DIM, "", "not deployed; what was deployed before goes on");
	} else if (j->result < 0) {
		/* A server that is away is waited for, and said so once. */
		if (!j->said.msg || strcmp(j->said.msg, j->err.msg) != 0)
			dev_sayf(TONE_BAD, "error", "%s", j->err.msg);
		if (j->err.code != 0)
			timer_set(d->retry, RETRY_MS);
		err_done(&j->said);
		j->said = j->err;
		j->err = ERR_NULL;
	} else {
		say_deployed(d);
		err_done(&j->said);
		j->whole = false;
		if (!d->hinted)
			dev_sayf(TONE_DIM, "", "Enter invokes it, q ends. Saving a file in %s deploys it again.",
				 d->path);
		d->hinted = true;
	}
	buf_done(&j->wrong);
	forget_changed(j);
	if (j->again)
		start_deploy(d);
}

/* The plan is made anew when the template was saved. */
static bool plan_again(struct dev *d)
{
	struct plan plan = {0};
	struct err err = ERR_NULL;

	if (deploy_plan(d->c, d->path, client_conf(d->deployer), &plan, &err) < 0 || plan.n_functions == 0 ||
	    !str_eqz(plan.functions[0].name, d->name)) {
		dev_sayf(TONE_BAD, "error", "%s",
			 err.msg ? err.msg : "the template's function has another name now: end this and begin anew");
		err_done(&err);
		plan_done(&plan);
		return false;
	}
	plan_done(&d->plan);
	d->plan = plan;
	d->deploy.whole = true;
	d->deploy.plan_again = false;
	return true;
}

static void start_deploy(struct dev *d)
{
	struct deploy_job *j = &d->deploy;

	j->again = j->running;
	if (j->running)
		return;
	if (j->plan_again && !plan_again(d)) {
		forget_changed(j);
		return;
	}
	timer_stop(d->retry);
	j->running = true;
	loop_work(d->loop, deploy_work, deployed, d);
}

static void on_retry(void *arg)
{
	start_deploy(arg);
}

static void on_change(void *arg, const char *const *paths, size_t n)
{
	struct dev *d = arg;
	struct deploy_job *j = &d->deploy;
	_cleanup_(freep) char *template = package_template(d->path);
	_cleanup_(freep) char *full = template ? realpath(template, NULL) : NULL;

	for (size_t i = 0; i < MIN(n, (size_t)TREE_WATCH_PATHS); i++)
		j->plan_again = j->plan_again || (full && strcmp(full, paths[i]) == 0);
	j->plan_again = j->plan_again || (full && n > TREE_WATCH_PATHS);
	/* A deploy that begins later, after the one under way, looks at everything. */
	if (!j->running && j->n_changed == 0 && n <= TREE_WATCH_PATHS)
		for (size_t i = 0; i < n; i++)
			j->changed[j->n_changed++] = xstrdup(paths[i]);
	start_deploy(d);
}

/* ---- invoking ---- */

static void invoke_work(void *arg)
{
	struct dev *d = arg;
	struct invoke_job *j = &d->invoke;
	struct client_header headers[] = {{"content-type", "application/json"}};
	struct client_call call = {.service = "lambda",
				   .method = "POST",
				   .path = d->invoke_path,
				   .headers = headers,
				   .n_headers = 1,
				   .body = buf_str(&j->event)};
	uint64_t began = clock_mono_us();
	char code[64];

	client_do(d->invoker, &call, &j->answer, code, &j->err);
	j->us = clock_mono_us() - began;
}

static void take_record(struct dev *d, struct str line, bool held);

static void release_reports(struct dev *d)
{
	for (size_t i = 0; i < d->n_reports; i++) {
		take_record(d, str_from(d->reports[i]), false);
		free(d->reports[i]);
	}
	d->n_reports = 0;
}

/* The answer stands below what its run printed: it is shown when the log's REPORT has come, which the answer's own
 * headers replace because they say more, or when that is late. */
static void show_answer(void *arg)
{
	struct dev *d = arg;
	struct http_response *r = &d->invoke.answer;
	_cleanup_json_ json_t *stages = stages_of(r);
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	bool failed = http_response_header(r, "x-amz-function-error").n > 0;
	char word[9], took[OUT_TEXT];

	timer_stop(d->answer_late);
	d->invoke.running = false;
	snprintf(word, sizeof(word), "%.8s", d->own);
	if (stages_text(&b, stages)) {
		buf_printf(&b, "   answer after %s", out_us(d->invoke.us, took));
		dev_say(0, failed ? TONE_BAD : TONE_GOOD, word, buf_str(&b));
	}
	dev_show_answer(buf_str(&r->body), failed);
	http_response_done(r);
	buf_done(&d->invoke.event);
	release_reports(d);
}

static void invoked(void *arg)
{
	struct dev *d = arg;
	struct invoke_job *j = &d->invoke;
	struct str id = http_response_header(&j->answer, "x-amzn-requestid");

	if (j->err.msg) {
		j->running = false;
		dev_sayf(TONE_BAD, "error", "%s", j->err.msg);
		err_done(&j->err);
		http_response_done(&j->answer);
		buf_done(&j->event);
		release_reports(d);
		return;
	}
	snprintf(d->own, sizeof(d->own), "%.*s", (int)id.n, id.p ? id.p : "");
	timer_set(d->answer_late, LATE_MS);
	for (size_t i = 0; i < d->n_reports; i++)
		if (d->own[0] && str_find(str_from(d->reports[i]), str_from(d->own)) >= 0) {
			show_answer(d);
			d->own[0] = '\0';
			return;
		}
}

static void start_invoke(struct dev *d)
{
	struct invoke_job *j = &d->invoke;
	struct err err = ERR_NULL;

	if (j->running) {
		dev_sayf(TONE_DIM, "", "it is still running");
		return;
	}
	if (event_read(d->c, &j->event, &err) < 0) {
		dev_sayf(TONE_BAD, "error", "%s", err.msg);
		err_done(&err);
		buf_done(&j->event);
		return;
	}
	j->running = true;
	d->own[0] = '\0';
	loop_work(d->loop, invoke_work, invoked, d);
}

/* ---- the log ---- */

/* What the follower itself says: the server went away, or is back. One that never met the server ends and is started
 * again, and says the same each time. */
static void take_word(struct dev *d, struct str line)
{
	ssize_t at = str_find(line, STR("logs: "));

	if (str_find(line, STR("no answer from ")) < 0) {
		dev_say(0, TONE_DIM, "log", at < 0 ? line : str_sub(line, (size_t)at + 6, line.n));
		return;
	}
	if (!d->away)
		dev_say(0, TONE_DIM, "log", STR("the server is away, waiting for it"));
	d->away = true;
}

static void take_record(struct dev *d, struct str line, bool held)
{
	struct err ignored = ERR_NULL;
	_cleanup_json_ json_t *j = json_parse(line, &ignored);
	struct log_record r = {
		.at_ms = json_get_int(j, "at", 0),
		.id = json_get_str(j, "id", STR("-")),
		.text = json_get_str(j, "text", STR_NULL),
	};

	err_done(&ignored);
	if (!r.text.p) {
		take_word(d, line);
		return;
	}
	d->away = false;
	if (!str_starts(r.text, STR("REPORT "))) {
		dev_show_record(&r);
	} else if (d->own[0] && str_eqz(r.id, d->own)) {
		if (held && d->invoke.running)
			show_answer(d);
		d->own[0] = '\0';
	} else if (held && d->invoke.running && d->n_reports < REPORTS_MAX) {
		/* It may be ours, whose id comes with the answer. */
		d->reports[d->n_reports++] = str_dup(line);
	} else {
		dev_show_record(&r);
	}
}

static void on_log(void *arg, int events)
{
	struct dev *d = arg;
	ssize_t n = read(d->log_fd, buf_reserve(&d->log_part, 65536), 65536), at;

	if (n <= 0) {
		watch_set(d->log, 0);
		return;
	}
	d->log_part.n += (size_t)n;
	d->log_part.p[d->log_part.n] = '\0';
	while ((at = str_chr(buf_str(&d->log_part), '\n', 0)) >= 0) {
		take_record(d, str_n(d->log_part.p, (size_t)at), true);
		buf_consume(&d->log_part, (size_t)at + 1);
	}
}

static void stop_following(struct dev *d)
{
	d->log = watch_free(d->log);
	d->follower = child_free(d->follower);
	if (d->log_fd >= 0)
		close(steal_fd(&d->log_fd));
	buf_done(&d->log_part);
}

/* It ends only when it never reached a server: then that is tried again. */
static void on_follower_exit(void *arg, const struct child_exit *ex)
{
	struct dev *d = arg;

	stop_following(d);
	timer_set(d->follow_again, RETRY_MS);
}

static void follow(void *arg)
{
	struct dev *d = arg;
	char *argv[10] = {(char *)"wick",   (char *)"logs",    d->name, (char *)"--follow",
			  (char *)"--json", (char *)"--since", d->since};
	struct child_spec spec = {.path = "/proc/self/exe", .argv = argv, .new_session = true, .die_with_parent = true};
	struct child_fd fds[2];
	struct err err = ERR_NULL;
	int ends[2];

	if (d->c->data) {
		argv[7] = (char *)"--data";
		argv[8] = (char *)d->c->data;
	}
	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	fds[0] = (struct child_fd){ends[1], 1};
	fds[1] = (struct child_fd){ends[1], 2};
	spec.fds = fds;
	spec.n_fds = 2;
	d->follower = child_start(d->loop, &spec, on_follower_exit, d, &err);
	close(ends[1]);
	d->log_fd = ends[0];
	if (d->follower)
		d->log = watch_new(d->loop, d->log_fd, WATCH_READ, on_log, d);
	else
		dev_sayf(TONE_WARN, "log", "%s", err.msg);
	err_done(&err);
}

/* ---- keys and the end ---- */

static void finish(struct dev *d)
{
	loop_stop(d->loop);
}

static void on_key(void *arg, int events)
{
	struct dev *d = arg;
	char keys[64];
	ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));

	if (n <= 0) {
		/* Nobody types; saving still deploys. */
		watch_set(d->keys, 0);
		return;
	}
	for (ssize_t i = 0; i < n; i++)
		if (keys[i] == 'q' || keys[i] == 'Q' || keys[i] == 4) {
			finish(d);
			return;
		} else if (keys[i] == '\n' || keys[i] == '\r') {
			start_invoke(d);
			return;
		}
}

static void on_signal(void *arg, int signo)
{
	if (signo == SIGTSTP)
		term_suspend();
	else
		finish(arg);
}

static int say_goodbye(struct dev *d)
{
	_cleanup_(client_closep) struct client *client = NULL;
	struct err err = ERR_NULL;

	if (!d->deploy.conf) {
		/* Nothing was ever deployed from here. */
	} else if (!cli_has(d->c, "rm")) {
		dev_sayf(TONE_PLAIN, "end", "%s stays deployed. It goes with: wick rm %s", d->name, d->name);
	} else {
		client = client_open(d->c->data, &err);
		if (!client || function_remove(client, d->name, &err) < 0)
			return cli_fail(d->c, &err);
		dev_sayf(TONE_PLAIN, "end", "%s is deleted", d->name);
	}
	return EXIT_SUCCESS;
}

static int run(struct dev *d, struct err *err)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGTSTP};
	struct signal_watch *watched[ARRAY_SIZE(signals)];
	struct tree_watch_conf conf = {.path = d->plan.folder ? d->plan.folder : d->path,
				       .ignored = never_mind,
				       .slow = slow,
				       .quiet_ms = QUIET_MS,
				       .slow_ms = SLOW_MS,
				       .changed = on_change,
				       .arg = d};
	int status;

	d->loop = loop_new();
	d->retry = timer_new(d->loop, on_retry, d);
	d->follow_again = timer_new(d->loop, follow, d);
	d->answer_late = timer_new(d->loop, show_answer, d);
	d->tree = tree_watch_new(d->loop, &conf, err);
	if (d->tree) {
		for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
			watched[i] = signal_watch_new(d->loop, signals[i], on_signal, d);
		term_open(false);
		d->keys = watch_new(d->loop, STDIN_FILENO, WATCH_READ, on_key, d);
		d->deploy.whole = true;
		start_deploy(d);
		follow(d);
		loop_run(d->loop);
		term_close();
		status = say_goodbye(d);
		fflush(stdout);
		if (d->deploy.running || (d->invoke.running && !d->own[0])) {
			/* The jobs wait for a server; nothing here waits for them. The follower dies with this. */
			_exit(status);
		}
		for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
			signal_watch_free(watched[i]);
	} else {
		status = cli_fail(d->c, err);
	}
	stop_following(d);
	watch_free(d->keys);
	tree_watch_free(d->tree);
	timer_free(d->retry);
	timer_free(d->follow_again);
	timer_free(d->answer_late);
	loop_free(d->loop);
	return status;
}

/* A template may have several functions; one is run here, and stands first. */
static int choose_function(struct dev *d, struct err *err)
{
	struct plan *p = &d->plan;

	if (p->n_functions == 1)
		return 0;
	return err_set(err, 0, "%s has %zu functions; name the folder of one", d->path, p->n_functions);
}

int dev_run(const struct cli *c)
{
	struct dev d = {.c = c, .path = c->n_args ? c->args[0] : NULL, .log_fd = -1};
	char since[TIME_ISO8601_SIZE];
	struct err err = ERR_NULL;
	int status;

	if (c->n_args != 1)
		return cli_usage(c, "expected one PATH: a folder or a source file");
	if (cli_get(c, "event") && strcmp(cli_get(c, "event"), "-") == 0)
		return cli_usage(c, "--event -: standard input is for keys here; use @FILE, which is read each time");
	if (c->json)
		dev_show_json();
	d.deployer = cli_client(c);
	if (!d.deployer)
		return EXIT_FAILURE;
	if (deploy_plan(c, d.path, client_conf(d.deployer), &d.plan, &err) < 0 || choose_function(&d, &err) < 0) {
		status = cli_fail(c, &err);
	} else {
		d.invoker = cli_client(c);
		d.name = str_dup(function_of(&d)->name);
		d.invoke_path = cli_path("/2015-03-31/functions/", function_of(&d)->name, "/invocations");
		time_iso8601_ms(clock_wall_ms(), since);
		d.since = since;
		status = d.invoker ? run(&d, &err) : EXIT_FAILURE;
	}
	json_decref(d.deploy.conf);
	forget_changed(&d.deploy);
	err_done(&d.deploy.said);
	for (size_t i = 0; i < d.n_reports; i++)
		free(d.reports[i]);
	http_response_done(&d.invoke.answer);
	buf_done(&d.invoke.event);
	plan_done(&d.plan);
	client_close(d.deployer);
	client_close(d.invoker);
	free(d.name);
	free(d.invoke_path);
	return status;
}

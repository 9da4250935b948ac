/* The life of a web function's worker: starts the command, waits until its port answers, then takes exchanges. While it
 * waits it looks where the program listens instead, so that a wrong port is named: in the log after some seconds, in
 * the error when the program ends or is ended. Interval of looking: from 1 ms on, growing, as a program that is quick
 * is worth it. */
#include "runtime/web/web.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TASK_ROOT        "/var/task"
#define PROBE_FIRST_US   1000
#define PROBE_LONGEST_US (25 * 1000)
#define LOOK_EVERY_US    (200 * 1000)
#define NOTE_FIRST_US    (3 * 1000000)
#define DEFAULT_PORT     "8080"

/* "The program does not listen on ..." */
static void not_listening(struct web *w, struct buf *ret)
{
	if (w->asked) {
		buf_printf(ret, "The program %s has not answered GET %s on 127.0.0.1:%u yet", w->name, w->ready_path,
			   w->port);
		return;
	}
	buf_printf(ret, "The program %s does not listen on 127.0.0.1:%u, the port it is given as PORT", w->name,
		   w->port);
	if (w->seen.n)
		buf_printf(ret, "; it listens on %s", w->seen.p);
}

static void look(struct web *w)
{
	struct buf now = BUF_NULL;

	listening_describe(&now);
	if (now.n >= w->seen.n) { /* not what is half gone already */
		buf_clear(&w->seen);
		buf_add_str(&w->seen, buf_str(&now));
	}
	buf_done(&now);
}

/* Told before there is need: when the server's limit for starting comes, there is no time to ask. */
static void say_waiting(struct web *w)
{
	struct buf text = BUF_NULL;

	not_listening(w, &text);
	if (!str_eq(buf_str(&text), buf_str(&w->said))) {
		shim_error(&w->shim, shim_no_id, "Web.NotListening", "%s", buf_cstr(&text));
		buf_clear(&w->said);
		buf_add_str(&w->said, buf_str(&text));
	}
	buf_done(&text);
}

/* ---- readiness ---- */

static void probe_later(struct web *w)
{
	poller_timer(&w->shim.poller, &w->probe, w->probe_wait_us);
	w->probe_wait_us = MIN(w->probe_wait_us * 5 / 4, (uint64_t)PROBE_LONGEST_US);
}

static void note_waiting(struct web *w)
{
	uint64_t now = poller_now_us(), waited = now - w->began_us;
	struct buf text = BUF_NULL;

	if (now - w->noted_us >= LOOK_EVERY_US) {
		w->noted_us = now;
		look(w);
		say_waiting(w);
	}
	if (waited < w->note_wait_us)
		return;
	not_listening(w, &text);
	fprintf(stderr, "Not ready after %llu s: %s\n", (unsigned long long)waited / 1000000, buf_cstr(&text));
	buf_done(&text);
	w->note_wait_us *= 4;
}

void web_probed(struct web *w, bool ok)
{
	w->asked = false;
	if (!ok) {
		probe_later(w);
		return;
	}
	poller_timer_stop(&w->shim.poller, &w->probe);
	shim_ready(&w->shim);
}

static void probe(struct poll_timer *t)
{
	struct web *w = container_of(t, struct web, probe);
	struct upstream *u;
	int error;

	note_waiting(w);
	if (w->asked) {
		probe_later(w);
		return;
	}
	if (w->ready_path) {
		w->asked = true;
		probe_later(w);
		exchange_begin(exchange_new_probe(w));
		return;
	}
	u = upstream_get(w, &error);
	if (!u) {
		probe_later(w);
		return;
	}
	if (u->connecting)
		return;
	upstream_keep(u); /* the first request will find it */
	web_probed(w, true);
}

/* ---- the lane ---- */

static struct exchange *find(struct web *w, const struct frame *f)
{
	return map_get(&w->exchanges, str_n(f->id, sizeof(f->id)));
}

static void lane_frame(void *arg, const struct frame *f)
{
	struct web *w = arg;
	struct exchange *x = f->type == FRAME_INVOKE ? exchange_new(w, f) : find(w, f);
	uint64_t n;

	if (!x)
		return;
	switch (f->type) {
	case FRAME_INVOKE:
		exchange_begin(x);
		break;
	case FRAME_CHUNK:
		exchange_chunk(x, f->body);
		break;
	case FRAME_END:
		exchange_end_of_request(x);
		break;
	case FRAME_WINDOW_MORE:
		if (frame_meta_u64(f, FRAME_KEY_WINDOW, &n))
			exchange_window(x, n);
		break;
	case FRAME_CANCEL:
		exchange_cancel(x);
		break;
	default:
		break;
	}
}

static void lane_room(void *arg)
{
	struct web *w = arg;
	struct upstream *u, *next;

	for (u = upstream_list_first(&w->busy); u; u = next) {
		next = upstream_list_next(u);
		upstream_resume(u);
	}
}

static const struct lane_events lane_events = {.frame = lane_frame, .room = lane_room};

static void verdict(struct poll_timer *t)
{
	exchange_verdict(container_of(t, struct web, verdict));
}

static void idle_over(struct poll_timer *t)
{
	upstreams_idle_over(container_of(t, struct web, idle_over));
}

/* Answers that are still on their way are awaited; the others are the gate's to give. */
void web_end_if_over(struct web *w)
{
	if (w->over && w->exchanges.n == w->failed.n)
		shim_program_over(&w->shim, w->status);
}

void web_exchange_over(struct web *w, struct exchange *x)
{
	map_del(&w->exchanges, str_n(x->id, sizeof(x->id)));
	if (exchange_list_linked(x))
		exchange_list_remove(&w->failed, x);
	web_end_if_over(w);
}

/* ---- the program ---- */

static void exited(void *arg, int status)
{
	struct web *w = arg;
	struct buf message = BUF_NULL;

	if (!w->shim.ready) {
		shim_exit_message(status, &message);
		buf_adds(&message, ". ");
		not_listening(w, &message);
		shim_init_failed(&w->shim, "Runtime.ExitError", "%s", buf_cstr(&message));
	}
	w->over = true;
	w->status = status;
	poller_timer_stop(&w->shim.poller, &w->verdict);
	/* Their connections have ended too: each says it as it is read to its end. */
	lane_room(w);
	web_end_if_over(w);
}

static void told_to_end(void *arg)
{
	struct web *w = arg;
	struct buf message = BUF_NULL;

	if (w->shim.ready)
		return;
	look(w);
	not_listening(w, &message);
	shim_init_failed(&w->shim, "Web.NotListening", "%s", buf_cstr(&message));
}

/* Where the command's first word is: in the package, else on PATH. */
static char *find_program(const char *word)
{
	struct str rest = str_from(shim_env("PATH", "/usr/local/bin:/usr/bin:/bin")), folder;
	char *path = word[0] == '/' ? xstrdup(word) : xasprintf(TASK_ROOT "/%s", word);

	if (word[0] == '/' || strchr(word, '/') || access(path, F_OK) == 0)
		return path;
	while (rest.n) {
		char *other;

		str_cut(rest, ':', &folder, &rest);
		other = xasprintf("%.*s/%s", STR_ARG(folder), word);
		if (access(other, X_OK) == 0) {
			free(path);
			return other;
		}
		free(other);
	}
	return path;
}

static void start(struct web *w, const struct boxplan *plan)
{
	struct err err = ERR_NULL;
	char **argv, *path;

	if (plan->n_argv < 2)
		shim_init_failed(&w->shim, "Runtime.InvalidEntrypoint",
				 "A web function needs a command: tag wick:command, or the Handler");
	argv = xnew_n(char *, plan->n_argv);
	for (size_t i = 1; i < plan->n_argv; i++)
		argv[i - 1] = str_dup(plan->argv[i]);
	w->name = argv[0];
	path = find_program(argv[0]);
	if (access(path, F_OK) < 0)
		shim_init_failed(&w->shim, "Runtime.InvalidEntrypoint", "%s is neither in " TASK_ROOT " nor on PATH",
				 argv[0]);
	if (program_start(&w->shim.program, path, argv, NULL, 0, &err) < 0)
		shim_init_failed(&w->shim, "Runtime.InvalidEntrypoint", "%s", err.msg);
	free(path);
}

void web_run(const struct zygote_worker *worker)
{
	struct web *w = xnew(struct web);
	uint64_t port;

	shim_begin(&w->shim, worker, &lane_events, exited, w);
	w->shim.program.told_to_end = told_to_end;
	w->ready_path = getenv("WICK_WEB_READY");
	if (w->ready_path && !http1_is_target(str_from(w->ready_path)))
		w->ready_path = NULL;
	if (!str_to_u64(str_from(shim_env("PORT", DEFAULT_PORT)), &port) || port == 0 || port > 65535)
		shim_init_failed(&w->shim, "Runtime.InvalidEntrypoint", "PORT is no port: %s", shim_env("PORT", ""));
	w->port = (uint16_t)port;
	start(w, worker->plan);
	w->began_us = w->noted_us = poller_now_us();
	w->note_wait_us = NOTE_FIRST_US;
	w->probe_wait_us = PROBE_FIRST_US;
	w->pipe[0] = w->pipe[1] = -1;
	w->probe.fired = probe;
	w->verdict.fired = verdict;
	w->idle_over.fired = idle_over;
	probe_later(w);
	poller_run(&w->shim.poller);
}

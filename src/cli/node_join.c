/* wick node: a node on a machine without a gateway. Runs wick-node in the foreground, starts it again when it dies,
 * ends it and its workers on SIGTERM or Ctrl-C. Owns the lock of the data folder, the child and the pipe by which that
 * says what became of joining; knows nothing of links. Fails before it has started anything, or with what the gateway
 * said. */
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/program.h"
#include "cli/serve.h"

#include "base/mem.h"
#include "sys/file.h"
#include "sys/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#define STOP_GRACE_MS 10000 /* wick-node waits 5 s for workers and 2 s for gateways itself */
#define READY_FD      3     /* serve_child_spec.listen_fd */
#define LINE_MAX_N    4096

/* Flags of the command (cli/flags.h) and the variables by which wick-node gets them, or that hold for them; by
 * variables, so that no token stands in a list of processes for long. What is wrong with a value wick-node says. */
static const struct node_value {
	const char *flag, *env;
} values[] = {
	{"join", "WICK_NODE_JOIN"},
	{"token", "WICK_NODE_TOKEN"},
	{"fingerprint", "WICK_NODE_FINGERPRINT"},
	{"ca", "WICK_NODE_CA"},
	{"proxy", "WICK_NODE_PROXY"},
	{"name", "WICK_NODE_NAME"},
	{"label", "WICK_NODE_LABELS"},
	{"worker-memory", "WICK_WORKER_MEMORY"},
	{"code-cache", "WICK_CODE_CACHE"},
	{"zygote-idle", "WICK_ZYGOTE_IDLE"},
	{"prestart", "WICK_PRESTART"},
	{"box-uid", "WICK_BOX_UID"},
	{"internet-allow", "WICK_INTERNET_ALLOW"},
	{"gate-away", "WICK_GATE_AWAY"},
	{"devices", "WICK_DEVICES"},
	{"node-cost", "WICK_NODE_COST"},
	{"share-devices", "WICK_SHARE_DEVICES"},
	{"log-level", "WICK_LOG_LEVEL"},
	{"data", "WICK_DATA"},
};

struct joiner {
	const char *said_values[ARRAY_SIZE(values)]; /* NULL: not given; views of argv or the environment */
	char *data;                                  /* absolute */
	int lock;
	int said[2]; /* the pipe: [0] is read here */
	struct loop *loop;
	struct serve_child *node;
	struct watch *watch;
	struct signal_watch *term, *interrupt, *hangup;
	struct timer *deadline;
	char **envp;
	char *refusal;
	struct buf line;
	bool stopping, failed;
};

static void joiner_done(struct joiner *j)
{
	serve_child_free(j->node);
	watch_free(j->watch);
	signal_watch_free(j->term);
	signal_watch_free(j->interrupt);
	signal_watch_free(j->hangup);
	if (j->loop) {
		timer_free(j->deadline);
		loop_free(j->loop);
	}
	for (size_t i = 0; i < 2; i++)
		if (j->said[i] >= 0)
			close(j->said[i]);
	if (j->lock >= 0)
		close(j->lock);
	for (char **e = j->envp; e && *e; e++) {
		mem_wipe(*e, strlen(*e));
		free(*e);
	}
	free(j->envp);
	free(j->data);
	free(j->refusal);
	buf_done(&j->line);
}

/* ---- before it starts ---- */

static char *default_data(void)
{
	const char *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");

	if (geteuid() == 0)
		return xstrdup("/var/lib/wick-node");
	if (xdg && *xdg == '/')
		return xasprintf("%s/wick-node", xdg);
	return xasprintf("%s/.local/share/wick-node", home && *home ? home : ".");
}

static const char *value_of(const struct joiner *j, const char *flag)
{
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		if (strcmp(values[i].flag, flag) == 0)
			return j->said_values[i];
	return NULL;
}

static int open_data(struct joiner *j, struct err *err)
{
	const char *said = value_of(j, "data");
	_cleanup_(freep) char *path = said ? xstrdup(said) : default_data(), *lock = NULL;
	int owner = 0, r = mkdir_p(path, 0700);

	if (r < 0)
		return err_set(err, -r, "data folder %s cannot be made (another one: --data DIR)", path);
	j->data = realpath(path, NULL);
	if (!j->data)
		return err_set(err, errno, "data folder %s", path);
	if (access(j->data, R_OK | W_OK | X_OK) < 0)
		return err_set(err, errno, "data folder %s cannot be used (another one: --data DIR)", j->data);
	lock = xasprintf("%s/lock", j->data);
	j->lock = lock_file(lock, &owner);
	if (j->lock == -EWOULDBLOCK)
		return err_set(err, 0, "wick is already running on %s (pid %d)", j->data, owner);
	return j->lock < 0 ? err_set(err, -j->lock, "%s cannot be locked", lock) : 0;
}

static void make_env(struct joiner *j, const char *libexec)
{
	size_t n = 0, at = 0;

	while (environ[n])
		n++;
	j->envp = xnew_n(char *, n + ARRAY_SIZE(values) + 4);
	for (size_t i = 0; i < n; i++)
		if (strncmp(environ[i], "WICK_", 5) != 0 && strncmp(environ[i], "AWS_", 4) != 0 &&
		    strncmp(environ[i], "NOTIFY_SOCKET=", 14) != 0)
			j->envp[at++] = xstrdup(environ[i]);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		if (j->said_values[i] && strcmp(values[i].flag, "data") != 0)
			j->envp[at++] = xasprintf("%s=%s", values[i].env, j->said_values[i]);
	j->envp[at++] = xasprintf("WICK_DATA=%s", j->data);
	j->envp[at++] = xasprintf("WICK_LIBEXEC=%s", libexec);
	j->envp[at++] = xasprintf("WICK_READY_FD=%d", READY_FD);
}

/* ---- it runs ---- */

static void end_now(void *arg)
{
	struct joiner *j = arg;

	log_warn("ending at once; what still ran is lost");
	j->node = serve_child_free(j->node);
	loop_stop(j->loop);
}

static void stop(struct joiner *j)
{
	j->stopping = true;
	serve_notify("STOPPING=1");
	timer_set(j->deadline, STOP_GRACE_MS);
	serve_child_stop(j->node, SIGTERM);
}

static void on_signal(void *arg, int signo)
{
	struct joiner *j = arg;

	if (j->stopping) {
		end_now(j);
		return;
	}
	log_info("stopping: %s; workers are ended (a second signal ends at once)",
		 signo == SIGINT ? "Ctrl-C" : strsignal(signo));
	stop(j);
}

static void on_over(void *arg)
{
	struct joiner *j = arg;

	j->failed = !j->stopping;
	loop_stop(j->loop);
}

/* "started", "joined GATE as NAME", "refused WHY": a line each. */
static void on_line(struct joiner *j, struct str line)
{
	if (str_eqz(line, "started")) {
		/* From here on it is kept running, also while its gateways cannot be reached. */
		serve_child_settled(j->node);
		serve_notify("READY=1");
	} else if (str_starts(line, STR("joined "))) {
		_cleanup_(buf_done) struct buf clean = BUF_NULL;
		_cleanup_(freep) char *status = NULL;

		out_clean(&clean, line);
		printf("%s%s%s\n", tone_on(STDOUT_FILENO, TONE_GOOD), buf_cstr(&clean),
		       tone_off(STDOUT_FILENO, TONE_GOOD));
		fflush(stdout);
		status = xasprintf("STATUS=%s", buf_cstr(&clean));
		serve_notify(status);
	} else if (str_starts(line, STR("refused ")) && !j->stopping) {
		free(j->refusal);
		j->refusal = str_dup(str_sub(line, 8, SIZE_MAX));
		stop(j);
	}
}

static void on_said(void *arg, int events)
{
	struct joiner *j = arg;
	char bytes[LINE_MAX_N];
	struct str rest, line;
	ssize_t n = read(j->said[0], bytes, sizeof(bytes));

	if (n <= 0)
		return;
	buf_add(&j->line, bytes, (size_t)n);
	rest = buf_str(&j->line);
	while (str_cut(rest, '\n', &line, &rest))
		on_line(j, line);
	buf_consume(&j->line, j->line.n - MIN(rest.n, (size_t)LINE_MAX_N));
}

static int run(struct joiner *j, struct err *err)
{
	_cleanup_(freep) char *libexec = program_folders(), *program = program_find("wick-node", err);
	struct rlimit files;
	struct sigaction hup;

	if (!program || open_data(j, err) < 0)
		return -1;
	if (pipe2(j->said, O_CLOEXEC) < 0)
		return err_set(err, errno, "make a pipe");
	fd_set_nonblock(j->said[0]);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	make_env(j, libexec);
	j->loop = loop_new();
	j->deadline = timer_new(j->loop, end_now, j);
	j->watch = watch_new(j->loop, j->said[0], WATCH_READ, on_said, j);
	j->term = signal_watch_new(j->loop, SIGTERM, on_signal, j);
	j->interrupt = signal_watch_new(j->loop, SIGINT, on_signal, j);
	/* Under nohup it shall live on when the terminal goes. */
	if (sigaction(SIGHUP, NULL, &hup) == 0 && hup.sa_handler != SIG_IGN)
		j->hangup = signal_watch_new(j->loop, SIGHUP, on_signal, j);
	j->node = serve_child_start(
		j->loop,
		&(struct serve_child_spec){
			.name = "wick-node", .path = program, .envp = j->envp, .listen_fd = j->said[1]},
		on_over, j);
	loop_run(j->loop);
	return j->refusal ? err_set(err, 0, "%s", j->refusal) : 0;
}

/* ---- flags ---- */

static int unknown(const struct cli *c, const char *arg, struct str name)
{
	_cleanup_(freep) char *given = str_dup(name);

	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		if (near_miss(given, values[i].flag))
			return cli_usage(c, "unknown option %s; did you mean --%s?", arg, values[i].flag);
	return cli_usage(c, "unknown option %s", arg);
}

static int read_flags(struct joiner *j, const struct cli *c, int argc, char **argv)
{
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		const char *said = getenv(values[i].env);

		j->said_values[i] = said && *said ? said : NULL;
	}
	for (int i = 1; i < argc; i++) {
		struct str name, value;
		size_t at = 0;
		bool joined;

		if (strncmp(argv[i], "--", 2) != 0)
			return cli_usage(c, "unexpected argument '%s'", argv[i]);
		joined = str_cut(str_from(argv[i] + 2), '=', &name, &value);
		while (at < ARRAY_SIZE(values) && !str_eqz(name, values[at].flag))
			at++;
		if (at == ARRAY_SIZE(values))
			return unknown(c, argv[i], name);
		if (!joined && i + 1 >= argc)
			return cli_usage(c, "--%s needs a value", values[at].flag);
		j->said_values[at] = joined ? value.p : argv[++i];
	}
	return EXIT_SUCCESS;
}

int node_join_main(int argc, char **argv)
{
	_cleanup_(joiner_done) struct joiner j = {.lock = -1, .said = {-1, -1}};
	struct cli c = {.name = "node"};
	enum log_level level = LOG_INFO;
	struct err err = ERR_NULL;
	int status = read_flags(&j, &c, argc, argv);
	const char *said;

	if (status != EXIT_SUCCESS)
		return status;
	said = value_of(&j, "log-level");
	if (said && !log_level_by_name(said, &level))
		return cli_usage(&c, "log level \"%s\" is none of debug, info, warn, error", said);
	log_open("wick", level);
	if (run(&j, &err) < 0)
		return cli_fail(&c, &err);
	log_info("stopped");
	return j.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

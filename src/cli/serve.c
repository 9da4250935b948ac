/* wick serve: the supervisor. In this order: settings, data folder (locked), public port, children, ready; stopped in
 * the reverse: the gate drains, then the node, then this. Owns the lock, the listening socket and the children; knows
 * no request. Fails before it has started anything, with one line that says what to do. */
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/program.h"
#include "cli/serve.h"

#include "base/mem.h"
#include "model/node.h"
#include "model/price.h"
#include "net/tcp.h"
#include "sys/file.h"
#include "sys/log.h"
#include "wire/yaml.h"

#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONFIG_MAX     ((size_t)1 << 20)
#define STOP_GRACE_MS  5000 /* beyond drain_ms, for a gate that hangs */
#define GATE_LISTEN_FD 3
#define GATE_NODES_FD  4

struct supervisor {
	struct settings s;
	struct serve_data data;
	struct serve_listen listen;
	struct loop *loop;
	struct serve_child *gate, *node;
	struct serve_ready *ready;
	struct signal_watch *term, *interrupt, *hangup;
	struct timer *deadline;
	char **envp;
	char *libexec;
	int nodes_fd; /* where remote nodes dial; -1: nowhere */
	bool stopping, failed;
};

/* Settings */

static int config_value(struct supervisor *sv, const char *file, const char *name, const json_t *v, struct err *err)
{
	_cleanup_(freep) char *source = xasprintf("%s: %s", file, name);
	char number[32];
	const char *text = number;

	if (json_is_string(v))
		text = json_string_value(v);
	else if (json_is_integer(v))
		snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	else if (json_is_real(v))
		snprintf(number, sizeof(number), "%.12f", json_real_value(v));
	else if (json_is_boolean(v))
		text = json_is_true(v) ? "true" : "false";
	else if (json_is_null(v))
		text = "";
	else
		return err_set(err, 0, "%s: must be a single value", source);
	if (strcmp(name, "data") == 0)
		return err_set(err, 0, "%s: the data folder is named by --data or WICK_DATA", source);
	return settings_set(settings_table, settings_count, &sv->s, name, text, source, err);
}

static int read_config(struct supervisor *sv, const char *file, bool must, struct err *err)
{
	_cleanup_(buf_done) struct buf text = BUF_NULL;
	_cleanup_json_ json_t *doc = NULL;
	const char *name;
	json_t *v;
	int r = file_read(file, CONFIG_MAX, &text);

	if ((r == -ENOENT || r == -ENOTDIR || r == -EACCES) && !must)
		return 1;
	if (r < 0)
		return err_set(err, -r, "settings file %s", file);
	if (str_trim(buf_str(&text)).n == 0)
		return 0;
	doc = yaml_parse(buf_str(&text), err);
	if (!doc)
		return err_wrap(err, "%s", file);
	if (json_is_null(doc))
		return 0;
	if (!json_is_object(doc))
		return err_set(err, 0, "%s: expected lines of NAME: VALUE", file);
	json_object_foreach(doc, name, v) if (config_value(sv, file, name, v, err) < 0) return -1;
	return 0;
}

/* Takes --config FILE out of argv. */
static int take_config(int *argc, char **argv, const char **ret, struct err *err)
{
	int kept = 0;

	for (int i = 0; i < *argc; i++) {
		if (strncmp(argv[i], "--config=", 9) == 0)
			*ret = argv[i] + 9;
		else if (strcmp(argv[i], "--config") != 0)
			argv[kept++] = argv[i];
		else if (i + 1 < *argc)
			*ret = argv[++i];
		else
			return err_set(err, 0, "--config needs a value: FILE");
	}
	*argc = kept;
	return 0;
}

static int check_settings(const struct settings *s, struct err *err)
{
	struct price_book prices = PRICE_BOOK_DEFAULT;
	struct node_address nodes;
	enum log_level level;

	if (!log_level_by_name(s->log_level, &level))
		return err_set(err, 0, "log_level: '%s' is none of debug, info, warn, error", s->log_level);
	if (strlen(s->account) != 12 || strspn(s->account, "0123456789") != 12)
		return err_set(err, 0, "account: '%s' is not 12 digits", s->account);
	if (*s->url && strncmp(s->url, "http://", 7) != 0 && strncmp(s->url, "https://", 8) != 0)
		return err_set(err, 0, "url: '%s' must begin with http:// or https://", s->url);
	if (price_parse_slices(&prices, str_from(s->price_slices), err) < 0)
		return err_wrap(err, "price_slices");
	if (node_address_settings(s, &nodes, err) < 0)
		return -1;
	return *s->region ? 0 : err_set(err, 0, "region: may not be empty");
}

/* Flags win over the environment, that over the file: the file is read when both have said where it is, and what they
 * said is then set again. */
static int read_settings(struct supervisor *sv, int argc, char **argv, const char **config, struct err *err)
{
	struct settings *s = &sv->s;
	_cleanup_(freep) char **copy = xmemdup(argv, sizeof(*argv) * ((size_t)argc + 1));
	_cleanup_(freep) char *in_data = NULL;
	int n = argc, r;

	settings_defaults(settings_table, settings_count, s);
	if (settings_apply_env(settings_table, settings_count, s, environ, err) < 0 ||
	    settings_apply_argv(settings_table, settings_count, s, &n, copy, err) < 0)
		return -1;
	if (n > 0)
		return err_set(err, 0, "unexpected argument '%s'", copy[0]);
	if (!*s->data) {
		free(s->data);
		s->data = client_default_data();
	}
	in_data = xasprintf("%s/wick.yaml", s->data);
	r = *config ? read_config(sv, *config, true, err) : read_config(sv, in_data, false, err);
	if (r > 0 && geteuid() == 0)
		r = read_config(sv, "/etc/wick/wick.yaml", false, err);
	if (r < 0)
		return -1;
	memcpy(copy, argv, sizeof(*argv) * ((size_t)argc + 1));
	n = argc;
	if (settings_apply_env(settings_table, settings_count, s, environ, err) < 0 ||
	    settings_apply_argv(settings_table, settings_count, s, &n, copy, err) < 0)
		return -1;
	/* An empty WICK_DATA or --data is none. */
	if (!*s->data) {
		free(s->data);
		s->data = client_default_data();
	}
	if (!*s->user && geteuid() == 0 && getpwnam("wick")) {
		free(s->user);
		s->user = xstrdup("wick");
	}
	return check_settings(s, err);
}

/* Environment of the children */

static uint64_t machine_memory(void)
{
	return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGE_SIZE);
}

static void make_env(struct supervisor *sv)
{
	size_t n = 0, at = 0;
	uint64_t memory = sv->s.worker_memory ? sv->s.worker_memory : machine_memory() / 4 * 3;

	while (environ[n])
		n++;
	sv->envp = xnew_n(char *, n + settings_count + 8);
	/* Of the WICK_* only what this table makes: a value from outside that is not in it reaches nobody. The AWS_*
	 * are this user's own keys, no business of the functions'. */
	for (size_t i = 0; i < n; i++)
		if (strncmp(environ[i], "WICK_", 5) != 0 && strncmp(environ[i], "AWS_", 4) != 0 &&
		    strncmp(environ[i], "NOTIFY_SOCKET=", 14) != 0)
			sv->envp[at++] = xstrdup(environ[i]);
	for (size_t i = 0; i < settings_count; i++) {
		_cleanup_(buf_done) struct buf b = BUF_NULL;

		if (!settings_table[i].env)
			continue;
		buf_printf(&b, "%s=", settings_table[i].env);
		setting_format(&settings_table[i], &sv->s, &b);
		sv->envp[at++] = buf_steal(&b);
	}
	sv->envp[at++] = xasprintf("WICK_NODE_SOCKET=%s", sv->data.node_socket);
	sv->envp[at++] = xasprintf("WICK_LISTEN_FD=%d", GATE_LISTEN_FD);
	if (sv->nodes_fd >= 0)
		sv->envp[at++] = xasprintf("WICK_NODES_FD=%d", GATE_NODES_FD);
	sv->envp[at++] = xasprintf("WICK_LIBEXEC=%s", sv->libexec);
	sv->envp[at++] = xasprintf("WICK_NODE_MEMORY_MB=%llu", (unsigned long long)(memory >> 20));
	sv->envp[at++] = xasprintf("WICK_CODE_CACHE_BYTES=%llu", (unsigned long long)sv->s.code_cache_bytes);
}

/* Running */

static void print_banner(const struct supervisor *sv)
{
	_cleanup_(freep) char *dflt = client_default_data();
	bool elsewhere = strcmp(dflt, sv->data.path) != 0;

	if (!out_is_tty(STDOUT_FILENO) && !sv->data.first)
		return;
	printf("%sWick %s%s is ready at %s\n"
	       "  data       %s\n"
	       "  keys       eval \"$(wick env%s%s)\"\n"
	       "  next       wick deploy PATH     (`wick --help` lists the commands)\n"
	       "  stop       Ctrl-C\n",
	       tone_on(STDOUT_FILENO, TONE_BOLD), WICK_VERSION, tone_off(STDOUT_FILENO, TONE_BOLD), sv->listen.local,
	       sv->data.path, elsewhere ? " --data " : "", elsewhere ? sv->data.path : "");
	fflush(stdout);
}

static void on_ready(void *arg)
{
	struct supervisor *sv = arg;

	serve_child_settled(sv->gate);
	serve_child_settled(sv->node);
	log_info("ready at %s, data in %s", sv->listen.url, sv->data.path);
	serve_notify("READY=1");
	print_banner(sv);
}

/* What runs still is ended at once. */
static void end_now(void *arg)
{
	struct supervisor *sv = arg;

	log_warn("ending at once; what still ran is lost");
	sv->gate = serve_child_free(sv->gate);
	sv->node = serve_child_free(sv->node);
	loop_stop(sv->loop);
}

static void on_signal(void *arg, int signo)
{
	struct supervisor *sv = arg;

	if (sv->stopping) {
		end_now(sv);
		return;
	}
	sv->stopping = true;
	log_info("stopping: %s; invocations that run have %llu s to end (a second signal ends at once)",
		 signo == SIGINT ? "Ctrl-C" : strsignal(signo), (unsigned long long)(sv->s.drain_ms / 1000));
	serve_notify("STOPPING=1");
	timer_set(sv->deadline, sv->s.drain_ms + STOP_GRACE_MS);
	serve_child_stop(sv->gate, SIGTERM);
}

/* A child has ended as it was told to: the gate first, which needs the node while it drains. Or one has refused to
 * start: then all ends. */
static void on_over(void *arg)
{
	struct supervisor *sv = arg;

	if (!sv->stopping) {
		sv->stopping = sv->failed = true;
		sv->gate = serve_child_free(sv->gate);
		sv->node = serve_child_free(sv->node);
		loop_stop(sv->loop);
		return;
	}
	if (sv->gate) {
		sv->gate = serve_child_free(sv->gate);
		serve_child_stop(sv->node, SIGTERM);
		return;
	}
	sv->node = serve_child_free(sv->node);
	loop_stop(sv->loop);
}

/* What the children are told: the address that was bound, not the one asked for. */
static void settle_address(struct supervisor *sv)
{
	free(sv->s.listen);
	sv->s.listen = xstrdup(strstr(sv->listen.url, "://") + 3);
	free(sv->s.data);
	sv->s.data = xstrdup(sv->data.path);
	if (!*sv->s.url) {
		free(sv->s.url);
		sv->s.url = xstrdup(sv->listen.local);
	}
}

/* What clients of this machine are told. Written while the children start: each durable write takes milliseconds. */
static int record(const struct supervisor *sv, struct err *err)
{
	if (serve_data_record(&sv->data, "region", sv->s.region, err) < 0 ||
	    serve_data_record(&sv->data, "account", sv->s.account, err) < 0)
		return -1;
	return serve_data_record(&sv->data, "endpoint", sv->listen.local, err);
}

static int start_all(struct supervisor *sv, struct err *err)
{
	_cleanup_(freep) char *node = NULL, *gate = NULL;
	struct rlimit files;
	struct sigaction hup;

	sv->libexec = program_folders();
	node = program_find("wick-node", err);
	gate = node ? program_find("wick-gate", err) : NULL;
	if (!gate)
		return -1;
	if (serve_data_open(&sv->data, sv->s.data, sv->s.user, err) < 0 ||
	    serve_listen_open(&sv->listen, sv->s.listen, err) < 0)
		return -1;
	settle_address(sv);
	/* Bound here, so that nodes find it again after a restart of the gate. */
	sv->nodes_fd = *sv->s.nodes ? tcp_listen(sv->s.nodes, err) : -1;
	if (*sv->s.nodes && sv->nodes_fd < 0)
		return err_wrap(err, "nodes");
	/* Every connection, worker and object in flight is an fd. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	make_env(sv);
	sv->loop = loop_new();
	sv->deadline = timer_new(sv->loop, end_now, sv);
	sv->term = signal_watch_new(sv->loop, SIGTERM, on_signal, sv);
	sv->interrupt = signal_watch_new(sv->loop, SIGINT, on_signal, sv);
	/* Under nohup it shall live on when the terminal goes. */
	if (sigaction(SIGHUP, NULL, &hup) == 0 && hup.sa_handler != SIG_IGN)
		sv->hangup = signal_watch_new(sv->loop, SIGHUP, on_signal, sv);
	sv->node = serve_child_start(
		sv->loop,
		&(struct serve_child_spec){.name = "wick-node", .path = node, .envp = sv->envp, .listen_fd = -1},
		on_over, sv);
	sv->gate = serve_child_start(sv->loop,
				     &(struct serve_child_spec){.name = "wick-gate",
								.path = gate,
								.envp = sv->envp,
								.listen_fd = sv->listen.fd,
								.nodes_fd = MAX(sv->nodes_fd, 0)},
				     on_over, sv);
	if (record(sv, err) < 0)
		return -1;
	sv->ready = serve_ready_new(sv->loop, &sv->listen, on_ready, sv);
	loop_run(sv->loop);
	return 0;
}

static void supervisor_done(struct supervisor *sv)
{
	serve_ready_free(sv->ready);
	serve_child_free(sv->gate);
	serve_child_free(sv->node);
	signal_watch_free(sv->term);
	signal_watch_free(sv->interrupt);
	signal_watch_free(sv->hangup);
	if (sv->loop) {
		timer_free(sv->deadline);
		loop_free(sv->loop);
	}
	serve_listen_close(&sv->listen);
	if (sv->nodes_fd >= 0)
		close(sv->nodes_fd);
	serve_data_close(&sv->data);
	for (char **e = sv->envp; e && *e; e++)
		free(*e);
	free(sv->envp);
	free(sv->libexec);
	settings_done(settings_table, settings_count, &sv->s);
}

void serve_help(struct buf *b)
{
	buf_adds(b, "\nSettings:\n  --config FILE\n          File with settings, NAME: VALUE a line (wick.yaml).\n");
	settings_help(settings_table, settings_count, b);
}

int serve_main(int argc, char **argv)
{
	_cleanup_(supervisor_done) struct supervisor sv = {.data.lock = -1, .listen.fd = -1, .nodes_fd = -1};
	struct cli c = {.name = "serve"};
	struct err err = ERR_NULL;
	const char *config = NULL;
	enum log_level level = LOG_INFO;

	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			_cleanup_(buf_done) struct buf b = BUF_NULL;

			cmd_help(cmd_find("serve"), &b);
			fputs(buf_cstr(&b), stdout);
			return EXIT_SUCCESS;
		}
	argc--;
	argv++;
	if (take_config(&argc, argv, &config, &err) < 0 || read_settings(&sv, argc, argv, &config, &err) < 0) {
		cli_fail(&c, &err);
		return EXIT_USAGE;
	}
	log_level_by_name(sv.s.log_level, &level); /* checked with the others */
	log_open("wick", level);
	if (start_all(&sv, &err) < 0)
		return cli_fail(&c, &err);
	log_info("stopped");
	return sv.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

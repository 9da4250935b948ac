/* Reads the node's few settings. The supervisor has read all sources and made one set of WICK_* variables of them;
 * flags are for a person who starts the node by hand. Owns the strings of struct node_conf. Fails on a flag or a
 * value that it does not understand, naming it. */
#include "node/conf.h"

#include "base/mem.h"
#include "base/str.h"
#include "base/table.h"
#include "node/gates.h"
#include "sys/file.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define HOST_NAME_SIZE 256

#define OPTION_OF(flag_name, variable, member, kind, meta, value, text)                                                \
	{                                                                                                              \
		.name = flag_name, .flag = "--" flag_name, .env = variable, .metavar = meta, .type = kind,             \
		.dflt = value, .offset = offsetof(struct node_conf, member), .help = text                              \
	}
#define OPTION(flag_name, variable, member, kind, meta, text)                                                          \
	OPTION_OF(flag_name, variable, member, kind, meta, NULL, text)

static const struct setting table[] = {
	OPTION("data", "WICK_DATA", data, SETTING_STRING, "DIR", "Folder of everything durable."),
	OPTION("socket", "WICK_NODE_SOCKET", socket, SETTING_STRING, "PATH",
	       "Unix socket on which the gate finds the node."),
	OPTION("join", "WICK_NODE_JOIN", join, SETTING_STRING, "HOST:PORT",
	       "Remote gateway to run functions for. Those that took this node before are kept in the data folder."),
	OPTION("token", "WICK_NODE_TOKEN", token, SETTING_STRING, "T",
	       "What that gateway's `wick token` printed; needed once."),
	OPTION("fingerprint", "WICK_NODE_FINGERPRINT", fingerprint, SETTING_STRING, "SHA256:...",
	       "Of that gateway's key. Without it, its certificate must be one that the machine trusts."),
	OPTION("ca", "WICK_NODE_CA", ca, SETTING_STRING, "FILE",
	       "Certificates that vouch for that gateway, instead of the machine's."),
	OPTION("proxy", "WICK_NODE_PROXY", proxy, SETTING_STRING, "URL",
	       "HTTP proxy on the way to that gateway. Without it, https_proxy and no_proxy count."),
	OPTION("node-labels", "WICK_NODE_LABELS", labels, SETTING_STRING, "LIST",
	       "What functions may wish of a node (wick:place), with commas between."),
	OPTION_OF("gate-away", "WICK_GATE_AWAY", gate_away_ms, SETTING_DURATION, "TIME", "5m",
		  "Idle workers of a remote gateway that is away for this long are ended."),
	OPTION("ready-fd", "WICK_READY_FD", ready_fd, SETTING_U32, "FD",
	       "Descriptor on which the starter is told that a gateway has taken this node, or has not."),
	OPTION("libexec", "WICK_LIBEXEC", libexec, SETTING_STRING, "DIRS",
	       "Folders with the runtimes' programs, with ':' between; the first that has a program counts."),
	OPTION("name", "WICK_NODE_NAME", name, SETTING_STRING, "NAME",
	       "Name of this node (a-z, 0-9 and -); without it, from the host's."),
	OPTION("log-level", "WICK_LOG_LEVEL", level, SETTING_STRING, "LEVEL",
	       "Least of debug, info, warn and error that is logged."),
	OPTION("worker-memory", "WICK_WORKER_MEMORY", memory, SETTING_BYTES, "SIZE",
	       "Memory for all workers together. 0: three quarters of the machine's."),
	OPTION("code-cache", "WICK_CODE_CACHE", code_cache_max, SETTING_BYTES, "SIZE",
	       "Unpacked packages that are kept. 0: 10g."),
	OPTION_OF("zygote-idle", "WICK_ZYGOTE_IDLE", zygote_idle_ms, SETTING_DURATION, "TIME", "10m",
		  "A zygote that nobody needed for this long ends."),
	OPTION_OF("prestart", "WICK_PRESTART", prestart, SETTING_U32, "N", "2",
		  "Node.js processes that wait for code."),
	OPTION("box-uid", "WICK_BOX_UID", box_uid, SETTING_U32, "UID",
	       "Started as root: the user and group number of boxes. 0: 64646."),
	OPTION("internet-allow", "WICK_INTERNET_ALLOW", internet_allow, SETTING_STRING, "CIDRS",
	       "Private networks that functions with wick:network=internet may reach."),
	OPTION("devices", "WICK_DEVICES", devices, SETTING_STRING, "LIST",
	       "Declared devices: KIND[:COUNT][:mem=MIB][:file=PATH]..., ';' between, or @FILE."),
	OPTION_OF("node-cost", "WICK_NODE_COST", cost, SETTING_MONEY, "USD", "0", "What this machine costs an hour."),
	OPTION_OF("share-devices", "WICK_SHARE_DEVICES", share_devices, SETTING_BOOL, NULL, "false",
		  "Functions of different roles may share a device."),
	OPTION("nvml", "WICK_NVML", nvml, SETTING_STRING, "PATH", "NVIDIA's management library; none: not asked."),
	OPTION("opencl", "WICK_OPENCL", opencl, SETTING_STRING, "PATH", "OpenCL's loader; none: not asked."),
	OPTION("mps-control", "WICK_MPS_CONTROL", mps_control, SETTING_STRING, "PATH",
	       "NVIDIA's nvidia-cuda-mps-control; none: fractions of a card are only watched."),
	OPTION_OF("park-limit", "WICK_PARK_LIMIT", park_limit_ms, SETTING_DURATION, "TIME", "60s",
		  "A worker whose device memory cannot be moved within this is ended."),
};

#define BOX_UID_DEFAULT 64646

#define CODE_CACHE_DEFAULT (10ull << 30)

static int parse_level(const char *text, enum log_level *ret, struct err *err)
{
	*ret = LOG_INFO;
	if (!text || !text[0] || log_level_by_name(text, ret))
		return 0;
	return err_set(err, 0, "log level \"%s\" is none of debug, info, warn, error", text);
}

static void print_help(void)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	settings_help(table, ARRAY_SIZE(table), &b);
	printf("Usage: wick-node --data DIR [--socket PATH] [--join HOST:PORT --token T] [FLAG]...\n"
	       "The part of Wick that runs functions; `wick serve` and `wick node` start it.\n\n%s",
	       buf_cstr(&b));
}

static bool wants_help(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return true;
	return false;
}

static void default_text(char **field, char *text /* taken */)
{
	if (*field && (*field)[0]) {
		free(text);
		return;
	}
	free(*field);
	*field = text;
}

/* What nobody said, the machine says. */
static void conf_machine(struct node_conf *c)
{
	uint64_t pages = (uint64_t)sysconf(_SC_PHYS_PAGES), page = (uint64_t)sysconf(_SC_PAGESIZE);
	_cleanup_(freep) char *self = self_dir();
	char name[HOST_NAME_SIZE] = "node";

	c->cpus = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
	if (!c->memory)
		c->memory = pages / 4 * 3 * page;
	c->memory_mb = c->memory >> 20;
	if (getuid() != 0)
		c->box_uid = 0;
	else if (!c->box_uid)
		c->box_uid = BOX_UID_DEFAULT;
	if (!c->code_cache_max)
		c->code_cache_max = CODE_CACHE_DEFAULT;
	gethostname(name, sizeof(name) - 1);
	default_text(&c->name, node_name_from(name));
	/* Beside this program when installed, next room when run from the build. */
	default_text(&c->libexec,
		     self ? xasprintf("%s:%s/../runtime:" WICK_LIBEXECDIR, self, self) : xstrdup(WICK_LIBEXECDIR));
}

int conf_read(struct node_conf *ret, int argc, char **argv, bool *help, struct err *err)
{
	extern char **environ;

	*ret = (struct node_conf){0};
	settings_defaults(table, ARRAY_SIZE(table), ret);
	*help = wants_help(argc, argv);
	if (*help) {
		print_help();
		return 0;
	}
	if (settings_apply_env(table, ARRAY_SIZE(table), ret, environ, err) < 0 ||
	    settings_apply_argv(table, ARRAY_SIZE(table), ret, &argc, argv, err) < 0)
		return -1;
	if (argc > 1)
		return err_set(err, 0, "unexpected argument %s (see --help)", argv[1]);
	if (!*ret->data)
		return err_set(err, 0, "--data is needed (see --help)");
	if (parse_level(ret->level, &ret->log_level, err) < 0)
		return -1;
	conf_machine(ret);
	return 0;
}

void conf_done(struct node_conf *c)
{
	settings_done(table, ARRAY_SIZE(table), c);
	free(c->code_folder);
}

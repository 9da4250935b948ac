/* Box plans. Pure but for plan_host_look: no system call; everything that is not the caller's lives in the arena given.
 * Fails on an environment that no process can have. */
#include "node/plan.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPS_MAX       (128 + PLAN_SLICE_OPS_MAX) /* BOXPLAN_MAX_OPS */
#define ROOT_BYTES    (1ull << 20)               /* holds mount points and a few files of /etc */
#define ENV_OURS      9                          /* variables that are not the function's to say, at most */
#define SHM_BYTES     (64ull << 20)
#define FILES_MAX     4096ull
#define PROCESSES_MAX 1024ull /* as AWS Lambda: "Lambda quotas", execution processes and threads */
#define SIGNALS_MAX   1024ull
#define MEMLOCK_BYTES (64ull << 10)
#define DNS_ADDRESS   "10.0.2.3" /* node/net.h */
#define HOST_NAME     "wick"

static const char *const programs[RUNTIME_KINDS] = {
	[RUNTIME_PYTHON] = "wick-python",  [RUNTIME_NODEJS] = "wick-nodejs", [RUNTIME_PROVIDED] = "wick-runtime",
	[RUNTIME_NATIVE] = "wick-runtime", [RUNTIME_WEB] = "wick-runtime",
};

const char *plan_program(enum runtime_kind k)
{
	return programs[k];
}

void plan_host_look(struct plan_host *ret)
{
	static const char *const paths[] = {"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"};

	*ret = (struct plan_host){0};
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		struct plan_link *l = &ret->links[ret->n_links];
		char target[256];
		struct stat st;
		ssize_t n;

		if (lstat(paths[i], &st) < 0)
			continue;
		l->path = paths[i];
		n = S_ISLNK(st.st_mode) ? readlink(paths[i], target, sizeof(target)) : -1;
		l->target = n > 0 && (size_t)n < sizeof(target) ? str_dup(str_n(target, (size_t)n)) : NULL;
		ret->n_links++;
	}
}

void plan_host_done(struct plan_host *h)
{
	for (size_t i = 0; i < h->n_links; i++)
		free(h->links[i].target);
	h->n_links = 0;
}

/* ---- operations ---- */

struct maker {
	struct boxplan *p;
	struct arena *a;
};

static struct box_op *add(struct maker *m, enum box_op_kind kind, const char *to)
{
	struct box_op *op = &m->p->ops[m->p->n_ops++];

	*op = (struct box_op){.kind = kind, .to = str_from(to)};
	return op;
}

static void bind(struct maker *m, const char *from, const char *to, uint32_t flags)
{
	struct box_op *op = add(m, BOX_BIND, to);

	op->from = str_from(from);
	op->flags = flags;
}

static void tmpfs(struct maker *m, const char *to, uint64_t bytes, uint32_t flags)
{
	struct box_op *op = add(m, BOX_TMPFS, to);

	op->value = bytes;
	op->flags = flags;
}

static void file(struct maker *m, const char *to, const char *text)
{
	add(m, BOX_FILE, to)->from = str_from(text);
}

static void links(struct maker *m, const char *to, const char *text)
{
	add(m, BOX_LINK, to)->from = str_from(text);
}

static void rlimit(struct maker *m, unsigned which, uint64_t value)
{
	struct box_op *op = add(m, BOX_RLIMIT, "");

	op->to = STR_NULL;
	op->which = which;
	op->value = value;
}

/* ---- the parts of a box ---- */

static void join(struct maker *m, const struct plan_order *o)
{
	for (unsigned i = 0; i < o->joins; i++) {
		struct box_op *op = add(m, BOX_CGROUP, "");

		op->to = STR_NULL;
		op->fd = 2 + o->extra_fds + i;
	}
}

static void add_etc(struct maker *m, const struct plan_order *o)
{
	/* What programs and libraries of this machine read; nothing that says who uses it. */
	static const char *const shared[] = {
		"/etc/alternatives", "/etc/ld.so.cache",     "/etc/ld.so.conf", "/etc/ld.so.conf.d",
		"/etc/ssl/certs",    "/etc/ssl/openssl.cnf", "/etc/python3",    "/etc/python3.11",
		"/etc/fonts",        "/etc/matplotlibrc",    "/etc/mime.types", "/etc/services",
		"/etc/protocols",    "/etc/localtime",       "/etc/magic",      "/etc/OpenCL",
	};
	bool internet = o->opt && o->opt->network == NETWORK_INTERNET;

	add(m, BOX_DIR, "/etc");
	add(m, BOX_DIR, "/etc/ssl");
	for (size_t i = 0; i < ARRAY_SIZE(shared); i++)
		bind(m, shared[i], shared[i], BOX_OPTIONAL);
	file(m, "/etc/passwd", "root:x:0:0::/:/usr/sbin/nologin\nuser:x:1000:1000::/tmp:/bin/sh\n");
	file(m, "/etc/group", "root:x:0:\nuser:x:1000:\n");
	file(m, "/etc/hosts", "127.0.0.1 localhost " HOST_NAME "\n::1 localhost\n");
	file(m, "/etc/nsswitch.conf",
	     "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n");
	file(m, "/etc/resolv.conf", internet ? "nameserver " DNS_ADDRESS "\n" : "");
}

static void add_dev(struct maker *m)
{
	static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"};

	add(m, BOX_DIR, "/dev");
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++)
		bind(m, devices[i], devices[i], BOX_DEV | BOX_WRITABLE);
	links(m, "/dev/fd", "/proc/self/fd");
	links(m, "/dev/stdin", "/proc/self/fd/0");
	links(m, "/dev/stdout", "/proc/self/fd/1");
	links(m, "/dev/stderr", "/proc/self/fd/2");
	tmpfs(m, "/dev/shm", SHM_BYTES, 0);
}

static uint64_t tmp_bytes(const struct plan_order *o)
{
	return (uint64_t)(o->f && o->f->ephemeral_mb ? o->f->ephemeral_mb : 512) << 20;
}

static void add_root(struct maker *m, const struct plan_order *o)
{
	struct box_op *root = add(m, BOX_ROOT, "");

	root->to = STR_NULL;
	root->value = ROOT_BYTES;
	add(m, BOX_DIR, "/var");
	if (o->kind == PLAN_POOL)
		add(m, BOX_DIR, PLAN_TASK_ROOT);
	if (!o->layers)
		add(m, BOX_DIR, PLAN_LAYERS);
	bind(m, "/usr", "/usr", BOX_EXEC);
	for (size_t i = 0; i < o->host->n_links; i++) {
		const struct plan_link *l = &o->host->links[i];

		if (l->target)
			links(m, l->path, l->target);
		else
			bind(m, l->path, l->path, BOX_EXEC);
	}
	add_etc(m, o);
	add_dev(m);
	add(m, BOX_PROC, "/proc");
	tmpfs(m, "/tmp", tmp_bytes(o), BOX_EXEC);
}

static void add_code(struct maker *m, const struct plan_order *o)
{
	bind(m, o->task_root, PLAN_TASK_ROOT, BOX_EXEC);
	if (o->layers)
		bind(m, o->layers, PLAN_LAYERS, BOX_EXEC);
}

/* After what all boxes have: a template of roots ends before /proc, and none is made for a slice. */
static void add_slice(struct maker *m, const struct plan_slice *s)
{
	for (size_t i = 0; i < s->n_ops; i++)
		m->p->ops[m->p->n_ops++] = s->ops[i];
}

/* A pooled box sees the packages below a folder of its own until it has bound the one it is for. */
static void add_pooled_code(struct maker *m, const struct plan_order *o)
{
	size_t skip = strlen(o->code_folder);

	bind(m, arena_printf(m->a, PLAN_POOL_CODE "%s", o->task_root + skip), PLAN_TASK_ROOT, BOX_EXEC);
	if (o->layers)
		bind(m, arena_printf(m->a, PLAN_POOL_CODE "%s", o->layers + skip), PLAN_LAYERS, BOX_EXEC);
	add(m, BOX_UNMOUNT, PLAN_POOL_CODE);
	if (tmp_bytes(o) != 512ull << 20)
		tmpfs(m, "/tmp", tmp_bytes(o), BOX_EXEC);
}

static void add_network(struct maker *m, const struct plan_order *o)
{
	struct box_op *op;

	if (o->opt && o->opt->network != NETWORK_NONE) {
		op = add(m, BOX_LISTEN, "");
		op->to = STR_NULL;
		op->value = PLAN_API_PORT;
	}
	if (o->wait) {
		op = add(m, BOX_WAIT, "");
		op->to = STR_NULL;
		op->fd = 2 + o->joins + o->extra_fds;
	}
}

static void add_limits(struct maker *m)
{
	rlimit(m, RLIMIT_CORE, 0); /* a core holds credentials */
	rlimit(m, RLIMIT_NOFILE, FILES_MAX);
	rlimit(m, RLIMIT_NPROC, PROCESSES_MAX);
	rlimit(m, RLIMIT_MEMLOCK, MEMLOCK_BYTES);
	rlimit(m, RLIMIT_MSGQUEUE, 0);
	rlimit(m, RLIMIT_SIGPENDING, SIGNALS_MAX); /* they are counted by user, and all boxes are one */
	rlimit(m, RLIMIT_RTPRIO, 0);
}

/* The kernel forbids a process under Landlock to mount anything, so one that makes boxes of its own goes without. */
static void add_rights(struct maker *m, const struct plan_order *o)
{
	struct box_op *op;

	if (o->kind != PLAN_SNAPSHOT && o->kind != PLAN_POOL) {
		static const char *const writable[] = {"/tmp", "/dev", "/proc"};

		add(m, BOX_LANDLOCK, "/");
		for (size_t i = 0; i < ARRAY_SIZE(writable); i++)
			add(m, BOX_LANDLOCK, writable[i])->flags = BOX_WRITABLE;
		for (size_t i = 0; o->slice && i < o->slice->n_writable; i++)
			add(m, BOX_LANDLOCK, o->slice->writable[i])->flags = BOX_WRITABLE;
	}
	op = add(m, BOX_RIGHTS, "");
	op->to = STR_NULL;
	op->value = o->kind == PLAN_SNAPSHOT ? BOX_PROFILE_SNAPSHOT
		    : o->kind == PLAN_POOL   ? BOX_PROFILE_POOL
					     : BOX_PROFILE_WORKER;
}

static void add_name(struct maker *m)
{
	struct box_op *op = add(m, BOX_HOSTNAME, "");

	op->to = STR_NULL;
	op->from = STR(HOST_NAME);
	add(m, BOX_LOOPBACK, "")->to = STR_NULL;
}

static void make_ops(struct maker *m, const struct plan_order *o)
{
	join(m, o);
	switch (o->kind) {
	case PLAN_WORKER:
	case PLAN_SNAPSHOT:
		add_root(m, o);
		add_code(m, o);
		if (o->slice)
			add_slice(m, o->slice);
		add(m, BOX_PIVOT, "")->to = STR_NULL;
		add_name(m);
		add_network(m, o);
		break;
	case PLAN_RESTORE:
		/* The root is the snapshot's, which is read-only; what can be written is its own. */
		add(m, BOX_PROC, "/proc");
		tmpfs(m, "/tmp", tmp_bytes(o), BOX_EXEC);
		tmpfs(m, "/dev/shm", SHM_BYTES, 0);
		add(m, BOX_LOOPBACK, "")->to = STR_NULL;
		add_network(m, o);
		break;
	case PLAN_POOL:
		add_root(m, o);
		add(m, BOX_DIR, "/run");
		add(m, BOX_DIR, "/run/wick");
		bind(m, o->code_folder, PLAN_POOL_CODE, BOX_EXEC);
		add(m, BOX_PIVOT, "")->to = STR_NULL;
		add_name(m);
		break;
	case PLAN_SPECIAL:
		add_pooled_code(m, o);
		add_network(m, o);
		break;
	}
	add_limits(m);
	add_rights(m, o);
}

/* ---- environment and arguments ---- */

static void env_add(struct maker *m, const char *key, const char *value)
{
	m->p->env[m->p->n_env++] = str_from(arena_printf(m->a, "%s=%s", key, value));
}

/* A value the function's owner chose is kept, but where its code lies is not his to say. */
static int env_from_gate(struct maker *m, const json_t *env, const struct kv *ours, size_t n_ours, struct err *err)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)env, key, value)
	{
		size_t i = 0;

		if (!json_is_string(value))
			return err_set(err, 0, "environment variable %s is not a string", key);
		if (!key[0] || strchr(key, '='))
			return err_set(err, 0, "\"%s\" is no name of an environment variable", key);
		if (strlen(json_string_value(value)) != json_string_length(value))
			return err_set(err, 0, "environment variable %s holds a NUL byte", key);
		while (i < n_ours && !str_eqz(ours[i].k, key))
			i++;
		if (i == n_ours)
			env_add(m, key, json_string_value(value));
	}
	return 0;
}

static int make_env(struct maker *m, const struct plan_order *o, struct err *err)
{
	char port[16], concurrency[16];
	const struct function_options *opt = o->opt;
	const struct kv fixed[] = {
		{STR("LAMBDA_TASK_ROOT"), STR(PLAN_TASK_ROOT)},
		{STR("LAMBDA_RUNTIME_DIR"), STR("/var/runtime")},
		{STR("HOME"), STR("/tmp")},
		{STR("TMPDIR"), STR("/tmp")},
	};
	size_t n_slice = o->slice ? o->slice->n_env : 0;
	struct kv *ours = arena_new_n(m->a, struct kv, ENV_OURS + n_slice);
	const struct kv defaults[] = {
		{STR("PATH"), STR("/usr/local/bin:/usr/bin:/bin:/opt/bin")},
		{STR("LANG"), STR("C.UTF-8")},
		{STR("TZ"), STR(":UTC")},
		{STR("LD_LIBRARY_PATH"), STR("/var/task:/var/task/lib:/opt/lib")},
	};
	size_t n = ARRAY_SIZE(fixed);

	memcpy(ours, fixed, sizeof(fixed));
	for (size_t i = 0; i < n_slice; i++)
		ours[n++] = o->slice->env[i];
	m->p->env = arena_new_n(m->a, struct str, json_object_size(o->env) + ENV_OURS + n_slice + ARRAY_SIZE(defaults));
	if (o->f)
		ours[n++] = (struct kv){STR("_HANDLER"), o->f->handler};
	if (opt) {
		snprintf(concurrency, sizeof(concurrency), "%u", opt->concurrency);
		ours[n++] = (struct kv){STR("WICK_CONCURRENCY"), str_from(concurrency)};
		if (opt->kind == RUNTIME_PROVIDED)
			ours[n++] = (struct kv){STR("AWS_LAMBDA_RUNTIME_API"), STR(PLAN_RUNTIME_API)};
		if (opt->kind == RUNTIME_WEB) {
			snprintf(port, sizeof(port), "%u", opt->port);
			ours[n++] = (struct kv){STR("PORT"), str_from(port)};
			if (opt->ready.n)
				ours[n++] = (struct kv){STR("WICK_WEB_READY"), opt->ready};
		}
	}
	if (env_from_gate(m, o->env, ours, n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		env_add(m, ours[i].k.p, arena_dup(m->a, ours[i].v));
	for (size_t i = 0; i < ARRAY_SIZE(defaults); i++)
		if (!json_object_get(o->env, defaults[i].k.p))
			env_add(m, defaults[i].k.p, defaults[i].v.p);
	return 0;
}

/* Words at blanks; quotes are not for here: `sh -c` is a word like others, and a script is a file. */
static void add_words(struct boxplan *p, struct str text)
{
	struct str word;

	while (text.n) {
		str_cut(text, ' ', &word, &text);
		if (word.n)
			p->argv[p->n_argv++] = word;
	}
}

static void make_argv(struct maker *m, const struct plan_order *o)
{
	static const char *const by_kind[] = {
		[PLAN_WORKER] = "worker", [PLAN_SNAPSHOT] = "snapshot", [PLAN_RESTORE] = "restore",
		[PLAN_POOL] = "pool",     [PLAN_SPECIAL] = "worker",
	};
	bool foreign = o->opt && strcmp(programs[o->opt->kind], "wick-runtime") == 0;

	m->p->argv = arena_new_n(m->a, struct str, 2 + (foreign ? o->opt->command.n + o->f->handler.n : 0));
	m->p->argv[m->p->n_argv++] = str_from(foreign ? runtime_kind_name(o->opt->kind) : by_kind[o->kind]);
	if (foreign && o->opt->kind == RUNTIME_WEB)
		add_words(m->p, o->opt->command.n ? o->opt->command : o->f->handler);
}

int plan_make(struct boxplan *ret, const struct plan_order *o, struct arena *a, struct err *err)
{
	struct maker m = {.p = ret, .a = a};

	*ret = (struct boxplan){
		.namespaces = o->kind == PLAN_SPECIAL ? 0 : BOX_NS_ALL,
		.n_fds = 2 + o->joins + o->extra_fds + o->wait,
		.ops = arena_new_n(a, struct box_op, OPS_MAX),
		.cwd = o->kind == PLAN_POOL ? STR("/") : STR(PLAN_TASK_ROOT),
	};
	if (o->env && !json_is_object(o->env))
		return err_set(err, 0, "the environment is no object");
	if (make_env(&m, o, err) < 0)
		return -1;
	make_argv(&m, o);
	make_ops(&m, o);
	return 0;
}

/* The life of a zygote: arguments, loading, then one message after the other. Owns the control socket, the descriptors
 * that came with a message until its child has them, and (with own_children) the list of children it reaps. A message
 * that makes no sense is answered FAILED; a box that cannot be made is said by the child itself, on its lane and in its
 * log. Nothing here waits for a child. */
#include "box/zygote.h"

#include "base/mem.h"
#include "box/rights.h"
#include "box/spare.h"
#include "box/template.h"
#include "sys/fdpass.h"
#include "wire/frame.h"
#include "wire/json.h"
#include "wire/zygote.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/keyctl.h>
#include <linux/major.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEVICES_MAX 16
#define PACKET_MAX  (ZYGOTE_HEADER_SIZE + ZYGOTE_TEXT_MAX)

extern char **environ;

struct own_child {
	pid_t pid;
	uint8_t id[16];
};

struct zygote {
	const struct zygote_runtime *rt;
	void *arg;
	int control;
	int signals;   /* SIGCHLD, with own children; else -1 */
	sigset_t mask; /* as it was before */
	struct own_child *children;
	size_t n_children;
	int devices[DEVICES_MAX]; /* see find_devices */
	size_t n_devices;
	struct arena arena; /* of one message */
	char packet[PACKET_MAX + 1];
};

/* One FORK as it came. */
struct order {
	uint8_t id[16];
	struct boxplan plan;
	char **env;
	char *env_text; /* what env points into */
	size_t env_size;
	int fds[FDPASS_MAX];
	size_t n_fds;
};

static void send_packet(struct zygote *z, const struct zygote_packet *p, const int *fds, size_t n_fds)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	zygote_encode(&b, p);
	/* A node that is gone is seen by the next receive. */
	(void)fd_send(z->control, b.p, b.n, fds, n_fds);
}

static void send_failed(struct zygote *z, const uint8_t id[static 16], const char *why)
{
	struct zygote_packet p = {.type = ZYGOTE_FAILED, .text = str_from(why ? why : "unknown error")};

	p.text.n = MIN(p.text.n, (size_t)4096);
	memcpy(p.id, id, sizeof(p.id));
	send_packet(z, &p, NULL, 0);
}

/* ---- in the child ---- */

static void lane_send(int lane, uint8_t type, struct str meta, struct str body, int fd)
{
	static const uint8_t no_id[16];
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	uint8_t header[FRAME_HEADER_SIZE];

	frame_header(header, type, no_id, meta.n, body.n);
	buf_add(&b, header, sizeof(header));
	buf_add_str(&b, meta);
	buf_add_str(&b, body);
	/* The lane's buffer is empty: this fits, or nobody is there. */
	(void)fd_send(lane, b.p, b.n, &fd, fd >= 0 ? 1 : 0);
}

void zygote_send_boxed(int lane, const struct box_result *res)
{
	_cleanup_(buf_done) struct buf meta = BUF_NULL;

	frame_meta_add_u64(&meta, FRAME_KEY_BOX_US, res->us);
	lane_send(lane, FRAME_BOXED, buf_str(&meta), STR_NULL, res->listen_fd);
	if (res->listen_fd >= 0)
		close(res->listen_fd);
}

/* A pooled box has no lane yet, and says BOXED when it has one (runtime/nodejs/pool.c); what fails before goes to the
 * node, in a packet. */
static bool is_pooled(const struct boxplan *p)
{
	return p->ops[p->n_ops - 1].value == BOX_PROFILE_POOL;
}

static _noreturn_ void child_fail(struct zygote *z, const struct order *o, const struct err *err)
{
	_cleanup_(buf_done) struct buf meta = BUF_NULL, body = BUF_NULL;
	const struct str type = err->code == ENETDOWN ? STR("Sandbox.NetworkFailed") : STR("Sandbox.BoxFailed");
	const char *why = err->msg ? err->msg : "unknown error";

	if (is_pooled(&o->plan)) {
		z->control = o->fds[0];
		send_failed(z, o->id, why);
	} else {
		frame_meta_add(&meta, FRAME_KEY_ERROR_TYPE, type);
		buf_adds(&body, "{\"errorMessage\":");
		json_write_string(&body, str_from(why));
		buf_printf(&body, ",\"errorType\":\"%.*s\"}", STR_ARG(type));
		lane_send(o->fds[0], FRAME_ERROR, buf_str(&meta), buf_str(&body), -1);
	}
	dprintf(2, "%.*s: %s\n", STR_ARG(type), why);
	_exit(1);
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Every descriptor above 2 that is not in the list is closed. */
static void close_all_but(const int *fds, size_t n)
{
	int keep[FDPASS_MAX + 1 + DEVICES_MAX];
	unsigned from = 3;
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		if (fds[i] > 2)
			keep[k++] = fds[i];
	qsort(keep, k, sizeof(*keep), by_number);
	for (size_t i = 0; i < k; i++) {
		if ((unsigned)keep[i] > from)
			close_range(from, (unsigned)keep[i] - 1, 0);
		from = (unsigned)keep[i] + 1;
	}
	close_range(from, ~0u, 0);
}

static void child_descriptors(const struct zygote *z, struct order *o)
{
	int keep[FDPASS_MAX + 1 + DEVICES_MAX];

	if (o->n_fds > 1) {
		dup2(o->fds[1], 1);
		dup2(o->fds[1], 2);
		o->fds[1] = 1; /* its own number goes below */
	}
	memcpy(keep, o->fds, o->n_fds * sizeof(int));
	keep[o->n_fds] = z->control;
	memcpy(keep + o->n_fds + 1, z->devices, z->n_devices * sizeof(int));
	close_all_but(keep, o->n_fds + 1 + z->n_devices);
}

/* What was for the box only; and a node that died while the box was made: its death was not signalled yet then. */
static void child_seal(struct order *o, int control)
{
	struct pollfd node = {.fd = control, .events = POLLRDHUP};

	for (size_t i = 0; i < o->plan.n_ops; i++) {
		const struct box_op *op = &o->plan.ops[i];

		if ((op->kind == BOX_CGROUP || op->kind == BOX_WAIT) && o->fds[op->fd] >= 0) {
			close(o->fds[op->fd]);
			o->fds[op->fd] = -1;
		}
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (poll(&node, 1, 0) > 0 && node.revents & (POLLHUP | POLLRDHUP | POLLERR))
		_exit(1);
	close(control);
}

static _noreturn_ void child_run(struct zygote *z, struct order *o)
{
	const struct sched_param batch = {0};
	struct err err = ERR_NULL;
	struct box_result res;

	if (z->signals >= 0)
		sigprocmask(SIG_SETMASK, &z->mask, NULL);
	if (z->rt->in_child)
		z->rt->in_child(z->arg);
	child_descriptors(z, o);
	environ = o->env;
	/* A worker that is woken does not push aside who woke it. */
	sched_setscheduler(0, SCHED_BATCH, &batch);
	if (box_enter(&o->plan, o->fds, o->n_fds, &res, &err) < 0)
		child_fail(z, o, &err);
	child_seal(o, z->control);
	if (!is_pooled(&o->plan))
		zygote_send_boxed(o->fds[0], &res);
	if (box_settle(&o->plan, &err) < 0)
		child_fail(z, o, &err);

	struct zygote_worker w = {.plan = &o->plan, .lane = o->fds[0], .fds = o->fds, .n_fds = o->n_fds};

	memcpy(w.id, o->id, sizeof(w.id));
	z->rt->run(z->arg, &w);
	exit(0);
}

/* ---- in the zygote ---- */

static void make_env(struct zygote *z, struct order *o)
{
	size_t at = 0;

	for (size_t i = 0; i < o->plan.n_env; i++)
		o->env_size += o->plan.env[i].n + 1;
	o->env_text = xcalloc(1, o->env_size + 1);
	o->env = arena_new_n(&z->arena, char *, o->plan.n_env + 1);
	for (size_t i = 0; i < o->plan.n_env; i++) {
		o->env[i] = o->env_text + at;
		memcpy(o->env[i], o->plan.env[i].p, o->plan.env[i].n);
		at += o->plan.env[i].n + 1;
	}
}

static int take_order(struct zygote *z, const struct zygote_packet *p, struct order *o, struct err *err)
{
	if (p->type != ZYGOTE_FORK)
		return err_set(err, 0, "a zygote is told to fork only, not message %d", p->type);
	memcpy(o->id, p->id, sizeof(o->id));
	if (boxplan_decode(&o->plan, p->text, &z->arena, err) < 0)
		return -1;
	if (o->n_fds != o->plan.n_fds)
		return err_set(err, 0, "%zu file descriptors came with a plan that has %u", o->n_fds, o->plan.n_fds);
	if (o->plan.namespaces != BOX_NS_ALL)
		return err_set(err, 0, "a worker's plan without a namespace of each kind");
	/* Without a root of its own a worker would see ours: that is a box already only if we are a worker. */
	if (z->signals < 0 && !boxplan_has_root(&o->plan))
		return err_set(err, 0, "a worker's plan without a root");
	make_env(z, o);
	return 0;
}

static void remember(struct zygote *z, pid_t pid, const uint8_t id[static 16])
{
	z->children = xrealloc(z->children, (z->n_children + 1) * sizeof(*z->children));
	z->children[z->n_children].pid = pid;
	memcpy(z->children[z->n_children++].id, id, 16);
}

static void fork_worker(struct zygote *z, struct order *o)
{
	struct zygote_packet forked = {.type = ZYGOTE_FORKED};
	int pidfd = -1;
	pid_t pid;

	if (z->rt->before)
		z->rt->before(z->arg);
	pid = box_clone(&o->plan, z->signals < 0, &pidfd);
	if (pid == 0)
		child_run(z, o);
	if (z->rt->in_parent)
		z->rt->in_parent(z->arg);
	if (pid < 0) {
		_cleanup_(err_done) struct err err = ERR_NULL;

		err_set(&err, -pid, "clone a worker into its namespaces%s",
			pid == -EPERM    ? " (this machine lets ordinary users make none: see wick doctor)"
			: pid == -ENOSPC ? " (sysctl user.max_user_namespaces and its like are reached)"
			: pid == -EAGAIN ? " (the limit of processes is reached)"
					 : "");
		send_failed(z, o->id, err.msg);
		return;
	}
	if (z->signals >= 0)
		remember(z, pid, o->id);
	forked.pid = pid;
	memcpy(forked.id, o->id, sizeof(forked.id));
	send_packet(z, &forked, &pidfd, 1);
	close(pidfd);
}

/* False: the node is gone. */
static bool serve_message(struct zygote *z)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	struct order o = {0};
	struct zygote_packet p = {0};
	ssize_t n = fd_recv(z->control, z->packet, sizeof(z->packet), o.fds, &o.n_fds);

	if (n == 0 || (n < 0 && n != -EPROTO && n != -EAGAIN))
		return false;
	if (n == -EAGAIN)
		return true;
	if (n < 0 || !zygote_decode(&p, str_n(z->packet, (size_t)n)))
		send_failed(z, o.id, "not a packet");
	else if (take_order(z, &p, &o, &err) < 0)
		send_failed(z, p.id, err.msg);
	else
		fork_worker(z, &o);
	for (size_t i = 0; i < o.n_fds; i++)
		close(o.fds[i]);
	/* The next worker gets a copy of all our memory: nothing of this one's environment may be left in it. What is
	 * in the arena only points into these two. */
	if (n > 0)
		mem_wipe(z->packet, (size_t)n);
	if (o.env_text)
		mem_wipe(o.env_text, o.env_size);
	free(o.env_text);
	mem_wipe_traces();
	arena_reset(&z->arena);
	return true;
}

/* All that ended; what is not a worker is an orphan that was left to us. */
static void reap(struct zygote *z)
{
	struct signalfd_siginfo info;
	struct rusage ru;
	int status;
	pid_t pid;

	while (read(z->signals, &info, sizeof(info)) > 0)
		;
	while ((pid = wait4(-1, &status, WNOHANG, &ru)) > 0) {
		for (size_t i = 0; i < z->n_children; i++) {
			struct zygote_packet p = {.type = ZYGOTE_EXITED, .pid = pid, .status = status};

			if (z->children[i].pid != pid)
				continue;
			memcpy(p.id, z->children[i].id, sizeof(p.id));
			p.cpu_us = (uint64_t)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000000 +
				   (uint64_t)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec);
			z->children[i] = z->children[--z->n_children];
			send_packet(z, &p, NULL, 0);
			break;
		}
	}
}

static int watch_children(struct zygote *z)
{
	sigset_t chld;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, &z->mask);
	z->signals = signalfd(-1, &chld, SFD_NONBLOCK | SFD_CLOEXEC);
	return z->signals < 0 ? -errno : 0;
}

/* Descriptors of /dev/null, zero, random and urandom that a library opened while it was loaded and goes on to use in
 * the children: the only ones that lead nowhere. */
static void find_devices(struct zygote *z)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;

	while (d && z->n_devices < DEVICES_MAX && (e = readdir(d))) {
		int fd = atoi(e->d_name);
		struct stat st;

		if (fd > 2 && fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && major(st.st_rdev) == MEM_MAJOR &&
		    (minor(st.st_rdev) == 3 || minor(st.st_rdev) == 5 || minor(st.st_rdev) == 8 ||
		     minor(st.st_rdev) == 9))
			z->devices[z->n_devices++] = fd;
	}
	if (d)
		closedir(d);
}

int zygote_serve(int control, bool own_children, const struct zygote_runtime *rt, void *arg)
{
	struct zygote *z = xnew(struct zygote);
	struct pollfd on[2];
	_cleanup_(err_done) struct err err = ERR_NULL;
	bool more = true;
	int r = 0;

	*z = (struct zygote){.rt = rt, .arg = arg, .control = control, .signals = -1};
	find_devices(z);
	if (rights_prepare(&err) < 0) {
		dprintf(2, "%s: %s\n", rt->program, err.msg);
		r = -1;
	}
	if (r == 0 && own_children)
		r = watch_children(z);
	while (r == 0 && more) {
		on[0] = (struct pollfd){.fd = control, .events = POLLIN};
		on[1] = (struct pollfd){.fd = z->signals, .events = POLLIN};
		bool spare = !own_children && spare_wanted();
		int n = poll(on, ARRAY_SIZE(on), spare ? 0 : -1);

		if (n < 0 && errno != EINTR)
			break;
		if (n == 0)
			spare_make();
		if (on[1].revents)
			reap(z);
		if (on[0].revents)
			more = serve_message(z);
	}
	if (z->signals >= 0) {
		close(z->signals);
		sigprocmask(SIG_SETMASK, &z->mask, NULL);
	}
	arena_done(&z->arena);
	free(z->children);
	free(z);
	return r;
}

struct arguments {
	bool zygote, uid_set, gid_set;
	uint64_t uid, gid;
	struct str import;
};

static int parse_arguments(int argc, char **argv, struct arguments *ret, struct err *err)
{
	*ret = (struct arguments){0};
	for (int i = 1; i < argc; i++) {
		struct str name = str_from(argv[i]), value = str_from(i + 1 < argc ? argv[i + 1] : NULL);
		bool fits = true;

		if (str_eqz(name, "--zygote")) {
			ret->zygote = true;
			continue;
		}
		if (str_eqz(name, "--uid"))
			fits = ret->uid_set = str_to_u64(value, &ret->uid) && ret->uid < UINT32_MAX;
		else if (str_eqz(name, "--gid"))
			fits = ret->gid_set = str_to_u64(value, &ret->gid) && ret->gid < UINT32_MAX;
		else if (str_eqz(name, "--import"))
			ret->import = value;
		else
			return err_set(err, 0, "unknown argument %s", argv[i]);
		if (!value.p || !fits)
			return err_set(err, 0, "%s needs a %s", argv[i], fits ? "value" : "number");
		i++;
	}
	if (!ret->zygote)
		return err_set(err, 0, "this program is started by wick-node: --zygote is missing");
	if (ret->uid_set != ret->gid_set)
		return err_set(err, 0, "--uid and --gid go together");
	return 0;
}

static int begin(int argc, char **argv, const struct zygote_runtime *rt, void *arg, struct err *err)
{
	struct arguments args;
	int type = 0;
	socklen_t n = sizeof(type);

	if (parse_arguments(argc, argv, &args, err) < 0)
		return -1;
	if (getsockopt(ZYGOTE_CONTROL_FD, SOL_SOCKET, SO_TYPE, &type, &n) < 0 || type != SOCK_SEQPACKET)
		return err_set(err, 0, "fd %d is not a packet socket: this program is started by wick-node",
			       ZYGOTE_CONTROL_FD);
	fcntl(ZYGOTE_CONTROL_FD, F_SETFD, FD_CLOEXEC);
	if (args.uid_set && box_drop_to((uid_t)args.uid, (gid_t)args.gid, err) < 0)
		return -1;
	/* An empty keyring in place of that of the session which started us; one for all, as users may have few. */
	syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
	if (template_begin(err) < 0 || rights_prepare(err) < 0)
		return -1;
	return rt->load ? rt->load(arg, args.import, err) : 0;
}

int zygote_main(int argc, char **argv, const struct zygote_runtime *rt, void *arg)
{
	struct zygote loaded = {.rt = rt, .arg = arg, .control = ZYGOTE_CONTROL_FD, .signals = -1};
	_cleanup_(err_done) struct err err = ERR_NULL;
	struct zygote_packet p = {.type = ZYGOTE_LOADED};

	if (begin(argc, argv, rt, arg, &err) < 0) {
		fprintf(stderr, "%s: %s\n", rt->program, err.msg);
		return 2;
	}
	if (rt->loaded)
		p.text = str_from(rt->loaded(arg));
	send_packet(&loaded, &p, NULL, 0);
	return zygote_serve(ZYGOTE_CONTROL_FD, false, rt, arg) < 0 ? 1 : 0;
}

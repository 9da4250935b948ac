/* Control groups by their files. Owns the parent folders and those of each group; a folder whose processes are not
 * quite gone cannot be removed yet and is kept with the host, which tries again. What may fail is everything, on
 * machines that give no groups to ordinary users: each failure leaves nothing behind. */
#include "sys/cgroup.h"

#include "base/mem.h"
#include "base/str.h"
#include "sys/cgroup_find.h"
#include "sys/cgroup_host.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_SIZE_MAX (1 << 20) /* of what is read: cgroup.procs of a full group */
#define KILL_ROUNDS   16

struct cgroup {
	struct cgroup_host *host;
	char name[24];
	int join[CGROUP_JOIN_MAX]; /* by hierarchy; -1: not joined */
	bool reused;
	uint64_t oom_kills, pids_denied, memory_denied; /* when it was made or reused */
};

char *cgroup_file(const struct cgroup_place *p, const char *group, const char *file)
{
	return xasprintf("%s%s%s%s%s", p->dir, *group ? "/" : "", group, *file ? "/" : "", file);
}

int cgroup_write(const struct cgroup_place *p, const char *group, const char *file, const char *text)
{
	_cleanup_(freep) char *path = cgroup_file(p, group, file);
	int fd = open(path, O_WRONLY | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return r;
}

int cgroup_read(const struct cgroup_place *p, const char *group, const char *file, struct buf *ret)
{
	_cleanup_(freep) char *path = cgroup_file(p, group, file);

	buf_clear(ret);
	return file_read(path, FILE_SIZE_MAX, ret);
}

static int write_number(const struct cgroup_place *p, const char *group, const char *file, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	return cgroup_write(p, group, file, text);
}

static uint64_t read_number(const struct cgroup_place *p, const char *group, const char *file)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	uint64_t v;

	if (cgroup_read(p, group, file, &b) < 0 ||
	    !str_to_u64(str_trim(str_sub(buf_str(&b), 0, b.n ? b.n - 1 : 0)), &v))
		return CGROUP_UNKNOWN;
	return v;
}

/* "name value" lines. */
static uint64_t read_field(const struct cgroup_place *p, const char *group, const char *file, const char *name)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	struct str rest, line, key, value;
	uint64_t v;

	if (cgroup_read(p, group, file, &b) < 0)
		return CGROUP_UNKNOWN;
	for (rest = buf_str(&b); rest.n;) {
		str_cut(rest, '\n', &line, &rest);
		if (str_cut(line, ' ', &key, &value) && str_eqz(key, name) && str_to_u64(value, &v))
			return v;
	}
	return CGROUP_UNKNOWN;
}

static uint64_t since(uint64_t now, uint64_t base)
{
	return now == CGROUP_UNKNOWN || base == CGROUP_UNKNOWN || now < base ? now : now - base;
}

/* The place that serves a kind of limit; NULL: none. */
static const struct cgroup_place *place_of(const struct cgroup_host *h, uint32_t what)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->places[i].what & what)
			return &h->places[i];
	return NULL;
}

static int set_memory_v1(const struct cgroup_place *p, const char *group, uint64_t bytes)
{
	char text[24];
	int r;

	/* Memory with swap may never be limited to less than memory: it is opened first and closed last. */
	cgroup_write(p, group, "memory.memsw.limit_in_bytes", "-1");
	snprintf(text, sizeof(text), "%lld", bytes ? (long long)bytes : -1ll);
	r = cgroup_write(p, group, "memory.limit_in_bytes", text);
	if (r >= 0)
		cgroup_write(p, group, "memory.memsw.limit_in_bytes", text);
	return r;
}

static int set_memory_v2(const struct cgroup_place *p, const char *group, uint64_t bytes)
{
	int r = bytes ? write_number(p, group, "memory.max", bytes) : cgroup_write(p, group, "memory.max", "max");

	if (r >= 0) {
		/* Both may be missing: kernels without swap, older than 4.19. */
		cgroup_write(p, group, "memory.swap.max", bytes ? "0" : "max");
		cgroup_write(p, group, "memory.oom.group", "1");
	}
	return r;
}

int cgroup_set_memory(struct cgroup *c, uint64_t bytes)
{
	const struct cgroup_place *p = place_of(c->host, CGROUP_MEMORY);

	if (!p)
		return -ENOTSUP;
	return c->host->version == 2 ? set_memory_v2(p, c->name, bytes) : set_memory_v1(p, c->name, bytes);
}

static int set_pids(struct cgroup *c, uint32_t pids)
{
	const struct cgroup_place *p = place_of(c->host, CGROUP_PIDS);

	if (!p)
		return 0;
	return pids ? write_number(p, c->name, "pids.max", pids) : cgroup_write(p, c->name, "pids.max", "max");
}

static int set_cpu(struct cgroup *c, uint32_t weight)
{
	const struct cgroup_place *p = place_of(c->host, CGROUP_CPU);

	if (!p || !weight)
		return 0;
	if (c->host->version == 2)
		return write_number(p, c->name, "cpu.weight", MIN(weight, 10000u));
	return write_number(p, c->name, "cpu.shares", MAX((uint64_t)weight * 1024 / 100, 2u));
}

/* Makes the group's folder in one hierarchy and opens its file for joining. */
static int join_place(struct cgroup *c, size_t i)
{
	const struct cgroup_place *p = &c->host->places[i];
	_cleanup_(freep) char *dir = cgroup_file(p, c->name, "");
	_cleanup_(freep) char *file = cgroup_file(p, c->name, c->host->version == 2 ? "cgroup.procs" : "tasks");

	if (c->join[i] >= 0)
		return 0;
	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return -errno;
	c->join[i] = open(file, O_WRONLY | O_CLOEXEC);
	return c->join[i] < 0 ? -errno : 0;
}

static int set_limits(struct cgroup *c, const struct cgroup_limits *l, struct err *err)
{
	int r;

	for (size_t i = 0; i < c->host->n; i++) {
		/* A hierarchy that only shares out CPU is left alone where that is not asked for. */
		if (c->host->places[i].what == CGROUP_CPU && !l->cpu_weight)
			continue;
		r = join_place(c, i);
		if (r < 0)
			return err_set(err, -r, "control group %s/%s", c->host->places[i].dir, c->name);
	}
	r = place_of(c->host, CGROUP_MEMORY) ? cgroup_set_memory(c, l->memory_bytes) : 0;
	if (r < 0)
		return err_set(err, -r, "memory limit of control group %s", c->name);
	r = set_pids(c, l->pids);
	if (r < 0)
		return err_set(err, -r, "limit of processes of control group %s", c->name);
	r = set_cpu(c, l->cpu_weight);
	return r < 0 ? err_set(err, -r, "CPU share of control group %s", c->name) : 0;
}

struct cgroup *cgroup_make(struct cgroup_host *h, const struct cgroup_limits *l, struct err *err)
{
	struct cgroup *c;

	if (!h) {
		err_set(err, ENOTSUP, "control groups");
		return NULL;
	}
	cgroup_host_tidy(h);
	c = xnew(struct cgroup);
	c->host = h;
	for (size_t i = 0; i < CGROUP_JOIN_MAX; i++)
		c->join[i] = -1;
	snprintf(c->name, sizeof(c->name), "w%llu", (unsigned long long)++h->made);
	if (set_limits(c, l, err) < 0)
		return cgroup_remove(c);
	return c;
}

int cgroup_reuse(struct cgroup *c, const struct cgroup_limits *l, struct err *err)
{
	const struct cgroup_place *memory = place_of(c->host, CGROUP_MEMORY);
	struct cgroup_stat now;

	if (!cgroup_empty(c))
		return err_set(err, EBUSY, "control group %s is not empty", c->name);
	if (c->join[0] >= 0 && cgroup_host_can(c->host) & CGROUP_FREEZE)
		cgroup_freeze(c, false);
	if (set_limits(c, l, err) < 0)
		return -1;
	if (memory && c->host->version == 1) {
		cgroup_write(memory, c->name, "memory.max_usage_in_bytes", "0");
		cgroup_write(memory, c->name, "memory.failcnt", "0");
		cgroup_write(memory, c->name, "memory.memsw.failcnt", "0");
	}
	c->reused = true;
	c->oom_kills = c->pids_denied = c->memory_denied = 0;
	cgroup_stat(c, &now);
	c->oom_kills = now.oom_kills, c->pids_denied = now.pids_denied, c->memory_denied = now.memory_denied;
	return 0;
}

struct cgroup *cgroup_remove(struct cgroup *c)
{
	if (!c)
		return NULL;
	if (!cgroup_empty(c))
		cgroup_kill(c);
	for (size_t i = 0; i < CGROUP_JOIN_MAX; i++)
		if (c->join[i] >= 0)
			close(c->join[i]);
	for (size_t i = 0; i < c->host->n; i++)
		cgroup_host_drop(c->host, cgroup_file(&c->host->places[i], c->name, ""));
	free(c);
	return NULL;
}

size_t cgroup_join_fds(const struct cgroup *c, int fds[static CGROUP_JOIN_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < CGROUP_JOIN_MAX; i++)
		if (c->join[i] >= 0)
			fds[n++] = c->join[i];
	return n;
}

int cgroup_freeze(struct cgroup *c, bool frozen)
{
	const struct cgroup_place *p = place_of(c->host, CGROUP_FREEZE);

	if (!p)
		return -ENOTSUP;
	if (c->host->version == 2)
		return cgroup_write(p, c->name, "cgroup.freeze", frozen ? "1" : "0");
	return cgroup_write(p, c->name, "freezer.state", frozen ? "FROZEN" : "THAWED");
}

/* The first hierarchy that the group is in; all hold the same processes. */
static const struct cgroup_place *any_place(const struct cgroup *c)
{
	for (size_t i = 0; i < c->host->n; i++)
		if (c->join[i] >= 0)
			return &c->host->places[i];
	return NULL;
}

bool cgroup_empty(const struct cgroup *c)
{
	const struct cgroup_place *p = any_place(c);
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	return !p || (cgroup_read(p, c->name, "cgroup.procs", &b) == 0 && !b.n);
}

int cgroup_signal(const struct cgroup_place *p, const char *group)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	struct str rest, line;
	int r = cgroup_read(p, group, "cgroup.procs", &b), n = 0;
	uint64_t pid;

	if (r < 0)
		return r;
	for (rest = buf_str(&b); rest.n;) {
		str_cut(rest, '\n', &line, &rest);
		/* 0: a process of another pid namespace, which we have no name for. */
		if (!str_to_u64(line, &pid) || pid < 2 || pid > INT32_MAX)
			continue;
		kill((pid_t)pid, SIGKILL);
		n++;
	}
	return n;
}

/* v1 has no call for it: they are stopped, so that none forks while the list is read, told, and let go to die. */
int cgroup_kill(struct cgroup *c)
{
	const struct cgroup_place *p = any_place(c);
	int r = 1, before = -1;

	if (!p)
		return 0;
	if (c->host->version == 2) {
		r = cgroup_write(p, c->name, "cgroup.kill", "1");
		if (r != -ENOENT && r != -EACCES)
			return r;
	}
	cgroup_freeze(c, true);
	for (int i = 0; i < KILL_ROUNDS && r > 0 && r != before; i++) {
		before = r;
		r = cgroup_signal(p, c->name);
	}
	cgroup_freeze(c, false);
	return r < 0 ? r : 0;
}

/* Either limit may be hit first, as both are the same. */
static uint64_t denied_v1(const struct cgroup_place *p, const char *group)
{
	uint64_t n = read_number(p, group, "memory.failcnt"), swap = read_number(p, group, "memory.memsw.failcnt");

	return n == CGROUP_UNKNOWN || swap == CGROUP_UNKNOWN ? n : n + swap;
}

void cgroup_stat(const struct cgroup *c, struct cgroup_stat *ret)
{
	const struct cgroup_place *memory = place_of(c->host, CGROUP_MEMORY), *pids = place_of(c->host, CGROUP_PIDS);
	const bool v2 = c->host->version == 2;

	*ret = (struct cgroup_stat){CGROUP_UNKNOWN, CGROUP_UNKNOWN, CGROUP_UNKNOWN,
				    CGROUP_UNKNOWN, CGROUP_UNKNOWN, CGROUP_UNKNOWN};
	if (memory && v2) {
		ret->memory = read_number(memory, c->name, "memory.current");
		/* The kernel forgets a peak for one open file only, so that of a reused group is not its own. */
		if (!c->reused)
			ret->memory_peak = read_number(memory, c->name, "memory.peak");
		ret->memory_denied = read_field(memory, c->name, "memory.events", "max");
		ret->oom_kills = read_field(memory, c->name, "memory.events", "oom_kill");
	} else if (memory) {
		ret->memory = read_number(memory, c->name, "memory.usage_in_bytes");
		ret->memory_peak = read_number(memory, c->name, "memory.max_usage_in_bytes");
		ret->memory_denied = denied_v1(memory, c->name);
		ret->oom_kills = read_field(memory, c->name, "memory.oom_control", "oom_kill");
	}
	if (pids) {
		ret->pids = read_number(pids, c->name, "pids.current");
		ret->pids_denied = read_field(pids, c->name, "pids.events", "max");
	}
	ret->memory_denied = since(ret->memory_denied, c->memory_denied);
	ret->oom_kills = since(ret->oom_kills, c->oom_kills);
	ret->pids_denied = since(ret->pids_denied, c->pids_denied);
}

/* The parent group: found and made where the machine lets us, cleared of what an earlier run left, removed at the end.
 *
 * v1: below the caller's own group of each hierarchy. v2: below the caller's own group or the nearest one above it that
 * can hand out memory; a group with processes of its own can only do that after they moved into a leaf of it, which is
 * done when they all belong to this program (a systemd unit with Delegate=yes is such a group). */
#include "sys/cgroup_host.h"

#include "base/mem.h"
#include "sys/cgroup_find.h"
#include "sys/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TEXT_MAX    (1u << 20)
#define CLEAR_TRIES 400 /* of 5 ms: how long killed processes may take to go */

static void clear_hierarchies(struct cgroup_hierarchy *hs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(hs[i].top);
		free(hs[i].own);
	}
}

static void pause_briefly(void)
{
	const struct timespec t = {.tv_nsec = 5000000};

	nanosleep(&t, NULL);
}

/* Kills what is in a group and removes it; waits as long as a killed process takes to go. */
static int clear_group(const struct cgroup_place *p, const char *group)
{
	_cleanup_(freep) char *dir = cgroup_file(p, group, "");

	for (int i = 0; i < CLEAR_TRIES; i++) {
		if (rmdir(dir) == 0 || errno == ENOENT)
			return 0;
		if (errno != EBUSY)
			return -errno;
		/* Frozen ones do not die; only one of the two files is there, if any. */
		cgroup_write(p, group, "freezer.state", "THAWED");
		cgroup_write(p, group, "cgroup.freeze", "0");
		if (cgroup_signal(p, group) < 0)
			return -EBUSY;
		pause_briefly();
	}
	return -EBUSY;
}

/* v1 may hold frozen processes of this group in the one hierarchy and not be cleared through another before that. */
static void clear_place(const struct cgroup_place *p)
{
	DIR *d = opendir(p->dir);
	struct dirent *e;

	if (!d)
		return;
	while ((e = readdir(d)))
		if (e->d_type == DT_DIR && e->d_name[0] != '.')
			clear_group(p, e->d_name);
	closedir(d);
}

static void host_clear(struct cgroup_host *h)
{
	/* The one that can thaw first. */
	for (size_t i = 0; i < h->n; i++)
		if (h->places[i].what & CGROUP_FREEZE)
			clear_place(&h->places[i]);
	for (size_t i = 0; i < h->n; i++)
		clear_place(&h->places[i]);
}

static bool can_join(const struct cgroup_place *p, const char *file)
{
	_cleanup_(freep) char *path = cgroup_file(p, "", file);

	return access(path, W_OK) == 0;
}

static int open_v1(struct cgroup_host *h, const struct cgroup_hierarchy *from, const char *name)
{
	struct cgroup_place p = {.what = from->what, .dir = xasprintf("%s/%s", from->own, name)};

	if ((mkdir(p.dir, 0755) < 0 && errno != EEXIST) || !can_join(&p, "tasks")) {
		int r = -errno;

		free(p.dir);
		return r;
	}
	h->places[h->n++] = p;
	return 0;
}

static bool lists(const struct cgroup_place *p, const char *group, const char *file, const char *controller)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	struct str rest, word;

	if (cgroup_read(p, group, file, &b) < 0)
		return false;
	for (rest = str_sub(buf_str(&b), 0, b.n ? b.n - 1 : 0); rest.n;) {
		str_cut(rest, ' ', &word, &rest);
		if (str_eqz(word, controller))
			return true;
	}
	return false;
}

/* The parent of a process; 0: cannot be told. */
static pid_t parent_of(pid_t pid)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	char path[48];
	uint64_t v;
	struct str rest, word;
	const char *end;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (file_read(path, TEXT_MAX, &b) < 0)
		return 0;
	end = strrchr(buf_cstr(&b), ')'); /* a name may hold anything */
	if (!end)
		return 0;
	rest = str_from(end + 1);
	str_cut(str_trim(rest), ' ', &word, &rest);
	str_cut(rest, ' ', &word, &rest);
	return str_to_u64(word, &v) ? (pid_t)v : 0;
}

/* Moves the processes of a group into its leaf `main`, if all of them are this program: itself, who started it, and
 * what that one started. */
static int make_room(const struct cgroup_place *p)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	_cleanup_(freep) char *leaf = cgroup_file(p, "main", "");
	const pid_t parent = getppid();
	struct str rest, line;
	char text[24];
	uint64_t pid;

	if (cgroup_read(p, "", "cgroup.procs", &b) < 0)
		return -EBUSY;
	for (rest = buf_str(&b); rest.n;) {
		str_cut(rest, '\n', &line, &rest);
		if (!str_to_u64(line, &pid) ||
		    ((pid_t)pid != parent && (pid_t)pid != getpid() && parent_of((pid_t)pid) != parent))
			return -EBUSY;
	}
	if (mkdir(leaf, 0755) < 0 && errno != EEXIST)
		return -errno;
	for (rest = buf_str(&b); rest.n;) {
		str_cut(rest, '\n', &line, &rest);
		snprintf(text, sizeof(text), "%.*s", STR_ARG(line));
		cgroup_write(p, "main", "cgroup.procs", text);
	}
	return 0;
}

/* Asks a group to hand its controllers on to the groups below it. */
static void enable(const struct cgroup_place *p)
{
	static const char *const wanted[] = {"memory", "pids", "cpu"};

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		char text[16];

		if (!lists(p, "", "cgroup.controllers", wanted[i]) || lists(p, "", "cgroup.subtree_control", wanted[i]))
			continue;
		snprintf(text, sizeof(text), "+%s", wanted[i]);
		if (cgroup_write(p, "", "cgroup.subtree_control", text) == -EBUSY && make_room(p) == 0)
			cgroup_write(p, "", "cgroup.subtree_control", text);
	}
}

/* What the group `name` below `above` can limit; 0: it cannot be made or joined. */
static uint32_t try_v2(const char *above, const char *name)
{
	const struct cgroup_place parent = {.dir = (char *)(uintptr_t)above};
	_cleanup_(freep) char *dir = cgroup_file(&parent, name, "");
	_cleanup_(freep) char *freeze = cgroup_file(&parent, name, "cgroup.freeze");
	bool made = mkdir(dir, 0755) == 0;
	uint32_t what = 0;

	if (!made && errno != EEXIST)
		return 0;
	/* Who moves must be able to write the nearest group that is above both places. */
	if (can_join(&parent, "cgroup.procs")) {
		enable(&parent);
		enable(&(const struct cgroup_place){.dir = dir});
		what = (lists(&parent, name, "cgroup.subtree_control", "memory") ? CGROUP_MEMORY : 0) |
		       (lists(&parent, name, "cgroup.subtree_control", "pids") ? CGROUP_PIDS : 0) |
		       (lists(&parent, name, "cgroup.subtree_control", "cpu") ? CGROUP_CPU : 0) |
		       (access(freeze, W_OK) == 0 ? CGROUP_FREEZE : 0);
	}
	if (!what && made)
		rmdir(dir);
	return what;
}

/* From the caller's own group upwards: the first that can limit memory, else the first that can do anything. */
static int open_v2(struct cgroup_host *h, const struct cgroup_hierarchy *from, const char *name)
{
	_cleanup_(freep) char *above = xstrdup(from->own), *best = NULL;
	uint32_t what = 0;

	for (;;) {
		uint32_t can = try_v2(above, name);

		if (can && (!what || can & CGROUP_MEMORY)) {
			if (best)
				rmdir(best);
			free(best);
			best = xasprintf("%s/%s", above, name);
			what = can;
		}
		if (what & CGROUP_MEMORY || strcmp(above, from->top) == 0 || !strrchr(above, '/'))
			break;
		*strrchr(above, '/') = '\0';
	}
	if (!what)
		return -EACCES;
	h->version = 2;
	h->places[h->n++] = (struct cgroup_place){.what = what, .dir = steal(&best)};
	return 0;
}

struct cgroup_host *cgroup_host_open_in(struct str mountinfo, struct str cgroup, const char *name, struct err *err)
{
	struct cgroup_hierarchy hs[CGROUP_HIERARCHIES_MAX];
	struct cgroup_host *h = xnew(struct cgroup_host);
	size_t n = cgroup_find(mountinfo, cgroup, hs);
	int r = -ENOENT;

	h->version = 1;
	for (size_t i = 0; i < n && h->n < CGROUP_JOIN_MAX; i++) {
		if (hs[i].version != 1)
			continue;
		int one = open_v1(h, &hs[i], name);

		r = h->n ? 0 : one;
	}
	for (size_t i = 0; i < n && !h->n; i++)
		if (hs[i].version == 2)
			r = open_v2(h, &hs[i], name);
	clear_hierarchies(hs, n);
	if (!h->n) {
		free(h);
		err_set(err, -r, n ? "no control group can be made here" : "no control groups are mounted");
		return NULL;
	}
	host_clear(h);
	return h;
}

struct cgroup_host *cgroup_host_open(const char *name, struct err *err)
{
	_cleanup_(buf_done) struct buf mounts = BUF_NULL, own = BUF_NULL;
	int r = file_read("/proc/self/mountinfo", TEXT_MAX, &mounts);

	if (r == 0)
		r = file_read("/proc/self/cgroup", TEXT_MAX, &own);
	if (r < 0) {
		err_set(err, -r, "control groups of this process");
		return NULL;
	}
	return cgroup_host_open_in(buf_str(&mounts), buf_str(&own), name, err);
}

struct cgroup_host *cgroup_host_close(struct cgroup_host *h)
{
	if (!h)
		return NULL;
	host_clear(h);
	for (size_t i = 0; i < h->n; i++) {
		clear_group(&h->places[i], "");
		free(h->places[i].dir);
	}
	for (size_t i = 0; i < h->n_dropped; i++)
		free(h->dropped[i]);
	free(h->dropped);
	free(h);
	return NULL;
}

uint32_t cgroup_host_can(const struct cgroup_host *h)
{
	uint32_t can = 0;

	for (size_t i = 0; h && i < h->n; i++)
		can |= h->places[i].what;
	return can;
}

int cgroup_host_version(const struct cgroup_host *h)
{
	return h ? h->version : 0;
}

void cgroup_host_drop(struct cgroup_host *h, char *dir)
{
	if (rmdir(dir) == 0 || errno != EBUSY) {
		free(dir);
		return;
	}
	h->dropped = xrealloc(h->dropped, (h->n_dropped + 1) * sizeof(*h->dropped));
	h->dropped[h->n_dropped++] = dir;
}

void cgroup_host_tidy(struct cgroup_host *h)
{
	size_t n = h->n_dropped;

	h->n_dropped = 0;
	/* Those that still cannot go are put back into the room of those that went. */
	for (size_t i = 0; i < n; i++)
		cgroup_host_drop(h, h->dropped[i]);
}

/* Watching a tree by inotify(7), which watches single folders: each has a watch of its own, new ones are added as they
 * appear, and whenever the tree may have changed behind its back (a folder was moved, the kernel's queue ran over) all
 * are made anew. What is written into a new folder before it is watched is not seen file by file, but the folder itself
 * counts as changed. Owns the descriptor and the list of folders. Fails when the kernel gives no more watches. */
#include "sys/tree_watch.h"

#include "base/buf.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIR_EVENTS                                                                                                     \
	(IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE | IN_ATTRIB | IN_DELETE_SELF |           \
	 IN_MOVE_SELF | IN_ONLYDIR)
#define LATE_FACTOR 10 /* changes that never end are told after so many times the quiet */
#define DEPTH_MAX   64

struct folder {
	char *path;
	bool slow;
};

struct tree_watch {
	struct loop *loop;
	struct tree_watch_conf conf;
	char *root, *only; /* only: the name of the one file that counts, or NULL */
	int fd;
	struct watch *watch;
	struct timer *timer;
	struct folder *folders; /* by watch descriptor */
	size_t n_folders;
	char *paths[TREE_WATCH_PATHS];
	size_t n_paths;    /* more than the array: the rest has no names */
	uint64_t since_ms; /* of the first change not told */
};

static bool matches(const char *const *patterns, const char *name)
{
	for (; patterns && *patterns; patterns++)
		if (fnmatch(*patterns, name, 0) == 0)
			return true;
	return false;
}

static void forget_folders(struct tree_watch *w)
{
	for (size_t i = 0; i < w->n_folders; i++)
		free(w->folders[i].path);
	free(w->folders);
	w->folders = NULL;
	w->n_folders = 0;
}

static void keep_folder(struct tree_watch *w, int wd, const char *path, bool slow)
{
	size_t i = (size_t)wd;

	if (i >= w->n_folders) {
		size_t n = MAX(i + 1, w->n_folders * 2);

		w->folders = xrealloc(w->folders, n * sizeof(*w->folders));
		memset(w->folders + w->n_folders, 0, (n - w->n_folders) * sizeof(*w->folders));
		w->n_folders = n;
	}
	free(w->folders[i].path);
	w->folders[i] = (struct folder){xstrdup(path), slow};
}

static bool is_folder(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* path and the folders below it. One that is gone meanwhile is none. */
static int add_tree(struct tree_watch *w, const char *path, bool slow, unsigned depth, struct err *err)
{
	int wd = inotify_add_watch(w->fd, path, DIR_EVENTS | (depth ? IN_DONT_FOLLOW : 0)), r = 0;
	struct dirent *e;
	DIR *d;

	if (wd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) && depth > 0)
		return 0;
	if (wd < 0)
		return err_set(err, errno,
			       errno == ENOSPC ? "watch %s (sysctl fs.inotify.max_user_watches)" : "watch %s", path);
	keep_folder(w, wd, path, slow);
	if (w->only || depth >= DEPTH_MAX)
		return 0;
	d = opendir(path);
	while (d && r == 0 && (e = readdir(d))) {
		_cleanup_(freep) char *below = NULL;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || matches(w->conf.ignored, e->d_name))
			continue;
		below = xasprintf("%s/%s", path, e->d_name);
		if (e->d_type == DT_DIR || (e->d_type == DT_UNKNOWN && is_folder(below)))
			r = add_tree(w, below, slow || matches(w->conf.slow, e->d_name), depth + 1, err);
	}
	if (d)
		closedir(d);
	return r;
}

static void on_ready(void *arg, int events);

static int begin(struct tree_watch *w, struct err *err)
{
	w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (w->fd < 0)
		return err_set(err, errno, "watch %s", w->root);
	if (add_tree(w, w->root, false, 0, err) < 0)
		return -1;
	w->watch = watch_new(w->loop, w->fd, WATCH_READ, on_ready, w);
	return w->watch ? 0 : err_set(err, errno, "watch %s", w->root);
}

static void end(struct tree_watch *w)
{
	w->watch = watch_free(w->watch);
	if (w->fd >= 0)
		close(steal_fd(&w->fd));
	forget_folders(w);
}

static bool is_noted(const struct tree_watch *w, const char *path)
{
	for (size_t i = 0; i < MIN(w->n_paths, (size_t)TREE_WATCH_PATHS); i++)
		if (strcmp(w->paths[i], path) == 0)
			return true;
	return false;
}

static void note(struct tree_watch *w, const char *path, bool slow)
{
	uint64_t now = loop_now_ms(w->loop), quiet = slow ? w->conf.slow_ms : w->conf.quiet_ms, late;

	if (w->n_paths == 0)
		w->since_ms = now;
	if (!is_noted(w, path)) {
		if (w->n_paths < TREE_WATCH_PATHS)
			w->paths[w->n_paths] = xstrdup(path);
		w->n_paths++;
	}
	late = w->since_ms + quiet * LATE_FACTOR;
	timer_set(w->timer, now + quiet <= late ? quiet : late > now ? late - now : 0);
}

static void forget_paths(struct tree_watch *w)
{
	for (size_t i = 0; i < MIN(w->n_paths, (size_t)TREE_WATCH_PATHS); i++)
		free(w->paths[i]);
	w->n_paths = 0;
}

static void tell(void *arg)
{
	struct tree_watch *w = arg;
	char *paths[TREE_WATCH_PATHS];
	size_t n = w->n_paths, named = MIN(n, (size_t)TREE_WATCH_PATHS);

	/* The watch may be freed by who is told. */
	memcpy(paths, w->paths, named * sizeof(*paths));
	w->n_paths = 0;
	w->conf.changed(w->conf.arg, (const char *const *)paths, n);
	for (size_t i = 0; i < named; i++)
		free(paths[i]);
}

/* The tree is looked at anew; when that fails, what is watched is what could be. */
static void anew(struct tree_watch *w)
{
	struct err err = ERR_NULL;

	end(w);
	begin(w, &err);
	err_done(&err);
}

/* False: the tree has to be looked at anew, and what else was read with this is of the old one. */
static bool take(struct tree_watch *w, const struct inotify_event *e)
{
	const struct folder *f = (size_t)e->wd < w->n_folders ? &w->folders[e->wd] : NULL;
	_cleanup_(freep) char *path = NULL;
	struct err err = ERR_NULL;
	bool slow;

	if (e->mask & IN_Q_OVERFLOW) {
		note(w, w->root, true);
		return false;
	}
	if (!f || !f->path)
		return true;
	if (e->mask & IN_IGNORED) {
		free(w->folders[e->wd].path);
		w->folders[e->wd].path = NULL;
		return true;
	}
	if (e->len == 0) {
		/* Of the folder itself: its parent tells, but for the root. */
		if (e->mask & (IN_DELETE_SELF | IN_MOVE_SELF) && strcmp(f->path, w->root) == 0)
			note(w, w->root, false);
		return true;
	}
	if (matches(w->conf.ignored, e->name) || (w->only && strcmp(w->only, e->name) != 0))
		return true;
	path = xasprintf("%s/%s", f->path, e->name);
	slow = f->slow || (e->mask & IN_ISDIR && matches(w->conf.slow, e->name));
	if (!(e->mask & IN_ISDIR)) {
		struct stat st;

		/* A file that was made is told of when it has been written; a link is there at once. */
		if (!(e->mask & IN_CREATE) || (lstat(path, &st) == 0 && S_ISLNK(st.st_mode)))
			note(w, path, slow);
		return true;
	}
	note(w, path, slow);
	if (e->mask & IN_CREATE && add_tree(w, path, slow, 1, &err) < 0)
		err_done(&err);
	return !(e->mask & (IN_MOVED_FROM | IN_MOVED_TO));
}

static void on_ready(void *arg, int events)
{
	struct tree_watch *w = arg;
	_Alignas(struct inotify_event) char bytes[16384];
	ssize_t n;

	while ((n = read(w->fd, bytes, sizeof(bytes))) > 0) {
		for (char *at = bytes; at < bytes + n;) {
			const struct inotify_event *e = (const struct inotify_event *)at;

			if (!take(w, e)) {
				anew(w);
				return;
			}
			at += sizeof(*e) + e->len;
		}
	}
}

struct tree_watch *tree_watch_new(struct loop *l, const struct tree_watch_conf *conf, struct err *err)
{
	struct tree_watch *w = xnew(struct tree_watch);
	_cleanup_(freep) char *full = realpath(conf->path, NULL);
	char *slash;

	w->loop = l;
	w->conf = *conf;
	w->fd = -1;
	w->timer = timer_new(l, tell, w);
	if (!full) {
		err_set(err, errno, "watch %s", conf->path);
		return tree_watch_free(w);
	}
	w->root = xstrdup(full);
	if (!is_folder(full)) {
		slash = strrchr(w->root, '/');
		w->only = xstrdup(slash + 1);
		slash[slash == w->root] = '\0';
	}
	return begin(w, err) < 0 ? tree_watch_free(w) : w;
}

struct tree_watch *tree_watch_free(struct tree_watch *w)
{
	if (!w)
		return NULL;
	end(w);
	forget_paths(w);
	timer_free(w->timer);
	free(w->root);
	free(w->only);
	free(w);
	return NULL;
}

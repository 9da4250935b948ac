/* What zygotes should have loaded. The set of a code package is names of packages that are installed on this machine
 * outside of the standard library (of which the bare zygote has the usual part): a worker could not make a zygote load
 * anything else, whatever it says. Sets only grow, and the least recently used packages are forgotten.
 *
 * Owns the table and its file, which is written a moment after a change and read once. Nothing here can fail for a
 * caller: without the file or its knowledge a worker imports what it needs by itself. */
#include "node/learn.h"

#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "sys/file.h"
#include "sys/log.h"
#include "wire/json.h"
#include "wire/py_imports.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEEP_MAX    2000
#define FILE_MAX    (4u << 20)
#define SAVE_MS     1000
#define NAMES_MAX   24 /* of one package */
#define SOURCE_MAX  (256u << 10)
#define SOURCES_MAX 64
#define DEPTH_MAX   3

struct known {
	struct list_link on_list;
	char *sha256, *imports;
};

DEFINE_LIST(known_list, struct known, on_list)

struct learn {
	char *path;
	struct map by_sha;
	struct known_list recent; /* longest unused first */
	struct timer *save;
	bool dirty;
};

/* ---- sets of names ---- */

struct names {
	char *at[NAMES_MAX];
	size_t n;
};

static void names_add(struct names *l, struct str name)
{
	for (size_t i = 0; i < l->n; i++)
		if (str_eqz(name, l->at[i]))
			return;
	if (l->n < NAMES_MAX)
		l->at[l->n++] = str_dup(name);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Takes the names. */
static char *names_join(struct names *l)
{
	struct buf b = BUF_NULL;

	qsort(l->at, l->n, sizeof(l->at[0]), by_text);
	for (size_t i = 0; i < l->n; i++) {
		if (i)
			buf_addc(&b, ',');
		buf_adds(&b, l->at[i]);
		free(l->at[i]);
	}
	return b.p ? b.p : xstrdup("");
}

static bool plain_name(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= 'A' && s.p[i] <= 'Z') ||
		      (s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '_'))
			return false;
	return s.n > 0 && s.n < 128;
}

/* As Debian installs packages; a user's own folders are none of the machine's. */
static bool machine_has(struct str name)
{
	static const char *const folders[] = {"/usr/lib/python3/dist-packages",
					      "/usr/local/lib/python3.11/dist-packages"};

	if (!plain_name(name))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		char path[512];

		snprintf(path, sizeof(path), "%s/%.*s", folders[i], STR_ARG(name));
		if (access(path, R_OK) == 0)
			return true;
		snprintf(path, sizeof(path), "%s/%.*s.py", folders[i], STR_ARG(name));
		if (access(path, R_OK) == 0)
			return true;
	}
	return false;
}

/* ---- sources ---- */

struct scan {
	const char *root;
	struct names names;
	unsigned sources;
};

static void on_import(void *arg, struct str name)
{
	struct scan *s = arg;
	char path[4096];

	if (!plain_name(name))
		return;
	/* The package's own module of that name comes first on the path. */
	snprintf(path, sizeof(path), "%s/%.*s", s->root, STR_ARG(name));
	if (access(path, F_OK) == 0)
		return;
	snprintf(path, sizeof(path), "%s/%.*s.py", s->root, STR_ARG(name));
	if (access(path, F_OK) == 0 || !machine_has(name))
		return;
	names_add(&s->names, name);
}

static void scan_dir(struct scan *s, const char *dir, unsigned depth)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && s->sources < SOURCES_MAX && (e = readdir(d))) {
		_cleanup_(freep) char *path = xasprintf("%s/%s", dir, e->d_name);
		_cleanup_(buf_done) struct buf text = BUF_NULL;
		struct stat st;

		if (e->d_name[0] == '.' || lstat(path, &st) < 0)
			continue;
		if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX)
			scan_dir(s, path, depth + 1);
		if (!S_ISREG(st.st_mode) || !str_ends(str_from(path), STR(".py")))
			continue;
		s->sources++;
		if (file_read(path, SOURCE_MAX, &text) == 0)
			py_imports(buf_str(&text), on_import, s);
	}
	if (d)
		closedir(d);
}

char *learn_scan(const char *dir)
{
	struct scan s = {.root = dir};

	scan_dir(&s, dir, 0);
	return names_join(&s.names);
}

/* ---- the table ---- */

static void forget(struct learn *l, struct known *k)
{
	map_del(&l->by_sha, str_from(k->sha256));
	known_list_remove(&l->recent, k);
	free(k->sha256);
	free(k->imports);
	free(k);
}

static void put(struct learn *l, struct str sha256, char *imports /* taken */)
{
	struct known *k = map_get(&l->by_sha, sha256);

	if (!k) {
		k = xnew(struct known);
		k->sha256 = str_dup(sha256);
		map_put(&l->by_sha, sha256, k);
		known_list_push(&l->recent, k);
	}
	free(k->imports);
	k->imports = imports;
	while (l->recent.n > KEEP_MAX)
		forget(l, known_list_first(&l->recent));
}

static void save(void *arg)
{
	struct learn *l = arg;
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	_cleanup_json_ json_t *j = json_array();
	int r;

	l->dirty = false;
	for (struct known *k = known_list_first(&l->recent); k; k = known_list_next(k))
		json_array_append_new(j, json_pack("[s, s]", k->sha256, k->imports));
	json_write(&b, j);
	r = file_write(l->path, buf_str(&b), 0600);
	if (r < 0)
		log_warn("what functions import is not kept: %s: %s", l->path, strerror(-r));
}

static void load(struct learn *l)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	_cleanup_json_ json_t *j = NULL;
	json_t *pair;
	size_t i;

	if (file_read(l->path, FILE_MAX, &b) < 0)
		return;
	j = json_parse(buf_str(&b), &err);
	json_array_foreach(j, i, pair)
	{
		const char *sha = json_string_value(json_array_get(pair, 0));
		const char *imports = json_string_value(json_array_get(pair, 1));

		if (sha && imports)
			put(l, str_from(sha), xstrdup(imports));
	}
}

bool learn_get(struct learn *l, struct str sha256, struct str *imports)
{
	struct known *k = map_get(&l->by_sha, sha256);

	if (!k)
		return false;
	known_list_remove(&l->recent, k);
	known_list_push(&l->recent, k);
	*imports = str_from(k->imports);
	return true;
}

static void add_all(struct names *set, struct str text)
{
	while (text.n) {
		struct str name;
		size_t i = 0;

		while (i < text.n && text.p[i] != ',' && text.p[i] != ' ')
			i++;
		name = str_sub(text, 0, i);
		text = str_sub(text, i + 1, text.n);
		if (machine_has(name))
			names_add(set, name);
	}
}

void learn_add(struct learn *l, struct str sha256, struct str names)
{
	struct known *k = map_get(&l->by_sha, sha256);
	struct names set = {0};
	char *joined;

	if (k)
		add_all(&set, str_from(k->imports));
	add_all(&set, names);
	joined = names_join(&set);
	if (k && strcmp(k->imports, joined) == 0) {
		free(joined);
		return;
	}
	put(l, sha256, joined);
	if (!l->dirty)
		timer_set(l->save, SAVE_MS);
	l->dirty = true;
}

struct learn *learn_open(struct loop *loop, const char *path)
{
	struct learn *l = xnew(struct learn);

	l->path = xstrdup(path);
	l->save = timer_new(loop, save, l);
	load(l);
	return l;
}

struct learn *learn_free(struct learn *l)
{
	if (!l)
		return NULL;
	if (l->dirty)
		save(l);
	while (l->recent.n)
		forget(l, known_list_first(&l->recent));
	map_done(&l->by_sha);
	timer_free(l->save);
	free(l->path);
	free(l);
	return NULL;
}

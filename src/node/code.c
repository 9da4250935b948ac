/* The cache of unpacked packages. A package is unpacked into a temporary folder, its SHA-256 compared with what the
 * gate promised, its files made read-only, and the folder renamed: what carries a package's name is whole. Several
 * workers that wait for one package share one unpacking.
 *
 * After a machine went down without warning, files that were renamed may still be empty on disk; rather than wait for
 * the disk at every unpacking, the cache is dropped when the machine was started anew since (boot id).
 *
 * The cache owns its packages; a user holds one by a reference, and only unused ones are removed, the least recently
 * used first, when all together are over the limit. A removed package leaves the map at once and its folder is
 * renamed before it is deleted, so a new one of the same name is not in its way. */
#include "node/code.h"

#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "sys/archive.h"
#include "sys/file.h"
#include "sys/log.h"
#include "wire/digest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define BOOT_ID_FILE  "/proc/sys/kernel/random/boot_id"
#define NEW_PREFIX    ".new-"
#define OLD_PREFIX    ".old-"
#define HEX_SIZE      (2 * SHA256_SIZE + 1)
#define UNPACKED_MAX  (512ull << 20) /* twice what AWS allows a package and its layers */
#define FILES_MAX     100000
#define WALK_FDS      16
#define ONLY_READABLE 0555

struct waiter {
	struct list_link on_package;
	code_ready ready;
	void *arg;
};

DEFINE_LIST(waiter_list, struct waiter, on_package)

struct code_package {
	struct list_link on_unused; /* linked: refs == 0 */
	struct code *code;
	char hex[HEX_SIZE];
	char *dir;
	uint64_t bytes;
	size_t refs;
	bool unpacking;              /* or being fetched for it */
	struct unpack_job *fetching; /* which package is being fetched for */
	struct waiter_list waiters;
};

DEFINE_LIST(package_list, struct code_package, on_unused)

struct code {
	struct loop *loop;
	char *dir;
	uint64_t bytes, max_bytes;
	uint64_t removed; /* numbers the folders on their way out */
	size_t jobs;
	struct map packages; /* by hex */
	struct package_list unused;
};

struct source {
	int zip; /* -1: none came */
	char hex[HEX_SIZE];
};

struct unpack_job {
	struct code_package *package;
	struct source sources[CODE_MERGE_MAX];
	size_t n_sources;
	size_t fetching; /* which of them */
	struct fetch_from from;
	const char *type; /* of the error, or NULL */
	char *tmp;
	uint64_t bytes;
	int result;
	struct err err;
};

struct remove_job {
	struct code *code;
	char *dir;
};

static void remove_work(void *arg)
{
	struct remove_job *j = arg;

	rm_rf(j->dir);
}

static void remove_done(void *arg)
{
	struct remove_job *j = arg;

	j->code->jobs--;
	free(j->dir);
	free(j);
}

static void code_remove_dir(struct code *c, const char *dir)
{
	struct remove_job *j;
	char *old = xasprintf("%s/" OLD_PREFIX "%llu", c->dir, (unsigned long long)c->removed++);

	if (rename(dir, old) < 0) {
		if (errno != ENOENT)
			log_warn("code %s: cannot be removed: %s", dir, strerror(errno));
		free(old);
		return;
	}
	j = xnew(struct remove_job);
	*j = (struct remove_job){.code = c, .dir = old};
	c->jobs++;
	loop_work(c->loop, remove_work, remove_done, j);
}

static void package_free(struct code_package *p)
{
	if (package_list_linked(p))
		package_list_remove(&p->code->unused, p);
	free(p->dir);
	free(p);
}

static void package_drop(struct code_package *p)
{
	struct code *c = p->code;

	map_del(&c->packages, str_from(p->hex));
	c->bytes -= p->bytes;
	code_remove_dir(c, p->dir);
	package_free(p);
}

static void code_shrink(struct code *c)
{
	struct code_package *p;

	while (c->bytes > c->max_bytes && (p = package_list_first(&c->unused)))
		package_drop(p);
}

static struct code_package *package_new(struct code *c, const char *hex)
{
	struct code_package *p = xnew(struct code_package);

	*p = (struct code_package){.code = c, .dir = xasprintf("%s/%s", c->dir, hex)};
	memcpy(p->hex, hex, HEX_SIZE);
	map_put(&c->packages, str_from(p->hex), p);
	return p;
}

/* --- On a pool thread ---------------------------------------------------------------------------------------- */

static int check_sha256(int fd, const char *want, struct err *err)
{
	uint8_t sum[DIGEST_MAX_SIZE];
	char block[64 << 10], hex[HEX_SIZE];
	struct digest d;
	off_t at = 0;
	ssize_t n;

	digest_init(&d, DIGEST_SHA256);
	while ((n = pread(fd, block, sizeof(block), at)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, errno, "read the code package");
		digest_update(&d, block, (size_t)n);
		at += n;
	}
	digest_final(&d, sum);
	hex_encode(sum, SHA256_SIZE, hex);
	if (strcmp(hex, want) != 0)
		return err_set(err, 0, "the code package has another SHA-256 than the function");
	return 0;
}

static int move_entry(const char *from, const char *to, const char *name);

/* Every entry of a folder into another, in place of what has its name there; folders are joined. -errno. */
static int move_over(const char *from, const char *to)
{
	DIR *d = opendir(from);
	struct dirent *e;
	int r = d ? 0 : -errno;

	while (r == 0 && d && (e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = move_entry(from, to, e->d_name);
	if (d)
		closedir(d);
	return r;
}

static int move_entry(const char *from, const char *to, const char *name)
{
	_cleanup_(freep) char *source = xasprintf("%s/%s", from, name), *target = xasprintf("%s/%s", to, name);
	struct stat a, b;

	if (lstat(source, &a) < 0)
		return -errno;
	if (lstat(target, &b) == 0) {
		if (S_ISDIR(a.st_mode) && S_ISDIR(b.st_mode))
			return move_over(source, target);
		rm_rf(target);
	}
	return rename(source, target) < 0 ? -errno : 0;
}

/* nftw has no argument for its caller; one walk at a time on a thread. */
static _Thread_local uint64_t walked_bytes;

static int walk_entry(const char *path, const struct stat *st, int kind, struct FTW *unused)
{
	if (kind == FTW_F) {
		walked_bytes += (uint64_t)st->st_size;
		if ((st->st_mode & ~(mode_t)ONLY_READABLE & 07777) && chmod(path, st->st_mode & ONLY_READABLE) < 0)
			return -1;
	}
	return 0;
}

/* Makes the files read-only; adds up their sizes. */
static int walk(const char *dir, uint64_t *bytes, struct err *err)
{
	walked_bytes = 0;
	if (nftw(dir, walk_entry, WALK_FDS, FTW_PHYS) != 0)
		return err_set(err, errno, "make %s read-only", dir);
	*bytes = walked_bytes;
	return 0;
}

static int unpack_zip(const struct source *s, const char *dir, struct err *err)
{
	const struct archive_limits limits = {.max_bytes = UNPACKED_MAX, .max_files = FILES_MAX};

	if (check_sha256(s->zip, s->hex, err) < 0)
		return -1;
	if (mkdir(dir, 0755) < 0)
		return err_set(err, errno, "make folder %s", dir);
	if (lseek(s->zip, 0, SEEK_SET) < 0)
		return err_set(err, errno, "read the code package");
	if (archive_unpack_fd(s->zip, dir, &limits, err) < 0)
		return err_wrap(err, "unpack the code package");
	return 0;
}

/* Later packages go over earlier ones, in a folder beside that of the first. */
static int unpack_over(const struct unpack_job *j, size_t i, struct err *err)
{
	_cleanup_(freep) char *dir = xasprintf("%s.%zu", j->tmp, i);
	int r;

	rm_rf(dir);
	r = unpack_zip(&j->sources[i], dir, err);
	if (r == 0) {
		int e = move_over(dir, j->tmp);

		if (e < 0)
			r = err_set(err, -e, "put a layer over the one before");
	}
	rm_rf(dir);
	return r;
}

static int unpack(struct unpack_job *j)
{
	const char *dir = j->package->dir;

	if (access(dir, F_OK) == 0)
		return walk(dir, &j->bytes, &j->err);
	if (!j->n_sources)
		return err_set(&j->err, 0, "%s is gone", dir);
	rm_rf(j->tmp);
	if (unpack_zip(&j->sources[0], j->tmp, &j->err) < 0)
		return -1;
	for (size_t i = 1; i < j->n_sources; i++)
		if (unpack_over(j, i, &j->err) < 0)
			return -1;
	if (walk(j->tmp, &j->bytes, &j->err) < 0)
		return -1;
	if (rename(j->tmp, dir) < 0)
		return err_set(&j->err, errno, "rename %s", j->tmp);
	return 0;
}

static void unpack_work(void *arg)
{
	struct unpack_job *j = arg;

	j->result = unpack(j);
	if (j->result < 0)
		rm_rf(j->tmp);
}

/* --- On the loop ------------------------------------------------------------------------------------------------ */

static void tell_waiters(struct code_package *p, bool ok, const char *type, const char *error)
{
	struct waiter *w;

	p->refs++; /* for as long as waiters are told */
	while ((w = waiter_list_pop(&p->waiters))) {
		code_ready ready = w->ready;
		void *arg = w->arg;

		free(w);
		if (ok)
			p->refs++;
		ready(arg, ok ? p : NULL, type, error);
	}
	p->refs--;
}

static void package_settle(struct code_package *p)
{
	struct code *c = p->code;

	if (p->refs)
		return;
	package_list_push(&c->unused, p);
	code_shrink(c);
}

static void job_over(struct unpack_job *j)
{
	struct code_package *p = j->package;
	struct code *c = p->code;

	p->unpacking = false;
	if (j->result < 0) {
		map_del(&c->packages, str_from(p->hex));
		tell_waiters(p, false, j->type, j->err.msg);
		package_free(p);
	} else {
		p->bytes = j->bytes;
		c->bytes += j->bytes;
		tell_waiters(p, true, NULL, NULL);
		package_settle(p);
		code_shrink(c);
	}
	for (size_t i = 0; i < j->n_sources; i++)
		if (j->sources[i].zip >= 0)
			close(j->sources[i].zip);
	err_done(&j->err);
	free(j->tmp);
	free(j);
}

static void unpack_done(void *arg)
{
	struct unpack_job *j = arg;

	j->package->code->jobs--;
	job_over(j);
}

static struct unpack_job *job_new(struct code_package *p)
{
	struct unpack_job *j = xnew(struct unpack_job);

	*j = (struct unpack_job){.package = p, .tmp = xasprintf("%s/" NEW_PREFIX "%s", p->code->dir, p->hex)};
	return j;
}

static void start_unpacking(struct unpack_job *j)
{
	j->package->unpacking = true;
	j->package->code->jobs++;
	loop_work(j->package->code->loop, unpack_work, unpack_done, j);
}

static void fetch_next(struct unpack_job *j);

static void source_came(void *arg, int fd, const char *type, const char *error)
{
	struct unpack_job *j = arg;

	j->package->fetching = NULL;
	if (fd >= 0) {
		j->sources[j->fetching].zip = fd;
		fetch_next(j);
		return;
	}
	j->type = type;
	j->result = err_set(&j->err, 0, "%s", error);
	job_over(j);
}

/* What is missing is had one after the other, then all of it is unpacked. */
static void fetch_next(struct unpack_job *j)
{
	for (size_t i = 0; i < j->n_sources; i++) {
		if (j->sources[i].zip >= 0)
			continue;
		j->fetching = i;
		j->package->unpacking = true;
		j->package->fetching = j;
		fetch_get(&j->from, j->sources[i].hex, source_came, j);
		return;
	}
	start_unpacking(j);
}

static bool hex_of(struct str sha256, char hex[static HEX_SIZE])
{
	_cleanup_(buf_done) struct buf raw = BUF_NULL;

	if (!base64_decode(&raw, sha256) || raw.n != SHA256_SIZE)
		return false;
	hex_encode((const uint8_t *)raw.p, SHA256_SIZE, hex);
	return true;
}

static void close_all(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* The name of the folder, and what goes into it. */
static bool read_sources(const struct str *sha256, const int *zips, size_t n, struct source *sources,
			 char hex[static HEX_SIZE])
{
	uint8_t sum[DIGEST_MAX_SIZE];
	struct digest d;

	digest_init(&d, DIGEST_SHA256);
	for (size_t i = 0; i < n; i++) {
		if (!hex_of(sha256[i], sources[i].hex))
			return false;
		sources[i].zip = zips[i];
		digest_update(&d, sources[i].hex, HEX_SIZE - 1);
	}
	digest_final(&d, sum);
	if (n == 1)
		memcpy(hex, sources[0].hex, HEX_SIZE);
	else
		hex_encode(sum, SHA256_SIZE, hex);
	return true;
}

/* Somebody more waits for a package whose parts are being fetched: whom they are of may be asked as well. */
static void fetch_also(struct unpack_job *j, const struct fetch_from *from)
{
	if (j->from.link == from->link)
		return;
	j->from = *from;
	fetch_get(from, j->sources[j->fetching].hex, NULL, NULL);
}

void code_get_merged(struct code *c, const struct str *sha256, const int *zips, size_t n, const struct fetch_from *from,
		     code_ready ready, void *arg)
{
	struct source sources[CODE_MERGE_MAX];
	struct code_package *p;
	struct waiter *w;
	char hex[HEX_SIZE];

	if (n > CODE_MERGE_MAX || !read_sources(sha256, zips, n, sources, hex)) {
		close_all(zips, n);
		ready(arg, NULL, NULL, "the name of a code package is no SHA-256 in base64");
		return;
	}
	p = map_get(&c->packages, str_from(hex));
	if (p)
		close_all(zips, n);
	if (p && !p->unpacking) {
		if (package_list_linked(p))
			package_list_remove(&c->unused, p);
		p->refs++;
		ready(arg, p, NULL, NULL);
		return;
	}
	w = xnew(struct waiter);
	*w = (struct waiter){.ready = ready, .arg = arg};
	if (p) {
		waiter_list_push(&p->waiters, w);
		if (p->fetching)
			fetch_also(p->fetching, from);
	} else {
		struct unpack_job *j;

		p = package_new(c, hex);
		waiter_list_push(&p->waiters, w);
		j = job_new(p);
		memcpy(j->sources, sources, n * sizeof(sources[0]));
		j->n_sources = n;
		j->from = *from;
		fetch_next(j);
	}
}

void code_get(struct code *c, struct str sha256, int zip, const struct fetch_from *from, code_ready ready, void *arg)
{
	code_get_merged(c, &sha256, &zip, 1, from, ready, arg);
}

struct code_package *code_ref(struct code_package *p)
{
	p->refs++;
	return p;
}

void code_unref(struct code_package *p)
{
	if (--p->refs == 0 && !p->unpacking)
		package_settle(p);
}

const char *code_dir(const struct code_package *p)
{
	return p->dir;
}

/* Whether the folder was filled since the machine was started; notes that it will have been. */
static bool same_boot(const char *dir)
{
	_cleanup_(freep) char *note = xasprintf("%s/.boot", dir);
	_cleanup_(buf_done) struct buf then = BUF_NULL, now = BUF_NULL;

	if (file_read(BOOT_ID_FILE, 256, &now) < 0)
		return false;
	if (file_read(note, 256, &then) == 0 && str_eq(buf_str(&then), buf_str(&now)))
		return true;
	file_write(note, buf_str(&now), 0644);
	return false;
}

static bool is_hex_name(const char *name)
{
	return strlen(name) == HEX_SIZE - 1 && strspn(name, "0123456789abcdef") == HEX_SIZE - 1;
}

/* What an earlier life left: whole packages are kept, unless the machine went down since. */
static int code_scan(struct code *c, struct err *err)
{
	bool keep = same_boot(c->dir);
	DIR *d = opendir(c->dir);
	struct dirent *e;

	if (!d)
		return err_set(err, errno, "open folder %s", c->dir);
	while ((e = readdir(d))) {
		_cleanup_(freep) char *path = xasprintf("%s/%s", c->dir, e->d_name);

		if (keep && is_hex_name(e->d_name)) {
			start_unpacking(job_new(package_new(c, e->d_name)));
		} else if (is_hex_name(e->d_name) || !strncmp(e->d_name, NEW_PREFIX, strlen(NEW_PREFIX)) ||
			   !strncmp(e->d_name, OLD_PREFIX, strlen(OLD_PREFIX))) {
			rm_rf(path);
		}
	}
	closedir(d);
	return 0;
}

struct code *code_new(struct loop *l, const char *dir, uint64_t max_bytes, struct err *err)
{
	struct code *c = xnew(struct code);
	int r = mkdir_p(dir, 0755);

	*c = (struct code){.loop = l, .dir = xstrdup(dir), .max_bytes = max_bytes};
	if (r < 0)
		err_set(err, -r, "make folder %s", dir);
	if (r < 0 || code_scan(c, err) < 0)
		return code_free(c);
	return c;
}

struct code *code_free(struct code *c)
{
	struct code_package *p;

	if (!c)
		return NULL;
	while ((p = package_list_first(&c->unused))) {
		map_del(&c->packages, str_from(p->hex));
		package_free(p);
	}
	map_done(&c->packages);
	free(c->dir);
	free(c);
	return NULL;
}

bool code_is_busy(const struct code *c)
{
	return c->jobs > 0;
}

/* Zip packages, by libarchive. Names are judged before anything is read or written: a table of what each name
 * already is (folder, or not) refuses duplicates and entries beneath a file or a link, so a link never stands in
 * the way of a later entry. A link may climb only with leading ".."; as its folder is a real one, that is exact.
 * Unpacking opens every folder by openat without following links, so that it stays beneath its target even if
 * somebody else writes there. A refused package leaves what was unpacked so far to the caller. */
#include "sys/archive.h"

#include "base/map.h"
#include "base/mem.h"
#include "sys/file.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <locale.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK      ((size_t)65536)
#define DEPTH_MAX  64
#define TARGET_MAX 4096

/* libarchive turns names from and to the thread's character set, and drops those that do not fit into it. Names
 * are UTF-8 here whatever the user's locale says. */
struct utf8 {
	locale_t own, was;
};

static struct utf8 utf8_begin(void)
{
	struct utf8 u = {.own = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0)};

	u.was = u.own ? uselocale(u.own) : (locale_t)0;
	return u;
}

static void utf8_end(struct utf8 *u)
{
	if (!u->own)
		return;
	uselocale(u->was);
	freelocale(u->own);
}

/* ---- reading ---- */

static char is_folder[] = "folder", is_other[] = "other";

struct reader {
	struct archive *a;
	const struct archive_limits *lim;
	struct archive_totals totals;
	struct map names; /* clean name -> is_folder or is_other */
	int dir;          /* unpack beneath this fd; -1: only check */
	struct err *err;
};

struct entry {
	struct archive_entry *e;
	const char *shown;  /* as in the package, for messages */
	struct buf name;    /* clean, relative, no trailing slash; empty: the top itself */
	struct str target;  /* of a link */
	unsigned file_type; /* AE_IF... */
	bool executable;
};

static void reader_done(struct reader *r)
{
	map_done(&r->names);
	if (r->a)
		archive_read_free(r->a);
}

static int refuse(const struct reader *r, const struct entry *en, const char *why)
{
	return err_set(r->err, 0, "entry \"%s\": %s", en->shown, why);
}

static int lib_error(const struct reader *r, const char *shown)
{
	const char *why = archive_error_string(r->a);

	if (shown)
		return err_set(r->err, 0, "entry \"%s\": %s", shown, why ? why : "damaged");
	return err_set(r->err, 0, "not a readable zip package: %s", why ? why : "damaged");
}

static int clean_name(const struct reader *r, struct entry *en)
{
	struct str rest = str_from(en->shown), part;
	unsigned depth = 0;

	if (rest.n == 0)
		return refuse(r, en, "has no name");
	if (str_chr(rest, '\\', 0) >= 0)
		return refuse(r, en, "has a backslash in its name; use forward slashes");
	if (rest.p[0] == '/')
		return refuse(r, en, "has an absolute path");
	while (rest.n > 0) {
		str_cut(rest, '/', &part, &rest);
		if (part.n == 0 || str_eqz(part, "."))
			continue;
		if (str_eqz(part, ".."))
			return refuse(r, en, "leads out of the package");
		if (part.n > NAME_MAX || ++depth > DEPTH_MAX)
			return refuse(r, en, "has too long a path");
		if (en->name.n)
			buf_addc(&en->name, '/');
		buf_add_str(&en->name, part);
	}
	return en->name.n < PATH_MAX ? 0 : refuse(r, en, "has too long a path");
}

/* Whether a link at name, made of real folders, stays inside. Only leading ".." are allowed: after a part that may
 * itself be a link, ".." would go up from wherever that leads. */
static bool link_stays(struct str name, struct str target)
{
	unsigned depth = 0;
	bool down = false;
	struct str part;

	if (target.n == 0 || target.n > TARGET_MAX || target.p[0] == '/' || str_chr(target, '\\', 0) >= 0)
		return false;
	for (size_t i = 0; i < name.n; i++)
		depth += name.p[i] == '/';
	while (target.n > 0) {
		str_cut(target, '/', &part, &target);
		if (part.n == 0 || str_eqz(part, "."))
			continue;
		if (!str_eqz(part, "..")) {
			down = true;
			continue;
		}
		if (down || depth == 0)
			return false;
		depth--;
	}
	return true;
}

static int enter_name(struct reader *r, const struct entry *en)
{
	struct str name = buf_str(&en->name);
	bool folder = en->file_type == AE_IFDIR;
	void *was;

	for (size_t i = 0; i < name.n; i++) {
		struct str parent = str_n(name.p, i);

		if (name.p[i] != '/')
			continue;
		was = map_get(&r->names, parent);
		if (was == is_other)
			return refuse(r, en, "lies beneath a file or a link of the package");
		if (!was)
			map_put(&r->names, parent, is_folder);
	}
	was = map_get(&r->names, name);
	if (was && (!folder || was != is_folder))
		return refuse(r, en, "is in the package twice");
	if (!was)
		map_put(&r->names, name, folder ? is_folder : is_other);
	return 0;
}

static int judge(struct reader *r, struct entry *en)
{
	const char *target;

	if (archive_entry_is_encrypted(en->e))
		return refuse(r, en, "is encrypted");
	if (clean_name(r, en) < 0)
		return -1;
	en->file_type = archive_entry_filetype(en->e);
	en->executable = archive_entry_perm(en->e) & 0111;
	if (archive_entry_hardlink(en->e))
		return refuse(r, en, "is a hard link");
	if (en->file_type != AE_IFREG && en->file_type != AE_IFDIR && en->file_type != AE_IFLNK)
		return refuse(r, en, "is not a file, a folder or a link");
	if (en->name.n == 0)
		return en->file_type == AE_IFDIR ? 0 : refuse(r, en, "has no name");
	if (en->file_type == AE_IFLNK) {
		target = archive_entry_symlink_utf8(en->e);
		en->target = str_from(target ? target : archive_entry_symlink(en->e));
		if (!link_stays(buf_str(&en->name), en->target))
			return refuse(r, en, "is a link that may lead out of the package");
	}
	if (++r->totals.files > r->lim->max_files)
		return err_set(r->err, EFBIG, "more than %llu files", (unsigned long long)r->lim->max_files);
	return enter_name(r, en);
}

static void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* Opens the folder a name lies in, making what lacks; *leaf is the last part. Returns an fd of the caller's. */
static int open_parent(const struct reader *r, const struct entry *en, struct str *leaf)
{
	_cleanup_(closep) int fd = -1;
	struct str rest = buf_str(&en->name), part;

	fd = openat(r->dir, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	while (fd >= 0 && str_cut(rest, '/', &part, &rest)) {
		_cleanup_(freep) char *name = str_dup(part);
		int next = -1;

		if (mkdirat(fd, name, 0755) == 0 || errno == EEXIST)
			next = openat(fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		close(fd);
		fd = next;
	}
	if (fd < 0)
		return err_set(r->err, errno, "entry \"%s\": make its folder", en->shown);
	*leaf = part;
	return steal_fd(&fd);
}

/* Returns the fd of a new file, -1 with err, or -2 where nothing is to be written. */
static int make_entry(const struct reader *r, const struct entry *en)
{
	_cleanup_(closep) int parent = -1;
	_cleanup_(freep) char *leaf = NULL, *target = NULL;
	struct str last;
	int fd = -2;
	bool ok;

	if (r->dir < 0 || en->name.n == 0)
		return -2;
	parent = open_parent(r, en, &last);
	if (parent < 0)
		return -1;
	leaf = str_dup(last);
	if (en->file_type == AE_IFDIR) {
		ok = mkdirat(parent, leaf, 0755) == 0 || errno == EEXIST;
	} else if (en->file_type == AE_IFLNK) {
		target = str_dup(en->target);
		ok = symlinkat(target, parent, leaf) == 0;
	} else {
		fd = openat(parent, leaf, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		ok = fd >= 0 && fchmod(fd, en->executable ? 0755 : 0644) == 0;
	}
	if (ok)
		return fd;
	err_set(r->err, errno, "entry \"%s\": make it", en->shown);
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Reads the content to its end, which checks the CRC; a bomb is left as soon as it is one. */
static int read_content(struct reader *r, const struct entry *en, int fd)
{
	_cleanup_(freep) char *block = xmalloc(BLOCK);
	la_ssize_t n;
	int w;

	while ((n = archive_read_data(r->a, block, BLOCK)) > 0) {
		r->totals.bytes += (uint64_t)n;
		if (r->totals.bytes > r->lim->max_bytes)
			return err_set(r->err, EFBIG, "entry \"%s\": the package unpacks to more than %llu bytes",
				       en->shown, (unsigned long long)r->lim->max_bytes);
		w = fd >= 0 ? write_all(fd, block, (size_t)n) : 0;
		if (w < 0)
			return err_set(r->err, -w, "entry \"%s\": write it", en->shown);
	}
	return n < 0 ? lib_error(r, en->shown) : 0;
}

static int read_entry(struct reader *r, struct archive_entry *e)
{
	const char *name = archive_entry_pathname_utf8(e);
	struct entry en = {.e = e, .shown = name ? name : archive_entry_pathname(e)};
	_cleanup_(closep) int fd = -1;
	int ret;

	if (!en.shown)
		return err_set(r->err, 0, "an entry has a name that is not text");
	ret = judge(r, &en);
	if (ret == 0) {
		fd = make_entry(r, &en);
		ret = fd == -1 ? -1 : read_content(r, &en, fd);
	}
	buf_done(&en.name);
	return ret;
}

static int read_all(struct reader *r)
{
	struct archive_entry *e;
	int c;

	while ((c = archive_read_next_header(r->a, &e)) != ARCHIVE_EOF) {
		if (c != ARCHIVE_OK && c != ARCHIVE_WARN)
			return lib_error(r, NULL);
		if (read_entry(r, e) < 0)
			return -1;
	}
	return 0;
}

static struct archive *new_zip_reader(void)
{
	struct archive *a = archive_read_new();

	/* By the central directory only: what a damaged package lacks must not go unnoticed. */
	if (!a || archive_read_support_format_zip_seekable(a) != ARCHIVE_OK)
		abort();
	return a;
}

int archive_check(struct str zip, const struct archive_limits *lim, struct archive_totals *ret, struct err *err)
{
	_cleanup_(utf8_end) _unused_ struct utf8 utf8 = utf8_begin();
	_cleanup_(reader_done) struct reader r = {.a = new_zip_reader(), .lim = lim, .dir = -1, .err = err};

	if (archive_read_open_memory(r.a, zip.n ? zip.p : "", zip.n) != ARCHIVE_OK)
		return lib_error(&r, NULL);
	if (read_all(&r) < 0)
		return -1;
	*ret = r.totals;
	return 0;
}

int archive_unpack_fd(int fd, const char *dir, const struct archive_limits *lim, struct err *err)
{
	_cleanup_(utf8_end) _unused_ struct utf8 utf8 = utf8_begin();
	_cleanup_(reader_done) struct reader r = {.a = new_zip_reader(), .lim = lim, .dir = -1, .err = err};
	_cleanup_(closep) int top = -1;

	top = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (top < 0)
		return err_set(err, errno, "unpack into %s", dir);
	r.dir = top;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_set(err, errno, "read the package");
	if (archive_read_open_fd(r.a, fd, BLOCK) != ARCHIVE_OK)
		return lib_error(&r, NULL);
	return read_all(&r);
}

/* ---- packing ---- */

struct packer {
	struct archive *a;
	struct buf *out;
	uint64_t max_bytes;
	bool full;
	struct err *err;
};

static void packer_done(struct packer *p)
{
	if (p->a)
		archive_write_free(p->a);
}

static la_ssize_t on_packed(struct archive *a, void *arg, const void *p, size_t n)
{
	struct packer *pk = arg;

	if (pk->full || pk->out->n + n > pk->max_bytes) {
		/* Not an error for libarchive, which would then leak what it holds; pack_file looks at it. */
		pk->full = true;
		return (la_ssize_t)n;
	}
	buf_add(pk->out, p, n);
	return (la_ssize_t)n;
}

static int pack_error(const struct packer *p, const char *name)
{
	const char *why = archive_error_string(p->a);

	if (p->full)
		return err_set(p->err, EFBIG, "the package is larger than %llu bytes",
			       (unsigned long long)p->max_bytes);
	return err_set(p->err, 0, "pack %s: %s", name, why ? why : "failed");
}

static int put_header(struct packer *p, const char *name, const struct stat *st, const char *target)
{
	struct archive_entry *e = archive_entry_new();
	unsigned perm = S_ISDIR(st->st_mode) || (st->st_mode & 0111) ? 0755 : 0644;
	int c;

	if (!e)
		abort();
	/* No times, no owners: equal folders make equal packages. */
	archive_entry_set_pathname(e, name);
	archive_entry_set_mode(e, (st->st_mode & S_IFMT) | (target ? 0777 : perm));
	archive_entry_set_size(e, S_ISREG(st->st_mode) ? st->st_size : 0);
	if (target)
		archive_entry_set_symlink(e, target);
	c = archive_write_header(p->a, e);
	archive_entry_free(e);
	return (c == ARCHIVE_OK || c == ARCHIVE_WARN) && !p->full ? 0 : pack_error(p, name);
}

static int pack_file(struct packer *p, int fd, const char *name, const struct stat *st)
{
	_cleanup_(freep) char *block = xmalloc(BLOCK);
	uint64_t left = (uint64_t)st->st_size;

	if (put_header(p, name, st, NULL) < 0)
		return -1;
	while (left > 0) {
		ssize_t n = read(fd, block, MIN(left, (uint64_t)BLOCK));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(p->err, n < 0 ? errno : 0, "pack %s: %s", name,
				       n < 0 ? "read" : "changed while it was read");
		if (archive_write_data(p->a, block, (size_t)n) != n || p->full)
			return pack_error(p, name);
		left -= (uint64_t)n;
	}
	return archive_write_finish_entry(p->a) == ARCHIVE_OK && !p->full ? 0 : pack_error(p, name);
}

static bool left_out(const char *name)
{
	size_t n = strlen(name);

	return strcmp(name, ".git") == 0 || strcmp(name, "__pycache__") == 0 ||
	       (n > 4 && strcmp(name + n - 4, ".pyc") == 0);
}

static int keep_entry(const struct dirent *e)
{
	return strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && !left_out(e->d_name);
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int pack_folder(struct packer *p, int fd, const char *name, unsigned depth);

static int pack_link(struct packer *p, int dir, const char *leaf, const char *name, const struct stat *st)
{
	char target[TARGET_MAX + 1];
	ssize_t n = readlinkat(dir, leaf, target, sizeof(target) - 1);

	if (n < 0)
		return err_set(p->err, errno, "pack %s", name);
	target[n] = '\0';
	if (!link_stays(str_from(name), str_from(target)))
		return err_set(p->err, 0, "pack %s: the link may lead out of the folder (to %s)", name, target);
	return put_header(p, name, st, target);
}

static int pack_entry(struct packer *p, int dir, const char *leaf, const char *name, unsigned depth)
{
	_cleanup_(closep) int fd = -1;
	struct stat st;

	if (fstatat(dir, leaf, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(p->err, errno, "pack %s", name);
	if (S_ISLNK(st.st_mode))
		return pack_link(p, dir, leaf, name, &st);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return err_set(p->err, 0, "pack %s: not a file, a folder or a link", name);
	fd = openat(dir, leaf, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(p->err, errno, "pack %s", name);
	if (S_ISREG(st.st_mode))
		return pack_file(p, fd, name, &st);
	if (put_header(p, name, &st, NULL) < 0)
		return -1;
	return pack_folder(p, fd, name, depth);
}

static int pack_folder(struct packer *p, int fd, const char *name, unsigned depth)
{
	struct dirent **list = NULL;
	int n, r = 0;

	if (depth > DEPTH_MAX)
		return err_set(p->err, 0, "pack %s: folders are nested too deeply", name);
	n = scandirat(fd, ".", &list, keep_entry, by_bytes);
	if (n < 0)
		return err_set(p->err, errno, "pack %s", name[0] ? name : "the folder");
	for (int i = 0; i < n; i++) {
		_cleanup_(freep) char *full = xasprintf("%s%s%s", name, name[0] ? "/" : "", list[i]->d_name);

		if (r == 0)
			r = pack_entry(p, fd, list[i]->d_name, full, depth + 1);
		free(list[i]);
	}
	free(list);
	return r;
}

static int open_packer(struct packer *p)
{
	p->a = archive_write_new();
	if (!p->a)
		abort();
	if (archive_write_set_format_zip(p->a) != ARCHIVE_OK ||
	    archive_write_set_options(p->a, "zip:compression=deflate,zip:hdrcharset=UTF-8") < ARCHIVE_WARN)
		return pack_error(p, "the package");
	archive_write_set_bytes_per_block(p->a, 0);
	if (archive_write_open(p->a, p, NULL, on_packed, NULL) != ARCHIVE_OK)
		return pack_error(p, "the package");
	return 0;
}

int archive_pack(const char *path, uint64_t max_bytes, struct buf *ret, struct err *err)
{
	_cleanup_(buf_done) struct buf out = BUF_NULL;
	_cleanup_(utf8_end) _unused_ struct utf8 utf8 = utf8_begin();
	_cleanup_(packer_done) struct packer p = {.out = &out, .max_bytes = max_bytes, .err = err};
	_cleanup_(closep) int fd = -1;
	const char *slash = strrchr(path, '/');
	struct stat st;
	int r;

	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, errno, "pack %s", path);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return err_set(err, 0, "pack %s: not a file or a folder", path);
	if (open_packer(&p) < 0)
		return -1;
	r = S_ISDIR(st.st_mode) ? pack_folder(&p, fd, "", 0) : pack_file(&p, fd, slash ? slash + 1 : path, &st);
	if (r < 0)
		return -1;
	if (archive_write_close(p.a) != ARCHIVE_OK || p.full)
		return pack_error(&p, path);
	buf_done(ret);
	*ret = out;
	out = BUF_NULL;
	return 0;
}

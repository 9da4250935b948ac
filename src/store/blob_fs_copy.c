/* Blobs as files: reading runs of extents, copying, removing, and recovery after a crash. Copies and removals are jobs
 * of the pool that own copies of their arguments; recovery runs once, before the loop. */
#include "base/mem.h"
#include "store/blob_fs.h"
#include "sys/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE (256u << 10)

struct blob_reader {
	struct blobs *blobs;
	struct arena arena;
	struct extent *extents;
	size_t n, i; /* i: the one fd is open on, or the next to open */
	uint64_t at; /* in extent i */
	uint64_t left;
	int fd;
};

struct blob_reader *blob_reader_new(struct blobs *b, const struct extent *e, size_t n, uint64_t offset, uint64_t size)
{
	struct blob_reader *r = xnew(struct blob_reader);

	r->blobs = b;
	r->n = n;
	r->left = size;
	r->fd = -1;
	r->extents = n ? arena_new_n(&r->arena, struct extent, n) : NULL;
	for (size_t i = 0; i < n; i++)
		r->extents[i] = (struct extent){.blob = arena_str(&r->arena, e[i].blob), .size = e[i].size};
	while (r->i < n && offset >= e[r->i].size)
		offset -= e[r->i++].size;
	r->at = offset;
	return r;
}

/* Opens the extent that the next byte is in. */
static int reach(struct blob_reader *r)
{
	while (r->i < r->n && r->at >= r->extents[r->i].size) {
		if (r->fd >= 0)
			close(steal_fd(&r->fd));
		r->i++;
		r->at = 0;
	}
	if (r->i == r->n)
		return -EIO;
	if (r->fd < 0)
		r->fd = blob_open_fd(r->blobs, r->extents[r->i].blob);
	return MIN(r->fd, 0);
}

ssize_t blob_read(struct blob_reader *r, uint8_t *p, size_t cap)
{
	ssize_t n;
	int e;

	if (!r->left || !cap)
		return 0;
	e = reach(r);
	if (e < 0) {
		r->fd = -1;
		return e;
	}
	n = pread(r->fd, p, (size_t)MIN((uint64_t)cap, MIN(r->left, r->extents[r->i].size - r->at)), (off_t)r->at);
	if (n < 0)
		return -errno;
	if (n == 0)
		return -EIO; /* shorter than its row says */
	r->at += (uint64_t)n;
	r->left -= (uint64_t)n;
	return n;
}

struct blob_reader *blob_reader_free(struct blob_reader *r)
{
	if (!r)
		return NULL;
	if (r->fd >= 0)
		close(r->fd);
	arena_done(&r->arena);
	free(r);
	return NULL;
}

struct copy {
	struct blobs *blobs;
	struct blob_reader *from;
	struct blob_file to;
	struct blob_info info;
	int r;
	void (*done)(void *arg, int r, const struct blob_info *info);
	void *arg;
};

/* One whole blob: a second name for the same file. 1: not possible here. */
static int link_copy(struct copy *c)
{
	const struct extent *e = c->from->extents;
	struct blob_path home, cradle;
	struct stat st;
	int r = -ENOENT;

	if (c->from->n != 1 || c->from->at || c->from->left != e->size || !blob_id_valid(e->blob))
		return 1;
	blob_home(&home, e->blob);
	blob_cradle(&cradle, e->blob);
	if (linkat(c->blobs->dir, home.text, c->blobs->new, c->to.id, 0) == 0 ||
	    (errno == ENOENT && linkat(c->blobs->dir, cradle.text, c->blobs->new, c->to.id, 0) == 0))
		r = fstatat(c->blobs->new, c->to.id, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
	else
		return 1;
	if (r == 0 && (uint64_t)st.st_size != e->size)
		r = -EIO;
	if (r == 0)
		r = blobs_sync_new(c->blobs);
	if (r < 0)
		unlinkat(c->blobs->new, c->to.id, 0);
	else
		c->info.size = e->size;
	return r;
}

/* The bytes just read stand at `at` - n of the open extent; the file system may share them. */
static int put_piece(struct copy *c, const uint8_t *p, size_t n)
{
	loff_t in = (loff_t)(c->from->at - n), out = (loff_t)c->info.size;
	size_t left = n;
	ssize_t k;

	while (left && (k = copy_file_range(c->from->fd, &in, c->to.fd, &out, left, 0)) > 0)
		left -= (size_t)k;
	return left ? pwrite_all(c->to.fd, p + (n - left), left, (uint64_t)out) : 0;
}

static int copy_bytes(struct copy *c)
{
	_cleanup_(freep) uint8_t *p = xmalloc(PIECE);
	uint8_t sum[DIGEST_MAX_SIZE];
	struct digest md5;
	ssize_t n;
	int r = 0;

	digest_init(&md5, DIGEST_MD5);
	if (c->from->left > PIECE && fallocate(c->to.fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)c->from->left) < 0 &&
	    errno == ENOSPC)
		return -ENOSPC;
	while (r == 0 && (n = blob_read(c->from, p, PIECE)) != 0) {
		if (n < 0)
			return (int)n;
		digest_update(&md5, p, (size_t)n);
		r = put_piece(c, p, (size_t)n);
		c->info.size += (uint64_t)n;
	}
	digest_final(&md5, sum);
	hex_encode(sum, MD5_SIZE, c->info.md5);
	return r;
}

static void copy_work(void *arg)
{
	struct copy *c = arg;

	c->r = blob_file_new(c->blobs, &c->to);
	if (c->r < 0)
		return;
	c->r = link_copy(c);
	if (c->r > 0) {
		c->r = copy_bytes(c);
		if (c->r == 0)
			c->r = blob_file_publish(c->blobs, &c->to);
	}
	memcpy(c->info.id, c->to.id, sizeof(c->to.id));
	blob_file_close(c->blobs, &c->to);
	c->from = blob_reader_free(c->from);
}

static void copy_done(void *arg)
{
	struct copy *c = arg;
	struct blobs *b = c->blobs;

	blob_reader_free(c->from);
	c->done(c->arg, c->r, &c->info);
	free(c);
	blob_job_ended(b);
}

void blob_copy(struct blobs *b, const struct extent *e, size_t n, uint64_t offset, uint64_t size,
	       void (*done)(void *arg, int r, const struct blob_info *info), void *arg)
{
	struct copy *c = xnew(struct copy);

	*c = (struct copy){
		.blobs = b, .from = blob_reader_new(b, e, n, offset, size), .to = {.fd = -1}, .done = done, .arg = arg};
	blob_job(b, copy_work, copy_done, c);
}

struct removal {
	struct blobs *blobs;
	struct arena arena;
	struct str *ids;
	size_t n;
	void (*done)(void *arg);
	void *arg;
};

static void remove_work(void *arg)
{
	struct removal *r = arg;
	struct blob_path path;

	for (size_t i = 0; i < r->n; i++) {
		if (!blob_id_valid(r->ids[i]))
			continue;
		blob_cradle(&path, r->ids[i]);
		unlinkat(r->blobs->dir, path.text, 0);
		blob_home(&path, r->ids[i]);
		unlinkat(r->blobs->dir, path.text, 0);
	}
}

static void remove_done(void *arg)
{
	struct removal *r = arg;
	struct blobs *b = r->blobs;

	if (r->done)
		r->done(r->arg);
	arena_done(&r->arena);
	free(r);
	blob_job_ended(b);
}

void blob_remove(struct blobs *b, const struct str *ids, size_t n, void (*done)(void *arg), void *arg)
{
	struct removal *r = xnew(struct removal);

	*r = (struct removal){.blobs = b, .n = n, .done = done, .arg = arg};
	r->ids = n ? arena_new_n(&r->arena, struct str, n) : NULL;
	for (size_t i = 0; i < n; i++)
		r->ids[i] = arena_str(&r->arena, ids[i]);
	blob_job(b, remove_work, remove_done, r);
}

struct found {
	struct arena arena;
	struct str *ids;
	bool *live;
	size_t n, cap;
};

static void found_done(struct found *f)
{
	arena_done(&f->arena);
	free(f->ids);
	free(f->live);
}

static int list_new(struct blobs *b, struct found *f)
{
	int fd = openat(b->new, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	int r = 0;

	if (!d) {
		r = -errno;
		if (fd >= 0)
			close(fd);
		return r;
	}
	while (errno = 0, (e = readdir(d))) {
		if (str_starts(str_from(e->d_name), STR(TEMPORARY)))
			unlinkat(b->new, e->d_name, 0);
		if (!blob_id_valid(str_from(e->d_name)))
			continue;
		if (f->n == f->cap) {
			f->cap = f->cap ? f->cap * 2 : 64;
			f->ids = xrealloc(f->ids, f->cap * sizeof(*f->ids));
		}
		f->ids[f->n++] = arena_str(&f->arena, str_from(e->d_name));
	}
	r = -errno;
	closedir(d);
	return r;
}

int blob_recover(struct blobs *b, struct store_reader *reader, struct err *err)
{
	_cleanup_(found_done) struct found f = {0};
	int r = list_new(b, &f);

	if (r < 0)
		return err_set(err, -r, "blob recovery: list new blobs");
	if (!f.n)
		return 0;
	f.live = xnew_n(bool, f.n);
	r = store_blobs_live(reader, f.ids, f.n, f.live);
	if (r < 0)
		return err_set(err, -r, "blob recovery: ask the store");
	for (size_t i = 0; i < f.n; i++) {
		if (f.live[i])
			blob_settle(b, f.ids[i]);
		else
			unlinkat(b->new, f.ids[i].p, 0);
	}
	return 0;
}

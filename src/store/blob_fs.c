/* Blobs as files: DIR/new/ID until the store has committed them, DIR/xx/ID after, xx being the first two digits of the
 * id. An id is 32 random hex digits, so a name is never used twice.
 *
 * A writer belongs to the loop thread, except for the buffer in work and the file, which are a pool thread's while
 * `busy`. A body that fits in the first buffer costs one trip to the pool; a longer one fills one buffer while the
 * other is checked, hashed and written. The file has no name until it is whole (O_TMPFILE), or a name that blob_recover
 * removes where the file system has no such files. Any write, sync or link may fail; finish tells, and nothing stays.
 *
 * The name is given before the sync, not after: one journal commit then carries both, the sync of the folder finds
 * nothing left to do, and a file that is named but not whole after a crash is one that no row names. */
#include "base/mem.h"
#include "store/blob_fs.h"
#include "sys/clock.h"
#include "sys/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define BUFFER_SIZE  (256u << 10)
#define BUFFER_FIRST (16u << 10)
#define RESERVE_FROM (1 << 20)
#define SYNC_STEP    (8u << 20)

bool blob_id_valid(struct str id)
{
	for (size_t i = 0; i < id.n; i++)
		if (!((id.p[i] >= '0' && id.p[i] <= '9') || (id.p[i] >= 'a' && id.p[i] <= 'f')))
			return false;
	return id.n == BLOB_ID_SIZE;
}

void blob_home(struct blob_path *p, struct str id)
{
	snprintf(p->text, sizeof(p->text), "%.2s/%.*s", id.p, STR_ARG(id));
}

void blob_cradle(struct blob_path *p, struct str id)
{
	snprintf(p->text, sizeof(p->text), "new/%.*s", STR_ARG(id));
}

static int make_folders(struct blobs *b)
{
	char name[4];
	bool made = false;

	for (int i = -1; i < 256; i++) {
		snprintf(name, sizeof(name), i < 0 ? "new" : "%02x", (unsigned)i);
		if (mkdirat(b->dir, name, 0700) == 0)
			made = true;
		else if (errno != EEXIST)
			return -errno;
	}
	if (made && fsync(b->dir) < 0)
		return -errno;
	b->new = openat(b->dir, "new", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return b->new < 0 ? -errno : 0;
}

static int link_fd(int fd, int dir, const char *name)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, path, dir, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

/* Unnamed files need the file system's help to be made and /proc to be named. */
static bool has_unnamed_files(struct blobs *b)
{
	int fd = openat(b->new, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), r;

	if (fd < 0)
		return false;
	r = link_fd(fd, b->new, TEMPORARY "probe");
	close(fd);
	unlinkat(b->new, TEMPORARY "probe", 0);
	return r == 0 || r == -EEXIST;
}

struct blobs *blobs_open_fs(struct loop *l, const char *dir, struct err *err)
{
	struct blobs *b = xnew(struct blobs);
	int r = mkdir_p(dir, 0700);

	b->loop = l;
	b->dir = b->new = -1;
	if (r == 0) {
		b->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = b->dir < 0 ? -errno : make_folders(b);
	}
	if (r < 0) {
		err_set(err, -r, "blob folder %s", dir);
		return blobs_close(b);
	}
	b->unnamed = has_unnamed_files(b);
	return b;
}

struct blobs *blobs_close(struct blobs *b)
{
	if (!b)
		return NULL;
	b->closed = true;
	if (b->jobs)
		return NULL; /* the last job to end does it */
	if (b->new >= 0)
		close(b->new);
	if (b->dir >= 0)
		close(b->dir);
	free(b);
	return NULL;
}

void blob_job(struct blobs *b, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
	b->jobs++;
	loop_work(b->loop, work, done, arg);
}

void blob_job_ended(struct blobs *b)
{
	assert(b->jobs);
	if (--b->jobs == 0 && b->closed)
		blobs_close(b);
}

int blob_file_new(struct blobs *b, struct blob_file *f)
{
	uint8_t id[BLOB_ID_SIZE / 2];
	char name[BLOB_ID_SIZE + sizeof(TEMPORARY)];

	random_bytes(id, sizeof(id));
	hex_encode(id, sizeof(id), f->id);
	snprintf(name, sizeof(name), TEMPORARY "%s", f->id);
	f->fd = b->unnamed ? openat(b->new, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)
			   : openat(b->new, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	return f->fd < 0 ? -errno : 0;
}

int blob_file_publish(struct blobs *b, struct blob_file *f)
{
	char name[BLOB_ID_SIZE + sizeof(TEMPORARY)];
	int r;

	snprintf(name, sizeof(name), TEMPORARY "%s", f->id);
	if (b->unnamed)
		r = link_fd(f->fd, b->new, f->id);
	else
		r = renameat(b->new, name, b->new, f->id) < 0 ? -errno : 0;
	if (r < 0)
		return r;
	f->named = true;
	if (fsync(f->fd) < 0 || fsync(b->new) < 0)
		return -errno;
	f->whole = true;
	return 0;
}

void blob_file_close(struct blobs *b, struct blob_file *f)
{
	char name[BLOB_ID_SIZE + sizeof(TEMPORARY)];

	if (f->fd < 0)
		return;
	snprintf(name, sizeof(name), TEMPORARY "%s", f->id);
	if (f->named && !f->whole)
		unlinkat(b->new, f->id, 0);
	else if (!f->named && !b->unnamed)
		unlinkat(b->new, name, 0);
	close(f->fd);
	f->fd = -1;
}

struct buffer {
	uint8_t *p;
	size_t n, cap;
};

struct blob_writer {
	struct blobs *blobs;
	struct body_filter *filter;
	struct buffer buffers[2];
	unsigned fill; /* the loop's; the other one is the pool's while busy */
	bool busy, finishing, last, dropped;
	int failed; /* as the loop knows it */
	void (*ready)(void *arg);
	void *ready_arg;
	void (*done)(void *arg, int r, const struct blob_info *info);
	void *arg;

	/* The pool's while busy. */
	struct blob_file file;
	struct digest md5;
	struct blob_info info;
	uint64_t synced;   /* write-back has been asked for up to here */
	uint64_t reserved; /* of the disk */
	int r;
};

static int reserve(struct blob_writer *w, uint64_t size)
{
	struct statvfs st;
	int r = blob_file_new(w->blobs, &w->file);

	if (r < 0)
		return r;
	if (fallocate(w->file.fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size) == 0) {
		w->reserved = size;
		return 0;
	}
	if (errno != EOPNOTSUPP && errno != ENOSYS)
		return -errno;
	/* The file system cannot reserve: at least what plainly does not fit is refused early. */
	return fstatvfs(w->file.fd, &st) == 0 && st.f_bavail < size / st.f_frsize ? -ENOSPC : 0;
}

static void writer_free(struct blob_writer *w)
{
	struct blobs *b = w->blobs;

	blob_file_close(b, &w->file);
	body_filter_free(w->filter);
	free(w->buffers[0].p);
	free(w->buffers[1].p);
	free(w);
}

struct blob_writer *blob_writer_new(struct blobs *b, struct body_filter *filter, int64_t want_size, int *r)
{
	struct blob_writer *w = xnew(struct blob_writer);

	w->blobs = b;
	w->filter = filter;
	w->file.fd = -1;
	digest_init(&w->md5, DIGEST_MD5);
	*r = want_size > RESERVE_FROM ? reserve(w, (uint64_t)want_size) : 0;
	if (*r == 0)
		return w;
	writer_free(w);
	return NULL;
}

/* Long bodies: write-back runs along, so that the last sync has little left. */
static void push_out(struct blob_writer *w)
{
	if (w->info.size - w->synced < SYNC_STEP)
		return;
	if (w->synced >= SYNC_STEP)
		sync_file_range(w->file.fd, (off_t)(w->synced - SYNC_STEP), SYNC_STEP,
				SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
	sync_file_range(w->file.fd, (off_t)w->synced, (off_t)(w->info.size - w->synced), SYNC_FILE_RANGE_WRITE);
	w->synced = w->info.size;
}

static int put_clean(struct blob_writer *w, const uint8_t *p, size_t n)
{
	int r;

	if (!n)
		return 0;
	if (w->file.fd < 0 && (r = blob_file_new(w->blobs, &w->file)) < 0)
		return r;
	digest_update(&w->md5, p, n);
	r = pwrite_all(w->file.fd, p, n, w->info.size);
	if (r < 0)
		return r;
	w->info.size += n;
	push_out(w);
	return 0;
}

/* Clean spans are moved together to the front of the buffer, so that small chunks do not become small writes. One that
 * would overtake the bytes still to be read, or comes from the filter's own memory, is written after what waits. */
static int put_filtered(struct blob_writer *w, uint8_t *p, size_t n)
{
	size_t at = 0, clean = 0, used, out_n;
	const uint8_t *out;
	int r;

	while (at < n) {
		used = out_n = 0;
		r = body_filter_feed(w->filter, p + at, n - at, &used, &out, &out_n);
		if (r)
			return r;
		at += used;
		if (out_n && out >= p + clean && out + out_n <= p + at) {
			memmove(p + clean, out, out_n);
			clean += out_n;
		} else if (out_n) {
			r = put_clean(w, p, clean);
			if (r == 0)
				r = put_clean(w, out, out_n);
			if (r < 0)
				return r;
			clean = 0;
		} else if (!used) {
			return BODY_E_MALFORMED;
		}
	}
	return put_clean(w, p, clean);
}

static int finish_file(struct blob_writer *w)
{
	uint8_t md5[DIGEST_MAX_SIZE];
	int r = w->filter ? (int)body_filter_finish(w->filter) : 0;

	if (r)
		return r;
	if (w->filter)
		snprintf(w->info.checksum, sizeof(w->info.checksum), "%s", body_filter_checksum(w->filter));
	digest_final(&w->md5, md5);
	hex_encode(md5, MD5_SIZE, w->info.md5);
	if (w->file.fd < 0 && (r = blob_file_new(w->blobs, &w->file)) < 0)
		return r;
	/* Gives back what was reserved in vain. */
	if (w->reserved > w->info.size && ftruncate(w->file.fd, (off_t)w->info.size) < 0)
		return -errno;
	memcpy(w->info.id, w->file.id, sizeof(w->file.id));
	return blob_file_publish(w->blobs, &w->file);
}

static void writer_work(void *arg)
{
	struct blob_writer *w = arg;
	struct buffer *b = &w->buffers[!w->fill];

	if (!w->r)
		w->r = w->filter ? put_filtered(w, b->p, b->n) : put_clean(w, b->p, b->n);
	if (!w->r && w->last)
		w->r = finish_file(w);
	b->n = 0;
	if (w->last || w->r)
		blob_file_close(w->blobs, &w->file);
}

static void writer_done(void *arg);

static void hand_over(struct blob_writer *w, bool last)
{
	w->fill = !w->fill;
	w->last = last;
	w->busy = true;
	blob_job(w->blobs, writer_work, writer_done, w);
}

static void close_work(void *arg)
{
	struct blob_writer *w = arg;

	blob_file_close(w->blobs, &w->file);
}

static void close_done(void *arg)
{
	struct blob_writer *w = arg;
	struct blobs *b = w->blobs;

	writer_free(w);
	blob_job_ended(b);
}

/* To give back a long file takes time. */
static void end_writer(struct blob_writer *w)
{
	if (w->file.fd >= 0)
		blob_job(w->blobs, close_work, close_done, w);
	else
		writer_free(w);
}

static void writer_done(void *arg)
{
	struct blob_writer *w = arg;
	struct blobs *b = w->blobs;
	void (*ready)(void *arg) = w->ready;

	w->busy = false;
	w->failed = w->r;
	if (w->dropped) {
		end_writer(w);
	} else if (w->last) {
		w->done(w->arg, w->r, &w->info);
		writer_free(w);
	} else if (w->finishing) {
		hand_over(w, true);
	} else if (ready) {
		w->ready = NULL;
		ready(w->ready_arg);
	}
	blob_job_ended(b);
}

static void grow(struct buffer *b, size_t n)
{
	size_t want = b->cap ? b->cap : BUFFER_FIRST;

	while (want < b->n + n && want < BUFFER_SIZE)
		want *= 2;
	if (want == b->cap)
		return;
	b->p = xrealloc(b->p, want);
	b->cap = want;
}

size_t blob_write(struct blob_writer *w, const uint8_t *p, size_t n, void (*ready)(void *arg), void *arg)
{
	size_t taken = 0, some;

	while (taken < n) {
		struct buffer *b = &w->buffers[w->fill];

		if (w->failed)
			return n;
		if (b->n == BUFFER_SIZE) {
			if (w->busy) {
				w->ready = ready;
				w->ready_arg = arg;
				return taken;
			}
			hand_over(w, false);
			continue;
		}
		grow(b, n - taken);
		some = MIN(n - taken, b->cap - b->n);
		memcpy(b->p + b->n, p + taken, some);
		b->n += some;
		taken += some;
	}
	return n;
}

void blob_finish(struct blob_writer *w, void (*done)(void *arg, int r, const struct blob_info *info), void *arg)
{
	w->done = done;
	w->arg = arg;
	w->ready = NULL;
	w->finishing = true;
	if (!w->busy)
		hand_over(w, true);
}

void blob_drop(struct blob_writer *w)
{
	if (!w)
		return;
	w->dropped = true;
	if (!w->busy)
		end_writer(w);
}

void blob_put(struct blobs *b, struct str bytes, void (*done)(void *arg, int r, const struct blob_info *info),
	      void *arg)
{
	int r;
	struct blob_writer *w = blob_writer_new(b, NULL, -1, &r);

	w->buffers[0] = (struct buffer){.p = xmalloc(MAX(bytes.n, 1)), .n = bytes.n, .cap = bytes.n};
	if (bytes.n)
		memcpy(w->buffers[0].p, bytes.p, bytes.n);
	blob_finish(w, done, arg);
}

void blob_settle(struct blobs *b, struct str id)
{
	struct blob_path from, to;

	if (!blob_id_valid(id))
		return;
	blob_cradle(&from, id);
	blob_home(&to, id);
	/* Should this fail the blob is still found in new/, and the next start tries again. */
	(void)!renameat(b->dir, from.text, b->dir, to.text);
}

int blob_open_fd(struct blobs *b, struct str id)
{
	struct blob_path path;
	int fd = -1;

	if (!blob_id_valid(id))
		return -ENOENT;
	/* It may move home between the looks. */
	for (int i = 0; i < 3 && fd < 0; i++) {
		if (i == 1)
			blob_cradle(&path, id);
		else
			blob_home(&path, id);
		fd = openat(b->dir, path.text, O_RDONLY | O_CLOEXEC);
		if (fd < 0 && errno != ENOENT)
			return -errno;
	}
	return fd < 0 ? -ENOENT : fd;
}

/* Blobs as files: DIR/new/ID until the store has committed them, DIR/xx/ID after, xx being the first two digits of the
 * id. An id is 32 random hex digits, so a name is never used twice. The file has no name until it is whole (O_TMPFILE),
 * or a name that blob_recover removes where the file system has no such files. Any open, sync or link may fail.
 *
 * The name is given before the sync, not after: one journal commit then carries both, and a file that is named but not
 * whole after a crash is one that no row names. The sync of the folder, which POSIX asks for, then finds nothing to
 * write on ext4 and XFS and only flushes the disk's cache once more (a quarter of the time of a small blob). Those who
 * want it at the same time share one. Left out it would rest on what no file system promises; syncfs instead would make
 * a small blob wait for every long one being written. */
#include "store/blob_fs.h"

#include "base/mem.h"
#include "sys/clock.h"
#include "sys/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

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
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->sync_over, NULL);
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
	pthread_cond_destroy(&b->sync_over);
	pthread_mutex_destroy(&b->lock);
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

int blobs_sync_new(struct blobs *b)
{
	uint64_t mine;
	int r;

	pthread_mutex_lock(&b->lock);
	mine = b->syncs_begun + 1; /* one that runs already may have missed the caller's name */
	while (b->syncs_ended < mine) {
		if (b->syncs_ended < b->syncs_begun) {
			pthread_cond_wait(&b->sync_over, &b->lock);
			continue;
		}
		b->syncs_begun++;
		pthread_mutex_unlock(&b->lock);
		r = fsync(b->new) < 0 ? -errno : 0;
		pthread_mutex_lock(&b->lock);
		b->syncs_ended++;
		if (r < 0) {
			b->sync_error = r;
			b->sync_failed = b->syncs_ended;
		}
		pthread_cond_broadcast(&b->sync_over);
	}
	r = b->sync_failed >= mine ? b->sync_error : 0;
	pthread_mutex_unlock(&b->lock);
	return r;
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
	r = fsync(f->fd) < 0 ? -errno : blobs_sync_new(b);
	f->whole = r == 0;
	return r;
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

/* Blobs as files: the writer.
 *
 * A body that fits in one buffer costs one trip to the pool, which checks, hashes, writes and syncs it. A longer one
 * goes through a ring of buffers and two jobs that run at the same time, each taking the buffers in order: one undoes
 * the coding and checks it (filter), then writes; the other makes the MD5 that the ETag is, right behind the filter.
 * MD5 cannot be split, so it alone bounds a long body: about 0.7 GB/s a core. SHA-256 and the copy into the page cache
 * together take as long, hence two jobs and not three. Write-back is asked for every few MiB and waited for a window
 * later: the disk works all along, a writer keeps little of the page cache dirty, and the sync at the end is short.
 *
 * Buffer i is the loop's to fill while i == given, the store job's from then on until i < clean, and both jobs' to read
 * until i < stored and i < summed; these counts only grow and each has one writer, so that they need no lock. A job
 * ends when it finds nothing to do, or after a while, to let others have the thread; pump, on the loop, starts it
 * again. Any write or sync may fail: the first failure stops both jobs, the writer swallows the rest, finish tells. */
#include "store/blob_fs.h"

#include "base/mem.h"
#include "sys/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define BUFFERS      8
#define BUFFER_SIZE  (256u << 10)
#define BUFFER_FIRST (16u << 10)
#define TURN         32 /* buffers that a job takes before it lets others have its thread */
#define RESERVE_FROM (1 << 20)
#define WRITE_STEP   (2u << 20)
#define WRITE_WINDOW (16u << 20)

struct buffer {
	uint8_t *p;
	size_t n, cap;
};

struct blob_writer {
	struct blobs *blobs;
	struct buffer ring[BUFFERS]; /* buffer i is ring[i % BUFFERS] */
	atomic_uint given, clean, stored, summed;
	atomic_bool all_given;
	atomic_bool waiting, summing; /* the loop for room; the sum job is out */
	atomic_int failed;            /* the first error */

	/* The loop's. */
	size_t filled;     /* of buffer `given` */
	struct wake *wake; /* of a long body: a job did a buffer; under the blobs' lock */
	bool storing;      /* the store job is out */
	bool finishing, dropped;
	void (*ready)(void *arg);
	void *ready_arg;
	void (*done)(void *arg, int r, const struct blob_info *info);
	void *arg;

	/* The store job's. */
	struct body_filter *filter;
	struct blob_file file;
	uint64_t pushed;   /* write-back has been asked for up to here, */
	uint64_t waited;   /* and waited for up to here */
	uint64_t reserved; /* of the disk */
	struct blob_info info;

	struct digest md5; /* the sum job's */
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
	blob_file_close(w->blobs, &w->file);
	body_filter_free(w->filter);
	wake_free(w->wake);
	for (size_t i = 0; i < BUFFERS; i++)
		free(w->ring[i].p);
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

static void fail(struct blob_writer *w, int r)
{
	int none = 0;

	if (r)
		atomic_compare_exchange_strong(&w->failed, &none, r);
}

/* What this call reports, no later sync of the file does. */
static int write_back(struct blob_writer *w, uint64_t from, uint64_t to, unsigned flags)
{
	if (sync_file_range(w->file.fd, (off_t)from, (off_t)(to - from), flags) == 0 || errno == ENOSYS)
		return 0;
	return -errno;
}

static int push_out(struct blob_writer *w, bool last)
{
	const unsigned wait = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
	uint64_t size = w->info.size, until = last ? size : size - MIN(size, (uint64_t)WRITE_WINDOW);
	int r = 0;

	if (!last && size - w->pushed < WRITE_STEP)
		return 0;
	if (!last)
		r = write_back(w, w->pushed, size, SYNC_FILE_RANGE_WRITE);
	w->pushed = size;
	if (r == 0 && until > w->waited)
		r = write_back(w, w->waited, until, wait);
	w->waited = until;
	return r;
}

/* Clean spans are moved together to the front of the buffer: one write, and one piece to hash. */
static int filter_buffer(struct body_filter *f, struct buffer *b)
{
	size_t at = 0, clean = 0, used, out_n;
	const uint8_t *out;
	int r;

	while (at < b->n) {
		r = (int)body_filter_feed(f, b->p + at, b->n - at, &used, &out, &out_n);
		if (r)
			return r;
		assert(used && (!out_n || (out >= b->p + at && out + out_n <= b->p + at + used)));
		if (out_n && out != b->p + clean)
			memmove(b->p + clean, out, out_n);
		clean += out_n;
		at += used;
	}
	b->n = clean;
	return 0;
}

static int store_buffer(struct blob_writer *w, struct buffer *b)
{
	int r;

	if (!b->n)
		return 0;
	if (w->file.fd < 0 && (r = blob_file_new(w->blobs, &w->file)) < 0)
		return r;
	r = pwrite_all(w->file.fd, b->p, b->n, w->info.size);
	if (r < 0)
		return r;
	w->info.size += b->n;
	return push_out(w, false);
}

/* The loop need not know of every buffer; what it misses it sees when the job ends. */
static void tell(struct blob_writer *w, bool matters)
{
	if (!matters)
		return;
	pthread_mutex_lock(&w->blobs->lock);
	if (w->wake)
		wake_send(w->wake);
	pthread_mutex_unlock(&w->blobs->lock);
}

/* At once, not when the jobs have ended: the loop may be freed before, and every wake must be by then. */
static void hush(struct blob_writer *w)
{
	pthread_mutex_lock(&w->blobs->lock);
	w->wake = wake_free(w->wake);
	pthread_mutex_unlock(&w->blobs->lock);
}

static void store_work(void *arg)
{
	struct blob_writer *w = arg;
	unsigned i = w->stored;
	int r;

	for (unsigned n = 0; n < TURN && i < w->given && !w->failed; n++) {
		struct buffer *b = &w->ring[i % BUFFERS];

		r = w->filter ? filter_buffer(w->filter, b) : 0;
		if (r == 0) {
			w->clean = i + 1;
			tell(w, !w->summing);
			r = store_buffer(w, b);
		}
		if (r) {
			fail(w, r);
			return;
		}
		w->stored = ++i;
		tell(w, w->waiting);
	}
	/* While the MD5 of the last buffers is made. */
	if (w->all_given && i == w->given && !w->failed && w->pushed)
		fail(w, push_out(w, true));
}

static void sum_work(void *arg)
{
	struct blob_writer *w = arg;
	unsigned i = w->summed;

	for (unsigned n = 0; n < TURN && i < w->clean && !w->failed; n++) {
		digest_update(&w->md5, w->ring[i % BUFFERS].p, w->ring[i % BUFFERS].n);
		w->summed = ++i;
		tell(w, w->waiting);
	}
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

/* The whole way of a body of one buffer, the end of a longer one. */
static void finish_work(void *arg)
{
	struct blob_writer *w = arg;

	store_work(w);
	sum_work(w);
	if (!w->failed)
		fail(w, finish_file(w));
	blob_file_close(w->blobs, &w->file);
}

static void finish_done(void *arg)
{
	struct blob_writer *w = arg;
	struct blobs *b = w->blobs;

	w->done(w->arg, w->failed, &w->info);
	writer_free(w);
	blob_job_ended(b);
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

static bool has_room(const struct blob_writer *w)
{
	return w->given - MIN(w->stored, w->summed) < BUFFERS;
}

static void pump(void *arg);

static void store_done(void *arg)
{
	struct blob_writer *w = arg;
	struct blobs *b = w->blobs;

	w->storing = false;
	pump(w);
	blob_job_ended(b);
}

static void sum_done(void *arg)
{
	struct blob_writer *w = arg;
	struct blobs *b = w->blobs;

	w->summing = false;
	pump(w);
	blob_job_ended(b);
}

static void start_jobs(struct blob_writer *w)
{
	if (w->failed || w->dropped)
		return;
	if (!w->storing && w->stored < w->given) {
		w->storing = true;
		blob_job(w->blobs, store_work, store_done, w);
	}
	if (!w->summing && w->summed < w->clean) {
		w->summing = true;
		blob_job(w->blobs, sum_work, sum_done, w);
	}
}

/* After every step of a job: w may be gone when it returns. */
static void pump(void *arg)
{
	struct blob_writer *w = arg;
	void (*ready)(void *arg) = w->ready;

	start_jobs(w);
	if (w->dropped || w->finishing) {
		if (w->storing || w->summing)
			return;
		hush(w);
		if (w->dropped)
			end_writer(w);
		else
			blob_job(w->blobs, finish_work, finish_done, w);
	} else if (ready && (w->failed || has_room(w))) {
		w->ready = NULL;
		w->waiting = false;
		ready(w->ready_arg);
	}
}

static void grow(struct buffer *b, size_t n)
{
	size_t cap = b->cap ? b->cap : BUFFER_FIRST;

	while (cap < n && cap < BUFFER_SIZE)
		cap *= 2;
	if (cap == b->cap)
		return;
	b->p = xrealloc(b->p, cap);
	b->cap = cap;
}

static void give(struct blob_writer *w)
{
	w->ring[w->given % BUFFERS].n = w->filled;
	w->filled = 0;
	w->given++;
}

size_t blob_write(struct blob_writer *w, const uint8_t *p, size_t n, void (*ready)(void *arg), void *arg)
{
	size_t taken = 0, some;
	struct buffer *b;

	while (taken < n) {
		if (w->failed)
			return n;
		if (w->filled == BUFFER_SIZE) {
			if (!w->wake)
				w->wake = wake_new(w->blobs->loop, pump, w);
			give(w);
			start_jobs(w);
		}
		w->waiting = !has_room(w);
		/* Looked at once more, for a job that did not see it waiting yet. */
		if (w->waiting && !has_room(w)) {
			w->ready = ready;
			w->ready_arg = arg;
			return taken;
		}
		b = &w->ring[w->given % BUFFERS];
		grow(b, w->filled + (n - taken));
		some = MIN(n - taken, b->cap - w->filled);
		memcpy(b->p + w->filled, p + taken, some);
		w->filled += some;
		taken += some;
	}
	return n;
}

void blob_finish(struct blob_writer *w, void (*done)(void *arg, int r, const struct blob_info *info), void *arg)
{
	bool one_buffer = w->given == 0;

	w->done = done;
	w->arg = arg;
	w->ready = NULL;
	w->finishing = true;
	w->all_given = true;
	if (w->filled)
		give(w);
	if (one_buffer)
		blob_job(w->blobs, finish_work, finish_done, w);
	else
		pump(w);
}

void blob_drop(struct blob_writer *w)
{
	if (!w)
		return;
	w->dropped = true;
	hush(w);
	pump(w);
}

void blob_put(struct blobs *b, struct str bytes, void (*done)(void *arg, int r, const struct blob_info *info),
	      void *arg)
{
	int r;
	struct blob_writer *w = blob_writer_new(b, NULL, -1, &r);

	w->ring[0] = (struct buffer){.p = xmalloc(MAX(bytes.n, 1)), .cap = bytes.n};
	if (bytes.n)
		memcpy(w->ring[0].p, bytes.p, bytes.n);
	w->filled = bytes.n;
	blob_finish(w, done, arg);
}

/* Blobs: immutable runs of bytes under an id, behind a const table of operations (blob_fs; blob_s3 later).
 *
 * A blob is written to an unnamed file, hashed on the way, and becomes visible and durable (fsync of file and
 * folder) by finish; a writer that is dropped leaves nothing. New blobs stand in new/ until the store has committed
 * them (blob_settle moves them); after a crash blob_recover removes those in new/ that no committed row names.
 * Writing happens on pool threads: memory is at most eight buffers of 256 KiB a writer, whatever the size. Errors:
 * negative errno, positive enum body_error from the filter. */
#pragma once

#include "base/err.h"
#include "store/store.h"
#include "sys/loop.h"
#include "wire/sigv4_chunk.h"

struct blobs;

struct blobs *blobs_open_fs(struct loop *l, const char *dir, struct err *err);
struct blobs *blobs_close(struct blobs *b);

struct blob_info {
	char id[40]; /* NUL-terminated */
	uint64_t size;
	char md5[33];      /* hex */
	char checksum[64]; /* base64 of the filter's checksum, or "" */
};

struct blob_writer;
/* filter (may be NULL) is taken over: bytes pass through it before they are hashed and written.
 * want_size: announced clean size or -1; used to reserve disk space early (-ENOSPC before the body is read). */
struct blob_writer *blob_writer_new(struct blobs *b, struct body_filter *filter, int64_t want_size, int *r);
/* Takes up to n bytes; fewer when all buffers are full, then ready(arg) is called once there is room. After an error
 * it swallows everything; finish tells. */
size_t blob_write(struct blob_writer *w, const uint8_t *p, size_t n, void (*ready)(void *arg), void *arg);
/* All bytes given: flushes, checks the filter, makes it durable. done gets r == 0 and info, or an error; w is freed. */
void blob_finish(struct blob_writer *w, void (*done)(void *arg, int r, const struct blob_info *info), void *arg);
void blob_drop(struct blob_writer *w); /* at any time before finish */

/* A whole small value (a code package): as a writer of one piece. */
void blob_put(struct blobs *b, struct str bytes, void (*done)(void *arg, int r, const struct blob_info *info),
	      void *arg);

void blob_settle(struct blobs *b, struct str id); /* after the commit that names it */
int blob_open_fd(struct blobs *b, struct str id); /* an fd for reading, the caller's; -ENOENT */
/* A new blob of [offset, offset+size) of a run of extents; a hard link when it is one whole blob. */
void blob_copy(struct blobs *b, const struct extent *e, size_t n, uint64_t offset, uint64_t size,
	       void (*done)(void *arg, int r, const struct blob_info *info), void *arg);
/* Bytes of a run of extents in order, from a pool thread: for replies of many extents. See http_body.pull. */
struct blob_reader;
struct blob_reader *blob_reader_new(struct blobs *b, const struct extent *e, size_t n, uint64_t offset, uint64_t size);
ssize_t blob_read(struct blob_reader *r, uint8_t *p,
		  size_t cap); /* 0 at the end; negative errno. Page cache reads, on the loop */
struct blob_reader *blob_reader_free(struct blob_reader *r);

void blob_remove(struct blobs *b, const struct str *ids, size_t n, void (*done)(void *arg),
		 void *arg); /* pool thread */
int blob_recover(struct blobs *b, struct store_reader *r, struct err *err);

/* What writing blobs costs: long ones (64 MiB that come over a socket, as they are, checked by SHA-256 and as
 * aws-chunked coding with a CRC32) beside the same bytes written and synced in one go, as dd conv=fsync does; small
 * ones one after the other and many at once; opening a small one for reading. Medians.
 *   blob_put DIR [ROUNDS] */
#include "base/mem.h"
#include "store/blob.h"
#include "sys/clock.h"
#include "sys/file.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BIG    (64u << 20)
#define PIECE  (64u << 10)
#define CHUNK  (64u << 10)
#define SMALL  4096
#define ROUNDS 31

struct bench {
	struct loop *loop;
	struct blobs *blobs;
	struct blob_writer *writer;
	struct watch *watch;
	int fd;
	uint8_t piece[PIECE];
	size_t at, n; /* of the piece */
	struct blob_info info;
	unsigned left, flying;
};

struct feeder {
	int fd;
	struct str body;
};

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, unsigned n)
{
	qsort(v, n, sizeof(*v), by_value);
	return v[n / 2];
}

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static void *feed(void *arg)
{
	struct feeder *f = arg;

	must(write_all(f->fd, f->body.p, f->body.n) == 0, "feed");
	close(f->fd);
	return NULL;
}

static void stored(void *arg, int r, const struct blob_info *info)
{
	struct bench *b = arg;

	must(r == 0, "blob");
	b->info = *info;
	loop_stop(b->loop);
}

static void come(void *arg, int events);

static void room(void *arg)
{
	struct bench *b = arg;

	watch_set(b->watch, WATCH_READ);
	come(b, WATCH_READ);
}

static void come(void *arg, int events)
{
	struct bench *b = arg;
	ssize_t k;

	if (b->at == b->n) {
		k = read(b->fd, b->piece, sizeof(b->piece));
		must(k >= 0, "read");
		if (k == 0) {
			b->watch = watch_free(b->watch);
			blob_finish(b->writer, stored, b);
			return;
		}
		b->at = 0;
		b->n = (size_t)k;
	}
	b->at += blob_write(b->writer, b->piece + b->at, b->n - b->at, room, b);
	if (b->at < b->n)
		watch_set(b->watch, 0);
}

static void forget(struct bench *b)
{
	struct str id = str_from(b->info.id);

	blob_remove(b->blobs, &id, 1, NULL, NULL);
}

static double put_big(struct bench *b, struct str body, struct body_filter *filter)
{
	struct feeder f = {.body = body};
	pthread_t t;
	int fds[2], size = 1 << 20, r;
	uint64_t start = clock_mono_us();

	must(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0, "socketpair");
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	f.fd = fds[0];
	b->fd = fds[1];
	b->at = b->n = 0;
	b->writer = blob_writer_new(b->blobs, filter, BIG, &r);
	must(b->writer, "writer");
	must(pthread_create(&t, NULL, feed, &f) == 0, "thread");
	b->watch = watch_new(b->loop, b->fd, WATCH_READ, come, b);
	loop_run(b->loop);
	pthread_join(t, NULL);
	close(b->fd);
	forget(b);
	return BIG / (double)(clock_mono_us() - start);
}

static double write_and_sync(const char *dir, struct str body)
{
	char path[4096];
	uint64_t start = clock_mono_us(), end;
	int fd;

	snprintf(path, sizeof(path), "%s/plain", dir);
	fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	must(fd >= 0, path);
	for (size_t at = 0; at < body.n; at += 1 << 20)
		must(write_all(fd, body.p + at, 1 << 20) == 0, path);
	must(fsync(fd) == 0, "fsync");
	close(fd);
	end = clock_mono_us();
	unlink(path);
	return BIG / (double)(end - start);
}

static struct body_filter *checked(struct str body)
{
	uint8_t sum[SHA256_SIZE];
	char hex[2 * SHA256_SIZE + 1];

	sha256(body.p, body.n, sum);
	hex_encode(sum, sizeof(sum), hex);
	return body_filter_new(
		&(struct body_filter_conf){.form = BODY_PLAIN, .decoded_length = -1, .sha256 = str_from(hex)});
}

static struct body_filter *unchunker(void)
{
	return body_filter_new(&(struct body_filter_conf){.form = BODY_CHUNKED_UNSIGNED_TRAILER,
							  .decoded_length = BIG,
							  .checksum = DIGEST_CRC32,
							  .checksum_in_trailer = true});
}

static void chunk(struct buf *out, struct str body)
{
	uint8_t crc[DIGEST_MAX_SIZE];
	struct digest d;

	buf_reserve(out, body.n + (1 << 20));
	for (size_t at = 0; at < body.n; at += CHUNK) {
		buf_printf(out, "%x\r\n", CHUNK);
		buf_add(out, body.p + at, CHUNK);
		buf_adds(out, "\r\n");
	}
	digest_init(&d, DIGEST_CRC32);
	digest_update(&d, body.p, body.n);
	buf_adds(out, "0\r\nx-amz-checksum-crc32:");
	base64_encode(out, crc, digest_final(&d, crc));
	buf_adds(out, "\r\n\r\n");
}

static void long_ones(struct bench *b, const char *dir, unsigned rounds)
{
	double dd[ROUNDS], plain[ROUNDS], sha[ROUNDS], coded[ROUNDS], disk;
	struct buf body = BUF_NULL, chunked = BUF_NULL;

	buf_reserve(&body, BIG);
	random_bytes(body.p, BIG);
	body.n = BIG;
	chunk(&chunked, buf_str(&body));
	for (unsigned i = 0; i < rounds; i++) {
		dd[i] = write_and_sync(dir, buf_str(&body));
		plain[i] = put_big(b, buf_str(&body), NULL);
		sha[i] = put_big(b, buf_str(&body), checked(buf_str(&body)));
		coded[i] = put_big(b, buf_str(&chunked), unchunker());
	}
	disk = median(dd, rounds);
	printf("64 MiB: write+fsync %.0f MB/s; blob %.0f (%.2f), with SHA-256 %.0f (%.2f), chunked with CRC32 %.0f "
	       "(%.2f)\n",
	       disk, median(plain, rounds), median(plain, rounds) / disk, median(sha, rounds),
	       median(sha, rounds) / disk, median(coded, rounds), median(coded, rounds) / disk);
	buf_done(&body);
	buf_done(&chunked);
}

static void small_stored(void *arg, int r, const struct blob_info *info);

static void put_small(struct bench *b)
{
	static const char body[SMALL];
	int r;
	struct blob_writer *w = blob_writer_new(b->blobs, NULL, SMALL, &r);

	must(w, "writer");
	b->left--;
	b->flying++;
	blob_write(w, (const uint8_t *)body, SMALL, NULL, NULL);
	blob_finish(w, small_stored, b);
}

static void small_stored(void *arg, int r, const struct blob_info *info)
{
	struct bench *b = arg;

	must(r == 0, "small blob");
	b->info = *info;
	b->flying--;
	blob_settle(b->blobs, str_from(info->id));
	if (b->left)
		put_small(b);
	else if (!b->flying)
		loop_stop(b->loop);
}

static void small_ones(struct bench *b, unsigned at_once, unsigned n)
{
	uint64_t start = clock_mono_us();
	double us;

	b->left = n;
	while (b->left && b->flying < at_once)
		put_small(b);
	loop_run(b->loop);
	us = (double)(clock_mono_us() - start);
	printf("4 KiB, %2u at once: %.2f ms each, %.0f/s\n", at_once, us * at_once / n / 1000, n / us * 1e6);
}

static void open_one(struct bench *b)
{
	uint64_t start = clock_mono_us();
	unsigned n = 100000;

	for (unsigned i = 0; i < n; i++)
		close(blob_open_fd(b->blobs, str_from(b->info.id)));
	printf("open and close: %.2f us\n", (double)(clock_mono_us() - start) / n);
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 9;
	struct bench b = {.loop = loop_new()};
	struct err err = ERR_NULL;

	if (argc < 2 || !rounds || rounds > ROUNDS) {
		fprintf(stderr, "usage: blob_put DIR [ROUNDS]\n");
		return 2;
	}
	b.blobs = blobs_open_fs(b.loop, argv[1], &err);
	if (!b.blobs) {
		fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	/* First, while the disk has no long files to forget. */
	small_ones(&b, 1, 300);
	small_ones(&b, 8, 2000);
	small_ones(&b, 32, 2000);
	open_one(&b);
	if (rounds > 1)
		long_ones(&b, argv[1], rounds);
	blobs_close(b.blobs);
	loop_free(b.loop);
	return 0;
}

/* Blobs as files: writing in pieces and through a filter, both ways of copying, reading runs, removing, and that
 * dropped, failed and forgotten ones leave nothing. */
#include "store/blob_fs.h"
#include "store/store_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

static struct fixture fix;
static struct blobs *blobs;

static int setup(void **state)
{
	struct err err = ERR_NULL;

	fixture_open(&fix, false);
	blobs = blobs_open_fs(fix.loop, fix.dir, &err);
	assert_non_null(blobs);
	return 0;
}

/* A file system without unnamed files. */
static int setup_named(void **state)
{
	setup(state);
	blobs->unnamed = false;
	return 0;
}

static int teardown(void **state)
{
	blobs = blobs_close(blobs);
	fixture_close(&fix);
	return 0;
}

static unsigned files_in(const char *sub)
{
	DIR *d = opendir(arena_printf(&fix.arena, "%s/%s", fix.dir, sub));
	unsigned n = 0;

	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.' || e->d_name[1] == 't';
	closedir(d);
	return n;
}

static void md5_hex(struct str s, char out[33])
{
	uint8_t sum[DIGEST_MAX_SIZE];
	struct digest d;

	digest_init(&d, DIGEST_MD5);
	digest_update(&d, s.p, s.n);
	digest_final(&d, sum);
	hex_encode(sum, MD5_SIZE, out);
}

static struct str bytes(size_t n)
{
	uint8_t *p = arena_alloc(&fix.arena, n + 1);

	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 2654435761u >> 13);
	return str_n(p, n);
}

/* Gives s in pieces, waiting whenever the writer is full; its result. */
static int write_pieces(struct blob_writer *w, struct str s, size_t piece)
{
	size_t at = 0;

	while (at < s.n) {
		size_t want = MIN(piece, s.n - at),
		       k = blob_write(w, (const uint8_t *)s.p + at, want, fixture_stop, &fix);

		at += k;
		if (k < want)
			loop_run(fix.loop);
	}
	blob_finish(w, fixture_blob, &fix);
	loop_run(fix.loop);
	return fix.r;
}

static void same(struct extent *e, size_t n, uint64_t offset, struct str want)
{
	struct blob_reader *r = blob_reader_new(blobs, e, n, offset, want.n);
	uint8_t *p = arena_alloc(&fix.arena, want.n + 1);
	size_t at = 0;
	ssize_t k;

	while ((k = blob_read(r, p + at, MIN(want.n + 1 - at, 77777))) > 0)
		at += (size_t)k;
	assert_int_equal(k, 0);
	assert_int_equal(at, want.n);
	assert_memory_equal(p, want.p, want.n);
	assert_null(blob_reader_free(r));
}

static struct extent made(void)
{
	return (struct extent){.blob = arena_str(&fix.arena, str_from(fix.info.id)), .size = fix.info.size};
}

static struct extent put(struct str s)
{
	blob_put(blobs, s, fixture_blob, &fix);
	loop_run(fix.loop);
	assert_int_equal(fix.r, 0);
	return made();
}

static void sizes(void **state)
{
	static const size_t n[] = {0, 1, 16384, 262144, 262145, 524288, 3000001, 20 << 20};
	char md5[33];
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(n); i++) {
		struct str s = bytes(n[i]);
		struct blob_writer *w = blob_writer_new(blobs, NULL, i % 2 ? (int64_t)n[i] : -1, &r);
		struct extent e;

		assert_int_equal(r, 0);
		assert_int_equal(write_pieces(w, s, i % 3 ? 65536 : 1000000), 0);
		assert_int_equal(fix.info.size, n[i]);
		md5_hex(s, md5);
		assert_string_equal(fix.info.md5, md5);
		assert_string_equal(fix.info.checksum, "");
		assert_int_equal(files_in("new"), 1);
		e = made();
		same(&e, 1, 0, s);
		blob_settle(blobs, e.blob);
		assert_int_equal(files_in("new"), 0);
		same(&e, 1, n[i] / 2, str_sub(s, n[i] / 2, n[i]));
		blob_remove(blobs, &e.blob, 1, fixture_stop, &fix);
		loop_run(fix.loop);
		assert_int_equal(blob_open_fd(blobs, e.blob), -ENOENT);
	}
}

static struct body_filter *filter(enum body_form form, int64_t length)
{
	return body_filter_new(&(struct body_filter_conf){.form = form,
							  .decoded_length = length,
							  .checksum = DIGEST_CRC32,
							  .checksum_in_trailer = form != BODY_PLAIN});
}

static struct str chunked(struct str s, size_t chunk)
{
	struct buf b = BUF_NULL;
	struct str r;
	struct digest d;
	uint8_t crc[DIGEST_MAX_SIZE];

	for (size_t at = 0; at < s.n; at += chunk) {
		struct str c = str_sub(s, at, chunk);

		buf_printf(&b, "%zx\r\n", c.n);
		buf_add_str(&b, c);
		buf_adds(&b, "\r\n");
	}
	digest_init(&d, DIGEST_CRC32);
	digest_update(&d, s.p, s.n);
	buf_adds(&b, "0\r\nx-amz-checksum-crc32:");
	base64_encode(&b, crc, digest_final(&d, crc));
	buf_adds(&b, "\r\n\r\n");
	r = arena_str(&fix.arena, buf_str(&b));
	buf_done(&b);
	return r;
}

static void filtered(void **state)
{
	static const size_t chunks[] = {1, 7, 65536, 700000};
	struct str s = bytes(600000);
	struct extent e;
	char md5[33];
	int r;

	md5_hex(s, md5);
	for (size_t i = 0; i < ARRAY_SIZE(chunks); i++) {
		struct blob_writer *w =
			blob_writer_new(blobs, filter(BODY_CHUNKED_UNSIGNED_TRAILER, (int64_t)s.n), -1, &r);

		assert_int_equal(write_pieces(w, chunked(s, chunks[i]), 50001), 0);
		assert_string_equal(fix.info.md5, md5);
		assert_int_equal(strlen(fix.info.checksum), 8);
		e = made();
		same(&e, 1, 0, s);
	}
	assert_int_equal(files_in("new"), ARRAY_SIZE(chunks));
	assert_int_equal(
		write_pieces(blob_writer_new(blobs, filter(BODY_CHUNKED_UNSIGNED_TRAILER, -1), -1, &r), s, 50000),
		BODY_E_MALFORMED);
	assert_int_equal(write_pieces(blob_writer_new(blobs, filter(BODY_PLAIN, 599999), -1, &r), s, 50000),
			 BODY_E_LENGTH);
	assert_int_equal(files_in("new"), ARRAY_SIZE(chunks));
}

static void drops(void **state)
{
	struct str s = bytes(6000000);
	struct blob_writer *w;
	int r;

	blob_drop(blob_writer_new(blobs, NULL, -1, &r));
	blob_drop(blob_writer_new(blobs, filter(BODY_PLAIN, -1), 5 << 20, &r));
	for (size_t n = 1000; n < s.n; n += 399999) {
		w = blob_writer_new(blobs, NULL, -1, &r);
		blob_write(w, (const uint8_t *)s.p, n, fixture_stop, &fix);
		blob_drop(w);
	}
	blob_drop(NULL);
	while (blobs->jobs) {
		blob_remove(blobs, NULL, 0, fixture_stop, &fix);
		loop_run(fix.loop);
	}
	assert_int_equal(files_in("new"), 0);
	/* With its jobs still out when all is closed. */
	w = blob_writer_new(blobs, filter(BODY_PLAIN, -1), -1, &r);
	blob_write(w, (const uint8_t *)s.p, s.n, fixture_stop, &fix);
	blob_drop(w);
}

struct many {
	struct arena arena;
	struct str want[20];
	struct extent made[20];
	unsigned n;
};

static void one_of_many(void *arg, int r, const struct blob_info *info)
{
	struct many *m = arg;

	assert_int_equal(r, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(m->want); i++)
		if (m->want[i].n == info->size)
			m->made[i] = (struct extent){arena_str(&m->arena, str_from(info->id)), info->size};
	if (++m->n == ARRAY_SIZE(m->want))
		loop_stop(fix.loop);
}

/* More than the pool has threads: their syncs meet. */
static void many_at_once(void **state)
{
	struct many m = {0};

	for (unsigned i = 0; i < ARRAY_SIZE(m.want); i++)
		m.want[i] = bytes(i * 1001);
	for (unsigned round = 0; round < 5; round++) {
		m.n = 0;
		for (unsigned i = 0; i < ARRAY_SIZE(m.want); i++)
			blob_put(blobs, m.want[i], one_of_many, &m);
		loop_run(fix.loop);
		for (unsigned i = 0; i < ARRAY_SIZE(m.want); i++)
			same(&m.made[i], 1, 0, m.want[i]);
	}
	assert_int_equal(files_in("new"), 5 * ARRAY_SIZE(m.want));
	arena_done(&m.arena);
}

/* An error in the middle of a long body: the rest is swallowed, and nothing stays. */
static void long_refused(void **state)
{
	struct str s = bytes(9000000);
	int r;

	assert_int_equal(write_pieces(blob_writer_new(blobs, filter(BODY_PLAIN, 5000000), 5000000, &r), s, 65536),
			 BODY_E_LENGTH);
	assert_int_equal(
		write_pieces(blob_writer_new(blobs, filter(BODY_CHUNKED_UNSIGNED_TRAILER, -1), 9000000, &r), s, 65536),
		BODY_E_MALFORMED);
	assert_int_equal(files_in("new"), 0);
	/* And a whole one in coding, over the ring many times. */
	assert_int_equal(
		write_pieces(blob_writer_new(blobs, filter(BODY_CHUNKED_UNSIGNED_TRAILER, 9000000), 9000000, &r),
			     chunked(s, 8192), 65536),
		0);
	same(&(struct extent){str_from(fix.info.id), fix.info.size}, 1, 0, s);
}

static void no_room(void **state)
{
	struct rlimit was, little;
	struct str s = bytes(2000000);
	int r;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	little = (struct rlimit){.rlim_cur = 1 << 20, .rlim_max = was.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
	assert_null(blob_writer_new(blobs, filter(BODY_PLAIN, -1), 1LL << 60, &r));
	assert_true(r < 0);
	assert_int_equal(write_pieces(blob_writer_new(blobs, NULL, -1, &r), s, 65536), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	assert_int_equal(files_in("new"), 0);
	assert_int_equal(write_pieces(blob_writer_new(blobs, NULL, -1, &r), s, 65536), 0);
}

static void copies(void **state)
{
	struct str s = bytes(900000);
	struct extent e[3] = {put(str_sub(s, 0, 300000)), put(str_sub(s, 300000, 1)), put(str_sub(s, 300001, s.n))}, c;
	char md5[33];

	blob_settle(blobs, e[0].blob);
	same(e, 3, 299999, str_sub(s, 299999, 5));
	for (int i = 0; i < 2; i++) {
		blob_copy(blobs, &e[i], 1, 0, e[i].size, fixture_blob, &fix);
		loop_run(fix.loop);
		assert_int_equal(fix.r, 0);
		assert_string_equal(fix.info.md5, "");
		c = made();
		same(&c, 1, 0, str_sub(s, i ? 300000 : 0, e[i].size));
	}
	blob_copy(blobs, e, 3, 10, 800000, fixture_blob, &fix);
	loop_run(fix.loop);
	assert_int_equal(fix.r, 0);
	md5_hex(str_sub(s, 10, 800000), md5);
	assert_string_equal(fix.info.md5, md5);
	c = made();
	same(&c, 1, 0, str_sub(s, 10, 800000));
	/* Past the end, and of a blob that is not there. */
	blob_copy(blobs, e, 3, 10, 900000, fixture_blob, &fix);
	loop_run(fix.loop);
	assert_int_equal(fix.r, -EIO);
	e[0].blob = STR("../../../../../../../etc/passwd0");
	blob_copy(blobs, e, 1, 0, 300000, fixture_blob, &fix);
	loop_run(fix.loop);
	assert_int_equal(fix.r, -ENOENT);
	assert_int_equal(blob_open_fd(blobs, e[0].blob), -ENOENT);
	assert_int_equal(files_in("new"), 5);
}

static void recovery(void **state)
{
	struct extent e[3] = {put(STR("a")), put(STR("b")), put(STR("c"))};
	struct object o = {.bucket = STR("b"), .key = STR("k"), .extents = &e[1], .n_extents = 1};
	struct store_txn *t = store_begin(fix.store);
	struct err err = ERR_NULL;
	int fd;

	store_put_bucket(t, &(struct bucket){.name = STR("b")});
	store_put_object(t, &o, NULL);
	assert_int_equal(commit(&fix, t), 0);
	fd = open(arena_printf(&fix.arena, "%s/new/.tmp-left", fix.dir), O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(files_in("new"), 4);
	assert_int_equal(blob_recover(blobs, store_reader(fix.store), &err), 0);
	assert_int_equal(files_in("new"), 0);
	assert_int_equal(blob_open_fd(blobs, e[0].blob), -ENOENT);
	same(&e[1], 1, 0, STR("b"));
	assert_int_equal(blob_recover(blobs, store_reader(fix.store), &err), 0);
}

static void bad_folder(void **state)
{
	struct err err = ERR_NULL;

	assert_null(blobs_open_fs(fix.loop, "/proc/none", &err));
	assert_non_null(strstr(err.msg, "/proc/none"));
	err_done(&err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(filtered, setup, teardown),
		cmocka_unit_test_setup_teardown(drops, setup, teardown),
		cmocka_unit_test_setup_teardown(many_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(long_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(no_room, setup, teardown),
		cmocka_unit_test_setup_teardown(copies, setup, teardown),
		cmocka_unit_test_setup_teardown(recovery, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_folder, setup, teardown),
		{"sizes, named", sizes, setup_named, teardown, NULL},
		{"drops, named", drops, setup_named, teardown, NULL},
		{"no room, named", no_room, setup_named, teardown, NULL},
		{"copies, named", copies, setup_named, teardown, NULL},
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

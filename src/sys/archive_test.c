/* Packages: what is packed comes back, equal input gives equal bytes, and every dangerous entry is refused by
 * name. Bad packages are written here by libarchive itself or by breaking bytes of a good one. */
#include "sys/archive.h"

#include "base/mem.h"
#include "sys/file.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdarg.h>
#include <setjmp.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char dir[] = "/tmp/wick-archive-test-XXXXXX";
static const struct archive_limits roomy = {.max_bytes = 1 << 20, .max_files = 100};

static const char *at(const char *name)
{
	static char path[1024];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static int setup(void **state)
{
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	return rm_rf(dir);
}

struct item {
	const char *name;
	unsigned type; /* 0: a file */
	const char *content;
};

static void zip_items(struct buf *out, const struct item *items, size_t n)
{
	struct archive *a = archive_write_new();
	size_t used = 0;

	archive_write_set_format_zip(a);
	buf_reserve(out, 1 << 20);
	assert_int_equal(archive_write_open_memory(a, out->p, 1 << 20, &used), ARCHIVE_OK);
	for (size_t i = 0; i < n; i++) {
		struct archive_entry *e = archive_entry_new();
		bool file = items[i].type == 0;

		archive_entry_set_pathname(e, items[i].name);
		archive_entry_set_mode(e, (file ? AE_IFREG : items[i].type) | 0644);
		if (items[i].type == AE_IFLNK)
			archive_entry_set_symlink(e, items[i].content);
		archive_entry_set_size(e, file ? (la_int64_t)strlen(items[i].content) : 0);
		assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
		if (file)
			archive_write_data(a, items[i].content, strlen(items[i].content));
		archive_entry_free(e);
	}
	archive_write_close(a);
	archive_write_free(a);
	out->n = used;
}

static void refused(const struct item *items, size_t n, const char *message)
{
	_cleanup_(buf_done) struct buf zip = BUF_NULL;
	struct archive_totals t;
	struct err e = ERR_NULL;

	zip_items(&zip, items, n);
	if (archive_check(buf_str(&zip), &roomy, &t, &e) == 0)
		fail_msg("wanted <%s>, got none", message);
	if (str_find(str_from(e.msg), str_from(message)) < 0)
		fail_msg("wanted <%s>, got <%s>", message, e.msg);
	err_done(&e);
}

#define REFUSED(message, ...)                                                                                          \
	refused((struct item[]){__VA_ARGS__}, sizeof((struct item[]){__VA_ARGS__}) / sizeof(struct item), message)

static void test_refused(void **state)
{
	REFUSED("\"../x\": leads out", {"../x", 0, "1"});
	REFUSED("leads out", {"a/../../x", 0, "1"});
	REFUSED("absolute", {"/etc/passwd", 0, "1"});
	REFUSED("backslash", {"a/b\\c", 0, "1"});
	REFUSED("leads out", {"..\\x", 0, "1"}); /* libarchive turns these around where no slash is */
	REFUSED("\"a\": is in the package twice", {"a", 0, "1"}, {"a", 0, "2"});
	REFUSED("twice", {"a/b", 0, "1"}, {"./a", 0, "2"});
	REFUSED("beneath", {"a", 0, "1"}, {"a/b", 0, "2"});
	REFUSED("beneath", {"l", AE_IFLNK, "d"}, {"l/b", 0, "2"});
	REFUSED("lead out", {"l", AE_IFLNK, "/etc"});
	REFUSED("lead out", {"d/l", AE_IFLNK, "../.."});
	REFUSED("lead out", {"d/l", AE_IFLNK, "x/../../.."});
}

static void test_limits_and_damage(void **state)
{
	_cleanup_(freep) char *big = xmalloc(100001);
	_cleanup_(buf_done) struct buf zip = BUF_NULL;
	struct archive_totals t = {0};
	struct err e = ERR_NULL;

	memset(big, 'x', 100000);
	big[100000] = '\0';
	zip_items(&zip, (struct item[]){{"a", 0, big}, {"b", 0, "y"}}, 2);
	assert_int_equal(archive_check(buf_str(&zip), &roomy, &t, &e), 0);
	assert_int_equal(t.bytes, 100001);
	assert_int_equal(t.files, 2);
	assert_int_equal(archive_check(buf_str(&zip), &(struct archive_limits){100000, 2}, &t, &e), -1);
	assert_int_equal(archive_check(buf_str(&zip), &(struct archive_limits){200000, 1}, &t, &e), -1);
	for (size_t n = 0; n < zip.n; n++) /* cut short anywhere */
		assert_int_equal(archive_check(str_n(zip.p, n), &roomy, &t, &e), -1);
	zip.p[60] ^= 0x55; /* in the content: the CRC tells */
	assert_int_equal(archive_check(buf_str(&zip), &roomy, &t, &e), -1);
	assert_int_equal(archive_check(STR("not a zip"), &roomy, &t, &e), -1);
	err_done(&e);
}

static int zip_fd(const struct buf *zip)
{
	int fd = memfd_create("zip", MFD_CLOEXEC);

	assert_int_equal(write_all(fd, zip->p, zip->n), 0);
	return fd;
}

static void test_round_trip(void **state)
{
	_cleanup_(buf_done) struct buf zip = BUF_NULL, again = BUF_NULL, b = BUF_NULL;
	struct err e = ERR_NULL;
	struct stat st;
	int fd;

	assert_int_equal(mkdir_p(at("in/d/__pycache__"), 0700), 0);
	assert_int_equal(mkdir_p(at("in/.git"), 0700), 0);
	assert_int_equal(mkdir_p(at("out"), 0700), 0);
	assert_int_equal(file_write(at("in/run.sh"), STR("#!"), 0700), 0);
	assert_int_equal(file_write(at("in/d/\xc3\xa4.txt"), STR("text"), 0600), 0);
	assert_int_equal(file_write(at("in/d/x.pyc"), STR("no"), 0600), 0);
	assert_int_equal(symlink("../run.sh", at("in/d/link")), 0);
	if (archive_pack(at("in"), 1 << 20, &zip, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(archive_pack(at("in"), 1 << 20, &again, &e), 0);
	assert_true(str_eq(buf_str(&zip), buf_str(&again)));
	assert_int_equal(archive_pack(at("in"), 100, &again, &e), -1);
	fd = zip_fd(&zip);
	if (archive_unpack_fd(fd, at("out"), &roomy, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(stat(at("out/run.sh"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0755);
	assert_int_equal(file_read(at("out/d/\xc3\xa4.txt"), 100, &b), 0);
	assert_true(str_eqz(buf_str(&b), "text"));
	assert_int_equal(file_read(at("out/d/link"), 100, &b), 0);
	assert_true(str_eqz(buf_str(&b), "#!"));
	assert_int_equal(stat(at("out/d/x.pyc"), &st), -1);
	assert_int_equal(stat(at("out/.git"), &st), -1);
	assert_int_equal(archive_unpack_fd(fd, at("out"), &roomy, &e), -1); /* not empty */
	close(fd);
	assert_int_equal(symlink("/etc", at("in/d/bad")), 0);
	assert_int_equal(archive_pack(at("in"), 1 << 20, &zip, &e), -1);
	assert_int_equal(archive_pack(at("in/run.sh"), 1 << 20, &zip, &e), 0);
	assert_int_equal(archive_pack(at("none"), 1 << 20, &zip, &e), -1);
	err_done(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_limits_and_damage),
		cmocka_unit_test(test_round_trip),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

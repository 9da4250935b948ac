/* Packages that are fetched: asked for once for all who wait, of whom they may be had, again after a loss; and through
 * the cache, which unpacks what came and checks it. The test is the links. */
#include "node/fetch.h"

#include "base/mem.h"
#include "node/code.h"
#include "node/gate_link.h"
#include "sys/archive.h"
#include "sys/file.h"
#include "wire/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct test_link {
	struct gate_link link; /* first */
	bool up;
	unsigned asked;
	char hex[65];
};

struct waits {
	unsigned called;
	int fd;
	char type[64], error[128];
};

struct fixture {
	char folder[64];
	struct loop *loop;
	struct fetches *fetches;
	struct test_link a, b;
	struct waits one, two;
	int sender;
};

static bool on_need(struct gate_link *g, const char *hex)
{
	struct test_link *l = (struct test_link *)g;

	if (!l->up)
		return false;
	l->asked++;
	snprintf(l->hex, sizeof(l->hex), "%s", hex);
	return true;
}

static const struct gate_link_ops ops = {.need = on_need}, no_ops;

static void on_fetched(void *arg, int fd, const char *type, const char *error)
{
	struct waits *w = arg;

	w->called++;
	w->fd = fd;
	snprintf(w->type, sizeof(w->type), "%s", type ? type : "");
	snprintf(w->error, sizeof(w->error), "%s", error ? error : "");
	if (fd >= 0) {
		char text[64];
		ssize_t n = read(fd, text, sizeof(text));

		assert_true(n >= 0);
		snprintf(w->error, sizeof(w->error), "%.*s", (int)n, text);
		close(fd);
	}
}

static int setup(void **state)
{
	struct fixture *x = xnew(struct fixture);

	snprintf(x->folder, sizeof(x->folder), "/tmp/wick-fetch-XXXXXX");
	assert_non_null(mkdtemp(x->folder));
	x->loop = loop_new();
	x->fetches = fetches_new(x->folder);
	x->a = (struct test_link){.link = {.ops = &ops}, .up = true};
	x->b = (struct test_link){.link = {.ops = &ops}, .up = true};
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	fetches_free(x->fetches);
	loop_free(x->loop);
	rm_rf(x->folder);
	free(x);
	return 0;
}

static void get(struct fixture *x, struct test_link *l, struct waits *w)
{
	const struct fetch_from from = {.fetches = x->fetches, .link = &l->link};

	fetch_get(&from, HEX, on_fetched, w);
}

static void send_all(struct fixture *x, struct test_link *l, const char *text)
{
	assert_true(fetch_begin(x->fetches, &l->link, STR(HEX), &x->sender));
	assert_true(fetch_data(x->fetches, STR(HEX), &x->sender, str_from(text)));
	fetch_end(x->fetches, STR(HEX), &x->sender);
}

static void once_for_all(void **state)
{
	struct fixture *x = *state;
	int other;

	get(x, &x->a, &x->one);
	get(x, &x->a, &x->two);
	assert_int_equal(x->a.asked, 1);
	assert_string_equal(x->a.hex, HEX);
	assert_false(fetch_begin(x->fetches, &x->b.link, STR(HEX), &other)); /* nobody asked that one */
	assert_true(fetch_begin(x->fetches, &x->a.link, STR(HEX), &x->sender));
	assert_false(fetch_begin(x->fetches, &x->a.link, STR(HEX), &other));
	assert_false(fetch_data(x->fetches, STR(HEX), &other, STR("no")));
	fetch_end(x->fetches, STR(HEX), &other);
	assert_true(fetch_data(x->fetches, STR(HEX), &x->sender, STR("by")));
	assert_true(fetch_data(x->fetches, STR(HEX), &x->sender, STR("tes")));
	assert_int_equal(x->one.called, 0);
	fetch_end(x->fetches, STR(HEX), &x->sender);
	assert_int_equal(x->one.called, 1);
	assert_string_equal(x->one.error, "bytes");
	assert_int_equal(x->two.called, 1);
	assert_string_equal(x->two.error, "bytes"); /* from its own beginning */
	assert_false(fetch_begin(x->fetches, &x->a.link, STR(HEX), &x->sender));
}

static void refused(void **state)
{
	struct fixture *x = *state;

	get(x, &x->a, &x->one);
	assert_true(fetch_begin(x->fetches, &x->a.link, STR(HEX), &x->sender));
	fetch_refused(x->fetches, STR(HEX), &x->sender, "it was deleted");
	assert_int_equal(x->one.called, 1);
	assert_int_equal(x->one.fd, -1);
	assert_string_equal(x->one.type, "Runtime.CodeMissing");
	assert_string_equal(x->one.error, "it was deleted");
}

static void lost_and_found(void **state)
{
	struct fixture *x = *state;

	x->a.up = false;
	get(x, &x->a, &x->one);
	assert_int_equal(x->a.asked, 0);
	x->a.up = true;
	fetches_up(x->fetches, &x->a.link);
	assert_int_equal(x->a.asked, 1);
	assert_true(fetch_begin(x->fetches, &x->a.link, STR(HEX), &x->sender));
	assert_true(fetch_data(x->fetches, STR(HEX), &x->sender, STR("half")));
	x->a.up = false;
	fetches_down(x->fetches, &x->a.link);
	assert_false(fetch_data(x->fetches, STR(HEX), &x->sender, STR("more")));
	assert_int_equal(x->one.called, 0);
	x->a.up = true;
	fetches_up(x->fetches, &x->a.link);
	assert_int_equal(x->a.asked, 2);
	send_all(x, &x->a, "whole");
	assert_string_equal(x->one.error, "whole");
}

static void from_another(void **state)
{
	struct fixture *x = *state;

	x->a.up = false;
	get(x, &x->a, &x->one);
	get(x, &x->b, &x->two);
	assert_int_equal(x->b.asked, 1);
	send_all(x, &x->b, "b's");
	assert_string_equal(x->one.error, "b's");
	assert_string_equal(x->two.error, "b's");
}

static void gone(void **state)
{
	const struct fetch_from local = {.fetches = NULL, .link = &(struct gate_link){.ops = &no_ops}};
	struct fixture *x = *state;

	get(x, &x->a, &x->one);
	get(x, &x->b, &x->two);
	x->a.link.gone = true;
	fetches_gone(x->fetches, &x->a.link);
	assert_int_equal(x->one.called, 0); /* b may still have it */
	assert_int_equal(x->b.asked, 1);
	x->b.link.gone = true;
	fetches_gone(x->fetches, &x->b.link);
	assert_int_equal(x->one.called, 1);
	assert_int_equal(x->two.called, 1);
	assert_string_equal(x->two.type, "Runtime.CodeMissing");
	get(x, &x->a, &x->one);
	assert_int_equal(x->one.called, 2);
	fetch_get(&local, HEX, on_fetched, &x->one);
	assert_int_equal(x->one.called, 3);
	assert_non_null(strstr(x->one.error, "did not come"));
}

/* ---- through the cache ---- */

struct cached {
	struct fixture *x;
	struct code *code;
	struct code_package *package;
	char type[64], error[128];
	bool called;
};

static void on_ready(void *arg, struct code_package *package, const char *type, const char *error)
{
	struct cached *c = arg;

	c->called = true;
	c->package = package;
	snprintf(c->type, sizeof(c->type), "%s", type ? type : "");
	snprintf(c->error, sizeof(c->error), "%s", error ? error : "");
	loop_stop(c->x->loop);
}

static void idle_stop(void *arg)
{
	struct cached *c = arg;

	if (!code_is_busy(c->code))
		loop_stop(c->x->loop);
}

static void close_cache(struct cached *c)
{
	struct timer *t = timer_new(c->x->loop, idle_stop, c);

	timer_repeat(t, 1);
	loop_run(c->x->loop);
	timer_free(t);
	code_free(c->code);
}

/* Its name in base64 and, as it is asked for, in hex. */
static void make_package(struct fixture *x, struct buf *zip, struct buf *name, char hex[static 65])
{
	_cleanup_(freep) char *source = xasprintf("%s/source", x->folder), *file = xasprintf("%s/app.py", source);
	uint8_t sum[SHA256_SIZE];

	assert_int_equal(mkdir_p(source, 0755), 0);
	assert_int_equal(file_write(file, STR("x = 1\n"), 0644), 0);
	assert_int_equal(archive_pack(source, 1 << 20, zip, NULL), 0);
	sha256(zip->p, zip->n, sum);
	base64_encode(name, sum, sizeof(sum));
	hex_encode(sum, sizeof(sum), hex);
}

/* Asked for twice, sent once, as these bytes. */
static void through_cache(struct fixture *x, struct str bytes, struct cached *one, struct cached *two)
{
	_cleanup_(freep) char *folder = xasprintf("%s/cache", x->folder);
	const struct fetch_from from = {.fetches = x->fetches, .link = &x->a.link};
	_cleanup_(buf_done) struct buf zip = BUF_NULL, name = BUF_NULL;
	char hex[65];

	make_package(x, &zip, &name, hex);
	one->x = two->x = x;
	one->code = two->code = code_new(x->loop, folder, 1 << 20, NULL);
	assert_non_null(one->code);
	code_get(one->code, buf_str(&name), -1, &from, on_ready, one);
	code_get(one->code, buf_str(&name), -1, &from, on_ready, two);
	assert_false(one->called);
	assert_int_equal(x->a.asked, 1);
	assert_string_equal(x->a.hex, hex);
	assert_true(fetch_begin(x->fetches, &x->a.link, str_from(hex), &x->sender));
	assert_true(fetch_data(x->fetches, str_from(hex), &x->sender, bytes.p ? bytes : buf_str(&zip)));
	fetch_end(x->fetches, str_from(hex), &x->sender);
	while (!one->called || !two->called)
		loop_run(x->loop);
}

static void unpacked(void **state)
{
	struct cached one = {0}, two = {0};
	struct fixture *x = *state;
	struct stat st;

	through_cache(x, STR_NULL, &one, &two);
	assert_non_null(one.package);
	assert_ptr_equal(one.package, two.package);
	_cleanup_(freep) char *file = xasprintf("%s/app.py", code_dir(one.package));

	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_size, 6);
	code_unref(one.package);
	code_unref(two.package);
	close_cache(&one);
}

static void other_bytes(void **state)
{
	struct cached one = {0}, two = {0};
	struct fixture *x = *state;

	through_cache(x, STR("something else"), &one, &two);
	assert_null(one.package);
	assert_null(two.package);
	assert_non_null(strstr(one.error, "SHA-256"));
	close_cache(&one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(once_for_all, setup, teardown),
		cmocka_unit_test_setup_teardown(refused, setup, teardown),
		cmocka_unit_test_setup_teardown(lost_and_found, setup, teardown),
		cmocka_unit_test_setup_teardown(from_another, setup, teardown),
		cmocka_unit_test_setup_teardown(gone, setup, teardown),
		cmocka_unit_test_setup_teardown(unpacked, setup, teardown),
		cmocka_unit_test_setup_teardown(other_bytes, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

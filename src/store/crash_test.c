/* kill -9 at any moment: a child of this program puts objects in a loop, eight at a time, and tells each one that was
 * acknowledged; it is killed, the folder is opened again, and every acknowledged object must be there with its bytes,
 * and no file that nothing holds. */
#include "store/store_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#define KEYS  32u
#define SLOTS 8u
#define ROUND 32000u

struct slot {
	struct child *child;
	unsigned i;
	struct blob_info info;
};

struct child {
	struct fixture f;
	struct blobs *blobs;
	struct slot slots[SLOTS];
	int out;
};

/* The bytes of version i: any of them tells which it is. */
static struct str content(struct arena *a, unsigned i)
{
	size_t n = i % 7 == 3 ? 300000 + i % 1000 : 8 + i % 5000;
	char *p = arena_alloc(a, n + 8);

	for (size_t at = 0; at < n; at += 8)
		snprintf(p + at, 9, "%07u ", i);
	return str_n(p, n);
}

static void put_next(struct slot *s);

static void committed(void *arg, int r, unsigned op)
{
	struct slot *s = arg;

	if (r)
		_exit(2);
	blob_settle(s->child->blobs, str_from(s->info.id));
	if (write(s->child->out, &s->i, sizeof(s->i)) != sizeof(s->i))
		_exit(3);
	s->i += SLOTS;
	put_next(s);
}

static void written(void *arg, int r, const struct blob_info *info)
{
	struct slot *s = arg;
	struct store_txn *t = store_begin(s->child->f.store);
	struct extent e = {str_from(info->id), info->size};
	char key[16];
	struct object o = {
		.bucket = STR("b"), .size = info->size, .etag = str_from(info->md5), .extents = &e, .n_extents = 1};

	if (r)
		_exit(4);
	snprintf(key, sizeof(key), "k%02u", s->i % KEYS);
	o.key = str_from(key);
	s->info = *info;
	store_put_object(t, &o, NULL);
	store_commit(t, committed, s);
}

static void put_next(struct slot *s)
{
	struct arena a = ARENA_NULL;

	blob_put(s->child->blobs, content(&a, s->i), written, s);
	arena_done(&a);
}

static _noreturn_ void run_child(const char *dir, unsigned base)
{
	struct child *c = xnew(struct child);
	struct store_txn *t;
	struct err err = ERR_NULL;

	c->f = (struct fixture){.sqlite = true, .loop = loop_new()};
	snprintf(c->f.dir, sizeof(c->f.dir), "%s", dir);
	c->out = STDOUT_FILENO;
	fixture_store(&c->f);
	c->blobs = blobs_open_fs(c->f.loop, dir, &err);
	if (!c->blobs)
		_exit(5);
	t = store_begin(c->f.store);
	store_put_bucket(t, &(struct bucket){.name = STR("b")});
	commit(&c->f, t); /* there already, but in the first round */
	for (unsigned i = 0; i < SLOTS; i++) {
		c->slots[i] = (struct slot){.child = c, .i = base + i};
		put_next(&c->slots[i]);
	}
	loop_run(c->f.loop);
	_exit(6);
}

/* Starts the child, notes what it acknowledges, kills it after so many. */
static void round_of(const char *dir, unsigned base, unsigned acks, unsigned acked[KEYS])
{
	int pipe_fds[2], status;
	char number[16];
	unsigned i;
	pid_t pid;

	snprintf(number, sizeof(number), "%u", base);
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(pipe_fds[1], STDOUT_FILENO);
		execl("/proc/self/exe", "crash_test", "child", dir, number, (char *)NULL);
		_exit(7);
	}
	close(pipe_fds[1]);
	for (unsigned n = 0; read(pipe_fds[0], &i, sizeof(i)) == sizeof(i);) {
		acked[i % KEYS] = i;
		if (++n == acks)
			kill(pid, SIGKILL);
	}
	close(pipe_fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void check_object(struct fixture *f, struct blobs *b, unsigned key, unsigned least)
{
	struct str k = str_from(arena_printf(&f->arena, "k%02u", key)), want;
	struct object *o;
	struct blob_reader *r;
	char *p;
	unsigned i;

	assert_int_equal(store_get_object(store_reader(f->store), &f->arena, STR("b"), k, &o), 0);
	p = arena_alloc(&f->arena, o->size + 1);
	r = blob_reader_new(b, o->extents, o->n_extents, 0, o->size);
	for (ssize_t at = 0, n; (n = blob_read(r, (uint8_t *)p + at, o->size + 1)) != 0; at += n)
		assert_true(n > 0);
	blob_reader_free(r);
	i = (unsigned)strtoul(p, NULL, 10);
	assert_true(i >= least && i % KEYS == key);
	want = content(&f->arena, i);
	assert_int_equal(o->size, want.n);
	assert_memory_equal(p, want.p, want.n);
}

static void check_folder(struct fixture *f, const char *sub)
{
	DIR *d = opendir(arena_printf(&f->arena, "%s/%s", f->dir, sub));
	struct str *dead;
	size_t n_dead;

	assert_non_null(d);
	assert_int_equal(store_dead_blobs(store_reader(f->store), &f->arena, 1000000, &dead, &n_dead), 0);
	for (struct dirent *e; (e = readdir(d));) {
		struct str id = str_from(e->d_name);
		bool held = e->d_name[0] == '.' && id.n <= 2;

		for (size_t i = 0; i < n_dead && !held; i++)
			held = str_eq(dead[i], id);
		if (!held)
			assert_int_equal(store_blobs_live(store_reader(f->store), &id, 1, &held), 0);
		if (!held)
			fail_msg("%s/%s is held by nothing", sub, e->d_name);
	}
	closedir(d);
}

static void check_all(const char *dir, const unsigned acked[KEYS])
{
	struct fixture f = {.sqlite = true, .loop = loop_new()};
	struct err err = ERR_NULL;
	struct blobs *b;
	char sub[4];

	snprintf(f.dir, sizeof(f.dir), "%s", dir);
	fixture_store(&f);
	b = blobs_open_fs(f.loop, dir, &err);
	assert_non_null(b);
	assert_int_equal(blob_recover(b, store_reader(f.store), &err), 0);
	for (unsigned k = 0; k < KEYS; k++)
		if (acked[k])
			check_object(&f, b, k, acked[k]);
	for (unsigned i = 0; i < 256; i++) {
		snprintf(sub, sizeof(sub), "%02x", i);
		check_folder(&f, sub);
	}
	check_folder(&f, "new");
	blobs_close(b);
	store_close(f.store);
	loop_free(f.loop);
	arena_done(&f.arena);
}

static void killed(void **state)
{
	static const unsigned acks[] = {1, 30, 7, 60, 100, 13};
	unsigned acked[KEYS] = {0};
	char dir[] = "/tmp/wick-crash-XXXXXX";

	assert_non_null(mkdtemp(dir));
	for (unsigned i = 0; i < ARRAY_SIZE(acks); i++) {
		round_of(dir, (i + 1) * ROUND, acks[i], acked);
		check_all(dir, acked);
	}
	rm_rf(dir);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(killed)};

	if (argc == 4 && strcmp(argv[1], "child") == 0)
		run_child(argv[2], (unsigned)strtoul(argv[3], NULL, 10));
	return cmocka_run_group_tests(tests, NULL, NULL);
}

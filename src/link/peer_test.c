/* Both ends of the link in one process, over a real socket. */
#include "link/peer.h"

#include "base/mem.h"
#include "sys/fdpass.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct end {
	struct fixture *x;
	struct peer *peer;
	struct buf seen; /* "up ", "NAME(text)[fds] ", "down " */
	size_t messages;
};

struct fixture {
	struct loop *loop;
	char dir[64], path[96];
	int sock;
	struct watch *watch;
	struct end node, gate;
	size_t stop_at; /* messages to the node after which the loop stops; 0: at the next down of either */
	bool stop_at_up, free_in_message;
};

static const uint8_t id[16] = "0123456789abcde";

static void on_up(void *arg, struct peer *p)
{
	struct end *e = arg;

	buf_adds(&e->seen, "up ");
	assert_true(peer_is_up(p));
	if (e->x->stop_at_up && peer_is_up(e->x->gate.peer) && peer_is_up(e->x->node.peer))
		loop_stop(e->x->loop);
}

static void on_message(void *arg, struct peer *p, enum link_message type, const uint8_t ident[static 16],
		       const json_t *body, int *fds, size_t n_fds)
{
	struct end *e = arg;

	assert_memory_equal(ident, id, sizeof(id));
	buf_printf(&e->seen, "%s(%.*s)", link_message_name(type), STR_ARG(json_get_str(body, "text", STR("none"))));
	for (size_t i = 0; i < n_fds; i++) {
		char c;

		assert_int_equal(pread(fds[i], &c, 1, 0), 1);
		buf_printf(&e->seen, "[%c]", c);
		close(fds[i]);
	}
	buf_addc(&e->seen, ' ');
	e->messages++;
	if (e->x->free_in_message)
		e->peer = peer_free(p);
	if (e->messages == e->x->stop_at || e->x->free_in_message)
		loop_stop(e->x->loop);
}

static void on_down(void *arg, struct peer *p, const char *reason)
{
	struct end *e = arg;

	assert_false(peer_is_up(p));
	assert_true(strlen(reason) > 0);
	buf_adds(&e->seen, "down ");
	if (e == &e->x->node)
		e->peer = NULL;
	if (!e->x->stop_at)
		loop_stop(e->x->loop);
}

static const struct peer_handler handler = {.up = on_up, .message = on_message, .down = on_down};

static void on_connection(void *arg, int events)
{
	struct fixture *x = arg;
	int fd = accept4(x->sock, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	assert_true(fd >= 0);
	assert_null(x->node.peer);
	x->node.peer = peer_accept(x->loop, fd, &handler, &x->node);
}

static void node_listen(struct fixture *x)
{
	x->sock = unix_listen(x->path, NULL);
	assert_true(x->sock >= 0);
	x->watch = watch_new(x->loop, x->sock, WATCH_READ, on_connection, x);
}

static int setup(void **state)
{
	struct fixture *x = xnew(struct fixture);

	*x = (struct fixture){.loop = loop_new(), .dir = "/tmp/wick-peer-XXXXXX", .stop_at_up = true};
	x->node.x = x->gate.x = x;
	assert_non_null(mkdtemp(x->dir));
	snprintf(x->path, sizeof(x->path), "%s/sock", x->dir);
	node_listen(x);
	x->gate.peer = peer_dial(x->loop, x->path, &handler, &x->gate);
	loop_run(x->loop);
	x->stop_at_up = false;
	x->stop_at = 1;
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	peer_free(x->gate.peer);
	peer_free(x->node.peer);
	watch_free(x->watch);
	close(x->sock);
	loop_free(x->loop);
	unlink(x->path);
	rmdir(x->dir);
	buf_done(&x->gate.seen);
	buf_done(&x->node.seen);
	free(x);
	return 0;
}

/* A file that holds one character, to be recognised by. */
static int marked(struct fixture *x, char c)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/file", x->dir);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, &c, 1, 0), 1);
	unlink(path);
	return fd;
}

static void send_text(struct fixture *x, enum link_message type, const char *text, const char *marks)
{
	_cleanup_json_ json_t *body = text ? json_pack("{s:s}", "text", text) : NULL;
	int fds[FDPASS_MAX];
	size_t n = strlen(marks);

	for (size_t i = 0; i < n; i++)
		fds[i] = marked(x, marks[i]);
	assert_true(peer_send(x->gate.peer, type, id, body, fds, n));
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
}

static void messages_with_and_without_fds(void **state)
{
	struct fixture *x = *state;

	send_text(x, LINK_HELLO, NULL, "");
	send_text(x, LINK_START, "a", "1");
	send_text(x, LINK_STOP, "b", "");
	send_text(x, LINK_START, "c", "23456789");
	x->stop_at = 4;
	loop_run(x->loop);
	assert_string_equal(buf_cstr(&x->node.seen),
			    "up HELLO(none) START(a)[1] STOP(b) START(c)[2][3][4][5][6][7][8][9] ");
	assert_string_equal(buf_cstr(&x->gate.seen), "up ");
}

/* More than the socket takes at once; every message keeps its own fd. */
static void many_large_messages(void **state)
{
	struct fixture *x = *state;
	_cleanup_(buf_done) struct buf want = BUF_NULL;
	_cleanup_(freep) char *text = xcalloc(1, 100001);

	buf_adds(&want, "up ");
	memset(text, 'x', 100000);
	for (int i = 0; i < 60; i++) {
		const char mark[2] = {(char)('0' + i), '\0'};

		send_text(x, LINK_START, text, mark);
		buf_printf(&want, "START(%s)[%s] ", text, mark);
	}
	x->stop_at = 60;
	loop_run(x->loop);
	assert_string_equal(buf_cstr(&x->node.seen), buf_cstr(&want));
}

static void dials_again(void **state)
{
	struct fixture *x = *state;

	x->node.peer = peer_free(x->node.peer);
	x->stop_at = 0;
	loop_run(x->loop); /* the gate's end goes down */
	assert_false(peer_is_up(x->gate.peer));
	assert_false(peer_send(x->gate.peer, LINK_HELLO, id, NULL, NULL, 0));
	x->stop_at_up = true;
	x->stop_at = 1;
	loop_run(x->loop);
	assert_string_equal(buf_cstr(&x->gate.seen), "up down up ");
	send_text(x, LINK_START, "again", "1");
	loop_run(x->loop);
	assert_string_equal(buf_cstr(&x->node.seen), "up up START(again)[1] ");
}

static void waits_for_a_node_that_is_not_there(void **state)
{
	struct fixture *x = *state;

	x->watch = watch_free(x->watch);
	close(x->sock);
	unlink(x->path);
	x->node.peer = peer_free(x->node.peer);
	x->stop_at = 0;
	loop_run(x->loop);
	node_listen(x);
	x->stop_at_up = true;
	x->stop_at = 1;
	loop_run(x->loop);
	assert_true(peer_is_up(x->gate.peer));
}

static void freed_in_its_handler(void **state)
{
	struct fixture *x = *state;

	x->free_in_message = true;
	send_text(x, LINK_START, "a", "1");
	send_text(x, LINK_START, "b", "2");
	loop_run(x->loop);
	assert_null(x->node.peer);
	assert_string_equal(buf_cstr(&x->node.seen), "up START(a)[1] ");
}

/* Says bytes to a fresh peer; it must go down without a message. */
static void refuses(struct fixture *x, const void *p, size_t n)
{
	int fd;

	peer_free(x->gate.peer);
	x->gate.peer = NULL;
	x->stop_at = 0;
	loop_run(x->loop); /* the node sees that it is gone */
	x->node.messages = 0;
	buf_clear(&x->node.seen);
	fd = unix_connect(x->path, NULL);
	assert_true(fd >= 0);
	assert_int_equal(send(fd, p, n, MSG_NOSIGNAL), n);
	loop_run(x->loop);
	assert_int_equal(x->node.messages, 0);
	assert_string_equal(buf_cstr(&x->node.seen), "up down ");
	close(fd);
}

static void garbage(void **state)
{
	refuses(*state, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 36);
}

static void body_that_is_no_json(void **state)
{
	uint8_t bytes[FRAME_HEADER_SIZE + 1];

	frame_header(bytes, LINK_START, id, 0, 1);
	bytes[FRAME_HEADER_SIZE] = '{';
	refuses(*state, bytes, sizeof(bytes));
}

static void fds_that_did_not_come(void **state)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	buf_reserve(&b, FRAME_HEADER_SIZE);
	b.n = FRAME_HEADER_SIZE;
	frame_meta_add_u64(&b, LINK_KEY_FDS, 2);
	frame_header((uint8_t *)b.p, LINK_START, id, b.n - FRAME_HEADER_SIZE, 0);
	refuses(*state, b.p, b.n);
}

static void far_too_long(void **state)
{
	uint8_t bytes[FRAME_HEADER_SIZE];

	frame_header(bytes, LINK_START, id, 0, 200u << 20);
	refuses(*state, bytes, sizeof(bytes));
}

static void names(void **state)
{
	assert_string_equal(link_message_name(LINK_HELLO), "HELLO");
	assert_string_equal(link_message_name(LINK_STATUS), "STATUS");
	assert_string_equal(link_message_name(0), "unknown");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(messages_with_and_without_fds),
		TEST(many_large_messages),
		TEST(dials_again),
		TEST(waits_for_a_node_that_is_not_there),
		TEST(freed_in_its_handler),
		TEST(garbage),
		TEST(body_that_is_no_json),
		TEST(fds_that_did_not_come),
		TEST(far_too_long),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

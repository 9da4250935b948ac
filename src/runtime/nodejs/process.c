/* Starting a Node.js and talking to it. The channel is the one that Node.js has for parents that are Node.js too
 * (NODE_CHANNEL_FD: lines of JSON, descriptors beside them), because only there can it take over a descriptor: its own
 * line when it is ready, ours with the environment and the lane.
 *
 * Single-threaded and blocking: there is one Node.js in a box and this process, the box's first, has nothing else to
 * do. The script is a file for as long as Node.js loads it, in the box's own /tmp: Node.js runs no program it cannot
 * name. */
#include "runtime/nodejs/process.h"

#include "base/buf.h"
#include "base/mem.h"
#include "box/box.h"
#include "nodejs_script.h"
#include "wire/frame.h"
#include "wire/json.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define SCRIPT_PATH   "/tmp/.wick-nodejs.cjs"
#define CHANNEL_FD    3
#define LINE_MAX_SIZE 4096 /* of its answer */
#define SEMI_SPACE_MB 16u  /* V8's own most */
#define EXIT_NO_EXEC  127
#define EXIT_SIGNAL   128 /* as shells say it */

static int write_script(struct err *err)
{
	const char *p = (const char *)nodejs_script;
	size_t left = sizeof(nodejs_script);
	int fd = open(SCRIPT_PATH, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);

	if (fd < 0)
		return err_set(err, errno, "write the runtime's script to %s", SCRIPT_PATH);
	while (left) {
		ssize_t n = write(fd, p, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err_set(err, errno, "write the runtime's script to %s", SCRIPT_PATH);
			close(fd);
			return -1;
		}
		p += n;
		left -= (size_t)n;
	}
	close(fd);
	return 0;
}

/* What a pooled box's first process still has, Node.js never gets. Writing is left to the mounts to forbid: what is
 * mounted at /tmp later would not be known to a rule for what is there now. */
static int drop_rights(struct err *err)
{
	struct box_op ops[] = {
		{.kind = BOX_LANDLOCK, .to = STR("/"), .flags = BOX_WRITABLE},
		{.kind = BOX_RIGHTS, .value = BOX_PROFILE_WORKER},
	};
	struct str argv[] = {STR("node")};
	const struct boxplan plan = {
		.n_fds = 1,
		.ops = ops,
		.n_ops = ARRAY_SIZE(ops),
		.argv = argv,
		.n_argv = ARRAY_SIZE(argv),
		.cwd = STR("/"),
	};
	struct box_result res;

	return box_enter(&plan, (int[]){-1}, 1, &res, err);
}

static int in_child(int channel, uint64_t memory_mb, bool drop, struct err *err)
{
	char old_space[64], semi_space[64];
	char script[] = SCRIPT_PATH, program[] = "node";
	char *argv[] = {program, old_space, semi_space, script, NULL};
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	if (drop && drop_rights(err) < 0)
		return -1;
	if (dup2(channel, CHANNEL_FD) < 0 || fcntl(CHANNEL_FD, F_SETFD, 0) < 0)
		return err_set(err, errno, "pass a descriptor to Node.js");
	close_range(CHANNEL_FD + 1, UINT_MAX, 0);
	/* The shares that AWS's runtimes give. V8's own guess goes by what it sees of the machine, which is little
	 * here. */
	snprintf(old_space, sizeof(old_space), "--max-old-space-size=%llu", (unsigned long long)(memory_mb * 9 / 10));
	snprintf(semi_space, sizeof(semi_space), "--max-semi-space-size=%llu",
		 (unsigned long long)MIN(MAX(memory_mb / 20, 1u), SEMI_SPACE_MB));
	setenv("NODE_CHANNEL_FD", "3", 1);
	execvp(program, argv);
	if (errno == ENOENT)
		return err_set(err, 0, "Node.js is not installed on this node: no program node in %s", getenv("PATH"));
	return err_set(err, errno, "run node");
}

/* An error of the child's comes as a line of its own kind: no JSON begins with '!'. */
static _noreturn_ void child(int channel, uint64_t memory_mb, bool drop)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	_cleanup_(buf_done) struct buf line = BUF_NULL;

	in_child(channel, memory_mb, drop, &err);
	buf_printf(&line, "!%s\n", err.msg ? err.msg : "Node.js does not start");
	if (send(CHANNEL_FD, line.p, line.n, MSG_NOSIGNAL) < 0 && send(channel, line.p, line.n, MSG_NOSIGNAL) < 0)
		fprintf(stderr, "wick-nodejs: %s", line.p + 1);
	_exit(EXIT_NO_EXEC);
}

int node_start(struct node_process *ret, uint64_t memory_mb, bool drop, struct err *err)
{
	int pair[2];
	pid_t pid;

	if (write_script(err) < 0)
		return -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(err, errno, "make a channel to Node.js");
	pid = fork();
	if (pid < 0) {
		err_set(err, errno, "start a process for Node.js");
		close(pair[0]);
		close(pair[1]);
		return -1;
	}
	if (pid == 0)
		child(pair[1], memory_mb, drop);
	close(pair[1]);
	*ret = (struct node_process){.pid = pid, .channel = pair[0]};
	return 0;
}

static int ended_early(struct node_process *p, struct err *err)
{
	int status = node_wait(p);

	if (status > EXIT_SIGNAL)
		return err_set(err, 0, "Node.js ended while it started: signal %d (%s)", status - EXIT_SIGNAL,
			       strsignal(status - EXIT_SIGNAL));
	return err_set(err, 0, "Node.js ended while it started: exit status %d", status);
}

/* Reads lines until this one. Others are Node.js's own (it acknowledges descriptors), or an error of child(). */
static int expect(struct node_process *p, const char *wanted, struct err *err)
{
	char line[LINE_MAX_SIZE];
	size_t n = 0;

	for (;;) {
		ssize_t r = read(p->channel, line + n, 1);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return ended_early(p, err);
		if (line[n] != '\n') {
			if (++n == sizeof(line))
				return err_set(err, 0, "Node.js does not speak as expected");
			continue;
		}
		if (str_eqz(str_n(line, n), wanted))
			return 0;
		if (line[0] == '!')
			return err_set(err, 0, "%.*s", (int)n - 1, line + 1);
		n = 0;
	}
}

int node_wait_loaded(struct node_process *p, struct err *err)
{
	if (expect(p, "\"ready\"", err) < 0)
		return -1;
	if (unlink(SCRIPT_PATH) < 0 && errno != ENOENT)
		return err_set(err, errno, "remove %s", SCRIPT_PATH);
	return 0;
}

/* {"cmd":"NODE_HANDLE","type":"net.Native","msg":{"env":{...}}} and a line end: how Node.js takes over a descriptor. */
static void message_of(struct buf *b, const struct boxplan *plan)
{
	buf_adds(b, "{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Native\",\"msg\":{\"env\":{");
	for (size_t i = 0, n = 0; i < plan->n_env; i++) {
		struct str name, value;

		if (!str_cut(plan->env[i], '=', &name, &value))
			continue;
		if (n++)
			buf_addc(b, ',');
		json_write_string(b, name);
		buf_addc(b, ':');
		json_write_string(b, value);
	}
	buf_adds(b, "}}}\n");
}

static ssize_t send_beside(int sock, const char *p, size_t n, int fd)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {(void *)(uintptr_t)p, n};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		struct cmsghdr *c;

		msg.msg_control = control.room;
		msg.msg_controllen = sizeof(control.room);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	return sendmsg(sock, &msg, MSG_NOSIGNAL);
}

/* The descriptor goes with the first byte. */
static int send_message(struct node_process *p, const struct buf *message, int fd)
{
	for (size_t sent = 0; sent < message->n;) {
		ssize_t n = send_beside(p->channel, message->p + sent, message->n - sent, fd);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		fd = -1;
		sent += (size_t)n;
	}
	return 0;
}

int node_specialise(struct node_process *p, const struct boxplan *plan, int lane, struct err *err)
{
	_cleanup_(buf_done) struct buf message = BUF_NULL;
	int r;

	message_of(&message, plan);
	r = send_message(p, &message, lane);
	mem_wipe(message.p, message.n);
	return r < 0 ? err_set(err, -r, "give Node.js its function") : 0;
}

/* The gate's part: READY, INVOKE, RESULT, and away. What they say does not matter. */
static bool play_gate(int lane)
{
	static const uint8_t id[16] = {1};
	static const char event[] = "{\"rehearsal\":true}";
	_cleanup_(buf_done) struct buf meta = BUF_NULL;
	char answer[LINE_MAX_SIZE];
	uint8_t header[FRAME_HEADER_SIZE];
	struct iovec iov[3];
	const struct msghdr msg = {.msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov)};

	frame_meta_add_u64(&meta, FRAME_KEY_DEADLINE_MS, 0);
	frame_meta_add(&meta, FRAME_KEY_ARN, STR("arn:aws:lambda:us-east-1:000000000000:function:rehearsal"));
	frame_header(header, FRAME_INVOKE, id, meta.n, sizeof(event) - 1);
	iov[0] = (struct iovec){header, sizeof(header)};
	iov[1] = (struct iovec){meta.p, meta.n};
	iov[2] = (struct iovec){(void *)(uintptr_t)event, sizeof(event) - 1};
	return read(lane, answer, sizeof(answer)) > 0 && sendmsg(lane, &msg, MSG_NOSIGNAL) > 0 &&
	       read(lane, answer, sizeof(answer)) > 0;
}

int node_rehearse(struct node_process *p, struct err *err)
{
	_cleanup_(buf_done) struct buf message = BUF_NULL;
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(err, errno, "make a lane to rehearse on");
	buf_adds(&message, "{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Native\",\"msg\":{}}\n");
	r = send_message(p, &message, pair[1]);
	close(pair[1]);
	if (r == 0 && !play_gate(pair[0]))
		r = -EPIPE;
	close(pair[0]);
	return r < 0 ? err_set(err, -r, "rehearse with Node.js") : expect(p, "\"rehearsed\"", err);
}

static volatile pid_t terminate_pid;

static void pass_on(int signo)
{
	kill(terminate_pid, signo);
}

int node_wait(struct node_process *p)
{
	struct sigaction sa = {.sa_handler = pass_on};
	int status;

	terminate_pid = p->pid;
	sigaction(SIGTERM, &sa, NULL);
	for (;;) {
		pid_t pid = waitpid(-1, &status, 0);

		if (pid == p->pid)
			break;
		if (pid < 0 && errno != EINTR)
			return EXIT_SIGNAL;
	}
	p->pid = -1;
	return WIFSIGNALED(status) ? EXIT_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

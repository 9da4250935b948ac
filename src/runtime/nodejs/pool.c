/* The first process of a pooled box. It keeps its capabilities, in its own namespaces, until a second plan comes over
 * the control socket; with them it binds the function's code, and gives them up. Node.js, its child, had none from the
 * start, and no code of a user's runs before that. A control socket that closes ends the box. */
#include "runtime/nodejs/pool.h"

#include "base/mem.h"
#include "model/limits.h"
#include "runtime/nodejs/process.h"
#include "sys/fdpass.h"
#include "wire/zygote.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static const uint8_t no_id[16];

static void say(int control, enum zygote_message type, const uint8_t id[static 16], struct str text)
{
	_cleanup_(buf_done) struct buf packet = BUF_NULL;
	struct zygote_packet p = {.type = type, .pid = type == ZYGOTE_FORKED ? getpid() : 0, .text = text};

	memcpy(p.id, id, sizeof(p.id));
	zygote_encode(&packet, &p);
	/* A node that does not listen any more sees how this process ends. */
	if (send(control, packet.p, packet.n, MSG_NOSIGNAL) < 0)
		return;
}

/* Sleeps until there is a message; false: it never comes. */
static bool wait_for_order(int control, const struct node_process *node)
{
	struct pollfd p[] = {{.fd = control, .events = POLLIN}, {.fd = node->channel, .events = POLLRDHUP}};

	for (;;) {
		if (poll(p, ARRAY_SIZE(p), -1) < 0) {
			if (errno == EINTR)
				continue;
			return false;
		}
		if (p[1].revents) {
			fprintf(stderr, "wick-nodejs: Node.js ended while it waited for a function\n");
			return false;
		}
		if (p[0].revents)
			return true;
	}
}

static int specialise(struct node_process *node, const struct zygote_packet *order, const int *fds, size_t n_fds,
		      struct err *err)
{
	_cleanup_(arena_done) struct arena arena = ARENA_NULL;
	struct box_result res;
	struct boxplan plan;

	if (boxplan_decode(&plan, order->text, &arena, err) < 0)
		return -1;
	if (plan.namespaces)
		return err_set(err, 0, "the plan wants namespaces of its own, but the box stands");
	if (plan.n_fds != n_fds)
		return err_set(err, 0, "the plan has %u descriptors, %zu came", plan.n_fds, n_fds);
	if (box_enter(&plan, fds, n_fds, &res, err) < 0)
		return -1;
	zygote_send_boxed(fds[0], &res);
	return node_specialise(node, &plan, fds[0], err);
}

/* 0: it is a worker. Whatever goes wrong is told to the node. */
static int take_order(int control, struct node_process *node)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	char *bytes = xmalloc(ZYGOTE_HEADER_SIZE + ZYGOTE_TEXT_MAX);
	struct zygote_packet order;
	int fds[FDPASS_MAX];
	size_t n_fds = 0;
	ssize_t n = fd_recv(control, bytes, ZYGOTE_HEADER_SIZE + ZYGOTE_TEXT_MAX, fds, &n_fds);
	int r = -1;

	if (n <= 0) {
		free(bytes);
		return -1;
	}
	memcpy(order.id, no_id, sizeof(no_id));
	if (!zygote_decode(&order, str_n(bytes, (size_t)n)) || order.type != ZYGOTE_FORK)
		err_set(&err, 0, "wick-nodejs: what came is no order");
	else
		r = specialise(node, &order, fds, n_fds, &err);
	say(control, r < 0 ? ZYGOTE_FAILED : ZYGOTE_FORKED, order.id, str_from(r < 0 ? err.msg : ""));
	for (size_t i = 0; i < n_fds; i++)
		close(fds[i]);
	mem_wipe(bytes, (size_t)n); /* the function's environment */
	free(bytes);
	return r;
}

int pool_run(const struct zygote_worker *w)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	struct node_process node = NODE_PROCESS_NULL;

	if (node_start(&node, LIMIT_MEMORY_MAX, true, &err) < 0 || node_wait_loaded(&node, &err) < 0 ||
	    node_rehearse(&node, &err) < 0) {
		fprintf(stderr, "wick-nodejs: %s\n", err.msg);
		say(w->lane, ZYGOTE_FAILED, w->id, str_from(err.msg));
		return 1;
	}
	say(w->lane, ZYGOTE_LOADED, w->id, STR("nodejs"));
	if (!wait_for_order(w->lane, &node) || take_order(w->lane, &node) < 0)
		return 1;
	prctl(PR_SET_DUMPABLE, 0);
	close(w->lane);
	return node_wait(&node);
}

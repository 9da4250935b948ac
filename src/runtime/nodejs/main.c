/* wick-nodejs: the runtime of Node.js functions. As a zygote it loads nothing itself, since a Node.js cannot be forked;
 * what it forks is the first process of a box, which starts a Node.js as its child: for a function at once ("worker"),
 * or for none yet ("pool"), so that a cold start is not a Node.js start. */
#include "base/buf.h"
#include "base/str.h"
#include "box/zygote.h"
#include "model/limits.h"
#include "runtime/nodejs/pool.h"
#include "runtime/nodejs/process.h"
#include "wire/frame.h"
#include "wire/json.h"

#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define PROGRAM_NAME "wick-nodejs"

/* To the gate, as an error of the initialisation, and to the function's log. */
static void init_error(int lane, const char *message)
{
	static const uint8_t no_id[16];
	_cleanup_(buf_done) struct buf meta = BUF_NULL, body = BUF_NULL;
	uint8_t header[FRAME_HEADER_SIZE];

	fprintf(stderr, PROGRAM_NAME ": %s\n", message);
	frame_meta_add(&meta, FRAME_KEY_ERROR_TYPE, STR("Runtime.StartFailed"));
	buf_adds(&body, "{\"errorType\":\"Runtime.StartFailed\",\"errorMessage\":");
	json_write_string(&body, str_from(message));
	buf_addc(&body, '}');
	frame_header(header, FRAME_ERROR, no_id, meta.n, body.n);

	struct iovec iov[] = {{header, sizeof(header)}, {meta.p, meta.n}, {body.p, body.n}};
	const struct msghdr msg = {.msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov)};

	/* Where the gate is gone the log has it, and this process ends either way. */
	if (sendmsg(lane, &msg, MSG_NOSIGNAL) < 0)
		fprintf(stderr, PROGRAM_NAME ": the lane is closed\n");
}

static uint64_t memory_mb(void)
{
	const char *text = getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE");
	uint64_t mb;

	return text && str_to_u64(str_from(text), &mb) ? mb : LIMIT_MEMORY_MAX;
}

static int worker_run(const struct zygote_worker *w)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	struct node_process node = NODE_PROCESS_NULL;

	if (node_start(&node, memory_mb(), false, &err) < 0 || node_wait_loaded(&node, &err) < 0 ||
	    node_specialise(&node, w->plan, w->lane, &err) < 0) {
		init_error(w->lane, err.msg);
		return 1;
	}
	prctl(PR_SET_DUMPABLE, 0); /* what this process holds of its zygote's is nothing for the function */
	close(w->lane);
	return node_wait(&node);
}

static void run(void *arg, const struct zygote_worker *w)
{
	bool pooled = w->plan->n_argv > 0 && str_eqz(w->plan->argv[0], "pool");

	_exit(pooled ? pool_run(w) : worker_run(w));
}

int main(int argc, char **argv)
{
	static const struct zygote_runtime runtime = {.program = PROGRAM_NAME, .run = run};

	return zygote_main(argc, argv, &runtime, NULL);
}

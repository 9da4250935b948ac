/* The gate's end of a lane: the conversation with one worker over its socket, and the pipe its output comes by.
 * One invocation at a time. No ACK frame on a local socket: when a worker dies with INVOKE unread in its receive
 * queue, the kernel reports ECONNRESET instead of end-of-file (unix(7) stream sockets), and that is exactly "never
 * acknowledged"; a remote carrier sends ACK. Loop thread only. */
#pragma once

#include "sys/loop.h"
#include "wire/frame.h"

struct lane;

/* The longest body of a frame from a worker: Lambda's 6 MiB and room for what an error says around it. */
#define LANE_BODY_MAX (8u << 20)

enum lane_end {
	LANE_CLOSED /* by the worker */,
	LANE_UNREAD /* it never read the last INVOKE */,
	LANE_BROKEN /* spoke garbage */
};

struct lane_handler {
	/* READY, RESULT, ERROR, CHUNK. Everything printed before it was sent has been given to output already. f's
	 * views live until return. */
	void (*frame)(void *arg, const struct frame *f);
	/* The box is closed; listen_fd: where its requests to Wick's API come in (the handler's now), or -1. */
	void (*boxed)(void *arg, int listen_fd, uint64_t box_us);
	void (*output)(void *arg, struct str bytes); /* raw bytes of stdout and stderr, in order */
	void (*ended)(void *arg,
		      enum lane_end how); /* once; all output was given before; call lane_free in or after it */
};

struct lane *lane_new(struct loop *l, int sock, int log_pipe /* both taken over */, const struct lane_handler *h,
		      void *arg);
struct lane *lane_free(struct lane *ln);
struct lane_invoke {
	uint8_t id[16];
	uint64_t deadline_ms;
	struct str arn, trace, client_context; /* p == NULL: none */
	struct str event;
};
/* Sends INVOKE; what the socket does not take at once is sent as it drains. event must live until RESULT or ended. */
void lane_send_invoke(struct lane *ln, const struct lane_invoke *in);
/* Reading output pauses while the reader cannot take more (backpressure to a worker that prints). */
void lane_drain_output(struct lane *ln); /* reads what is in the pipe now */

/* The near end of a lane: the conversation with one worker. Held by the gate; for a worker on a remote node by the
 * node, whose gate has a lane made of frames that the node sends on (lane_new_remote).
 *
 * A worker on this machine has a socket, and a pipe that its output comes by.
 * Any number of invocations at once, told apart by id; whose turn it is to say what is the handler's to check, the lane
 * checks the form. No ACK frame on a local socket: when a worker dies with bytes unread in its receive queue, the
 * kernel reports ECONNRESET instead of end-of-file (unix(7) stream sockets), and if the last that was sent is an
 * INVOKE, that one was never wholly read; a remote node says which those were in
 * OVER. Loop thread only. */
#pragma once

#include "base/list.h"
#include "sys/loop.h"
#include "wire/frame.h"

struct carrier;
struct lane;

/* The longest body of a frame from a worker: Lambda's 6 MiB and room for what an error says around it. */
#define LANE_BODY_MAX (8u << 20)
/* When so many bytes wait for the worker to read, no CHUNKs should be added (lane_full). */
#define LANE_QUEUE_MAX (1u << 20)

enum lane_end {
	LANE_CLOSED /* by the worker */,
	LANE_UNREAD /* and it never read the last INVOKE (lane_unread says which those are) */,
	LANE_BROKEN /* spoke garbage */
};

struct lane_handler {
	/* READY, RESULT, ERROR, HEAD, CHUNK, END, WINDOW_MORE, of any id and in any order that the worker likes.
	 * Everything printed before it was sent has been given to output already (not for CHUNK and WINDOW_MORE, of
	 * which there are many). f's views live until return. */
	void (*frame)(void *arg, const struct frame *f);
	/* The box is closed; listen_fd: where its requests to Wick's API come in (the handler's now), or -1. Before any
	 * frame, once at most. */
	void (*boxed)(void *arg, int listen_fd, uint64_t box_us);
	void (*output)(void *arg, struct str bytes); /* raw bytes of stdout and stderr, in order */
	/* Remote: the run of this id has taken longer than its limit; its worker is being ended for it. Or NULL. */
	void (*late)(void *arg, const uint8_t id[static 16]);
	void (*ended)(void *arg,
		      enum lane_end how); /* once; all output was given before; call lane_free in or after it */
};

struct lane *lane_new(struct loop *l, int sock, int log_pipe /* both taken over */, const struct lane_handler *h,
		      void *arg);
/* Of a worker on a remote node, over its carrier (taken over; its handler is set here). */
struct lane *lane_new_remote(struct carrier *c, const struct lane_handler *h, void *arg);
struct lane *lane_free(struct lane *ln);
struct carrier *lane_carrier(const struct lane *ln); /* of a remote one */
struct lane_invoke {
	uint8_t id[16];
	uint64_t deadline_ms;
	uint64_t limit_ms;                     /* for a remote node; 0: not said */
	struct str arn, trace, client_context; /* p == NULL: none */
	bool stream;                           /* the answer is taken as it comes */
	struct str more;                       /* further fields of the meta, encoded (METHOD, TARGET, HEADER) */
	struct str event;
	bool end;   /* END follows at once */
	bool again; /* with end: it does no harm if it runs twice, so that it counts as unread when END is */
};
/* Sends INVOKE; what the socket does not take at once is sent as it drains. event must live until RESULT, ERROR or
 * ended: a worker that answers before it was sent everything is LANE_BROKEN. */
void lane_send_invoke(struct lane *ln, const struct lane_invoke *in);
/* Sends CHUNK, END, WINDOW_MORE or CANCEL, or an INVOKE that came from elsewhere. meta: encoded fields; what cannot be
 * sent at once is copied. */
void lane_send(struct lane *ln, enum frame_type type, const uint8_t id[static 16], struct str meta, struct str body);
/* After ended: the INVOKE of this id was never wholly read, the function has not seen it. */
bool lane_unread(const struct lane *ln, const uint8_t id[static 16]);

/* Who has CHUNKs for a worker that does not read waits until it does. */
struct lane_waiter {
	struct list_link on_lane;
	void (*fn)(void *arg);
	void *arg;
};
DEFINE_LIST(lane_waiters, struct lane_waiter, on_lane)
bool lane_full(const struct lane *ln);
void lane_wait(struct lane *ln, struct lane_waiter *w); /* fn once, when there is room; not when the lane ends */
void lane_unwait(struct lane_waiter *w);                /* nothing when it does not wait */

/* In `frame`, of a worker on this machine: the bytes that f's views point into are the caller's from now on, so that a
 * long body need not be copied. Empty: they are not to be had, f ends with the call as ever. */
struct buf lane_keep(struct lane *ln);

/* Nothing is read of the worker while who it is for cannot take more. Nothing for remote lanes. */
void lane_pause(struct lane *ln, bool on);
void lane_drain_output(struct lane *ln); /* reads what is in the pipe now */

/* The worker's end of a lane in a loop: never blocks. Frames that the gate does not take at once wait in a queue, and
 * who makes frames of what somebody else sends stops reading that while the queue is long (lane_is_full). */
#pragma once

#include "runtime/shim/poller.h"
#include "wire/frame.h"

/* Above it nobody reads more to send it on. What may not wait (answers, errors) is queued nevertheless. */
#define LANE_QUEUE_FULL (1u << 20)

struct lane_events {
	void (*frame)(void *arg, const struct frame *f); /* its views live until return */
	void (*room)(void *arg);                         /* the queue is no longer full */
};

struct shim_lane {
	struct watch watch;
	struct poller *poller;
	const struct lane_events *events;
	void *arg;
	struct buf in, out;
	size_t out_at; /* of out, what is sent already */
	bool was_full;
};

/* Reading begins; events NULL: the program reads it, here only its end is noticed. -errno. */
int lane_open(struct shim_lane *l, struct poller *p, int fd, const struct lane_events *events, void *arg);
/* meta may be NULL. A lane whose other end is gone ends the process. */
void lane_say(struct shim_lane *l, enum frame_type type, const uint8_t id[static 16], const struct buf *meta,
	      struct str body);
/* A CHUNK whose n bytes are in a pipe: they go on without being copied. */
void lane_say_piped(struct shim_lane *l, const uint8_t id[static 16], int pipe, size_t n);
void lane_say_window(struct shim_lane *l, const uint8_t id[static 16], size_t bytes);
bool lane_is_full(const struct shim_lane *l);
void lane_flush(struct shim_lane *l); /* waits until everything is sent: before the end */

/* {"errorMessage": message, "errorType": type} */
void lane_error_body(struct buf *b, const char *type, struct str message);

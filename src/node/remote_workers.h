/* The workers that one remote gateway had started: each with its lane's holder and its box's door, from the order to
 * start it until its process is gone and the gateway knows all of it. Loop thread. */
#pragma once

#include "node/gate_link.h"
#include "node/holder.h"

struct remote_workers;

struct remote_workers *remote_workers_new(struct loop *l, struct carriers *carriers, struct gate_link *link,
					  const int64_t *clock_off_ms);
struct remote_workers *remote_workers_free(struct remote_workers *rs);

/* Orders of the gateway. False: to be ignored (an id that is in use; freezing one that has something to do). */
bool remote_workers_order(struct remote_workers *rs, const uint8_t id[static 16], const json_t *order);
void remote_workers_stop(struct remote_workers *rs, const uint8_t id[static 16], uint64_t grace_ms);
bool remote_workers_may_freeze(struct remote_workers *rs, const uint8_t id[static 16]);

/* What became of one: its process runs (descriptors are duplicated), its snapshot listens, it is gone. */
void remote_workers_started(struct remote_workers *rs, const uint8_t id[static 16], int lane, int log_pipe);
void remote_workers_door(struct remote_workers *rs, const uint8_t id[static 16], int fd);
void remote_workers_over(struct remote_workers *rs, const uint8_t id[static 16]);

/* Streams of the gateway, by what follows /_wick/lane/ and /_wick/door/. False: there is no such thing; the stream is
 * the caller's. */
bool remote_workers_lane(struct remote_workers *rs, struct str path, struct h2_stream *s);
bool remote_workers_connection(struct remote_workers *rs, struct str path, struct h2_stream *s);

void remote_workers_attached(struct remote_workers *rs); /* control is there: lanes will be asked for */
void remote_workers_detached(struct remote_workers *rs); /* the connection is gone */
/* The gateway begins anew. Who had something in hand, or was not ready, is ended: nobody waits for it any more. The
 * others are kept, to be taken up or stopped; *kept (may be NULL) is what HELLO says of them, a new array. */
void remote_workers_renew(struct remote_workers *rs, json_t **kept);
/* Ends all that have nothing in hand; how many are left that are not gone. */
size_t remote_workers_end_idle(struct remote_workers *rs);
void remote_workers_end_all(struct remote_workers *rs);       /* each is told of as ever */
bool remote_workers_settled(const struct remote_workers *rs); /* none, and nothing left of any */

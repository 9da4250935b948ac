/* A carrier takes frames (wire/frame.h) across the link to a remote peer, each once and in order, also when the
 * connection is lost in between: what the other side has not acknowledged is kept and sent again when the next
 * connection is there. One carrier is one HTTP/2 stream on each connection in turn; the control messages of a link and
 * each worker's lane have their own, so that none waits for another.
 *
 * On the stream, in both directions, segments: u32 length, u64 acknowledged (bytes of the other direction received in
 * all, both little-endian), then length bytes of frames. The first segment of a stream has length 0: it says where the
 * other side is to go on. Only on a carrier's first stream bytes may follow at once, from 0 on. Who has received bytes
 * and has nothing to send acknowledges them within ACK_MS, or after ACK_BYTES. Loop thread. */
#pragma once

#include "net/h2.h"
#include "wire/frame.h"

struct carrier;
struct carriers; /* all of a program: they share a timer */

#define CARRIER_GIVEN_UP 1u

struct carrier_handler {
	/* Every whole frame. f's views live until return. */
	void (*frame)(void *arg, const struct frame *f);
	/* More may be sent: carrier_full is false again. Or NULL. */
	void (*room)(void *arg);
	/* The other side does not know it (status: its answer), has given it up, or does not speak this protocol (0):
	 * it is of no use any more. Call carrier_free in or after it. */
	void (*broken)(void *arg, unsigned status);
};

struct carriers *carriers_new(struct loop *l);
struct carriers *carriers_free(struct carriers *cs); /* all carriers are gone */

/* The longest frame that is taken is of body_max bytes and FRAME_META_MAX. */
struct carrier *carrier_new(struct carriers *cs, size_t body_max, const struct carrier_handler *h, void *arg);
struct carrier *carrier_free(struct carrier *c);                                    /* resets its stream */
void carrier_handle(struct carrier *c, const struct carrier_handler *h, void *arg); /* a new owner */

/* A connection is there: opens a stream for it (gate), or takes the one that came (node). An older stream is left. */
void carrier_request(struct carrier *c, struct h2 *conn, const char *path, const struct kv *headers, size_t n);
void carrier_respond(struct carrier *c, struct h2_stream *s, const struct kv *headers, size_t n);
void carrier_detach(struct carrier *c); /* the connection is gone or is not to be used any more */
bool carrier_attached(const struct carrier *c);
/* Begins anew, as if just made: the other side does not hold it any more. */
void carrier_restart(struct carrier *c);

/* Sends a frame; everything is copied. meta and more: encoded fields, one after the other. */
void carrier_send(struct carrier *c, enum frame_type type, const uint8_t id[static 16], struct str meta,
		  struct str more, struct str body);
/* The same of a frame (or several) whose header and meta are head; the last one's body follows. borrowed: body is not
 * copied now, it lives until carrier_own or carrier_free. */
void carrier_send_encoded(struct carrier *c, struct str head, struct str body, bool borrowed);
void carrier_own(struct carrier *c);        /* copies what is borrowed and not acknowledged: nothing, nearly always */
bool carrier_full(const struct carrier *c); /* what takes its time should not be added now */
bool carrier_drained(const struct carrier *c); /* everything was acknowledged */

/* The protocol without a connection; for the tests, and what the stream's events are made of. */
void carrier_begin(struct carrier *c); /* a new connection */
size_t carrier_pull(struct carrier *c, char *to, size_t room);
bool carrier_input(struct carrier *c, struct str bytes); /* false: no segments; broken is the caller's to say */

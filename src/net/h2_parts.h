/* What the files of h2 share: the connection, its streams, and what one asks of another. h2.c has the connection's life
 * and what goes in and out, h2_frames.c what nghttp2 tells and asks, h2_stream.c what the owner of a stream may do. */
#pragma once

#include "net/h2.h"

#include "base/buf.h"
#include "base/list.h"
#include "net/tcp.h"

#include <nghttp2/nghttp2.h>

#define FRAME_HEAD       9
#define DATA_MAX         (TLS_RECORD_MAX - FRAME_HEAD) /* a full frame is a full record */
#define HEADERS_MAX      64
#define HEADERS_SIZE_MAX (16u << 10)
#define WHY_MAX          200

struct h2_stream {
	struct list_link on_connection, on_woken;
	struct h2 *c;
	int32_t id;
	const struct h2_stream_handler *handler; /* NULL: a request that nobody took yet */
	void *arg;
	size_t unconsumed;
	uint32_t reset_code;
	bool deferred; /* nghttp2 asks for nothing until it is resumed */
	bool ending, responded, headed, reset;
	bool gone; /* `closed` is under way */
};

DEFINE_LIST(stream_list, struct h2_stream, on_connection)
DEFINE_LIST(woken_list, struct h2_stream, on_woken)

/* Headers of the one block that can be under way. Offsets, because the text moves as it grows. */
struct h2_head {
	struct buf text;
	struct {
		uint32_t k, kn, v, vn;
	} at[HEADERS_MAX];
	size_t n;
};

struct h2 {
	struct loop *loop;
	struct h2_conf conf;
	const struct h2_handler *handler;
	void *arg;
	int fd;
	struct watch *watch;
	struct timer *timer;
	struct loop_hook *hook;
	struct tls *tls;
	nghttp2_session *session; /* from the end of the TLS handshake on */
	struct stream_list streams;
	struct woken_list woken;
	struct woken_list given_up; /* requests that were reset before they went out */
	struct h2_head head;
	char *plain; /* 2 records; plain_n bytes wait to become one */
	size_t plain_n;
	char *in;  /* a record */
	char *why; /* what will end it, known before its end */
	char *bye; /* what the peer is told in the end */
	uint64_t last_in_ms, last_ping_ms, ping_us, flight_us;
	uint32_t rtt_us;
	char address[TCP_ADDRESS_SIZE];
	unsigned busy;
	bool secured, up;
	bool dirty;   /* there may be something to send */
	bool paused;  /* nghttp2 has more, OUT_MAX is reached */
	bool reading; /* h2_read is under way */
	bool over;    /* nothing works any more */
	bool broken;  /* and nothing can be sent */
	bool down_said, dead;
};

/* h2.c */
void h2_mark(struct h2 *c); /* there may be something to send, before the loop sleeps */
void h2_ping(struct h2 *c);
bool h2_out_full(const struct h2 *c);
bool h2_seal(struct h2 *c, size_t n); /* the first n bytes of `plain` become a record; false: TLS failed */
char *h2_clean_text(struct str s);    /* of the peer: up to WHY_MAX bytes, what is not visible ASCII is not repeated */
/* h2_frames.c */
nghttp2_session *h2_session_new(struct h2 *c);
nghttp2_data_provider h2_provider(struct h2_stream *s); /* its pull, as nghttp2 asks for it */
/* h2_stream.c */
struct h2_stream *h2_stream_new(struct h2 *c, const struct h2_stream_handler *h, void *arg);
void h2_stream_close(struct h2_stream *s, uint32_t code); /* its handler is told; s is gone */

/* Frames: what goes over a lane (gate <-> worker) and over the link (gate <-> node). Pure: bytes in, bytes out.
 *
 * A frame is a header of 32 bytes, then meta, then body. Little-endian:
 *   0  u32 body_len   4  u32 meta_len   8  u8 type   9  u8 version (1)   10  u16 zero   12  u32 zero
 *   16 u8[16] id      (request id of the invocation; worker id on the link; zero where there is none)
 * meta is a run of fields: u16 key, u16 zero, u32 len, bytes. Unknown keys are skipped, so that peers of
 * different age understand each other. Numbers in meta are u64 little-endian. */
#pragma once

#include "base/buf.h"

#define FRAME_HEADER_SIZE 32
#define FRAME_VERSION     1
#define FRAME_META_MAX    (1u << 20)
#define FRAME_BODY_MAX    (256u << 20)

/* A lane carries any number of invocations at once (as many as READY said), told apart by id. Streams, in both
 * directions, are windows of their own per invocation, so that a slow reader of one holds up no other: who sends CHUNKs
 * may have FRAME_WINDOW bytes of body under way that WINDOW has not given back.
 *
 * An invocation ends with exactly one RESULT or ERROR of its id; nothing with that id follows.
 *
 * An HTTP exchange (runtime web) is an INVOKE with METHOD set: meta METHOD, TARGET, HEADER...; its body is empty, the
 * request's body follows as CHUNKs and END. The worker answers HEAD (STATUS, HEADER...), CHUNKs, RESULT (empty). HEAD
 * with status 101 makes it a tunnel: CHUNKs in both directions until either side's END.
 * A streamed answer of a function (INVOKE with STREAM) is CHUNKs and RESULT (empty), after a HEAD where the function
 * gave status and headers; a worker that does not stream answers RESULT with the whole body. An ERROR after HEAD or
 * CHUNK is an error in the middle of the stream. */
#define FRAME_WINDOW (256u << 10)

/* From 32 on: link/messages.h. */
enum frame_type {
	/* Lane, to the worker. */
	FRAME_INVOKE = 1, /* meta: DEADLINE_MS, ARN, TRACE, CLIENT_CONTEXT, STREAM; body: the event */
	/* Lane, from the worker. */
	FRAME_READY = 2,  /* initialised; meta: MAX_RSS_KIB, CONCURRENCY, IMPORTS */
	FRAME_RESULT = 3, /* meta: MAX_RSS_KIB, IMPORTS; body: the answer (JSON) */
	FRAME_ERROR = 4,  /* meta: ERROR_TYPE, MAX_RSS_KIB; body: {"errorMessage","errorType",...}. With id zero:
			     initialisation failed and the worker will exit; or it goes on trying, and this is
			     the error if it is not READY in time */
	FRAME_HEAD = 6,   /* status and headers of an answer whose body follows in CHUNKs; meta: STATUS, HEADER... */
	FRAME_BOXED = 7,  /* first of all: the box is closed; meta: BOX_US. With the plan's listening socket beside it
			     (SCM_RIGHTS), by which the box reaches Wick's API */
	/* Both directions. */
	FRAME_CHUNK = 5,       /* body: a piece of a stream, at most FRAME_CHUNK_MAX */
	FRAME_END = 8,         /* no more CHUNKs of this id in this direction */
	FRAME_WINDOW_MORE = 9, /* meta: WINDOW, so many bytes of CHUNKs have been used up */
	FRAME_CANCEL = 10,     /* to the worker: nobody waits for this answer any more; it is still answered */
	/* From a remote node about its worker, on the worker's lane (link/carrier.h). */
	FRAME_LOG = 11,  /* body: what the worker printed, before what it sent next */
	FRAME_LATE = 12, /* the invocation of this id is over its LIMIT_MS; the worker is being ended for it */
	FRAME_OVER = 13, /* the worker's end of the lane is closed, nothing follows; meta: HOW, UNREAD... */
};
#define FRAME_CHUNK_MAX (64u << 10)

enum frame_key {
	FRAME_KEY_DEADLINE_MS = 1,    /* u64: Unix time in ms when the run will be ended */
	FRAME_KEY_ARN = 2,            /* invoked function ARN */
	FRAME_KEY_TRACE = 3,          /* X-Amzn-Trace-Id */
	FRAME_KEY_CLIENT_CONTEXT = 4, /* JSON, decoded from X-Amz-Client-Context */
	FRAME_KEY_MAX_RSS_KIB = 5,    /* u64: peak resident memory of the worker */
	FRAME_KEY_ERROR_TYPE = 6,
	FRAME_KEY_STREAM = 7,      /* u64 1: the caller takes the answer as a stream */
	FRAME_KEY_CONCURRENCY = 8, /* u64: invocations the worker takes at once; absent: 1 */
	FRAME_KEY_IMPORTS = 9,     /* names of the machine's own modules it imported, blanks between */
	FRAME_KEY_METHOD = 10,     /* "GET" */
	FRAME_KEY_TARGET = 11,     /* "/path?query", raw */
	FRAME_KEY_HEADER = 12,     /* "Name: value", one field each, in order */
	FRAME_KEY_STATUS = 13,     /* u64: HTTP status */
	FRAME_KEY_BOX_US = 14,     /* u64: from the clone to the closed box */
	FRAME_KEY_WINDOW = 15,     /* u64: bytes */
	/* Between gate and remote node */
	FRAME_KEY_LIMIT_MS = 16, /* u64: INVOKE: how long the run may take, by the node's own clock */
	FRAME_KEY_RUN_US = 17,   /* u64: RESULT, ERROR: how long it took, by the node's own clock */
	FRAME_KEY_HOW = 18,      /* u64: enum lane_end */
	FRAME_KEY_UNREAD = 19,   /* 16 bytes: id of an INVOKE that the worker never read */
	FRAME_KEY_INVOKES = 20,  /* u64: OVER: INVOKEs that came on this lane in all; later ones were not read either */
};

struct frame {
	uint8_t type;
	uint8_t id[16];
	struct str meta;
	struct str body;
};

/* How many bytes the frame at the start of p takes, as far as its header is there: 0 needs more bytes (fewer
 * than a header); -1 not a frame (version, reserved bits, lengths over the maxima). */
int64_t frame_size(struct str p);
/* Takes a whole frame (p.n >= frame_size(p)); views point into p. False: malformed meta. */
bool frame_parse(struct str p, struct frame *ret);
bool frame_meta_get(const struct frame *f, uint16_t key, struct str *ret);
/* The next field from *at (0 to begin); false: no more. */
bool frame_meta_next(const struct frame *f, size_t *at, uint16_t *key, struct str *value);
bool frame_meta_u64(const struct frame *f, uint16_t key, uint64_t *ret);

/* Writing: fields first, then frame_header over the finished lengths. */
void frame_meta_add(struct buf *meta, uint16_t key, struct str value);
void frame_meta_add_u64(struct buf *meta, uint16_t key, uint64_t value);
void frame_header(uint8_t out[static FRAME_HEADER_SIZE], uint8_t type, const uint8_t id[static 16], size_t meta_len,
		  size_t body_len);

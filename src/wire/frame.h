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

/* From 32 on: link/messages.h. */
enum frame_type {
	/* Lane, to the worker. */
	FRAME_INVOKE = 1, /* meta: DEADLINE_MS, ARN, TRACE, CLIENT_CONTEXT; body: the event */
	/* Lane, from the worker. Every one but CHUNK says that the worker is idle again. */
	FRAME_READY = 2,  /* initialised; meta: MAX_RSS_KIB */
	FRAME_RESULT = 3, /* meta: MAX_RSS_KIB; body: the answer (JSON) */
	FRAME_ERROR = 4,  /* meta: ERROR_TYPE, MAX_RSS_KIB; body: {"errorMessage","errorType",...}. With id zero:
			     initialisation failed and the worker will exit */
	FRAME_CHUNK = 5,  /* body: a piece of a streamed answer */
};

enum frame_key {
	FRAME_KEY_DEADLINE_MS = 1,    /* u64: Unix time in ms when the run will be ended */
	FRAME_KEY_ARN = 2,            /* invoked function ARN */
	FRAME_KEY_TRACE = 3,          /* X-Amzn-Trace-Id */
	FRAME_KEY_CLIENT_CONTEXT = 4, /* JSON, decoded from X-Amz-Client-Context */
	FRAME_KEY_MAX_RSS_KIB = 5,    /* u64: peak resident memory of the worker */
	FRAME_KEY_ERROR_TYPE = 6,
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
bool frame_meta_u64(const struct frame *f, uint16_t key, uint64_t *ret);

/* Writing: fields first, then frame_header over the finished lengths. */
void frame_meta_add(struct buf *meta, uint16_t key, struct str value);
void frame_meta_add_u64(struct buf *meta, uint16_t key, uint64_t value);
void frame_header(uint8_t out[static FRAME_HEADER_SIZE], uint8_t type, const uint8_t id[static 16], size_t meta_len,
		  size_t body_len);

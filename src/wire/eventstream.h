/* The encoding of application/vnd.amazon.eventstream: a run of messages, each with typed headers and a payload, under
 * two checksums. Source: Smithy, "Amazon Event Stream specification". Pure: bytes in, bytes out; fuzzed.
 *
 * Big-endian: u32 total length, u32 length of the headers, u32 CRC-32 of these 8 bytes, headers, payload, u32 CRC-32 of
 * all before it. A header: u8 length of the name, name, u8 type, value; a string (type 7) and bytes (6) begin with a
 * u16 length. */
#pragma once

#include "base/buf.h"
#include "base/kv.h"

#define EVENTSTREAM_PRELUDE  12
#define EVENTSTREAM_OVERHEAD 16 /* prelude and the checksum at the end */
#define EVENTSTREAM_MAX      (24u << 20)

enum eventstream_type {
	EVENTSTREAM_TRUE,
	EVENTSTREAM_FALSE,
	EVENTSTREAM_BYTE,
	EVENTSTREAM_SHORT,
	EVENTSTREAM_INT,
	EVENTSTREAM_LONG,
	EVENTSTREAM_BYTES,
	EVENTSTREAM_STRING,
	EVENTSTREAM_TIMESTAMP,
	EVENTSTREAM_UUID,
};

/* A message with headers of type string. */
void eventstream_add(struct buf *b, const struct kv *headers, size_t n, struct str payload);
/* An event: the headers :message-type, :event-type and :content-type. */
void eventstream_add_event(struct buf *b, struct str event_type, struct str content_type, struct str payload);

struct eventstream_message {
	struct str headers; /* for eventstream_next */
	struct str payload;
};

/* How many bytes the message at the start of p takes: 0 needs more bytes; -1 no message. */
int64_t eventstream_size(struct str p);
/* Takes a whole message (p.n >= eventstream_size(p)), whose checksums and headers hold; views into p. */
bool eventstream_parse(struct str p, struct eventstream_message *ret);
/* The next header from *at (0 to begin); value: its bytes, big-endian where it is a number. False: no more. */
bool eventstream_next(const struct eventstream_message *m, size_t *at, struct str *name, enum eventstream_type *type,
		      struct str *value);
/* A string header; p == NULL: absent. */
struct str eventstream_get(const struct eventstream_message *m, const char *name);

/* What wick-node and wick-park say to each other: lines of text over two pipes, standard input and output of wick-park,
 * so that a person can drive it by hand. Pure; fuzzed.
 *
 *   wick-park:  ready VERSION          of the CUDA driver (12080 is 12.8): it takes requests
 *            or unsupported TEXT       the driver or its library is not there or is too old; wick-park ends
 *   node:       park PID | wake PID | state PID
 *   wick-park:  ok PID US STATE        STATE as CUDA's, a word ("running", "locked", "checkpointed"); US: how long it
 *                                      took, in microseconds
 *            or error PID TEXT         it was not done. A worker that could not be parked runs on,
 *                                      where the driver can
 *            or error 0 TEXT           that line was no request
 *
 * One answer for each request, in their order. PID is a worker's first process, as wick-park sees it; meant are that
 * one and its descendants, those which use CUDA. STATE is "mixed" where they differ. wick-park ends when its input
 * does. */
#pragma once

#include "base/buf.h"
#include "base/str.h"

#define PARK_LINE_MAX  512 /* bytes of a line, the end of line counted */
#define PARK_STATE_MAX 32

enum park_verb { PARK_VERB_PARK, PARK_VERB_WAKE, PARK_VERB_STATE, PARK_VERBS };

struct park_request {
	enum park_verb verb;
	int32_t pid; /* > 0 */
};

enum park_said { PARK_READY, PARK_UNSUPPORTED, PARK_OK, PARK_ERROR };

struct park_answer {
	enum park_said said;
	int32_t pid;      /* OK: > 0, ERROR: >= 0 */
	uint64_t version; /* READY */
	uint64_t us;      /* OK */
	struct str state; /* OK: letters and '-' */
	struct str text;  /* UNSUPPORTED, ERROR: not empty */
};

/* Add a line with its end. Text is cut to what fits, and what is not printable in it becomes a blank. */
void park_request_format(struct buf *b, const struct park_request *r);
void park_answer_format(struct buf *b, const struct park_answer *a);
/* A line without its end; false: it is none of these. Views into line. */
bool park_request_parse(struct park_request *ret, struct str line);
bool park_answer_parse(struct park_answer *ret, struct str line);

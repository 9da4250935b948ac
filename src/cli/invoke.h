/* One invocation: its event as the flags say it, its answer, and what was recorded of one. */
#pragma once

#include "cli/cli.h"

struct invocation {
	char *function, *qualifier; /* qualifier, context: NULL where there is none */
	char *context;              /* JSON */
	struct buf event;           /* JSON */
};

struct answer {
	struct http_response r;
	struct buf log; /* the end of it, where it was asked for */
	uint64_t us;    /* from the request to the answer */
};

void invocation_done(struct invocation *i);
void answer_done(struct answer *a);

/* JSON, @FILE or - (standard input); {} without the flag. */
int event_read(const struct cli *c, struct buf *b, struct err *err);
/* -1: refused or no answer; a function that failed is an answer. */
int invoke(struct client *client, const struct invocation *i, bool async, bool log, struct answer *ret,
	   struct err *err);
bool answer_failed(const struct answer *a);
/* The answer for programs: {"status", "requestId", "functionError", "payload", "log", "stages"}. */
json_t *answer_json(const struct answer *a);
/* The log's end and the stages, on standard error. */
void answer_print_log(const struct answer *a);

/* Prints the answer's bytes as they come: the exit status. */
int invoke_stream(const struct cli *c, struct client *client, const struct invocation *i);

/* One readable file with the invocation and its answer. */
int record_write(const char *file, const struct invocation *i, const struct answer *a, struct err *err);
/* What was recorded; *ret_answer as answer_json gives it. */
int record_read(const char *file, struct invocation *ret, json_t **ret_answer, struct err *err);
/* Whether an answer says the same as one that was recorded; what differs goes into diff. */
bool record_same(const json_t *recorded, const json_t *now, struct buf *diff, bool colour);

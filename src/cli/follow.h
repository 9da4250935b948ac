/* A function's log as it comes: records (JSON lines of GET /_wick/logs/{function}), and following them through restarts
 * of the server without losing or repeating one. */
#pragma once

#include "cli/cli.h"

struct log_record {
	int64_t at_ms;
	struct str id; /* of the request; "-": of none */
	struct str text;
};

struct follow {
	const char *function;
	int64_t since_ms; /* 0: from the oldest */
	bool on;          /* goes on with what comes, also after the server has been away; else what is there now */
	/* line: as it came, for --json. False: enough. */
	bool (*record)(void *arg, const struct log_record *r, struct str line);
	/* The server is away (why), or back (NULL). May be NULL. */
	void (*away)(void *arg, const char *why);
	void *arg;
};

/* Without `on`: 0 when all was read. With it: returns only when record said enough (0), or on what trying again does
 * not mend. -1: err. */
int follow_log(struct client *c, const struct follow *f, struct err *err);

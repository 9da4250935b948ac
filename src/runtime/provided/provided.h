/* The provided runtime: /var/task/bootstrap (or /opt/bootstrap) and the invocations it fetches over the Lambda Runtime
 * API. runtime_api.c speaks HTTP with it and decides nothing; here an invocation goes from the lane to a poller and its
 * answer back. */
#pragma once

#include "base/id.h"
#include "runtime/provided/runtime_api.h"
#include "runtime/shim/shim.h"

enum invocation_state {
	INVOCATION_QUEUED, /* no poller has asked for it yet */
	INVOCATION_OPEN,   /* handed out */
	INVOCATION_ANSWERING,
};

struct invocation {
	uint8_t id[16];
	char id_text[UUID_TEXT_SIZE];
	enum invocation_state state;
	struct buf head; /* of the answer to its poller: headers of the Runtime API */
	struct buf event;
	bool stream;    /* its caller takes the answer as it comes */
	bool cancelled; /* nobody waits for it */
	uint64_t credit;
	struct api_conn *conn; /* that carries its answer */
	struct list_link on_list;
};
DEFINE_LIST(invocation_list, struct invocation, on_list)

struct provided {
	struct shim shim;
	struct runtime_api api;
	struct invocation_list queued, open;
	bool init_error; /* told by the program itself */
	bool over;       /* the program ended, with: */
	int status;
	struct poll_timer last_words;
};

/* For runtime_api.c. The invocation handed to the poller, or NULL: it waits. */
struct invocation *provided_next(struct provided *p);
void provided_unfetched(struct provided *p, struct invocation *inv); /* its poller went away before it had it */
struct invocation *provided_find(struct provided *p, struct str id_text);
void provided_result(struct provided *p, struct invocation *inv, struct str body);
void provided_piece(struct provided *p, struct invocation *inv, struct str piece); /* of a streamed answer */
/* type may be empty; body as it came, JSON or not. */
void provided_error(struct provided *p, struct invocation *inv, struct str type, struct str body);
void provided_fault(struct provided *p, struct invocation *inv, const char *type, const char *message);
bool provided_busy(const struct provided *p); /* the program may not ask for one more */
void provided_init_error(struct provided *p, struct str type, struct str body);

/* Talking to a gateway: where it is, as whom, and signed requests to its public APIs. Blocking, one at a time. */
#pragma once

#include "net/http_client.h"
#include "wire/json.h"

struct client;

struct client_header {
	const char *name, *value; /* name in lower case */
};

struct client_call {
	const char *service; /* "lambda", "s3", "wick" */
	const char *method;
	const char *path;  /* percent-encoded */
	const char *query; /* encoded, without '?'; NULL: none */
	const struct client_header *headers;
	size_t n_headers;
	struct str body;
	int body_fd; /* > 0: body_length bytes are sent from it, unhashed (s3 only) */
	uint64_t body_length;
	bool (*sink)(void *arg, const void *p, size_t n);
	void *sink_arg;
	unsigned timeout_ms; /* 0: none */
};

/* What `wick env` prints and every request is signed with. */
struct client_conf {
	char *endpoint, *region, *account, *access_key, *secret, *token;
};

/* Where Wick keeps its data when nobody says: WICK_DATA, /var/lib/wick as root, else under the home folder. */
char *client_default_data(void);
/* From --data (may be NULL), or the AWS_* environment, or the default data folder. */
int client_conf_read(struct client_conf *c, const char *data, struct err *err);
void client_conf_done(struct client_conf *c);

struct client *client_open(const char *data, struct err *err);
struct client *client_close(struct client *c);
const struct client_conf *client_conf(const struct client *c);

/* 0: an answer, whatever its status; -1 with err: none. */
int client_call(struct client *c, const struct client_call *call, struct http_response *ret, struct err *err);
/* As client_call, and statuses of 300 and above are errors too: the message of the API, its code in `code` (may be
 * NULL, size 64). ret may be NULL. */
int client_do(struct client *c, const struct client_call *call, struct http_response *ret, char code[static 64],
	      struct err *err);
/* As client_do with a JSON answer (NULL when there is no body). body may be NULL: none. */
int client_json(struct client *c, const char *service, const char *method, const char *path, const char *query,
		const json_t *body, json_t **ret, char code[static 64], struct err *err);

DEFINE_CLEANUP(struct client *, client_close)

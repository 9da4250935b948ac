/* The supervisor's parts: the data folder, the public port, the children, the word that all is ready. */
#pragma once

#include "base/err.h"
#include "model/settings.h"
#include "sys/loop.h"

/* serve_data.c: DATA, made and locked. */
struct serve_data {
	char *path; /* absolute */
	char *node_socket;
	int lock;
	bool first; /* it was empty: the root key was made now */
};

int serve_data_open(struct serve_data *d, const char *path, const char *user, struct err *err);
void serve_data_close(struct serve_data *d);
/* run/NAME: what clients on this machine read. */
int serve_data_record(const struct serve_data *d, const char *name, const char *value, struct err *err);

/* serve_listen.c: the public port. */
struct serve_listen {
	int fd;
	char *url;   /* http://ADDR:PORT, the port that was found for 0 */
	char *local; /* the same as this machine reaches it: 0.0.0.0 is 127.0.0.1 */
	int family;
	unsigned port;
};

int serve_listen_open(struct serve_listen *l, const char *address, struct err *err);
void serve_listen_close(struct serve_listen *l);
/* A non-blocking connection to it, as any client of this machine makes; -1 with errno. */
int serve_listen_connect(const struct serve_listen *l);

/* serve_ready.c: asks /_wick/health until the answer is 200, then calls fn once. */
struct serve_ready;
struct serve_ready *serve_ready_new(struct loop *loop, const struct serve_listen *l, void (*fn)(void *arg), void *arg);
struct serve_ready *serve_ready_free(struct serve_ready *r);
/* systemd's protocol: a datagram to NOTIFY_SOCKET, where that is set. */
void serve_notify(const char *state);

/* serve_child.c: a program that is kept running. */
struct serve_child;

struct serve_child_spec {
	const char *name; /* "wick-gate" */
	const char *path;
	char *const *envp;
	int listen_fd; /* becomes fd 3 (for wick-node of `wick node`: a pipe); -1: none */
	int nodes_fd;  /* becomes fd 4: where remote nodes dial; 0: none */
};

/* over(arg) is called when it has ended after serve_child_stop, or has refused to start: it stopped with a status
 * before serve_child_settled. Everything but name is borrowed. */
struct serve_child *serve_child_start(struct loop *loop, const struct serve_child_spec *spec, void (*over)(void *arg),
				      void *arg);
void serve_child_stop(struct serve_child *c, int signo); /* no more restarts */
void serve_child_settled(struct serve_child *c); /* it serves: from now on it is started again whatever it stops with */
struct serve_child *serve_child_free(struct serve_child *c);

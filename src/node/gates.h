/* The remote gateways that took this node: one file each in DATA/node/gates, beside the node's key. Pure but for that
 * folder; no token is ever written. */
#pragma once

#include "base/err.h"
#include "base/str.h"

#define GATES_MAX 64

/* Strings are malloc'd; NULL: none. */
struct gate_entry {
	char *url; /* HOST:PORT as it was given: its name here */
	char *host;
	uint16_t port;
	char *fingerprint; /* pin; else by host name and ca */
	char *ca;          /* file; NULL: the system's authorities */
	char *proxy;       /* NULL: as the environment says */
	char *name;        /* of this node there; NULL: the setting's */
	char *token;       /* until it has joined; never stored */
};

void gate_entry_done(struct gate_entry *e);
/* "HOST", "HOST:PORT" (9001 without), "[IPv6]:PORT", with or without https:// before it. -1: err says what it must be.
 */
int gate_url_parse(const char *url, char **host, uint16_t *port, struct err *err);
/* A node's name: of [a-z0-9-], 1 to 63, no '-' at its ends. */
bool node_name_is(struct str s);
/* The nearest such name to a host name; malloc'd. */
char *node_name_from(const char *host_name);

/* One file as JSON: -1: err says what is wrong with it. */
int gate_entry_parse(struct gate_entry *ret, struct str json, struct err *err);
/* All of the folder, at most GATES_MAX; *ret is malloc'd. Files that cannot be understood are errors that name them. */
int gates_load(const char *folder, struct gate_entry **ret, size_t *n, struct err *err);
int gates_save(const char *folder, const struct gate_entry *e, struct err *err);

/* The further sockets that a server listens on (http_server_listen). Their connections are accepted here and given to
 * libmicrohttpd, which knows of one listening socket only. For http_server.c. */
#pragma once

#include "net/http_server.h"

struct MHD_Daemon;
struct http_doors;

/* They have max connections together; added(arg): the daemon is to be run. */
struct http_doors *http_doors_new(struct loop *l, unsigned max, void (*added)(void *arg), void *arg);
void http_doors_open(struct http_doors *ds, struct MHD_Daemon *daemon);
void http_doors_stop(struct http_doors *ds); /* nothing is accepted any more */
/* The daemon has stopped. Doors that are left are closed; their owners still unlisten them. */
struct http_doors *http_doors_free(struct http_doors *ds);
struct http_door *http_doors_add(struct http_doors *ds, int fd);
/* From libmicrohttpd's notice of a connection: *context is the connection's own. */
void http_doors_began(struct http_doors *ds, void **context);
void http_doors_ended(struct http_doors *ds, void *context);
/* A connection that came some other way. */
bool http_doors_adopt(struct http_doors *ds, int fd);

/* The apis of the public port, each a const struct (rows of route.c's table). */
#pragma once

#include "gate/gate.h"
#include "gate/req.h"

extern const struct api api_s3, api_lambda, api_admin, api_url;

/* api_s3_notify.c: adds the events that an object's creation or removal causes to t (durable with the object).
 * event_name without "s3:": "ObjectCreated:Put". Returns how many; after the commit call jobs_kick(g->jobs). */
unsigned s3_notify(struct req *r, struct store_txn *t, const struct bucket *b, const char *event_name,
		   const struct object *o);

/* Which functions a bucket's events start, and the event they are given. Source: Amazon S3 User Guide, "Event
 * notification types and destinations", "Configuring event notifications using object key name filtering", "Event
 * message structure". Pure. */
#pragma once

#include "base/arena.h"
#include "wire/json.h"
#include "wire/s3_xml.h"

enum notification_error {
	NOTIFICATION_OK = 0,
	NOTIFICATION_E_UNSUPPORTED, /* another destination than a function: NotImplemented */
	NOTIFICATION_E_INVALID,     /* InvalidArgument */
};

/* What S3 refuses: unknown events, ids twice, ARNs that name no function, and two configurations that one object
 * could match both for the same event. *message is one sentence in the arena. Ids that are missing are made from the
 * place in the document. */
enum notification_error notification_check(struct arena *a, struct s3_notification *n, const char **message);

/* The form a bucket is stored with. */
json_t *notification_to_json(const struct s3_notification *n);
/* Views into j and a. */
int notification_from_json(struct s3_notification *n, const json_t *j, struct arena *a, struct err *err);

/* Does this one configuration want the event ("s3:ObjectCreated:Put") of that key? */
bool notification_matches(const struct s3_lambda_notification *l, struct str event, struct str key);
/* The n-th configuration from *i on that does, or NULL; *i moves behind it:
 * for (size_t i = 0; (l = notification_next(n, event, key, &i));) */
const struct s3_lambda_notification *notification_next(const struct s3_notification *n, struct str event,
						       struct str key, size_t *i);

struct notification_event {
	struct str event; /* "s3:ObjectCreated:Put" */
	struct str region;
	int64_t at_ms;
	struct str principal; /* who did it */
	struct str source_ip;
	struct str request_id, host_id;
	struct str configuration_id;
	struct str bucket, owner; /* owner: the bucket owner's principal id */
	struct str key;
	uint64_t size; /* created only, like etag */
	struct str etag;
	uint64_t sequencer; /* grows with every change of the bucket */
};
/* The payload: {"Records":[...]}. */
void notification_event_json(struct buf *b, const struct notification_event *e);

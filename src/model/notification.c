/* Bucket notifications. Pure; structs are views into documents and arenas of the caller. A configuration from a client
 * may be refused with a sentence, a stored one may be damaged with an error; matching and building cannot fail. */
#include "model/notification.h"

#include "base/time.h"
#include "model/function.h"
#include "wire/uri.h"

#include <stdio.h>

static const char *const known_events[] = {
	"s3:ObjectCreated:*",
	"s3:ObjectCreated:Put",
	"s3:ObjectCreated:Post",
	"s3:ObjectCreated:Copy",
	"s3:ObjectCreated:CompleteMultipartUpload",
	"s3:ObjectRemoved:*",
	"s3:ObjectRemoved:Delete",
	"s3:ObjectRemoved:DeleteMarkerCreated",
};

static bool event_known(struct str event)
{
	for (size_t i = 0; i < ARRAY_SIZE(known_events); i++)
		if (str_eqz(event, known_events[i]))
			return true;
	return false;
}

static bool event_covers(struct str pattern, struct str event)
{
	if (str_ends(pattern, STR(":*")))
		return str_starts(event, str_sub(pattern, 0, pattern.n - 1));
	return str_eq(pattern, event);
}

static bool events_meet(const struct s3_lambda_notification *a, const struct s3_lambda_notification *b)
{
	for (size_t i = 0; i < a->n_events; i++)
		for (size_t j = 0; j < b->n_events; j++)
			if (event_covers(a->events[i], b->events[j]) || event_covers(b->events[j], a->events[i]))
				return true;
	return false;
}

/* Some key matches both: their prefixes and their suffixes are each other's beginnings and ends. */
static bool filters_meet(const struct s3_lambda_notification *a, const struct s3_lambda_notification *b)
{
	return (str_starts(a->prefix, b->prefix) || str_starts(b->prefix, a->prefix)) &&
	       (str_ends(a->suffix, b->suffix) || str_ends(b->suffix, a->suffix));
}

static enum notification_error invalid(const char **message, const char *text)
{
	*message = text;
	return NOTIFICATION_E_INVALID;
}

static enum notification_error check_one(struct arena *a, struct s3_lambda_notification *l, size_t i,
					 const char **message)
{
	struct function_ref ref;

	if (l->id.n == 0)
		l->id = str_from(arena_printf(a, "wick-%zu", i + 1));
	if (!str_starts(l->arn, STR("arn:")) || !function_ref_parse(l->arn, &ref))
		return invalid(message, "The ARN could not be parsed");
	for (size_t e = 0; e < l->n_events; e++)
		if (!event_known(l->events[e]))
			return invalid(message, arena_printf(a, "The event '%.*s' is not supported for notifications",
							     STR_ARG(l->events[e])));
	return NOTIFICATION_OK;
}

enum notification_error notification_check(struct arena *a, struct s3_notification *n, const char **message)
{
	if (n->unsupported.n) {
		*message = arena_printf(a, "%.*s is not supported: notifications go to functions only",
					STR_ARG(n->unsupported));
		return NOTIFICATION_E_UNSUPPORTED;
	}
	for (size_t i = 0; i < n->n; i++) {
		enum notification_error e = check_one(a, &n->lambdas[i], i, message);

		if (e)
			return e;
		for (size_t j = 0; j < i; j++) {
			if (str_eq(n->lambdas[i].id, n->lambdas[j].id))
				return invalid(message, "Configuration ids must be unique within a bucket");
			if (events_meet(&n->lambdas[i], &n->lambdas[j]) && filters_meet(&n->lambdas[i], &n->lambdas[j]))
				return invalid(message, "Configurations overlap. Configurations on the same bucket "
							"cannot share a common event type.");
		}
	}
	return NOTIFICATION_OK;
}

json_t *notification_to_json(const struct s3_notification *n)
{
	json_t *list = json_array(), *o = json_object();

	for (size_t i = 0; i < n->n; i++) {
		const struct s3_lambda_notification *l = &n->lambdas[i];
		json_t *j = json_object(), *events = json_array();

		json_set_str(j, "id", l->id);
		json_set_str(j, "arn", l->arn);
		for (size_t e = 0; e < l->n_events; e++)
			json_array_append_new(events, json_str(l->events[e]));
		json_object_set_new(j, "events", events);
		json_set_str(j, "prefix", l->prefix);
		json_set_str(j, "suffix", l->suffix);
		json_array_append_new(list, j);
	}
	json_object_set_new(o, "functions", list);
	return o;
}

static int one_from_json(struct s3_lambda_notification *l, const json_t *j, struct arena *a, struct err *err)
{
	json_t *events = json_get_array(j, "events"), *v;
	size_t i;

	*l = (struct s3_lambda_notification){.prefix = STR(""), .suffix = STR("")};
	if (json_need_str(j, "id", &l->id, err) || json_need_str(j, "arn", &l->arn, err) ||
	    json_opt_str(j, "prefix", &l->prefix, err) || json_opt_str(j, "suffix", &l->suffix, err))
		return -1;
	if (!events)
		return err_set(err, 0, "events is missing");
	l->events = arena_new_n(a, struct str, json_array_size(events));
	json_array_foreach(events, i, v)
	{
		if (!json_is_string(v))
			return err_set(err, 0, "events: an element is not a string");
		l->events[l->n_events++] = json_str_value(v);
	}
	return 0;
}

int notification_from_json(struct s3_notification *ret, const json_t *j, struct arena *a, struct err *err)
{
	json_t *list = json_get_array(j, "functions"), *v;
	struct s3_notification n = {.unsupported = STR("")};
	size_t i;

	if (!list)
		return err_set(err, 0, "functions is missing");
	n.lambdas = arena_new_n(a, struct s3_lambda_notification, json_array_size(list));
	json_array_foreach(list, i, v)
	{
		if (one_from_json(&n.lambdas[n.n++], v, a, err))
			return -1;
	}
	*ret = n;
	return 0;
}

bool notification_matches(const struct s3_lambda_notification *l, struct str event, struct str key)
{
	if (!str_starts(key, l->prefix) || !str_ends(key, l->suffix))
		return false;
	for (size_t i = 0; i < l->n_events; i++)
		if (event_covers(l->events[i], event))
			return true;
	return false;
}

const struct s3_lambda_notification *notification_next(const struct s3_notification *n, struct str event,
						       struct str key, size_t *i)
{
	while (*i < n->n) {
		const struct s3_lambda_notification *l = &n->lambdas[(*i)++];

		if (notification_matches(l, event, key))
			return l;
	}
	return NULL;
}

/* A member of an object under construction: "name":"value", with a comma before all but the first. */
static void member(struct buf *b, const char *name, struct str value)
{
	if (b->n && b->p[b->n - 1] != '{')
		buf_addc(b, ',');
	buf_printf(b, "\"%s\":", name);
	json_write_string(b, value);
}

/* Keys are form-encoded, blanks as '+'; slashes stay. */
static void key_member(struct buf *b, struct str key)
{
	_cleanup_(buf_done) struct buf plain = BUF_NULL;

	for (struct str word; key.n;) {
		bool blank = str_cut(key, ' ', &word, &key);

		uri_encode(&plain, word, true);
		if (blank)
			buf_addc(&plain, '+');
	}
	member(b, "key", buf_str(&plain));
}

static void object_member(struct buf *b, const struct notification_event *e)
{
	char sequencer[17];

	snprintf(sequencer, sizeof(sequencer), "%016llX", (unsigned long long)e->sequencer);
	buf_adds(b, ",\"object\":{");
	key_member(b, e->key);
	if (str_starts(e->event, STR("s3:ObjectCreated:"))) {
		buf_printf(b, ",\"size\":%llu", (unsigned long long)e->size);
		member(b, "eTag", e->etag);
	}
	member(b, "sequencer", str_from(sequencer));
	buf_addc(b, '}');
}

static void bucket_member(struct buf *b, const struct notification_event *e)
{
	_cleanup_(buf_done) struct buf arn = BUF_NULL;

	buf_adds(&arn, "arn:aws:s3:::");
	buf_add_str(&arn, e->bucket);
	buf_adds(b, ",\"bucket\":{");
	member(b, "name", e->bucket);
	buf_adds(b, ",\"ownerIdentity\":{");
	member(b, "principalId", e->owner);
	buf_addc(b, '}');
	member(b, "arn", buf_str(&arn));
	buf_addc(b, '}');
}

void notification_event_json(struct buf *b, const struct notification_event *e)
{
	char at[TIME_ISO8601_SIZE];

	time_iso8601_ms(e->at_ms, at);
	buf_adds(b, "{\"Records\":[{\"eventVersion\":\"2.1\",\"eventSource\":\"aws:s3\"");
	member(b, "awsRegion", e->region);
	member(b, "eventTime", str_from(at));
	member(b, "eventName", str_starts(e->event, STR("s3:")) ? str_sub(e->event, 3, e->event.n) : e->event);
	buf_adds(b, ",\"userIdentity\":{");
	member(b, "principalId", e->principal);
	buf_adds(b, "},\"requestParameters\":{");
	member(b, "sourceIPAddress", e->source_ip);
	buf_adds(b, "},\"responseElements\":{");
	member(b, "x-amz-request-id", e->request_id);
	member(b, "x-amz-id-2", e->host_id);
	buf_adds(b, "},\"s3\":{");
	member(b, "s3SchemaVersion", STR("1.0"));
	member(b, "configurationId", e->configuration_id);
	bucket_member(b, e);
	object_member(b, e);
	buf_adds(b, "}}]}");
}

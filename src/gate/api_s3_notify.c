/* From an object's creation or removal to durable events: every configuration of the bucket that wants it becomes one
 * event in the transaction that changes the object, so that neither is there without the other. A chain of functions
 * that start each other through buckets is broken here, and the log of the function that is not started says so. */
#include "gate/api_s3.h"

#include "base/id.h"
#include "gate/functions.h"
#include "gate/logs.h"
#include "model/notification.h"
#include "model/trace.h"
#include "sys/clock.h"
#include "sys/log.h"

static void say_stopped(struct req *r, const struct function *f, const struct object *o, uint32_t rounds)
{
	struct buf b = BUF_NULL;

	buf_printf(&b,
		   "Recursive invocation stopped: this function was started %u times in one chain of events, so the "
		   "event of s3://%.*s/%.*s does not start it again. Write its output to another bucket, or give its "
		   "notification a prefix or suffix that the output does not match.",
		   rounds - 1, STR_ARG(o->bucket), STR_ARG(o->key));
	/* One record is one line, and a key may hold anything. */
	for (size_t i = 0; i < b.n; i++)
		if (b.p[i] == '\n')
			b.p[i] = ' ';
	logs_add(r->g->logs, f->name, clock_wall_ms(), NULL, buf_str(&b));
	buf_done(&b);
}

static void make_payload(struct req *r, const struct object *o, struct str event, struct str configuration,
			 struct buf *ret)
{
	struct notification_event e = {
		.event = event,
		.region = str_from(r->g->conf.s.region),
		.at_ms = r->now_ms,
		.principal = r->who.kind == PRINCIPAL_ANONYMOUS ? STR("Anonymous") : r->who.access_key,
		.source_ip = r->peer,
		.request_id = str_from(r->id_text),
		.host_id = str_from(r->id_text),
		.configuration_id = configuration,
		.bucket = o->bucket,
		.owner = str_from(r->g->conf.s.account),
		.key = o->key,
		.size = o->size,
		.etag = o->etag,
		/* Later changes compare greater, but for those of one millisecond. */
		.sequencer = (uint64_t)r->now_ms << 20 | (clock_mono_us() & 0xfffff),
	};

	notification_event_json(ret, &e);
}

/* False: not queued. */
static bool queue_event(struct req *r, struct store_txn *t, const struct object *o, struct str event,
			const struct s3_lambda_notification *l)
{
	uint8_t random[TRACE_RANDOM_SIZE], id[UUID_SIZE];
	char id_text[UUID_TEXT_SIZE];
	const struct function *f;
	struct function_ref ref;
	struct buf payload = BUF_NULL;
	uint32_t rounds;
	char *trace;

	f = function_ref_parse(l->arn, &ref) ? functions_get(r->g, ref.name) : NULL;
	if (!f) {
		log_warn("bucket %.*s: %.*s of %.*s starts no function: %.*s is not there", STR_ARG(o->bucket),
			 STR_ARG(event), STR_ARG(o->key), STR_ARG(l->arn));
		return false;
	}
	random_bytes(random, sizeof(random));
	trace = trace_next(&r->arena, req_header(r, "x-amzn-trace-id"), f->arn, random, r->now_ms / 1000, &rounds);
	if (rounds > EVENT_MAX_ROUNDS) {
		say_stopped(r, f, o, rounds);
		return false;
	}
	random_bytes(id, sizeof(id));
	uuid_make_v4(id);
	uuid_format(id, id_text);
	make_payload(r, o, event, l->id, &payload);
	store_put_event(t,
			&(struct event){
				.id = str_from(id_text),
				.function = str_from(arena_printf(&r->arena, "%.*s%s%.*s", STR_ARG(f->name),
								  ref.qualifier.n ? ":" : "", STR_ARG(ref.qualifier))),
				.payload = buf_str(&payload),
				.trace = str_from(trace),
				.source = str_from(arena_printf(&r->arena, "s3:%.*s", STR_ARG(o->bucket))),
				.state = EVENT_QUEUED,
				.created_ms = r->now_ms,
				.due_ms = r->now_ms,
			});
	buf_done(&payload);
	return true;
}

unsigned s3_notify(struct req *r, struct store_txn *t, const struct bucket *b, const char *event_name,
		   const struct object *o)
{
	struct str event = str_from(arena_printf(&r->arena, "s3:%s", event_name));
	const struct s3_lambda_notification *l;
	struct s3_notification conf;
	struct err err = ERR_NULL;
	unsigned queued = 0;
	json_t *j;

	if (b->notification.n == 0)
		return 0;
	j = json_parse(b->notification, &err);
	if (!j || notification_from_json(&conf, j, &r->arena, &err) != 0) {
		log_error("bucket %.*s: its notification configuration is unreadable: %s", STR_ARG(b->name), err.msg);
		err_done(&err);
		json_decref(j);
		return 0;
	}
	for (size_t i = 0; (l = notification_next(&conf, event, o->key, &i));)
		queued += queue_event(r, t, o, event, l);
	json_decref(j);
	return queued;
}

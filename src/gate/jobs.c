/* Durable events. The store holds the queue; this file takes what is due, runs each event through the flow as a request
 * without a client, and writes what became of it: deleted, due again later, or failed for good. An event is in hand
 * from being taken until that write is durable; a crash at any moment leaves it in the store, so it runs at least once.
 * Owns the set of events in hand. A function error counts as a try; a lack of workers
 * and the death of a node do not. */
#include "gate/jobs.h"

#include "base/id.h"
#include "base/map.h"
#include "base/mem.h"
#include "gate/flow.h"
#include "gate/fn.h"
#include "model/backoff.h"
#include "model/event.h"
#include "sys/clock.h"
#include "sys/log.h"

#define IN_HAND_MAX 128
#define REASON_MAX  2048

struct jobs {
	struct gate *g;
	struct timer *timer;
	struct map in_hand; /* id -> struct job */
};

struct job {
	struct jobs *j;
	struct arena arena; /* of the event */
	struct event *e;
};

static void look(void *arg);

struct jobs *jobs_new(struct gate *g)
{
	struct jobs *j = xnew(struct jobs);

	j->g = g;
	j->timer = timer_new(g->loop, look, j);
	timer_set(j->timer, 0);
	return j;
}

struct jobs *jobs_free(struct jobs *j)
{
	struct str id;
	void *v;

	if (!j)
		return NULL;
	for (size_t i = 0; map_next(&j->in_hand, &i, &id, &v);) {
		struct job *job = v;

		arena_done(&job->arena);
		free(job);
	}
	map_done(&j->in_hand);
	timer_free(j->timer);
	free(j);
	return NULL;
}

bool jobs_running(const struct jobs *j, struct str id)
{
	return map_get(&j->in_hand, id) != NULL;
}

void jobs_kick(struct jobs *j)
{
	if (!j->g->draining)
		timer_set(j->timer, 0);
}

static void put_down(void *arg, int result, unsigned op)
{
	struct job *job = arg;
	struct jobs *j = job->j;

	if (result < 0)
		log_error("event %.*s: what became of it could not be stored: %s; it will run again",
			  STR_ARG(job->e->id), strerror(-result));
	map_del(&j->in_hand, job->e->id);
	arena_done(&job->arena);
	free(job);
	jobs_kick(j);
}

/* What to write for people: the function's own error message where there is one. */
static struct str reason_of(struct req *r, struct arena *a)
{
	struct str text;

	if (r->fail)
		text = r->fail_message.n ? r->fail_message : str_from(fail_info(r->fail)->message);
	else
		text = buf_str(&r->inv->result);
	return arena_str(a, str_sub(text, 0, REASON_MAX));
}

/* The request is over: success, a function error, or no run at all. */
static void job_over(struct req *r, void *arg)
{
	struct job *job = arg;
	struct event *e = job->e;
	struct store_txn *t = store_begin(r->g->store);
	int64_t now = clock_wall_ms();
	bool ran = !r->fail && r->inv && r->inv->state == INVOCATION_OVER && r->inv->usage.status != USAGE_KILLED;

	if (ran && r->inv->usage.status == USAGE_OK) {
		store_delete_event(t, e->id);
	} else if (!ran && r->fail != FAIL_NOT_FOUND) {
		store_set_event(t, e->id, EVENT_QUEUED, e->attempts, now + 1000, reason_of(r, &job->arena));
	} else {
		uint32_t attempts = e->attempts + 1;
		bool over = attempts >= EVENT_MAX_ATTEMPTS || r->fail == FAIL_NOT_FOUND;
		int64_t due = over ? now : now + (int64_t)backoff_ms(attempts, r->g->conf.s.retry_delay_ms);

		store_set_event(t, e->id, over ? EVENT_FAILED : EVENT_QUEUED, attempts, due, reason_of(r, &job->arena));
		if (over)
			log_warn("event %.*s for %.*s has failed for good", STR_ARG(e->id), STR_ARG(e->function));
	}
	store_commit(t, put_down, job);
}

static void run(struct jobs *j, struct job *job)
{
	struct event *e = job->e;
	struct req *r = req_new(j->g, NULL);
	struct str name, qualifier;

	map_put(&j->in_hand, e->id, job);
	uuid_parse(e->id, r->id);
	uuid_format(r->id, r->id_text);
	r->body_ended = true;
	r->on_done = job_over;
	r->on_done_arg = job;
	str_cut(e->function, ':', &name, &qualifier);
	if (invocation_prepare(r, name, qualifier, e->payload))
		r->inv->trace = e->trace;
	req_start_at(r, r->inv ? REQ_QUEUE : REQ_METER);
}

/* Takes the due events that are not in hand, and sleeps until the next is due. */
static void look(void *arg)
{
	struct jobs *j = arg;
	struct store_reader *rd = store_reader(j->g->store);
	struct arena a = ARENA_NULL;
	struct event *due;
	size_t n = 0;
	int64_t now = clock_wall_ms(), next;

	if (j->g->draining)
		return;
	if (store_due_events(rd, &a, now, IN_HAND_MAX + (uint32_t)j->in_hand.n, &due, &n) != 0)
		n = 0;
	for (size_t i = 0; i < n && j->in_hand.n < IN_HAND_MAX; i++) {
		struct job *job;

		if (map_get(&j->in_hand, due[i].id))
			continue;
		job = xnew(struct job);
		job->j = j;
		if (store_get_event(rd, &job->arena, due[i].id, &job->e) != 0) {
			arena_done(&job->arena);
			free(job);
			continue;
		}
		run(j, job);
	}
	arena_done(&a);
	if (j->in_hand.n == 0 && store_next_event_due(rd, &next) == 0)
		timer_set(j->timer, next > now ? (uint64_t)MIN(next - now, (int64_t)3600000) : 1);
	else if (j->in_hand.n)
		timer_set(j->timer, 1000);
}

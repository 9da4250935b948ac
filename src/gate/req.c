/* The request struct: making, freeing, headers, replies, and the asynchronous helpers that put it to sleep and wake
 * it. State belongs to the request; a helper counts itself in r->pending until its callback has run, so that the
 * request outlives a client that left. */
#include "gate/flow.h"

#include "base/id.h"
#include "base/mem.h"
#include "gate/api.h"
#include "gate/invoke.h"
#include "sys/clock.h"
#include "sys/log.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

DEFINE_LIST(live_list, struct req, on_live)

struct reqs {
	struct live_list live;
};

void reqs_open(struct gate *g)
{
	g->reqs = xnew(struct reqs);
}

bool reqs_pending(const struct gate *g)
{
	for (const struct req *r = live_list_first(&g->reqs->live); r; r = live_list_next(r))
		if (r->pending)
			return true;
	return false;
}

struct req *req_find(struct gate *g, const uint8_t id[static 16])
{
	struct req *r = live_list_first(&g->reqs->live);

	while (r && memcmp(r->id, id, sizeof(r->id)) != 0)
		r = live_list_next(r);
	return r;
}

void reqs_close(struct gate *g)
{
	struct req *r;

	if (!g->reqs)
		return;
	while ((r = live_list_first(&g->reqs->live))) {
		if (r->inv)
			invocation_abandon(r->inv);
		r->on_done = NULL;
		r->pending = 0;
		req_free(r);
	}
	free(g->reqs);
	g->reqs = NULL;
}

struct req *req_new(struct gate *g, struct http_exchange *ex)
{
	struct req *r = xnew(struct req);

	r->magic = REQ_MAGIC;
	r->g = g;
	r->ex = ex;
	r->began_us = clock_mono_us();
	r->now_ms = clock_wall_ms();
	random_id(r->id);
	uuid_make_v4(r->id);
	uuid_format(r->id, r->id_text);
	live_list_push(&g->reqs->live, r);
	return r;
}

static void reply_body_done(struct http_body *b)
{
	if (b->kind == HTTP_BODY_FD && b->fd > 0)
		close(b->fd);
	if (b->kind == HTTP_BODY_PULL && b->pull_free)
		b->pull_free(b->pull_arg);
	buf_done(&b->bytes);
	*b = (struct http_body){0};
}

void req_free(struct req *r)
{
	if (!r)
		return;
	assert(r->pending == 0);
	live_list_remove(&r->g->reqs->live, r);
	if (r->writer)
		blob_drop(r->writer);
	body_filter_free(r->filter);
	invocation_free(r->inv);
	reply_body_done(&r->reply_body);
	buf_done(&r->body);
	mem_wipe(r->signing_key, sizeof(r->signing_key));
	arena_done(&r->arena);
	r->magic = 0;
	free(r);
}

struct str req_header(const struct req *r, const char *name)
{
	return r->ex ? http_get_header(r->ex, str_from(name)) : STR_NULL;
}

struct str req_param(const struct req *r, const char *name)
{
	return uri_param_get(r->params, r->n_params, name);
}

bool req_has_param(const struct req *r, const char *name)
{
	return uri_param_has(r->params, r->n_params, name);
}

void req_set_header(struct req *r, const char *name, struct str value)
{
	if (r->n_reply_headers == r->cap_reply_headers) {
		size_t cap = r->cap_reply_headers ? 2 * r->cap_reply_headers : 12;
		struct http_header *h = arena_new_n(&r->arena, struct http_header, cap);

		if (r->n_reply_headers)
			memcpy(h, r->reply_headers, r->n_reply_headers * sizeof(*h));
		r->reply_headers = h;
		r->cap_reply_headers = cap;
	}
	r->reply_headers[r->n_reply_headers++] = (struct http_header){
		.name = str_from(name), /* a literal */
		.value = arena_str(&r->arena, value),
	};
}

void req_set_headerf(struct req *r, const char *name, const char *fmt, ...)
{
	struct buf b = BUF_NULL;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	req_set_header(r, name, buf_str(&b));
	buf_done(&b);
}

static void reply_drop(struct req *r)
{
	reply_body_done(&r->reply_body);
	r->n_reply_headers = 0;
	r->status = 0;
}

enum step_result req_reply_bytes(struct req *r, unsigned status, const char *content_type, struct buf *body)
{
	r->status = status;
	if (content_type)
		req_set_header(r, "Content-Type", str_from(content_type));
	r->reply_body = (struct http_body){.kind = HTTP_BODY_BYTES, .bytes = *body};
	*body = BUF_NULL;
	return STEP_MORE;
}

enum step_result req_reply_json(struct req *r, unsigned status, json_t *j)
{
	struct buf b = BUF_NULL;

	json_write(&b, j);
	json_decref(j);
	return req_reply_bytes(r, status, "application/json", &b);
}

enum step_result req_reply_empty(struct req *r, unsigned status)
{
	struct buf none = BUF_NULL;

	return req_reply_bytes(r, status, NULL, &none);
}

enum step_result req_fail(struct req *r, enum fail f)
{
	reply_drop(r);
	r->fail = f;
	r->fail_message = STR_NULL;
	return STEP_MORE;
}

enum step_result req_failf(struct req *r, enum fail f, const char *fmt, ...)
{
	struct buf b = BUF_NULL;
	va_list ap;

	req_fail(r, f);
	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	r->fail_message = arena_str(&r->arena, buf_str(&b));
	buf_done(&b);
	return STEP_MORE;
}

enum step_result req_fail_errno(struct req *r, int negative_errno)
{
	if (negative_errno == -ENOSPC || negative_errno == -EDQUOT)
		return req_fail(r, FAIL_NO_SPACE);
	log_error("request %s: %s failed: %s", r->id_text, r->op ? r->op->name : "?", strerror(-negative_errno));
	return req_fail(r, FAIL_INTERNAL);
}

enum step_result req_fail_body(struct req *r, int blob_result)
{
	if (blob_result < 0)
		return req_fail_errno(r, blob_result);
	switch ((enum body_error)blob_result) {
	case BODY_OK:
		return STEP_MORE;
	case BODY_E_MALFORMED:
	case BODY_E_LENGTH:
		return req_fail(r, FAIL_INCOMPLETE_BODY);
	case BODY_E_CHUNK_SIGNATURE:
		return req_fail(r, FAIL_BAD_SIGNATURE);
	case BODY_E_SHA256:
		return req_fail(r, FAIL_SHA256_MISMATCH);
	case BODY_E_CHECKSUM:
	case BODY_E_MD5:
		return req_fail(r, FAIL_BAD_DIGEST);
	case BODY_E_TRAILER:
		return req_fail(r, FAIL_BAD_TRAILER);
	}
	return req_fail(r, FAIL_INTERNAL);
}

/* Every helper below: one more thing is pending, `next` is what the store step goes on with. */
static enum step_result sleep_until(struct req *r, req_fn *next)
{
	r->pending++;
	r->run = next;
	return STEP_WAIT;
}

static void wake(struct req *r)
{
	assert(r->magic == REQ_MAGIC && r->pending > 0);
	r->pending--;
	req_continue(r);
}

static void committed(void *arg, int result, unsigned op)
{
	struct req *r = arg;

	r->store_result = result;
	r->store_op = op;
	wake(r);
}

enum step_result req_commit(struct req *r, struct store_txn *t, req_fn *next)
{
	enum step_result res = sleep_until(r, next);

	store_commit(t, committed, r);
	return res;
}

static void blob_done(void *arg, int result, const struct blob_info *info)
{
	struct req *r = arg;

	r->blob_result = result;
	r->blob = info ? *info : (struct blob_info){0};
	wake(r);
}

void req_finish_blob(struct req *r)
{
	struct blob_writer *w = steal(&r->writer);

	r->pending++;
	blob_finish(w, blob_done, r);
}

enum step_result req_copy_blob(struct req *r, const struct extent *e, size_t n, uint64_t offset, uint64_t size,
			       req_fn *next)
{
	enum step_result res = sleep_until(r, next);

	blob_copy(r->g->blobs, e, n, offset, size, blob_done, r);
	return res;
}

enum step_result req_put_blob(struct req *r, struct str bytes, req_fn *next)
{
	enum step_result res = sleep_until(r, next);

	blob_put(r->g->blobs, bytes, blob_done, r);
	return res;
}

/* One call on the pool, with a store reader or without. */
struct pool_call {
	struct req *r;
	void (*work)(void *arg);
	void (*read)(void *arg, struct store_reader *rd);
	void *arg;
};

static void pool_run(void *arg)
{
	struct pool_call *c = arg;

	c->work(c->arg);
}

static void pool_read(void *arg, struct store_reader *rd)
{
	struct pool_call *c = arg;

	c->read(c->arg, rd);
}

static void pool_done(void *arg)
{
	wake(((struct pool_call *)arg)->r);
}

enum step_result req_read_async(struct req *r, void (*work)(void *arg, struct store_reader *rd), void *arg,
				req_fn *next)
{
	struct pool_call *c = arena_new(&r->arena, struct pool_call);

	*c = (struct pool_call){.r = r, .read = work, .arg = arg};
	sleep_until(r, next);
	store_read_async(r->g->store, pool_read, pool_done, c);
	return STEP_WAIT;
}

enum step_result req_work(struct req *r, void (*work)(void *arg), void *arg, req_fn *next)
{
	struct pool_call *c = arena_new(&r->arena, struct pool_call);

	*c = (struct pool_call){.r = r, .work = work, .arg = arg};
	sleep_until(r, next);
	loop_work(r->g->loop, pool_run, pool_done, c);
	return STEP_WAIT;
}

enum step_result store_step(struct req *r)
{
	if (!r->op)
		return STEP_MORE;
	/* A waiting operation is called again only by its own wake-up. */
	if (r->pending)
		return STEP_WAIT;
	if (!r->run)
		r->run = r->op->run;
	return r->run(r);
}

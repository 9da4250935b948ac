/* Invocations of a provided runtime: from the lane into the queue, to whoever asks, and the answer back. READY is the
 * first question. The program may end at any time: what it wrote before is still taken, then every invocation that is
 * open is an error, and so is the start when it never asked. */
#include "runtime/provided/provided.h"

#include "wire/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* After an init/error the program is to end by itself; so long it may print. */
#define LAST_WORDS_US (2 * 1000000)

static void add_header(struct buf *b, const char *name, struct str value)
{
	struct http1_header h;
	size_t at = b->n;

	buf_printf(b, "%s: %.*s", name, STR_ARG(value));
	if (http1_header_line(str_sub(buf_str(b), at, SIZE_MAX), &h)) {
		buf_adds(b, "\r\n");
	} else { /* what a header cannot say is left out */
		b->n = at;
		b->p[at] = '\0';
	}
}

static void add_meta_header(struct buf *b, const char *name, const struct frame *f, enum frame_key key)
{
	struct str v;

	if (frame_meta_get(f, (uint16_t)key, &v))
		add_header(b, name, v);
}

static struct invocation *invocation_new(const struct frame *f)
{
	struct invocation *inv = xnew(struct invocation);
	uint64_t v;

	memcpy(inv->id, f->id, sizeof(inv->id));
	uuid_format(f->id, inv->id_text);
	inv->credit = FRAME_WINDOW;
	inv->stream = frame_meta_u64(f, FRAME_KEY_STREAM, &v) && v;
	buf_add_str(&inv->event, f->body);
	add_header(&inv->head, "Lambda-Runtime-Aws-Request-Id", str_from(inv->id_text));
	if (frame_meta_u64(f, FRAME_KEY_DEADLINE_MS, &v))
		buf_printf(&inv->head, "Lambda-Runtime-Deadline-Ms: %llu\r\n", (unsigned long long)v);
	add_meta_header(&inv->head, "Lambda-Runtime-Invoked-Function-Arn", f, FRAME_KEY_ARN);
	add_meta_header(&inv->head, "Lambda-Runtime-Trace-Id", f, FRAME_KEY_TRACE);
	add_meta_header(&inv->head, "Lambda-Runtime-Client-Context", f, FRAME_KEY_CLIENT_CONTEXT);
	return inv;
}

/* What the program wrote before its end and waits for its reader is still given. */
static void end_if_over(struct provided *p)
{
	bool answering = false;

	for (struct invocation *i = invocation_list_first(&p->open); i; i = invocation_list_next(i))
		answering |= i->conn != NULL;
	if (p->over && !answering)
		shim_program_over(&p->shim, p->status);
}

static void answered(struct provided *p, struct invocation *inv)
{
	invocation_list_remove(inv->state == INVOCATION_QUEUED ? &p->queued : &p->open, inv);
	buf_done(&inv->head);
	buf_done(&inv->event);
	free(inv);
	end_if_over(p);
}

static struct invocation *find(struct invocation_list *l, const uint8_t id[static 16])
{
	for (struct invocation *i = invocation_list_first(l); i; i = invocation_list_next(i))
		if (memcmp(i->id, id, sizeof(i->id)) == 0)
			return i;
	return NULL;
}

static void window_more(struct provided *p, const struct frame *f)
{
	struct invocation *inv = find(&p->open, f->id);
	uint64_t n;

	if (!inv || !frame_meta_u64(f, FRAME_KEY_WINDOW, &n))
		return;
	inv->credit += MIN(n, (uint64_t)FRAME_WINDOW);
	if (inv->conn)
		runtime_api_resume(inv->conn);
}

static void cancel(struct provided *p, const uint8_t id[static 16])
{
	struct invocation *inv = find(&p->queued, id);

	if (inv) {
		provided_fault(p, inv, "Runtime.Cancelled", "Nobody waited for it any more when it was to begin");
		return;
	}
	inv = find(&p->open, id);
	if (!inv)
		return;
	inv->cancelled = true;
	if (inv->conn)
		runtime_api_resume(inv->conn);
}

static void lane_frame(void *arg, const struct frame *f)
{
	struct provided *p = arg;

	if (f->type == FRAME_INVOKE) {
		struct invocation *inv = invocation_new(f);

		invocation_list_push(&p->queued, inv);
		runtime_api_deliver(&p->api);
	} else if (f->type == FRAME_WINDOW_MORE) {
		window_more(p, f);
	} else if (f->type == FRAME_CANCEL) {
		cancel(p, f->id);
	}
}

static void lane_room(void *arg)
{
	struct provided *p = arg;

	runtime_api_resume_all(&p->api);
}

static const struct lane_events lane_events = {.frame = lane_frame, .room = lane_room};

/* ---- for runtime_api.c ---- */

bool provided_busy(const struct provided *p)
{
	return p->shim.concurrency == 1 && p->open.n > 0;
}

struct invocation *provided_next(struct provided *p)
{
	struct invocation *inv;

	if (!p->shim.ready)
		shim_ready(&p->shim);
	inv = invocation_list_pop(&p->queued);
	if (!inv)
		return NULL;
	inv->state = INVOCATION_OPEN;
	invocation_list_push(&p->open, inv);
	return inv;
}

void provided_unfetched(struct provided *p, struct invocation *inv)
{
	invocation_list_remove(&p->open, inv);
	inv->state = INVOCATION_QUEUED;
	invocation_list_push_front(&p->queued, inv);
	runtime_api_deliver(&p->api);
}

struct invocation *provided_find(struct provided *p, struct str id_text)
{
	uint8_t id[16];

	return uuid_parse(id_text, id) ? find(&p->open, id) : NULL;
}

void provided_piece(struct provided *p, struct invocation *inv, struct str piece)
{
	if (inv->cancelled)
		return;
	while (piece.n) {
		struct str part = str_sub(piece, 0, FRAME_CHUNK_MAX);

		lane_say(&p->shim.lane, FRAME_CHUNK, inv->id, NULL, part);
		inv->credit -= part.n;
		piece = str_sub(piece, part.n, SIZE_MAX);
	}
}

void provided_result(struct provided *p, struct invocation *inv, struct str body)
{
	shim_result(&p->shim, inv->id, body);
	answered(p, inv);
}

void provided_fault(struct provided *p, struct invocation *inv, const char *type, const char *message)
{
	shim_error(&p->shim, inv->id, type, "%s", message);
	answered(p, inv);
}

/* The error document as its caller gets it: the program's own where it is an object, else one made around its words. */
static void error_document(struct str type, struct str body, struct buf *ret_type, struct buf *ret)
{
	_cleanup_json_ json_t *doc = json_parse(body, NULL);
	struct str own = doc ? json_get_str(doc, "errorType", STR("")) : STR("");

	buf_add_str(ret_type, type.n ? type : own.n ? own : STR("Runtime.Unknown"));
	if (json_is_object(doc))
		buf_add_str(ret, body);
	else
		lane_error_body(ret, buf_cstr(ret_type), str_sub(body, 0, SHIM_ANSWER_MAX / 8));
}

void provided_error(struct provided *p, struct invocation *inv, struct str type, struct str body)
{
	struct buf kind = BUF_NULL, doc = BUF_NULL;

	error_document(type, body, &kind, &doc);
	shim_error_body(&p->shim, inv->id, buf_str(&kind), buf_str(&doc));
	buf_done(&kind);
	buf_done(&doc);
	answered(p, inv);
}

static void no_more_words(struct poll_timer *t)
{
	struct provided *p = container_of(t, struct provided, last_words);

	shim_end(&p->shim, 1);
}

void provided_init_error(struct provided *p, struct str type, struct str body)
{
	struct buf kind = BUF_NULL, doc = BUF_NULL;

	error_document(type, body, &kind, &doc);
	shim_error_body(&p->shim, shim_no_id, buf_str(&kind), buf_str(&doc));
	buf_done(&kind);
	buf_done(&doc);
	p->init_error = true;
	poller_timer(&p->shim.poller, &p->last_words, LAST_WORDS_US);
}

/* ---- the program ---- */

static void exited(void *arg, int status)
{
	struct provided *p = arg;

	runtime_api_settle(&p->api);
	if (p->init_error)
		shim_end(&p->shim, 1);
	p->status = status;
	p->over = true;
	end_if_over(p);
}

static void start(struct provided *p)
{
	static const char *const places[] = {"/var/task/bootstrap", "/opt/bootstrap"};
	struct err err = ERR_NULL;

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		char *argv[] = {(char *)(uintptr_t)places[i], NULL};

		if (access(places[i], F_OK) < 0 && errno == ENOENT)
			continue;
		if (program_start(&p->shim.program, places[i], argv, NULL, 0, &err) < 0)
			shim_init_failed(&p->shim, "Runtime.InvalidEntrypoint", "%s", err.msg);
		return;
	}
	shim_init_failed(&p->shim, "Runtime.InvalidEntrypoint", "Couldn't find valid bootstrap(s): [%s %s]", places[0],
			 places[1]);
}

void provided_run(const struct zygote_worker *w)
{
	struct provided *p = xnew(struct provided);
	const char *address = shim_env("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001");
	int r;

	p->last_words.fired = no_more_words;
	shim_begin(&p->shim, w, &lane_events, exited, p);
	setenv("AWS_LAMBDA_RUNTIME_API", address, 0);
	r = runtime_api_open(&p->api, p, address);
	if (r < 0)
		shim_init_failed(&p->shim, "Runtime.ListenError", "The Runtime API cannot listen on %s: %s", address,
				 strerror(-r));
	start(p);
	poller_run(&p->shim.poller);
}

/* Workers of one remote gateway. A record is made with the order to start, gets a holder when the process runs, and
 * goes when the process is gone and the gateway has acknowledged all that was said of it; or, where the gateway said
 * STOP and does not ask for the lane any more, a while after that. The records are this file's; the processes are the
 * pool's. */
#include "node/remote_workers.h"

#include "base/id.h"
#include "base/map.h"
#include "base/mem.h"
#include "node/door.h"
#include "node/pool.h"
#include "sys/clock.h"
#include "sys/log.h"

#include <fcntl.h>
#include <unistd.h>

#define LINGER_MS    100
#define UNASKED_US   10000000 /* connected for so long, and the lane of a stopped worker was not asked for */
#define STOP_WAIT_MS 2000

struct remote_worker {
	uint8_t id[16];
	struct remote_workers *set;
	struct holder *holder; /* NULL: no process yet */
	struct door *door;     /* NULL: nothing to listen on yet */
	json_t *about;         /* what HELLO says of it */
	bool gone;             /* its process, or it never had one */
	bool stopped;          /* by the gateway */
};

struct remote_workers {
	struct loop *loop;
	struct carriers *carriers;
	struct gate_link *link;
	const int64_t *clock_off_ms;
	struct map by_id;
	struct timer *linger;
	size_t lingering;
	uint64_t attached_us; /* since when; 0: away */
};

static struct str id_key(const uint8_t *id)
{
	return str_n(id, 16);
}

static struct remote_worker *find(const struct remote_workers *rs, const uint8_t *id)
{
	return map_get(&rs->by_id, id_key(id));
}

static struct pool *pool_of(const struct remote_workers *rs)
{
	return agent_pool(rs->link->agent);
}

static void release(struct remote_worker *w)
{
	struct remote_workers *rs = w->set;

	map_del(&rs->by_id, id_key(w->id));
	rs->lingering -= w->gone;
	holder_free(w->holder);
	door_free(w->door);
	json_decref(w->about);
	free(w);
}

/* ---- those that are gone ---- */

static bool told(const struct remote_worker *w)
{
	uint64_t since = w->set->attached_us;

	if (!w->holder || holder_settled(w->holder))
		return true;
	return w->stopped && since && !holder_attached(w->holder) && clock_mono_us() - since > UNASKED_US;
}

/* Acknowledgements come without notice: it is looked for them while somebody lingers. One at a time, since the map may
 * not change while it is walked. */
static void on_linger(void *arg)
{
	struct remote_workers *rs = arg;
	struct remote_worker *over;
	struct str key;
	void *value;

	do {
		over = NULL;
		for (size_t i = 0; !over && map_next(&rs->by_id, &i, &key, &value);) {
			struct remote_worker *w = value;

			if (w->gone && told(w))
				over = w;
		}
		if (over)
			release(over);
	} while (over);
	if (rs->lingering)
		timer_set(rs->linger, LINGER_MS);
	agent_settled(rs->link->agent);
}

void remote_workers_over(struct remote_workers *rs, const uint8_t id[static 16])
{
	struct remote_worker *w = find(rs, id);

	if (!w || w->gone)
		return;
	w->gone = true;
	w->door = door_free(w->door);
	if (w->holder)
		holder_exited(w->holder);
	rs->lingering++;
	timer_set(rs->linger, w->holder ? LINGER_MS : 0);
}

/* ---- events of holders and doors ---- */

static void on_stop(void *arg, struct holder *h, uint64_t grace_ms, const char *why)
{
	struct remote_worker *w = arg;

	if (!grace_ms)
		log_info("a worker of %.*s is ended: %s", STR_ARG(json_get_str(w->about, "function", STR("?"))), why);
	pool_stop(pool_of(w->set), w->set->link, w->id, grace_ms);
}

static void on_thaw(void *arg, struct holder *h)
{
	struct remote_worker *w = arg;

	pool_freeze(pool_of(w->set), w->set->link, w->id, false);
}

static void on_connection(void *arg, uint64_t connection)
{
	struct remote_worker *w = arg;
	struct gate_link *g = w->set->link;

	g->ops->say(g, LINK_DOOR, w->id, json_pack("{s:I}", "connection", (json_int_t)connection));
}

static const struct door_handler door_handler = {.opened = on_connection};

static void listen_on(struct remote_worker *w, int fd)
{
	if (!w->door)
		w->door = door_new(w->set->loop, &door_handler, w);
	door_listen(w->door, fd);
}

static void on_listening(void *arg, struct holder *h, int fd)
{
	listen_on(arg, fd);
}

static const struct holder_handler holder_handler = {
	.stop = on_stop,
	.thaw = on_thaw,
	.listening = on_listening,
};

/* ---- orders and what became of them ---- */

bool remote_workers_order(struct remote_workers *rs, const uint8_t id[static 16], const json_t *order)
{
	static const char *const members[] = {"version", "change_id"};
	const json_t *function = json_get_object(order, "function");
	json_t *slices = json_get_array(order, "slices");
	struct remote_worker *w;

	if (find(rs, id)) {
		log_warn("a gateway starts a worker by an id that is in use; ignored");
		return false;
	}
	w = xnew(struct remote_worker);
	w->set = rs;
	memcpy(w->id, id, sizeof(w->id));
	w->about = json_object();
	json_set_str(w->about, "function", json_get_str(function, "name", STR("")));
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		json_set_str(w->about, members[i], json_get_str(function, members[i], STR("")));
	if (slices)
		json_object_set(w->about, "slices", slices);
	json_object_set_new(w->about, "provisioned", json_boolean(json_get_bool(order, "provisioned", false)));
	json_object_set_new(w->about, "keys_expire_ms", json_integer(json_get_int(order, "keys_expire_ms", 0)));
	map_put(&rs->by_id, id_key(w->id), w);
	return true;
}

void remote_workers_stop(struct remote_workers *rs, const uint8_t id[static 16], uint64_t grace_ms)
{
	struct remote_worker *w = find(rs, id);

	if (!w)
		return;
	w->stopped = true;
	/* It is idle, and leaves by itself when its lane closes. */
	if (grace_ms && w->holder) {
		on_thaw(w, w->holder);
		holder_close(w->holder);
	}
}

bool remote_workers_may_freeze(struct remote_workers *rs, const uint8_t id[static 16])
{
	const struct remote_worker *w = find(rs, id);

	return w && w->holder && !holder_is_busy(w->holder);
}

void remote_workers_started(struct remote_workers *rs, const uint8_t id[static 16], int lane, int log_pipe)
{
	struct remote_worker *w = find(rs, id);
	const struct holder_conf conf = {
		.loop = rs->loop,
		.carriers = rs->carriers,
		.clock_off_ms = rs->clock_off_ms,
		.handler = &holder_handler,
		.arg = w,
	};
	int own_lane, own_pipe;

	if (!w || w->holder)
		return;
	own_lane = fcntl(lane, F_DUPFD_CLOEXEC, 3);
	own_pipe = own_lane < 0 ? -1 : fcntl(log_pipe, F_DUPFD_CLOEXEC, 3);
	if (own_pipe >= 0) {
		w->holder = holder_new(&conf, own_lane, own_pipe);
		return;
	}
	log_error("no file descriptor is left for a worker's lane; it is ended");
	if (own_lane >= 0)
		close(own_lane);
	pool_stop(pool_of(rs), rs->link, id, 0);
}

void remote_workers_door(struct remote_workers *rs, const uint8_t id[static 16], int fd)
{
	struct remote_worker *w = find(rs, id);
	int own = w ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;

	if (own >= 0)
		listen_on(w, own);
}

/* ---- streams ---- */

static struct remote_worker *find_hex(struct remote_workers *rs, struct str hex)
{
	uint8_t id[16];

	return hex.n == 32 && hex_decode(hex, id, sizeof(id)) ? find(rs, id) : NULL;
}

bool remote_workers_lane(struct remote_workers *rs, struct str path, struct h2_stream *s)
{
	struct remote_worker *w = find_hex(rs, path);

	if (!w || !w->holder)
		return false;
	holder_attach(w->holder, s);
	return true;
}

bool remote_workers_connection(struct remote_workers *rs, struct str path, struct h2_stream *s)
{
	struct remote_worker *w;
	struct str number;
	uint64_t n;

	if (!str_cut(path, '/', &path, &number) || !str_to_u64(number, &n))
		return false;
	w = find_hex(rs, path);
	return w && w->door && door_attach(w->door, n, s);
}

/* ---- connections, lives of the gateway ---- */

void remote_workers_attached(struct remote_workers *rs)
{
	struct str key;
	void *value;

	rs->attached_us = clock_mono_us();
	for (size_t i = 0; map_next(&rs->by_id, &i, &key, &value);) {
		const struct remote_worker *w = value;

		if (w->door)
			door_again(w->door);
	}
}

void remote_workers_detached(struct remote_workers *rs)
{
	struct str key;
	void *value;

	rs->attached_us = 0;
	for (size_t i = 0; map_next(&rs->by_id, &i, &key, &value);) {
		struct remote_worker *w = value;

		if (w->holder)
			holder_detach(w->holder);
		if (w->door)
			door_hang_up(w->door);
	}
}

/* One that is parked would first have to be woken, which a gate that does not know it does not do. */
static bool is_idle(const struct remote_workers *rs, const struct remote_worker *w)
{
	return !w->gone && !w->stopped && w->holder && holder_is_idle(w->holder) &&
	       !pool_is_parked(pool_of(rs), rs->link, w->id);
}

static json_t *about_kept(const struct remote_worker *w)
{
	json_t *j = json_copy(w->about);
	char text[UUID_TEXT_SIZE];

	uuid_format(w->id, text);
	json_object_set_new(j, "id", json_string(text));
	json_object_set_new(j, "state", json_string("idle"));
	json_object_set_new(j, "concurrency", json_integer((json_int_t)holder_concurrency(w->holder)));
	return j;
}

void remote_workers_renew(struct remote_workers *rs, json_t **kept)
{
	struct remote_worker *end;
	struct str key;
	void *value;

	do {
		end = NULL;
		for (size_t i = 0; !end && map_next(&rs->by_id, &i, &key, &value);)
			if (!kept || !is_idle(rs, value))
				end = value;
		if (end) {
			pool_drop(pool_of(rs), rs->link, end->id);
			release(end);
		}
	} while (end);
	if (!kept)
		return;
	*kept = json_array();
	for (size_t i = 0; map_next(&rs->by_id, &i, &key, &value);) {
		struct remote_worker *w = value;

		holder_restart(w->holder);
		json_array_append_new(*kept, about_kept(w));
	}
}

/* Nothing is in hand that somebody may still ask for. */
static bool is_of_no_use(const struct remote_worker *w)
{
	return !w->gone && !w->stopped && (!w->holder || !holder_is_busy(w->holder));
}

size_t remote_workers_end_idle(struct remote_workers *rs)
{
	size_t left = 0;
	struct str key;
	void *value;

	for (size_t i = 0; map_next(&rs->by_id, &i, &key, &value);) {
		struct remote_worker *w = value;

		left += !w->gone;
		if (!is_of_no_use(w))
			continue;
		remote_workers_stop(rs, w->id, STOP_WAIT_MS);
		pool_stop(pool_of(rs), rs->link, w->id, STOP_WAIT_MS);
	}
	return left;
}

void remote_workers_end_all(struct remote_workers *rs)
{
	struct str key;
	void *value;

	for (size_t i = 0; map_next(&rs->by_id, &i, &key, &value);) {
		struct remote_worker *w = value;

		if (!w->gone)
			pool_stop(pool_of(rs), rs->link, w->id, 0);
	}
}

bool remote_workers_settled(const struct remote_workers *rs)
{
	return !rs->by_id.n;
}

/* ---- beginning and end ---- */

struct remote_workers *remote_workers_new(struct loop *l, struct carriers *carriers, struct gate_link *link,
					  const int64_t *clock_off_ms)
{
	struct remote_workers *rs = xnew(struct remote_workers);

	*rs = (struct remote_workers){.loop = l, .carriers = carriers, .link = link, .clock_off_ms = clock_off_ms};
	rs->linger = timer_new(l, on_linger, rs);
	return rs;
}

struct remote_workers *remote_workers_free(struct remote_workers *rs)
{
	struct str key;
	void *value;

	if (!rs)
		return NULL;
	for (;;) {
		size_t i = 0;

		if (!map_next(&rs->by_id, &i, &key, &value))
			break;
		release(value);
	}
	map_done(&rs->by_id);
	timer_free(rs->linger);
	free(rs);
	return NULL;
}

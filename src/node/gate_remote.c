/* One remote gateway: dialled, greeted, and asked by. A link is waiting, dialling, greeting or attached:
 *
 *   waiting -> dialling -> greeting (TLS, HTTP/2, hello) -> attached -> lost: waiting
 *
 * What is lost with a connection is only what cannot go on later: doors and packages that were coming. Carriers keep
 * what the gateway has not acknowledged, and go on when it asks for them in the same epoch; in another one it has
 * forgotten us, and both begin anew (remote_workers_renew).
 *
 * A link owns its connection, its control carrier and its workers. A gateway that refuses the node for good ends the
 * link; everything else is tried again, at once after a loss, then ever more slowly, and at once when the machine's
 * network changes. Every change is logged with its reason, attempts are not. */
#include "node/gate_remote.h"

#include "base/mem.h"
#include "net/tcp.h"
#include "node/gates.h"
#include "node/pool.h"
#include "node/proxy.h"
#include "node/remote_workers.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/log.h"
#include "sys/netwatch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DIAL_MS          10000
#define DIAL_HELD_MS     5000  /* a network that loses everything: SYNs are a second apart for so long, then rarer */
#define GREET_MS         15000 /* from the connection to /_wick/link */
#define AGAIN_FIRST_MS   200
#define AGAIN_MAX_MS     10000
#define AGAIN_HELD_MS    600 /* while workers are held for the gateway: back within a second of its network */
#define FLAPPING_MS      400 /* the most that one is waited for after a connection that was of use, if not for long */
#define STEADY_US        1000000 /* a connection that held for so long was one: the next is tried at once */
#define REDIAL_US        500000  /* younger attempts are left alone when the network changes */
#define AWAY_AGAIN_MS    1000
#define FAREWELL_LOOK_MS 20
#define CONTROL_MAX      (16u << 20) /* bytes of a control message */
#define EPOCH_N          32
#define CLOCK_OFF_MAX    60000
#define HEX_N            64

struct gate_remote {
	struct gate_link link; /* first */
	struct gate_remotes *set;
	struct gate_entry entry;
	struct tls_context *tls;
	struct tcp_dial *dial;
	struct h2 *h2;
	struct timer *timer; /* to dial, or until the gateway has attached */
	struct timer *away;  /* the gateway has been for long; then: has it been told all? */
	uint64_t wait_ms;    /* before the next attempt but one */
	uint64_t tried_us, attached_us;
	struct carrier *control;
	struct remote_workers *workers;
	char epoch[EPOCH_N + 1];   /* what the carriers belong to; "": nothing */
	char offered[EPOCH_N + 1]; /* of this connection's hello */
	char *trouble;             /* why it is not attached, as it was logged last */
	int64_t clock_off_ms;
	bool attached, joined, clock_said, leaving;
	bool spares_token; /* it may know us already: the token is kept for when it does not */
};

struct gate_remotes {
	struct loop *loop;
	const struct node_conf *conf;
	struct agent *agent;
	char *folder;
	struct tls_key *key;
	struct carriers *carriers;
	struct netwatch *net;
	struct gate_links *links;
};

static const uint8_t no_id[16];
static const struct gate_link_ops remote_ops;

static struct gate_remote *remote_of(struct gate_link *g)
{
	return (struct gate_remote *)g;
}

static const char *node_name(const struct gate_remote *g)
{
	return g->entry.name ? g->entry.name : g->set->conf->name;
}

static struct fetches *fetches_of(const struct gate_remote *g)
{
	return pool_fetches(agent_pool(g->link.agent));
}

/* ---- what the gateway is told ---- */

static void control_send(struct gate_remote *g, enum link_message type, const uint8_t *id, const json_t *body)
{
	_cleanup_(buf_done) struct buf text = BUF_NULL;

	json_write(&text, body);
	carrier_send(g->control, (enum frame_type)type, id, STR_NULL, STR_NULL, buf_str(&text));
}

/* Is said anew when the gateway is back, or means nothing then. */
static bool passes(enum link_message type)
{
	return type == LINK_STATUS || type == LINK_DEVICES || type == LINK_DOOR || type == LINK_NEED;
}

static void remote_say(struct gate_link *link, enum link_message type, const uint8_t id[static 16], json_t *body)
{
	struct gate_remote *g = remote_of(link);
	_cleanup_json_ json_t *j = body;

	/* Nobody remembers this node yet, or what is said is out of date by the time that it is read. */
	if (!j || !*g->epoch || (!g->attached && passes(type)))
		return;
	control_send(g, type, id, j);
}

static void remote_started(struct gate_link *link, const uint8_t id[static 16], int pid, uint64_t prepare_us, int lane,
			   int log_pipe)
{
	remote_workers_started(remote_of(link)->workers, id, lane, log_pipe);
	remote_say(link, LINK_STARTED, id, json_pack("{s:i, s:I}", "pid", pid, "prepare_us", (json_int_t)prepare_us));
}

static void remote_door(struct gate_link *link, const uint8_t id[static 16], int fd)
{
	remote_workers_door(remote_of(link)->workers, id, fd);
}

static void remote_over(struct gate_link *link, enum link_message type, const uint8_t id[static 16], json_t *body)
{
	remote_say(link, type, id, body);
	remote_workers_over(remote_of(link)->workers, id);
}

static bool remote_need(struct gate_link *link, const char *hex)
{
	struct gate_remote *g = remote_of(link);

	if (!g->attached)
		return false;
	remote_say(link, LINK_NEED, no_id, json_pack("{s:s}", "sha256", hex));
	return true;
}

/* ---- connections come and go ---- */

static void remote_dial(void *arg);

/* Workers are held for it, and perhaps answers. */
static bool is_held(const struct gate_remote *g)
{
	return *g->epoch != '\0';
}

/* Half to one and a half times it, so that a thousand nodes do not come at once. */
static uint64_t jitter(uint64_t ms)
{
	uint32_t random;

	random_bytes(&random, sizeof(random));
	return ms / 2 + (ms ? random % (ms + 1) : 0);
}

static void hang_up(struct gate_remote *g, const char *why)
{
	g->dial = tcp_dial_free(g->dial);
	g->h2 = why ? h2_close(g->h2, why) : h2_free(g->h2);
	if (g->control)
		carrier_detach(g->control);
	remote_workers_detached(g->workers);
	g->attached = false;
	fetches_down(fetches_of(g), &g->link);
}

static void say_trouble(struct gate_remote *g, const char *what, const char *reason)
{
	_cleanup_(freep) char *text = xasprintf("%s: %s", what, reason);

	if (g->trouble && strcmp(g->trouble, text) == 0)
		return;
	free(g->trouble);
	g->trouble = steal(&text);
	log_warn("gateway %s %s; it is tried again", g->entry.url, g->trouble);
}

/* What the last attempt took is part of the time between two. */
static void dial_again(struct gate_remote *g)
{
	uint64_t wait = jitter(g->wait_ms), took = (clock_mono_us() - g->tried_us) / 1000;

	timer_set(g->timer, wait > took ? wait - took : 0);
	g->wait_ms = g->wait_ms ? MIN(g->wait_ms * 2, (uint64_t)(is_held(g) ? AGAIN_HELD_MS : AGAIN_MAX_MS))
				: AGAIN_FIRST_MS;
}

/* Whatever the connection was, it is none any more. */
static void remote_lost(struct gate_remote *g, const char *what, const char *reason)
{
	bool was = g->attached;

	hang_up(g, NULL);
	if (g->leaving || g->link.gone) {
		agent_settled(g->link.agent);
		return;
	}
	say_trouble(g, was ? "is lost" : what, reason);
	if (was) {
		timer_set(g->away, g->set->conf->gate_away_ms);
		g->wait_ms = clock_mono_us() - g->attached_us > STEADY_US ? 0 : MIN(g->wait_ms, (uint64_t)FLAPPING_MS);
	}
	dial_again(g);
}

static void on_h2_down(void *arg, struct h2 *c, const char *reason)
{
	remote_lost(arg, "cannot be reached", reason);
}

static void on_h2_up(void *arg, struct h2 *c)
{
}

static void on_request(void *arg, struct h2 *c, struct h2_stream *s, struct str method, struct str path,
		       const struct kv *headers, size_t n);

static const struct h2_handler h2_handler = {
	.up = on_h2_up,
	.request = on_request,
	.down = on_h2_down,
};

static void on_dialled(void *arg, int fd, const char *error)
{
	struct gate_remote *g = arg;
	const struct h2_conf conf = {.tls = g->tls};

	g->dial = tcp_dial_free(g->dial);
	if (fd < 0) {
		remote_lost(g, "cannot be reached", error);
		return;
	}
	*g->offered = '\0';
	g->h2 = h2_new(g->set->loop, fd, &conf, &h2_handler, g);
	timer_set(g->timer, GREET_MS);
}

static void remote_dial(void *arg)
{
	struct gate_remote *g = arg;
	const char *proxy = g->entry.proxy ? g->entry.proxy : proxy_for(g->entry.host, g->entry.port);

	if (g->h2) { /* the timer's other use */
		remote_lost(g, "cannot be used", "it does not greet this node");
		return;
	}
	g->tried_us = clock_mono_us();
	g->dial = tcp_dial(g->set->loop, g->entry.host, g->entry.port, proxy, is_held(g) ? DIAL_HELD_MS : DIAL_MS,
			   on_dialled, g);
}

/* The network may be back. Who waits tries now, and who tries tries anew: what was sent before is lost. */
static void on_network(void *arg)
{
	struct gate_remotes *gs = arg;

	for (struct gate_link *l = gate_links_first(gs->links); l; l = gate_links_next(l)) {
		struct gate_remote *g = remote_of(l);
		bool trying;

		if (l->ops != &remote_ops || l->gone)
			continue;
		trying = g->dial || (g->h2 && !h2_is_up(g->h2));
		if (g->h2 && !trying)
			continue;
		if (trying && clock_mono_us() - g->tried_us < REDIAL_US)
			continue;
		if (trying)
			hang_up(g, NULL);
		g->wait_ms = AGAIN_FIRST_MS;
		timer_set(g->timer, 0);
	}
}

/* It has been away for long: what idles for it only takes room. When nothing is left, it is forgotten. */
static void on_away(void *arg)
{
	struct gate_remote *g = arg;

	if (g->leaving) {
		timer_set(g->away, FAREWELL_LOOK_MS);
		agent_settled(g->link.agent);
		return;
	}
	if (g->attached || !*g->epoch)
		return;
	if (remote_workers_end_idle(g->workers)) {
		timer_set(g->away, AWAY_AGAIN_MS);
		return;
	}
	log_info("gateway %s has been away for long; its workers are ended", g->entry.url);
	remote_workers_renew(g->workers, NULL);
	*g->epoch = '\0';
	fetches_gone(fetches_of(g), &g->link);
}

/* ---- messages of the gateway ---- */

/* Its first words in an epoch. */
static void on_hello_message(struct gate_remote *g, const json_t *body)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	int64_t time_ms = json_get_int(body, "time_ms", 0);
	struct str name = json_get_str(body, "name", STR(""));
	bool first = !g->joined;

	if (time_ms)
		g->clock_off_ms = clock_wall_ms() - time_ms - (g->h2 ? h2_rtt_us(g->h2) / 2000 : 0);
	if ((g->clock_off_ms > CLOCK_OFF_MAX || g->clock_off_ms < -CLOCK_OFF_MAX) && !g->clock_said) {
		g->clock_said = true;
		log_warn(
			"this machine's clock is %lld s %s gateway %s: functions' signatures will be refused; set both "
			"by NTP",
			(long long)(llabs(g->clock_off_ms) / 1000), g->clock_off_ms > 0 ? "ahead of" : "behind",
			g->entry.url);
	}
	/* It knows this node's key by a name of its own. */
	if (node_name_is(name) && !str_eqz(name, node_name(g))) {
		free(g->entry.name);
		g->entry.name = str_dup(name);
	}
	free(steal(&g->trouble));
	g->joined = true;
	if (!first) {
		log_info("gateway %s is back, and begins anew", g->entry.url);
		return;
	}
	if (g->entry.token) {
		mem_wipe(g->entry.token, strlen(g->entry.token));
		free(steal(&g->entry.token));
	}
	if (gates_save(g->set->folder, &g->entry, &err) < 0)
		log_error("gateway %s: %s: after a restart this node will have to join again", g->entry.url, err.msg);
	agent_joined(g->link.agent, g->entry.url, node_name(g));
}

static void order(struct gate_remote *g, enum link_message type, const uint8_t id[static 16], const json_t *body)
{
	if (type == LINK_HELLO) {
		on_hello_message(g, body);
		return;
	}
	if (type == LINK_START && !remote_workers_order(g->workers, id, body))
		return;
	if (type == LINK_STOP)
		remote_workers_stop(g->workers, id, (uint64_t)MAX(json_get_int(body, "grace_ms", 0), (int64_t)0));
	/* What it has been given since came by another way, and faster. */
	if (type == LINK_FREEZE && json_get_bool(body, "on", false) && !remote_workers_may_freeze(g->workers, id))
		return;
	agent_message(&g->link, type, id, body, NULL, 0);
}

/* The carrier cannot be believed any more: all of it begins anew on another connection. */
static void control_useless(struct gate_remote *g, const char *why)
{
	*g->epoch = '\0';
	remote_lost(g, "cannot be used", why);
}

static void on_control(void *arg, const struct frame *f)
{
	struct gate_remote *g = arg;
	_cleanup_json_ json_t *body = f->body.n ? json_parse(f->body, NULL) : NULL;

	if (f->body.n && !body)
		control_useless(g, "it sent a message that is no JSON");
	else
		order(g, (enum link_message)f->type, f->id, body);
}

static void on_control_broken(void *arg, unsigned status)
{
	control_useless(arg, status ? "it has closed the link" : "it does not speak the link's protocol");
}

static const struct carrier_handler control_handler = {
	.frame = on_control,
	.broken = on_control_broken,
};

/* ---- requests of the gateway ---- */

static void plain_data(void *arg, struct h2_stream *s, struct str bytes)
{
	h2_consumed(s, bytes.n);
}

static void plain_end(void *arg, struct h2_stream *s)
{
}

static void plain_closed(void *arg, struct h2_stream *s, uint32_t code)
{
}

static size_t plain_pull(void *arg, struct h2_stream *s, char *to, size_t room)
{
	return 0;
}

static const struct h2_stream_handler plain_handler = {
	.data = plain_data,
	.end = plain_end,
	.closed = plain_closed,
	.pull = plain_pull,
};

static void answer(struct h2_stream *s, unsigned status, const struct kv *headers, size_t n)
{
	h2_respond(s, status, headers, n, &plain_handler, NULL);
	h2_end(s);
}

static struct str header(const struct kv *headers, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (str_eqz(headers[i].k, name))
			return headers[i].v;
	return STR_NULL;
}

static void answer_hello(struct gate_remote *g, struct h2_stream *s, const struct kv *headers, size_t n)
{
	struct str epoch = header(headers, n, "wick-epoch");
	uint8_t bytes[EPOCH_N / 2];
	char protocol[16];

	snprintf(protocol, sizeof(protocol), "%d", LINK_PROTOCOL);
	if (epoch.n != EPOCH_N || !hex_decode(epoch, bytes, sizeof(bytes))) {
		answer(s, 400, NULL, 0);
		return;
	}
	hex_encode(bytes, sizeof(bytes), g->offered);
	const struct kv said[] = {
		{STR("wick-protocol"), str_from(protocol)},
		{STR("wick-version"), STR(WICK_VERSION)},
		{STR("wick-name"), str_from(node_name(g))},
		{STR("wick-resume"), strcmp(g->offered, g->epoch) == 0 ? STR("yes") : STR("no")},
		{STR("wick-token"), str_from(g->entry.token)},
	};

	answer(s, 200, said, ARRAY_SIZE(said) - (!g->entry.token || g->spares_token));
}

/* It will not take us: for good, or for now. */
static void on_refused(struct gate_remote *g, struct h2_stream *s, const struct kv *headers, size_t n)
{
	struct str type = header(headers, n, "wick-type"), text = header(headers, n, "wick-error");
	bool final = str_starts(type, STR("token")) || str_eqz(type, "removed") || str_starts(type, STR("name"));
	_cleanup_(freep) char *error = text.n ? str_dup(text) : xstrdup("it did not say why"), *why = NULL;

	answer(s, 200, NULL, 0);
	if (final && g->entry.token && g->spares_token) {
		g->spares_token = false;
		hang_up(g, "understood");
		timer_set(g->timer, 0);
		return;
	}
	if (!final) {
		remote_lost(g, "does not take this node", error);
		return;
	}
	why = xasprintf("gateway %s does not take this node: %s", g->entry.url, error);
	log_error("%s", why);
	timer_stop(g->timer);
	timer_stop(g->away);
	hang_up(g, "understood");
	remote_workers_renew(g->workers, NULL);
	*g->epoch = '\0';
	agent_given_up(&g->link, why);
}

/* The gateway remembers nothing of us, or something else. */
static void begin_anew(struct gate_remote *g)
{
	_cleanup_json_ json_t *hello = agent_hello(g->link.agent);
	json_t *kept;

	remote_workers_renew(g->workers, &kept);
	json_object_set_new(hello, "workers", kept);
	json_set_str(hello, "name", str_from(node_name(g)));
	carrier_restart(g->control);
	memcpy(g->epoch, g->offered, sizeof(g->epoch));
	control_send(g, LINK_HELLO, no_id, hello);
}

static void on_link(struct gate_remote *g, struct h2_stream *s)
{
	if (!*g->offered) {
		answer(s, 409, NULL, 0);
		return;
	}
	if (strcmp(g->offered, g->epoch) != 0)
		begin_anew(g);
	else if (!g->attached)
		log_info("gateway %s is back", g->entry.url);
	timer_stop(g->timer);
	timer_stop(g->away);
	g->attached = true;
	g->attached_us = clock_mono_us();
	carrier_respond(g->control, s, NULL, 0);
	if (g->joined)
		free(steal(&g->trouble));
	remote_workers_attached(g->workers);
	fetches_up(fetches_of(g), &g->link);
	agent_devices_to(&g->link);
	agent_status_to(&g->link);
}

/* A package on its way. */
struct coming {
	struct gate_remote *gate;
	char hex[HEX_N + 1];
	bool ended;
};

static void coming_data(void *arg, struct h2_stream *s, struct str bytes)
{
	struct coming *c = arg;

	h2_consumed(s, bytes.n);
	if (!fetch_data(fetches_of(c->gate), str_from(c->hex), c, bytes))
		h2_reset(s, H2_CANCEL);
}

static void coming_closed(void *arg, struct h2_stream *s, uint32_t code)
{
	struct coming *c = arg;

	/* A connection that is lost is followed by another, on which it is asked for again. */
	if (!c->ended && code != H2_LOST)
		fetch_refused(fetches_of(c->gate), str_from(c->hex), c, "the gateway could not send the code package");
	free(c);
}

static void coming_end(void *arg, struct h2_stream *s);

static const struct h2_stream_handler coming_handler = {
	.data = coming_data,
	.end = coming_end,
	.closed = coming_closed,
	.pull = plain_pull,
};

static void coming_end(void *arg, struct h2_stream *s)
{
	struct coming *c = arg;

	c->ended = true;
	h2_respond(s, 200, NULL, 0, &coming_handler, c);
	h2_end(s);
	fetch_end(fetches_of(c->gate), str_from(c->hex), c);
}

static void on_code(struct gate_remote *g, struct h2_stream *s, struct str hex, const struct kv *headers, size_t n)
{
	struct str error = header(headers, n, "wick-error");
	struct coming *c = xnew(struct coming);

	*c = (struct coming){.gate = g};
	if (hex.n != HEX_N || !fetch_begin(fetches_of(g), &g->link, hex, c)) {
		free(c);
		answer(s, 404, NULL, 0);
		return;
	}
	memcpy(c->hex, hex.p, HEX_N);
	if (error.n) {
		_cleanup_(freep) char *text = str_dup(error);

		fetch_refused(fetches_of(g), hex, c, text);
		free(c);
		answer(s, 200, NULL, 0);
		return;
	}
	h2_accept(s, &coming_handler, c);
}

static bool cut_prefix(struct str path, const char *prefix, struct str *rest)
{
	*rest = str_sub(path, strlen(prefix), SIZE_MAX);
	return str_starts(path, str_from(prefix));
}

static void on_request(void *arg, struct h2 *c, struct h2_stream *s, struct str method, struct str path,
		       const struct kv *headers, size_t n)
{
	struct gate_remote *g = arg;
	struct str rest;
	bool known = str_eqz(method, "POST");

	if (known && str_eqz(path, "/_wick/hello"))
		answer_hello(g, s, headers, n);
	else if (known && str_eqz(path, "/_wick/refused"))
		on_refused(g, s, headers, n);
	else if (known && str_eqz(path, LINK_PATH))
		on_link(g, s);
	else if (known && cut_prefix(path, "/_wick/code/", &rest))
		on_code(g, s, rest, headers, n);
	else if (known && cut_prefix(path, "/_wick/lane/", &rest))
		known = remote_workers_lane(g->workers, rest, s);
	else if (known && cut_prefix(path, "/_wick/door/", &rest))
		known = remote_workers_connection(g->workers, rest, s);
	else
		known = false;
	if (!known)
		answer(s, 404, NULL, 0);
}

/* ---- the node ends ---- */

static void remote_leave(struct gate_link *link)
{
	struct gate_remote *g = remote_of(link);

	g->leaving = true;
	timer_stop(g->away);
	if (g->attached) {
		remote_workers_end_all(g->workers);
		timer_set(g->away, FAREWELL_LOOK_MS); /* acknowledgements come without notice */
		return;
	}
	timer_stop(g->timer);
	hang_up(g, NULL);
	pool_abandon(agent_pool(link->agent), link);
	remote_workers_renew(g->workers, NULL);
}

static bool remote_settled(const struct gate_link *link)
{
	const struct gate_remote *g = (const struct gate_remote *)link;

	return !g->attached || (remote_workers_settled(g->workers) && carrier_drained(g->control));
}

static struct gate_link *remote_free(struct gate_link *link)
{
	struct gate_remote *g = remote_of(link);

	g->dial = tcp_dial_free(g->dial);
	g->h2 = h2_close(g->h2, "the node is being stopped");
	remote_workers_free(g->workers);
	carrier_free(g->control);
	timer_free(g->timer);
	timer_free(g->away);
	tls_context_free(g->tls);
	gate_entry_done(&g->entry);
	free(g->trouble);
	free(g);
	return NULL;
}

static const struct gate_link_ops remote_ops = {
	.say = remote_say,
	.started = remote_started,
	.door = remote_door,
	.over = remote_over,
	.need = remote_need,
	.leave = remote_leave,
	.settled = remote_settled,
	.free = remote_free,
};

/* ---- the set ---- */

/* entry is taken over. */
static int add_one(struct gate_remotes *gs, struct gate_entry *entry, bool known, struct err *err)
{
	const struct tls_expect expect = {.pin = entry->fingerprint, .host = entry->host, .ca_file = entry->ca};
	struct gate_remote *g = xnew(struct gate_remote);

	*g = (struct gate_remote){.link = {.ops = &remote_ops, .agent = gs->agent}, .set = gs, .entry = *entry};
	*entry = (struct gate_entry){0};
	g->spares_token = known;
	g->timer = timer_new(gs->loop, remote_dial, g);
	g->away = timer_new(gs->loop, on_away, g);
	g->control = carrier_new(gs->carriers, CONTROL_MAX, &control_handler, g);
	g->workers = remote_workers_new(gs->loop, gs->carriers, &g->link, &g->clock_off_ms);
	gate_links_push(gs->links, &g->link);
	g->tls = tls_client_new(gs->key, &expect, err);
	if (!g->tls)
		return err_wrap(err, "gateway %s", g->entry.url);
	timer_set(g->timer, 0);
	return 0;
}

static int join_entry(const struct node_conf *conf, struct gate_entry *e, struct err *err)
{
	if (gate_url_parse(conf->join, &e->host, &e->port, err) < 0)
		return -1;
	if (*conf->fingerprint && !tls_fingerprint_is(str_from(conf->fingerprint)))
		return err_set(err, 0,
			       "--fingerprint %s is none (SHA256: and 43 characters, as `wick token` prints it)",
			       conf->fingerprint);
	if (!node_name_is(str_from(conf->name)))
		return err_set(err, 0, "the name \"%s\" is none for a node: 1 to 63 of a-z, 0-9 and -, as --name gpu1",
			       conf->name);
	e->url = strchr(e->host, ':') ? xasprintf("[%s]:%u", e->host, e->port) : xasprintf("%s:%u", e->host, e->port);
	e->fingerprint = *conf->fingerprint ? xstrdup(conf->fingerprint) : NULL;
	e->ca = *conf->ca ? xstrdup(conf->ca) : NULL;
	e->proxy = *conf->proxy ? xstrdup(conf->proxy) : NULL;
	e->token = *conf->token ? xstrdup(conf->token) : NULL;
	e->name = xstrdup(conf->name);
	return 0;
}

static int open_key(struct gate_remotes *gs, struct err *err)
{
	_cleanup_(freep) char *path = xasprintf("%s/key.pem", gs->folder);
	int r = mkdir_p(gs->folder, 0700);

	if (r < 0)
		return err_set(err, -r, "make folder %s", gs->folder);
	if (access(path, F_OK) < 0 && (errno != ENOENT || tls_key_make(path, gs->conf->name, err) < 0))
		return errno == ENOENT ? -1 : err_set(err, errno, "%s", path);
	gs->key = tls_key_load(path, NULL, err);
	return gs->key ? 0 : -1;
}

static bool same_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

/* Those of the folder, but for the one that is joined anew. A line that joins may stand where it is run at each start:
 * where nothing in it is new, its token is not used again. */
static int add_all(struct gate_remotes *gs, struct gate_entry *all, size_t n, struct err *err)
{
	_cleanup_(gate_entry_done) struct gate_entry join = {0};
	bool known = false;

	if (*gs->conf->join && join_entry(gs->conf, &join, err) < 0)
		return -1;
	if (!n && !join.url)
		return 0;
	if (open_key(gs, err) < 0)
		return -1;
	gs->carriers = carriers_new(gs->loop);
	gs->net = netwatch_new(gs->loop, on_network, gs);
	for (size_t i = 0; i < n; i++) {
		if (join.url && strcmp(all[i].url, join.url) == 0)
			known = same_text(all[i].fingerprint, join.fingerprint) && same_text(all[i].ca, join.ca) &&
				same_text(all[i].name, join.name);
		else if (add_one(gs, &all[i], false, err) < 0)
			return -1;
	}
	return join.url ? add_one(gs, &join, known, err) : 0;
}

int gate_remotes_open(struct gate_remotes **ret, struct loop *l, const struct node_conf *conf, struct agent *a,
		      struct gate_links *links, struct err *err)
{
	struct gate_remotes *gs = *ret = xnew(struct gate_remotes);
	_cleanup_(freep) struct gate_entry *all = NULL;
	size_t n = 0;
	int r;

	*gs = (struct gate_remotes){.loop = l, .conf = conf, .agent = a, .links = links};
	gs->folder = xasprintf("%s/node/gates", conf->data);
	r = gates_load(gs->folder, &all, &n, err);
	if (r == 0)
		r = add_all(gs, all, n, err);
	for (size_t i = 0; i < n; i++)
		gate_entry_done(&all[i]);
	return r;
}

struct gate_remotes *gate_remotes_free(struct gate_remotes *gs)
{
	if (!gs)
		return NULL;
	netwatch_free(gs->net);
	carriers_free(gs->carriers);
	tls_key_free(gs->key);
	free(gs->folder);
	free(gs);
	return NULL;
}

/* The link to a remote node: what outlives its connections. The control carrier, the epoch (the name of what both sides
 * hold of each other), the packages that the node may ask for.
 *
 * When a connection is lost the node is away; what was said to it, and what its workers' lanes hold, is sent when it is
 * back. After node_away, or when the node comes back without remembering (it was restarted), its workers are given up
 * and a new epoch begins: workers that the node still has are then listed in its HELLO, and those that fit are used
 * again. The links own themselves through nodes.c's list of nodes; their connections are node_front.c's. */
#include "gate/node_link.h"

#include "base/id.h"
#include "base/map.h"
#include "base/mem.h"
#include "gate/fn.h"
#include "gate/node.h"
#include "gate/queue.h"
#include "sys/clock.h"
#include "sys/log.h"
#include "wire/digest.h"

#include <stdio.h>
#include <string.h>

#define MESSAGE_MAX  (16u << 20)
#define OFFERS_MAX   4096
#define CLOCK_OFF_MS 60000 /* a node's clock that is off by more is told */

struct node_link {
	struct node_links *links;
	struct node *node;
	struct node_conn *conn; /* NULL: away */
	struct carrier *control;
	struct timer *away;
	char epoch[LINK_EPOCH_SIZE];
	char *key, *version;
	struct map offers; /* SHA-256 in hex -> blob's name */
	int64_t clock_off_ms;
	bool greeted; /* the node's HELLO of this epoch came */
};

static void new_epoch(char epoch[static LINK_EPOCH_SIZE])
{
	uint8_t bytes[16];

	random_bytes(bytes, sizeof(bytes));
	hex_encode(bytes, sizeof(bytes), epoch);
}

static void drop_offers(struct node_link *l)
{
	struct str key;
	void *blob;

	for (size_t i = 0; map_next(&l->offers, &i, &key, &blob);)
		free(blob);
	map_done(&l->offers);
}

/* ---- control ---- */

/* Workers that were there before this gate, or before it gave the node up. */
static void adopt(struct node_link *l, const json_t *past)
{
	struct worker_past p = {
		.keys_expire_ms = json_get_int(past, "keys_expire_ms", 0),
		.provisioned = json_get_bool(past, "provisioned", false),
		.concurrency = (unsigned)json_get_int(past, "concurrency", 1),
		.slices = json_object_get(past, "slices"),
	};
	_cleanup_json_ json_t *nothing = json_object();
	struct str name = json_get_str(past, "function", STR("")), version = json_get_str(past, "version", STR(""));
	struct fn *fn;

	if (!uuid_parse(json_get_str(past, "id", STR("")), p.id) || pool_find(l->links->g, p.id))
		return;
	fn = fn_get(l->links->g, name, version);
	if (fn && str_eq(fn->def.change_id, json_get_str(past, "change_id", STR(""))) &&
	    str_eqz(json_get_str(past, "state", STR("")), "idle") && p.keys_expire_ms > clock_wall_ms() &&
	    worker_adopt(fn, l->node, &p, node_link_lane(l, p.id)))
		return;
	node_link_say(l, LINK_STOP, p.id, nothing);
}

static void hello(struct node_link *l, const json_t *body)
{
	const json_t *past = json_object_get(body, "workers");

	l->greeted = true;
	l->clock_off_ms = json_get_int(body, "time_ms", 0) - clock_wall_ms();
	if (l->clock_off_ms > CLOCK_OFF_MS || l->clock_off_ms < -CLOCK_OFF_MS)
		log_warn(
			"the clock of node %s is off by %lld s: what its functions sign will be refused; set it by NTP",
			l->node->name, (long long)(l->clock_off_ms / 1000));
	node_hello(l->node, body);
	for (size_t i = 0; i < json_array_size(past); i++)
		adopt(l, json_array_get(past, i));
}

static void control_frame(void *arg, const struct frame *f)
{
	struct node_link *l = arg;
	json_t *body = json_parse(f->body.n ? f->body : STR("{}"), NULL);

	if (!body)
		log_warn("node %s sent %s with a body that is no JSON", l->node->name, link_message_name(f->type));
	else if (f->type == LINK_HELLO)
		hello(l, body);
	else if (l->greeted)
		node_message(l->node, (enum link_message)f->type, f->id, body, NULL, 0);
	json_decref(body);
}

static void control_broken(void *arg, unsigned status)
{
	struct node_link *l = arg;

	/* What was said may be lost: nothing is left to go on with. */
	log_error("node %s broke the link (%u)", l->node->name, status);
	node_link_give_up(l, "it broke the link");
}

static const struct carrier_handler control_handler = {
	.frame = control_frame,
	.broken = control_broken,
};

bool node_link_say(struct node_link *l, enum link_message type, const uint8_t id[static 16], const json_t *body)
{
	_cleanup_(buf_done) struct buf text = BUF_NULL;

	if (l->node->state == NODE_DOWN && !l->conn)
		return false;
	json_write(&text, body);
	carrier_send(l->control, (enum frame_type)type, id, STR_NULL, STR_NULL, buf_str(&text));
	mem_wipe(text.p, text.n); /* START holds keys */
	return true;
}

static void say_hello(struct node_link *l)
{
	json_t *body = json_pack("{s:i, s:s, s:I, s:s}", "protocol", LINK_PROTOCOL, "version", WICK_VERSION, "time_ms",
				 (json_int_t)clock_wall_ms(), "name", l->node->name);

	node_link_say(l, LINK_HELLO, node_no_id, body);
	json_decref(body);
}

/* ---- lanes ---- */

static void request_lane(struct node_link *l, struct carrier *c, const uint8_t id[static 16])
{
	char path[64] = "/_wick/lane/";

	if (!l->conn)
		return;
	hex_encode(id, 16, path + strlen(path));
	carrier_request(c, l->conn->h2, path, NULL, 0);
}

struct carrier *node_link_lane(struct node_link *l, const uint8_t id[static 16])
{
	struct carrier *c = carrier_new(l->links->carriers, LANE_BODY_MAX, NULL, NULL);

	request_lane(l, c, id);
	return c;
}

static void request_lanes(struct node_link *l)
{
	for (struct worker *w = node_workers_first(&l->node->workers); w; w = node_workers_next(w))
		if (w->lane)
			request_lane(l, lane_carrier(w->lane), w->id);
}

/* ---- packages and doors ---- */

void node_link_offer(struct node_link *l, struct str sha256, struct str blob)
{
	_cleanup_(buf_done) struct buf raw = BUF_NULL;
	char hex[2 * SHA256_SIZE + 1];

	if (!base64_decode(&raw, sha256) || raw.n != SHA256_SIZE)
		return;
	hex_encode((const uint8_t *)raw.p, SHA256_SIZE, hex);
	if (l->offers.n >= OFFERS_MAX)
		drop_offers(l);
	free(map_put(&l->offers, str_from(hex), str_dup(blob)));
}

void node_link_need(struct node_link *l, struct str sha256)
{
	const char *blob = map_get(&l->offers, sha256);

	if (l->conn && sha256.n == 2 * SHA256_SIZE)
		node_stream_package(l->links->g, l->conn->h2, sha256, blob ? str_from(blob) : STR_NULL);
}

void node_link_door(struct node_link *l, const uint8_t id[static 16], uint64_t connection)
{
	char hex[33];

	hex_encode(id, 16, hex);
	if (l->conn)
		node_stream_door(l->links->g, l->conn->h2, hex, connection);
}

/* ---- connections ---- */

/* What both sides held is of no use any more. */
static void begin_anew(struct node_link *l, const char *epoch, const char *reason)
{
	node_gone(l->node, reason);
	carrier_restart(l->control);
	drop_offers(l);
	l->greeted = false;
	snprintf(l->epoch, sizeof(l->epoch), "%s", epoch);
}

void node_link_give_up(struct node_link *l, const char *reason)
{
	char epoch[LINK_EPOCH_SIZE];

	timer_stop(l->away);
	new_epoch(epoch);
	begin_anew(l, epoch, reason);
	if (l->conn)
		node_conn_close(steal(&l->conn), reason);
}

static void away_too_long(void *arg)
{
	node_link_give_up(arg, "it has been away for too long");
}

static struct node_link *link_new(struct node_links *ls, struct str name)
{
	struct node_link *l = xnew(struct node_link);

	l->links = ls;
	l->node = node_new(ls->nodes, name);
	l->node->link = l;
	l->control = carrier_new(ls->carriers, MESSAGE_MAX, &control_handler, l);
	l->away = timer_new(ls->g->loop, away_too_long, l);
	return l;
}

static struct node *find(struct node_links *ls, struct str name)
{
	struct node *n = node_list_first(&ls->nodes->list);

	while (n && (!n->link || !str_eqz(name, n->name)))
		n = node_list_next(n);
	return n;
}

struct node_link *node_link_by_key(struct node_links *ls, struct str key)
{
	struct node *n = node_list_first(&ls->nodes->list);

	while (n && (!n->link || !str_eqz(key, n->link->key)))
		n = node_list_next(n);
	return n ? n->link : NULL;
}

void node_link_take(struct node_conn *c, const struct node_record *rec)
{
	struct node *n = find(c->links, rec->name);
	struct node_link *l = n ? n->link : link_new(c->links, rec->name);
	bool resume = c->resume && l->greeted && strcmp(l->epoch, c->epoch) == 0;

	/* It goes on where this gate has just given up (node_away ended since it was asked): it is to be asked anew,
	 * under another epoch. */
	if (c->resume && !resume) {
		node_conn_close(c, "what was kept of the node was given up; dial again");
		return;
	}
	timer_stop(l->away);
	if (l->conn)
		node_conn_close(steal(&l->conn), "the node has dialled again");
	l->conn = c;
	c->link = l;
	free(l->version);
	l->version = xstrdup(c->version);
	free(l->key);
	l->key = str_dup(rec->key);
	if (!resume) {
		begin_anew(l, c->epoch, "it was restarted");
		l->node->state = NODE_AWAY; /* until it has said HELLO */
	}
	node_set_record(l->node, rec);
	if (resume)
		node_back(l->node);
	carrier_request(l->control, c->h2, LINK_PATH, NULL, 0);
	if (resume)
		request_lanes(l);
	else
		say_hello(l);
}

void node_link_down(struct node_link *l, const struct node_conn *c, const char *reason)
{
	if (l->conn != c)
		return;
	l->conn = NULL;
	if (!l->greeted) { /* it has not even begun */
		node_gone(l->node, reason);
		return;
	}
	node_away(l->node, reason);
	timer_set(l->away, l->links->g->conf.s.node_away_ms);
}

const char *node_link_epoch(const struct node_link *l)
{
	return l->greeted ? l->epoch : NULL;
}

struct node_link *node_link_free(struct node_link *l)
{
	if (!l)
		return NULL;
	if (l->conn)
		node_conn_close(steal(&l->conn), "the gateway ends");
	carrier_free(l->control);
	timer_free(l->away);
	drop_offers(l);
	free(l->key);
	free(l->version);
	free(l);
	return NULL;
}

/* ---- records, people ---- */

void node_link_changed(struct gate *g, struct str name)
{
	const struct node_record *rec = node_by_name(g, name);
	struct node *n = g->nodes && g->nodes->links ? find(g->nodes->links, name) : NULL;

	if (!n)
		return;
	if (rec && str_eqz(rec->key, n->link->key)) {
		node_set_record(n, rec);
		queue_pump_all(g);
		return;
	}
	log_info("node %s was removed", n->name);
	node_link_give_up(n->link, "it was removed");
	node_free(n);
}

uint64_t node_link_rtt_us(const struct node_link *l)
{
	return l->conn ? h2_rtt_us(l->conn->h2) : 0;
}

void node_link_add_json(const struct node_link *l, json_t *j)
{
	if (l->conn) {
		json_set_str(j, "address", str_from(h2_peer_address(l->conn->h2)));
		json_object_set_new(j, "rtt_us", json_integer(h2_rtt_us(l->conn->h2)));
	}
	json_set_str(j, "version", str_from(l->version ? l->version : ""));
	json_object_set_new(j, "clock_off_ms", json_integer(l->clock_off_ms));
}

/* The port of remote nodes: takes connections, asks who is there (messages.h, /_wick/hello), and hands those that are
 * known, or bring a token, to their link. What speaks here first is anybody: the TLS handshake proves that it holds a
 * key, and nothing else is done for it before that key is known or a token was redeemed; connections that were not
 * taken yet are few and have little time.
 *
 * Owns every connection until it is over. */
#include "gate/node_link.h"

#include "base/mem.h"
#include "gate/node.h"
#include "net/tcp.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/log.h"
#include "wire/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STRANGERS_MAX 64 /* connections that were not taken yet */
#define WAIT_MS       10000

/* ---- a connection ---- */

static void conn_free(struct node_conn *c)
{
	node_records_forget(c->links->g, c);
	node_conn_list_remove(&c->links->conns, c);
	timer_free(c->patience);
	if (c->token)
		mem_wipe(c->token, strlen(c->token));
	free(c->token);
	free(c->name);
	free(c->version);
	free(c);
}

void node_conn_close(struct node_conn *c, const char *why)
{
	h2_close(steal(&c->h2), why);
	conn_free(c);
}

static void conn_down(void *arg, struct h2 *h2, const char *reason)
{
	struct node_conn *c = arg;
	struct node_link *l = c->link;

	if (!l)
		log_info("a node at %s did not come in: %s", h2_peer_address(h2), reason);
	else
		node_link_down(l, c, reason);
	h2_free(steal(&c->h2));
	conn_free(c);
}

/* ---- it is refused ---- */

static void refused_closed(void *arg, struct h2_stream *s, uint32_t code)
{
}

static void refused_head(void *arg, struct h2_stream *s, unsigned status, const struct kv *headers, size_t n)
{
	struct node_conn *c = arg;

	timer_set(c->patience, 0); /* it knows; the stream's own handler is no place to end the connection */
}

static void refused_data(void *arg, struct h2_stream *s, struct str bytes)
{
	h2_consumed(s, bytes.n);
}

static void nothing(void *arg, struct h2_stream *s)
{
}

static size_t no_bytes(void *arg, struct h2_stream *s, char *to, size_t room)
{
	return 0;
}

static const struct h2_stream_handler refused_handler = {
	.head = refused_head,
	.data = refused_data,
	.end = nothing,
	.closed = refused_closed,
	.pull = no_bytes,
};

static void refuse(struct node_conn *c, const char *type, const char *text)
{
	const struct kv headers[] = {{STR("wick-type"), str_from(type)}, {STR("wick-error"), str_from(text)}};
	struct h2_stream *s;

	log_warn("node \"%s\" at %s is refused: %s", c->name ? c->name : "?", h2_peer_address(c->h2), text);
	s = h2_request(c->h2, "POST", "/_wick/refused", headers, ARRAY_SIZE(headers), &refused_handler, c);
	if (s)
		h2_end(s);
	timer_set(c->patience, WAIT_MS);
}

/* ---- who is there ---- */

static const char *type_of(enum node_result r)
{
	switch (r) {
	case NODE_TOKEN_UNKNOWN:
		return "token-unknown";
	case NODE_TOKEN_EXPIRED:
		return "token-expired";
	case NODE_TOKEN_USED:
		return "token-used";
	case NODE_OTHER_NAME:
		return "token-name";
	case NODE_NAME_TAKEN:
		return "name-taken";
	case NODE_INVALID:
		return "name-invalid";
	case NODE_FULL:
		return "full";
	case NODE_OK:
	case NODE_MISSING:
	case NODE_STORE_FAILED:
	default:
		return "failed";
	}
}

static void redeemed(void *arg, const struct node_answer *a)
{
	struct node_conn *c = arg;

	if (a->result != NODE_OK) {
		refuse(c, type_of(a->result), a->text);
		return;
	}
	log_info("node %.*s has joined, with key %.*s", STR_ARG(a->node->name), STR_ARG(a->node->key));
	timer_stop(c->patience);
	node_link_take(c, a->node);
}

static void known(struct node_conn *c)
{
	struct gate *g = c->links->g;
	struct str key = str_from(h2_peer_fingerprint(c->h2));
	const struct node_record *rec = node_by_key(g, key);
	const struct node_seen seen = {.address = str_from(h2_peer_address(c->h2)), .version = str_from(c->version)};

	/* A node that has joined may still bring its token: it was started with it. A wish for another name needs one.
	 */
	if (rec && (!c->token || !c->name[0] || str_eqz(rec->name, c->name))) {
		node_records_seen(g, rec->name, &seen); /* makes it anew */
		timer_stop(c->patience);
		node_link_take(c, node_by_key(g, key));
	} else if (c->token) {
		node_records_redeem(g, str_from(c->token), str_from(c->name), key, &seen, redeemed, c);
	} else {
		refuse(c, "removed",
		       "this gateway does not know the node's key: it was removed, or never joined. Make a token with "
		       "'wick token' on the gateway and join with it");
	}
}

static void set_text(char **field, struct str value)
{
	free(*field);
	*field = str_dup(value);
}

static void hello_head(void *arg, struct h2_stream *s, unsigned status, const struct kv *headers, size_t n)
{
	struct node_conn *c = arg;
	uint64_t protocol = 0;

	for (size_t i = 0; i < n; i++) {
		if (str_eqz(headers[i].k, "wick-name"))
			set_text(&c->name, headers[i].v);
		else if (str_eqz(headers[i].k, "wick-version"))
			set_text(&c->version, headers[i].v);
		else if (str_eqz(headers[i].k, "wick-token"))
			set_text(&c->token, headers[i].v);
		else if (str_eqz(headers[i].k, "wick-resume"))
			c->resume = str_eqz(headers[i].v, "yes");
		else if (str_eqz(headers[i].k, "wick-protocol"))
			str_to_u64(headers[i].v, &protocol);
	}
	if (!c->name)
		c->name = xstrdup("");
	if (!c->version)
		c->version = xstrdup("");
	if (status != 200 || protocol < 1)
		refuse(c, "protocol", "what answers there is no node of Wick's");
	else
		c->answered = true; /* goes on when the stream is closed */
}

static void hello_closed(void *arg, struct h2_stream *s, uint32_t code)
{
	struct node_conn *c = arg;

	if (code != H2_LOST && c->answered && !c->link)
		timer_set(c->patience, 0);
}

static const struct h2_stream_handler hello_handler = {
	.head = hello_head,
	.data = refused_data,
	.end = nothing,
	.closed = hello_closed,
	.pull = no_bytes,
};

/* What comes next for it, out of its own handlers; or the end of patience. */
static void conn_next(void *arg)
{
	struct node_conn *c = arg;

	if (c->answered) {
		c->answered = false;
		timer_set(c->patience, WAIT_MS);
		known(c);
	} else if (!c->link) {
		node_conn_close(c, "refused");
	}
}

static void conn_up(void *arg, struct h2 *h2)
{
	struct node_conn *c = arg;
	struct node_link *l = node_link_by_key(c->links, str_from(h2_peer_fingerprint(h2)));
	const char *epoch = l ? node_link_epoch(l) : NULL;
	struct h2_stream *s;
	uint8_t bytes[16];

	random_bytes(bytes, sizeof(bytes));
	hex_encode(bytes, sizeof(bytes), c->epoch);
	if (epoch)
		memcpy(c->epoch, epoch, sizeof(c->epoch));
	const struct kv headers[] = {
		{STR("wick-protocol"), STR("1")},
		{STR("wick-version"), STR(WICK_VERSION)},
		{STR("wick-epoch"), str_from(c->epoch)},
	};

	s = h2_request(h2, "POST", "/_wick/hello", headers, ARRAY_SIZE(headers), &hello_handler, c);
	if (s)
		h2_end(s);
	timer_set(c->patience, WAIT_MS);
}

static const struct h2_handler conn_handler = {.up = conn_up, .down = conn_down};

/* ---- the port ---- */

static size_t strangers(const struct node_links *ls)
{
	size_t n = 0;

	for (const struct node_conn *c = node_conn_list_first(&ls->conns); c; c = node_conn_list_next(c))
		n += !c->link;
	return n;
}

static void on_port(void *arg, int events)
{
	struct node_links *ls = arg;
	const struct h2_conf conf = {.tls = ls->tls, .client = true};
	struct node_conn *c;
	int fd = tcp_accept(ls->fd);

	if (fd < 0)
		return;
	if (strangers(ls) >= STRANGERS_MAX) {
		close(fd);
		return;
	}
	c = xnew(struct node_conn);
	c->links = ls;
	c->patience = timer_new(ls->g->loop, conn_next, c);
	node_conn_list_push(&ls->conns, c);
	c->h2 = h2_new(ls->g->loop, fd, &conf, &conn_handler, c);
}

static struct tls_key *open_key(const char *data, struct err *err)
{
	_cleanup_(freep) char *path = xasprintf("%s/link.pem", data);

	if (access(path, F_OK) < 0 && tls_key_make(path, "wick-gate", err) < 0)
		return NULL;
	return tls_key_load(path, NULL, err);
}

struct node_links *node_links_open(struct nodes *ns, struct err *err)
{
	const struct settings *s = &ns->g->conf.s;
	struct node_links *ls;
	char address[TCP_ADDRESS_SIZE];

	if (ns->g->conf.nodes_fd < 0)
		return NULL;
	ls = xnew(struct node_links);
	ls->g = ns->g;
	ls->nodes = ns;
	ls->fd = -1;
	ls->carriers = carriers_new(ns->g->loop);
	ls->key = open_key(s->data, err);
	ls->tls = ls->key ? tls_server_new(ls->key, err) : NULL;
	if (!ls->tls)
		return node_links_free(ls);
	ls->fd = ns->g->conf.nodes_fd;
	fcntl(ls->fd, F_SETFD, FD_CLOEXEC);
	fd_set_nonblock(ls->fd);
	ls->watch = watch_new(ns->g->loop, ls->fd, WATCH_READ, on_port, ls);
	tcp_address(ls->fd, address);
	gate_conf_nodes_port(&ns->g->conf, tcp_port(ls->fd));
	log_info("nodes may dial %s, key %s", address, tls_key_fingerprint(ls->key));
	return ls;
}

struct node_links *node_links_free(struct node_links *ls)
{
	if (!ls)
		return NULL;
	ls->watch = watch_free(ls->watch);
	while (node_conn_list_first(&ls->conns))
		node_conn_close(node_conn_list_first(&ls->conns), "the gateway ends");
	if (ls->fd >= 0)
		close(ls->fd);
	carriers_free(ls->carriers);
	tls_context_free(ls->tls);
	tls_key_free(ls->key);
	free(ls);
	return NULL;
}

const char *node_links_fingerprint(const struct node_links *ls)
{
	return tls_key_fingerprint(ls->key);
}

uint16_t node_links_port(const struct node_links *ls)
{
	return tcp_port(ls->fd);
}

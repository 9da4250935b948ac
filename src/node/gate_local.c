/* Listens for the gate on a unix socket. There is one gate: a new connection takes the place of the one before as soon
 * as it says HELLO (a mere connection may be somebody who looks whether the socket is in use), and with a connection go
 * its workers, whose lanes were held by the gate that is gone.
 *
 * The link owns the socket and the peers. What the gate cannot be told, because it is not there, is nothing to keep. */
#include "node/gate_local.h"

#include "base/mem.h"
#include "link/peer.h"
#include "node/conf.h"
#include "node/pool.h"
#include "sys/fdpass.h"
#include "sys/log.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct gate_local {
	struct gate_link link; /* first */
	struct loop *loop;
	const struct node_conf *conf;
	int sock;
	struct watch *watch;
	struct peer *peer;     /* the gate */
	struct peer *newcomer; /* connected, and has not said HELLO yet */
	bool leaving;
};

static struct gate_local *local_of(struct gate_link *g)
{
	return (struct gate_local *)g;
}

static void say_fds(struct peer *p, enum link_message type, const uint8_t *id, json_t *body /* taken */, const int *fds,
		    size_t n_fds)
{
	_cleanup_json_ json_t *j = body;

	if (!j || !peer_is_up(p))
		return;
	if (!peer_send(p, type, id, j, fds, n_fds))
		log_warn("message %s to the gate could not be sent", link_message_name(type));
}

/* ---- for the agent ---- */

static void local_say(struct gate_link *g, enum link_message type, const uint8_t id[static 16], json_t *body)
{
	say_fds(local_of(g)->peer, type, id, body, NULL, 0);
}

static void local_started(struct gate_link *g, const uint8_t id[static 16], int pid, uint64_t prepare_us, int lane,
			  int log_pipe)
{
	const int fds[] = {lane, log_pipe};

	say_fds(local_of(g)->peer, LINK_STARTED, id,
		json_pack("{s:i, s:I}", "pid", pid, "prepare_us", (json_int_t)prepare_us), fds, ARRAY_SIZE(fds));
}

static void local_door(struct gate_link *g, const uint8_t id[static 16], int fd)
{
	say_fds(local_of(g)->peer, LINK_DOOR, id, json_object(), &fd, 1);
}

static void local_leave(struct gate_link *g)
{
	struct gate_local *l = local_of(g);

	l->leaving = true;
	l->watch = watch_free(l->watch);
	l->peer = peer_free(l->peer);
	l->newcomer = peer_free(l->newcomer);
	pool_abandon(agent_pool(g->agent), g);
}

static bool local_settled(const struct gate_link *g)
{
	return true;
}

static struct gate_link *local_free(struct gate_link *g)
{
	struct gate_local *l = local_of(g);

	peer_free(l->peer);
	peer_free(l->newcomer);
	watch_free(l->watch);
	if (l->sock >= 0) {
		close(l->sock);
		unlink(l->conf->socket);
	}
	free(l);
	return NULL;
}

static const struct gate_link_ops local_ops = {
	.say = local_say,
	.started = local_started,
	.door = local_door,
	.over = local_say,
	.leave = local_leave,
	.settled = local_settled,
	.free = local_free,
};

/* ---- from the gate ---- */

static void on_up(void *arg, struct peer *p)
{
	static const uint8_t no_id[16];
	struct gate_local *l = arg;

	say_fds(p, LINK_HELLO, no_id, agent_hello(l->link.agent), NULL, 0);
}

/* Greets the gate; a newcomer becomes it. */
static void on_hello(struct gate_local *l, struct peer *p, const json_t *body)
{
	int64_t protocol = json_get_int(body, "protocol", 0);

	if (protocol != LINK_PROTOCOL)
		log_warn("the gate speaks protocol %lld of the link, this node %d", (long long)protocol, LINK_PROTOCOL);
	if (p == l->peer)
		return;
	if (l->peer) {
		log_warn("a new gate takes the place of the one before");
		peer_free(l->peer);
		pool_abandon(agent_pool(l->link.agent), &l->link);
	}
	l->peer = steal(&l->newcomer);
	agent_status_to(&l->link);
	agent_devices_to(&l->link); /* they may have changed since this end said HELLO */
}

static void on_message(void *arg, struct peer *p, enum link_message type, const uint8_t id[static 16],
		       const json_t *body, int *fds, size_t n_fds)
{
	struct gate_local *l = arg;

	if (type != LINK_HELLO && p == l->peer) {
		agent_message(&l->link, type, id, body, fds, n_fds);
		return;
	}
	if (type == LINK_HELLO)
		on_hello(l, p, body);
	else
		log_warn("%s before HELLO on a new connection; ignored", link_message_name(type));
	for (size_t i = 0; i < n_fds; i++)
		close(fds[i]);
}

static void on_down(void *arg, struct peer *p, const char *reason)
{
	struct gate_local *l = arg;

	if (p == l->newcomer) {
		l->newcomer = NULL; /* an accepted peer frees itself */
		return;
	}
	log_info("the gate is gone (%s)", reason);
	l->peer = NULL;
	pool_abandon(agent_pool(l->link.agent), &l->link);
}

static const struct peer_handler peer_handler = {
	.up = on_up,
	.message = on_message,
	.down = on_down,
};

static void on_connection(void *arg, int events)
{
	struct gate_local *l = arg;
	int fd = accept4(l->sock, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	peer_free(l->newcomer);
	l->newcomer = peer_accept(l->loop, fd, &peer_handler, l);
}

/* ---- beginning ---- */

/* A gate that runs as a user of its own owns the data folder, and only the owner of the socket may connect. */
static int give_socket_to_owner(const struct node_conf *conf, struct err *err)
{
	struct stat st;

	if (getuid() != 0)
		return 0;
	if (stat(conf->data, &st) < 0 || chown(conf->socket, st.st_uid, st.st_gid) < 0)
		return err_set(err, errno, "give %s to the owner of %s", conf->socket, conf->data);
	return 0;
}

struct gate_link *gate_local_new(struct loop *l, const struct node_conf *conf, struct agent *a, struct err *err)
{
	struct gate_local *g = xnew(struct gate_local);

	*g = (struct gate_local){.link = {.ops = &local_ops, .agent = a}, .loop = l, .conf = conf, .sock = -1};
	g->sock = unix_listen(conf->socket, err);
	if (g->sock < 0 || give_socket_to_owner(conf, err) < 0)
		return local_free(&g->link);
	return &g->link;
}

void gate_local_open(struct gate_link *g)
{
	struct gate_local *l = local_of(g);

	l->watch = watch_new(l->loop, l->sock, WATCH_READ, on_connection, l);
}

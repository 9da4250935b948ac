/* wick-gate: the public face. Reads its settings, builds its objects in order, gives up its rights, runs the loop,
 * tears down in reverse. Started by `wick serve` with the listening socket already open. */
#include "gate/front.h"

#include "base/map.h"
#include "base/mem.h"
#include "gate/functions.h"
#include "gate/jobs.h"
#include "gate/keys.h"
#include "gate/logs.h"
#include "gate/meter.h"
#include "gate/node_records.h"
#include "gate/nodes.h"
#include "gate/objects.h"
#include "gate/provision.h"
#include "gate/reap.h"
#include "gate/recent.h"
#include "gate/req.h"
#include "gate/rights.h"
#include "sys/clock.h"
#include "sys/log.h"

#include <signal.h>
#include <stdio.h>

#define QUIET_MS 5

/* Draining, step by step: no new requests; those under way end; usage is stored; the loop ends. */
static void quiet(void *arg)
{
	struct gate *g = arg;

	/* A client that left may have left a commit or a job on the pool behind, which will call back. */
	if (reqs_pending(g))
		timer_set(g->quiet, QUIET_MS);
	else
		loop_stop(g->loop);
}

static void usage_stored(void *arg)
{
	struct gate *g = arg;

	g->quiet = timer_new(g->loop, quiet, g);
	timer_set(g->quiet, 0);
}

static void drained(void *arg)
{
	struct gate *g = arg;

	meter_flush(g, usage_stored, g);
}

static void on_signal(void *arg, int signo)
{
	struct gate *g = arg;

	if (g->draining)
		return;
	log_info("%s: finishing %u connections", signo == SIGTERM ? "SIGTERM" : "SIGINT",
		 http_server_connections(g->http));
	g->draining = true;
	http_server_drain(g->http, drained, g);
}

static int read_prices(struct gate *g, struct err *err)
{
	g->prices = PRICE_BOOK_DEFAULT;
	if (!price_parse_usd(str_from(g->conf.s.price_gb_second), &g->prices.gb_second))
		return err_set(err, 0, "setting price_gb_second: '%s' is no amount in USD", g->conf.s.price_gb_second);
	if (!price_parse_usd(str_from(g->conf.s.price_request), &g->prices.request))
		return err_set(err, 0, "setting price_request: '%s' is no amount in USD", g->conf.s.price_request);
	if (price_parse_slices(&g->prices, str_from(g->conf.s.price_slices), err) < 0)
		return err_wrap(err, "setting price_slices");
	return 0;
}

static int read_level(struct gate *g, struct err *err)
{
	enum log_level level = LOG_INFO;

	if (!log_level_by_name(g->conf.s.log_level, &level))
		return err_set(err, 0, "log_level: '%s' is none of debug, info, warn, error", g->conf.s.log_level);
	log_open("gate", level);
	return 0;
}

static int open_all(struct gate *g, struct err *err)
{
	const char *data = g->conf.s.data;
	_cleanup_(freep) char *blobs = xasprintf("%s/blobs", data);
	const struct store_conf store_conf = {.path = data, .loop = g->loop};

	if (read_prices(g, err) < 0)
		return -1;
	g->keys = keys_open(data, err);
	g->store = g->keys ? store_open_sqlite(&store_conf, err) : NULL;
	g->blobs = g->store ? blobs_open_fs(g->loop, blobs, err) : NULL;
	if (!g->blobs || blob_recover(g->blobs, store_reader(g->store), err) < 0)
		return -1;
	g->logs = logs_open(g, err);
	if (!g->logs)
		return -1;
	reqs_open(g);
	g->meter = meter_new(g);
	g->recent = recent_new();
	g->objects = objects_new();
	g->functions = functions_new(g);
	g->pool = pool_new(g);
	g->reap = reap_new(g);
	g->node_records = node_records_open(g, err);
	if (!g->node_records)
		return -1;
	g->nodes = nodes_open(g, err);
	if (!g->nodes)
		return -1;
	g->provision = provision_new(g);
	g->jobs = jobs_new(g);
	return front_open(g, err);
}

static void close_all(struct gate *g)
{
	http_server_free(g->http);
	timer_free(g->quiet);
	reqs_close(g);
	jobs_free(g->jobs);
	nodes_free(g->nodes);
	g->nodes = NULL;
	node_records_free(g->node_records);
	provision_free(g->provision);
	pool_free(g->pool);
	functions_free(g->functions);
	reap_free(g->reap);
	objects_free(g->objects);
	recent_free(g->recent);
	meter_free(g->meter);
	logs_close(g->logs);
	store_close(g->store);
	blobs_close(g->blobs);
	keys_close(g->keys);
}

int main(void)
{
	struct gate g = {0};
	struct err err = ERR_NULL;
	struct signal_watch *term, *interrupt;
	uint8_t seed[16];
	int r = -1;

	log_open("gate", LOG_INFO);
	random_bytes(seed, sizeof(seed));
	map_seed(seed);
	signal(SIGPIPE, SIG_IGN);
	g.loop = loop_new();
	term = signal_watch_new(g.loop, SIGTERM, on_signal, &g);
	interrupt = signal_watch_new(g.loop, SIGINT, on_signal, &g);
	if (gate_conf_read(&g.conf, &err) == 0 && read_level(&g, &err) == 0 && rights_drop(&g.conf, &err) == 0 &&
	    open_all(&g, &err) == 0) {
		log_info("listening on %s", g.conf.s.listen);
		loop_run(g.loop);
		r = 0;
	} else {
		log_error("%s", err.msg ? err.msg : "could not start");
	}
	close_all(&g);
	signal_watch_free(term);
	signal_watch_free(interrupt);
	loop_free(g.loop);
	gate_conf_done(&g.conf);
	err_done(&err);
	return r == 0 ? 0 : 1;
}

/* wick-node: runs functions on this machine for the gate. Started by `wick serve`, or by hand for a look. It needs no
 * rights beyond writing its folder. Whatever it owns ends with it: its workers die with their parent. */
#include "base/map.h"
#include "node/agent.h"
#include "sys/clock.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>

static int run(const struct node_conf *conf, struct err *err)
{
	struct loop *l = loop_new();
	struct agent *a = agent_new(l, conf, err);

	if (a) {
		log_info("ready on %s (%llu MiB for workers)", conf->socket, (unsigned long long)conf->memory_mb);
		loop_run(l);
	}
	agent_free(a);
	loop_free(l);
	return a ? 0 : -1;
}

int main(int argc, char **argv)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	struct node_conf conf;
	uint8_t seed[16];
	bool help;
	int r;

	r = conf_read(&conf, argc, argv, &help, &err);
	if (r == 0 && !help) {
		log_open("node", conf.log_level);
		random_bytes(seed, sizeof(seed));
		map_seed(seed);
		signal(SIGPIPE, SIG_IGN);
		/* Processes that workers leave behind come here to be ended: see node/pool.c. */
		prctl(PR_SET_CHILD_SUBREAPER, 1);
		r = run(&conf, &err);
	}
	if (r < 0)
		fprintf(stderr, "wick-node: %s\n", err.msg);
	conf_done(&conf);
	return r < 0 ? 1 : 0;
}

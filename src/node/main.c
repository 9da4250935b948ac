/* wick-node: runs functions on this machine for its gates. Started by `wick serve` and `wick node`, or by hand for a
 * look. As an
 * ordinary user it needs no rights beyond writing its folder and making user namespaces; as root its zygotes run as a
 * user of their own. Whatever it owns ends with it: its zygotes and workers die with their parent. */
#include "base/map.h"
#include "base/mem.h"
#include "node/agent.h"
#include "sys/clock.h"
#include "sys/file.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define CODE_FOR_BOXES "/run/wick/code"

/* The user of the boxes may not walk through the data folder, which is closed to all but the owner. In a mount
 * namespace of this process the packages, and nothing else of that folder, are seen at a path that is open. */
static int open_code_folder(struct node_conf *c, struct err *err)
{
	_cleanup_(freep) char *folder = xasprintf("%s/node/code", c->data);
	int r = mkdir_p(folder, 0755);

	if (r < 0)
		return err_set(err, -r, "make folder %s", folder);
	if (!c->box_uid) {
		c->code_folder = steal(&folder);
		return 0;
	}
	r = mkdir_p(CODE_FOR_BOXES, 0755);
	if (r < 0)
		return err_set(err, -r, "make folder " CODE_FOR_BOXES);
	if (unshare(CLONE_NEWNS) < 0)
		return err_set(err, errno,
			       "make a mount namespace (as root this needs CAP_SYS_ADMIN; start Wick as an "
			       "ordinary user where that cannot be had)");
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
	    mount(folder, CODE_FOR_BOXES, NULL, MS_BIND, NULL) < 0)
		return err_set(err, errno, "show the code packages to boxes");
	c->code_folder = xstrdup(CODE_FOR_BOXES);
	return 0;
}

static int run(const struct node_conf *conf, struct err *err)
{
	struct loop *l = loop_new();
	struct agent *a = agent_new(l, conf, err);
	int r = -1;

	if (a) {
		log_info("ready%s%s (%llu MiB for workers)", *conf->socket ? " on " : "", conf->socket,
			 (unsigned long long)conf->memory_mb);
		loop_run(l);
		r = agent_refusal(a) ? err_set(err, 0, "%s", agent_refusal(a)) : 0;
	}
	agent_free(a);
	loop_free(l);
	return r;
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
		r = open_code_folder(&conf, &err);
		if (r == 0)
			r = run(&conf, &err);
	}
	if (r < 0)
		fprintf(stderr, "wick-node: %s\n", err.msg);
	conf_done(&conf);
	return r < 0 ? 1 : 0;
}

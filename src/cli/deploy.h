/* From the flags and the path of a command to a plan; shared by deploy and dev. */
#pragma once

#include "cli/cli.h"
#include "cli/plan.h"

int deploy_plan(const struct cli *c, const char *path, const struct client_conf *client, struct plan *p,
		struct err *err);

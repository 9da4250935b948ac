/* The checks of `wick doctor`: each says ok, warn or fail, what it saw and how to mend it. */
#pragma once

#include "cli/cli.h"

enum verdict { OK, WARN, FAIL };

struct doctor {
	const struct cli *c;
	char *data;
	json_t *list; /* --json */
	bool failed;
};

/* mend: the way out, said unless all is well; NULL: none. */
void doctor_say(struct doctor *d, enum verdict v, const char *what, const char *mend, const char *fmt, ...)
	_printf_(5, 6);

/* What boxes need of the kernel: namespaces, control groups, Landlock, tun; and runtimes beside Python. */
void doctor_boxes(struct doctor *d);
/* Devices and their drivers. */
void doctor_devices(struct doctor *d);

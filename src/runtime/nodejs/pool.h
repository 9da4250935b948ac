/* A box without a function: a Node.js that has loaded what all functions need and waits to be told which it is. */
#pragma once

#include "box/zygote.h"

/* w's lane is the control socket. Returns the exit status of the box. */
int pool_run(const struct zygote_worker *w);

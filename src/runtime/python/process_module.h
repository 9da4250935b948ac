/* The built-in module _wick_process: what bootstrap.py must do to the process it runs in. */
#pragma once

#include "base/util.h"

int process_module_setup(void); /* before the interpreter starts. Negative errno */
/* What serve() of the module does; main.c knows how. */
void process_module_serve(void (*serve)(void *arg), void *arg);
/* After each fork, in the parent: the state of random generators that the next worker will be born with. False: the
 * caller must have bootstrap.py do it (fresh_randomness). */
bool process_renew(void);
bool process_runs_fork_hooks(void); /* a library or the function has hooks of os.register_at_fork */

/* The built-in module _wick_process: what bootstrap.py must do to the process it runs in. */
#pragma once

#include "base/util.h"

int process_module_setup(void); /* before the interpreter starts. Negative errno */
/* What serve() of the module does; main.c knows how. */
void process_module_serve(void (*serve)(void *arg), void *arg);
bool process_runs_fork_hooks(void); /* a library or the function has hooks of os.register_at_fork */

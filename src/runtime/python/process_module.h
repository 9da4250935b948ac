/* The built-in module _wick_process: what bootstrap.py must do to the process it runs in. */
#pragma once

#include "base/util.h"

int process_module_setup(void); /* before the interpreter starts. Negative errno */
/* What serve() of the module does; main.c knows how. */
void process_module_serve(void (*serve)(void *arg), void *arg);
size_t process_threads(void); /* 0: cannot be told */

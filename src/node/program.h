/* Where Wick's own programs are. */
#pragma once

#include "base/err.h"

/* The path of a program in the first folder that has it; malloc'd. libexec: folders with ':' between, as in struct
 * node_conf. NULL: err says where it was looked for. */
char *program_find(const char *libexec, const char *program, struct err *err);

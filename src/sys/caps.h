/* Giving up capabilities, by the bare system calls. Errors: negative errno. */
#pragma once

#include "base/util.h"

/* The calling thread keeps these effective and permitted (bits 1 << CAP_*), its bounding, inheritable and ambient sets
 * become empty, and exec never gives any again (no_new_privs, locked securebits). */
int caps_limit(uint64_t keep);

/* A function goes with its triggers. */
#pragma once

#include "cli/client.h"

int function_remove(struct client *client, const char *name, struct err *err);

/* What wick-devices, the program by which a node finds its devices, sees on this machine. */
#pragma once

#include "base/err.h"
#include "model/device.h"

/* {devices, processes, facts} (src/node/probe/main.c). NULL: err. */
json_t *look_at_devices(struct err *err);

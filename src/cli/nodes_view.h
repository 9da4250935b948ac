/* What `wick nodes` and `wick place` show, as text. Pure: from the gateway's answers, whose members may be missing. */
#pragma once

#include "base/buf.h"
#include "wire/json.h"

/* fd: where it will be shown, for colours; -1: none. */
void nodes_view(struct buf *b, const json_t *nodes, int fd);         /* a line each */
void nodes_view_devices(struct buf *b, const json_t *nodes, int fd); /* a line for each device */
void place_view(struct buf *b, const json_t *place, int fd);

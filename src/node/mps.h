/* NVIDIA's MPS daemons: one for each card of which fractions are held. Loop thread. */
#pragma once

#include "model/device.h"
#include "node/conf.h"
#include "sys/loop.h"

struct mps;
struct mps_use;

struct mps *mps_new(struct loop *l, const struct node_conf *conf);
struct mps *mps_free(struct mps *m); /* ends the daemons; no use may be left */
/* One worker's use of the daemon of this card, which is started if it does not run. control: path of NVIDIA's program.
 * ready: once, later, error NULL or why there is no daemon; then lost, at most once: the daemon is gone, and with it
 * what the worker had on the card. */
struct mps_use *mps_take(struct mps *m, struct str uuid, struct str control,
			 void (*ready)(void *arg, const char *error), void (*lost)(void *arg), void *arg);
struct mps_use *mps_give(struct mps_use *u); /* NULL allowed; nothing is called any more */
/* Folder of the daemon: pipe/ for its clients, shm/ as their /dev/shm. */
const char *mps_folder(const struct mps_use *u);

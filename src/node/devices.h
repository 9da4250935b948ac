/* The devices of this machine, as they are found, declared and measured. Loop thread. */
#pragma once

#include "model/device.h"
#include "node/conf.h"
#include "sys/loop.h"

struct devices;

struct devices_handler {
	void (*changed)(void *arg);  /* another list, or another state of one: trouble, MIG instances */
	void (*measured)(void *arg); /* use, temperature; at most every 10 s */
	void (*looked)(void *arg);   /* every second while a driver tells who uses how much: devices_used_mb is fresh */
};

/* What is declared is there at once, and the CPU; what is found is told by `changed`. -1 (NULL): the declaration is
 * wrong, err says where. */
struct devices *devices_new(struct loop *l, const struct node_conf *conf, const struct devices_handler *h, void *arg,
			    struct err *err);
struct devices *devices_free(struct devices *d);
/* Valid until the loop turns. */
const struct device *devices_list(const struct devices *d, size_t *n);
const struct device *devices_find(const struct devices *d, struct str id); /* NULL: there is none */
json_t *devices_json(const struct devices *d); /* the array of them; the caller's reference */
/* Memory of this device that processes below pid (of our pid namespace) use, in MiB. */
uint64_t devices_used_mb(const struct devices *d, struct str id, int pid);
/* Path of NVIDIA's MPS daemon, as wick-devices found it; n == 0: none. */
struct str devices_mps_control(const struct devices *d);

/* The node's settings: those of Wick that concern it, and a few of its own. */
#pragma once

#include "base/err.h"
#include "sys/log.h"

struct node_conf {
	char *data;              /* folder of everything durable; the node writes below data/node only */
	char *socket;            /* where the gate of this machine finds the node; "": there is none */
	char *libexec;           /* folders with the runtimes' programs, ':' between them; the first that has one */
	char *name;              /* of this machine */
	char *code_folder;       /* unpacked packages, by a path that boxes can walk; main.c */
	char *level;             /* text of log_level */
	uint64_t memory;         /* bytes for all workers together */
	uint64_t code_cache_max; /* bytes of unpacked packages */
	uint64_t memory_mb;      /* memory, in MiB */
	uint64_t zygote_idle_ms; /* a zygote nobody needs ends after this */
	uint32_t cpus;
	uint32_t prestart; /* Node.js processes that wait for code */
	uint32_t box_uid;  /* 0: boxes run as who the node runs as */
	char *internet_allow;
	char *devices;                     /* declared ones, or @FILE */
	char *cost;                        /* USD an hour */
	char *labels;                      /* commas between */
	char *nvml, *opencl, *mps_control; /* for wick-devices */
	bool share_devices;                /* workers of different roles may share a device */
	/* A remote gateway to join; "": none */
	char *join, *token, *fingerprint, *ca, *proxy;
	uint64_t gate_away_ms;  /* idle workers of a gateway that is away for so long are ended */
	uint32_t ready_fd;      /* to be told there what became of joining; 0: nowhere */
	uint64_t park_limit_ms; /* for one parking or waking (node/park.h) */
	enum log_level log_level;
};

/* Environment, then flags, then what the machine says. -1: err. help: it was asked for and printed. */
int conf_read(struct node_conf *ret, int argc, char **argv, bool *help, struct err *err);
void conf_done(struct node_conf *c);

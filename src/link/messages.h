/* What gate and node say to each other: each message once, with direction, prose and whether fds travel with it.
 * A message is a frame (wire/frame.h) whose type is below, whose id is the worker's (zero where there is none) and
 * whose body is a JSON object; unknown members are ignored, unknown types are logged and skipped, so that peers of
 * different age work together. Locally the link is a unix socket (fds by SCM_RIGHTS, which HTTP/2 cannot carry);
 * remotely the same frames will travel on an HTTP/2 stream. */
#pragma once

#include "wire/frame.h"

#define LINK_PROTOCOL 1

/*	name, number, direction, prose */
#define LINK_MESSAGES(X)                                                                                               \
	X(HELLO, 32, BOTH,                                                                                             \
	  "first on a connection: {protocol, version, name, memory_mb, cpus}. Of a node also devices: "                \
	  "[<model/device.h document>], labels: [...], cost: USD an hour as text, share_roles: workers of different "  \
	  "roles may share a device")                                                                                  \
	X(START, 33, TO_NODE,                                                                                          \
	  "start a worker. {function: <model/function.h document>, env: {NAME: value, ...} complete, region}. "        \
	  "layers: [{arn, sha256}] in their order; reason: why one more is started; slices: [{device: id, slots: of "  \
	  "8, "                                                                                                        \
	  "memory_mb, mig: uuid or absent}]. fd 0: the code package (zip) of "                                         \
	  "function.code_sha256, for a node that has it not unpacked yet; fd 1...: the layers' in the same order")     \
	X(STOP, 34, TO_NODE, "end a worker: {reason: idle|timeout|drain|oom, grace_ms}")                               \
	X(STARTED, 35, TO_GATE, "the process runs: {pid, prepare_us}. fd 0: lane, fd 1: log pipe (stdout and stderr)") \
	X(FAILED, 36, TO_GATE, "no process could be started: {error, type, output: what it printed}")                  \
	X(EXITED, 37, TO_GATE,                                                                                         \
	  "{exit: code} or {signal: n}, {oom: true} when over its memory, cpu_us, max_rss_kib, peak_kib; when it was " \
	  "ended for its slice: device_type: OutOfDeviceMemory|Device.MpsGone|Device.Gone, device_error: in words, "   \
	  "device_oom: true with the first of these")                                                                  \
	X(STATUS, 38, TO_GATE,                                                                                         \
	  "every 10 s and on change: {memory_free_mb, workers, zygotes: [{runtime, imports, pid, memory_kib, "         \
	  "idle_ms, "                                                                                                  \
	  "state}]}")                                                                                                  \
	X(FREEZE, 39, TO_NODE, "an idle worker gets no CPU: {on: bool}. Off is said with the INVOKE, not before it")   \
	X(LEARNT, 40, TO_NODE,                                                                                         \
	  "a worker of this code imported these of the machine's own modules: {code_sha256, runtime, imports}")        \
	X(PREPARE, 41, TO_NODE,                                                                                        \
	  "a function was deployed and may be called soon: its packages are to be unpacked. {function, layers}, fds "  \
	  "as "                                                                                                        \
	  "with START")                                                                                                \
	X(DOOR, 42, TO_GATE,                                                                                           \
	  "fd 0: where requests of the snapshot that this worker is forked from come in, while it initialises")        \
	X(DEVICES, 43, TO_GATE, "the devices are others, or were measured anew: {devices: [...]} as in HELLO")

#define LINK_ENUM(name, number, direction, prose) LINK_##name = (number),
enum link_message { LINK_MESSAGES(LINK_ENUM) };
#undef LINK_ENUM

/* How many fds travel with a message: in its meta, added and taken off by link/peer.c. */
#define LINK_KEY_FDS 64

const char *link_message_name(unsigned type); /* "START"; "unknown" for others. For logs */

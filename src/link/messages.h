/* What gate and node say to each other: each message once, with direction, prose and whether fds travel with it.
 * A message is a frame (wire/frame.h) whose type is below, whose id is the worker's (zero where there is none) and
 * whose body is a JSON object; unknown members are ignored, unknown types are logged and skipped, so that peers of
 * different age work together. Locally the link is a unix socket (fds by SCM_RIGHTS, which HTTP/2 cannot carry);
 * remotely the same frames travel on an HTTP/2 stream.
 *
 * The remote link. The node dials one TCP connection (tcp.h), over it TLS 1.3 (tls.h: the node is the client, both show
 * a key), over that HTTP/2 with the GATE as client (h2.h). Streams, all of them POST, long-lived and in both
 * directions:
 *
 *   /_wick/hello            first: who is there? Request headers: wick-protocol, wick-version, wick-epoch (32 hex: what
 *                           the gate remembers of this node's workers and carriers goes by that name). Response (no
 *                           body) 200: wick-protocol, wick-version, wick-name, wick-resume: yes when the node holds
 *                           the carriers of that epoch (each side then goes on where the other has got to), else no:
 *                           both begin anew, and the node lists the workers it still has in HELLO. wick-token: while
 *                           the node has not been taken yet
 *   /_wick/refused          the gate does not take this node. Request headers wick-type, wick-error; it closes then
 *   /_wick/link             or it does: control, these messages as frames on a carrier (link/carrier.h). Both sides
 *                           say HELLO first when they begin anew
 *   /_wick/lane/WORKER      (32 hex) frames of one worker's lane on a carrier; 404: no such worker
 *   /_wick/code/SHA256      (64 hex) a package, as bytes; asked for by NEED. The node answers 200 and ends its side
 *                           when it has it all, or resets the stream. Without bytes and with header wick-error: the
 *                           gate has not got it
 *   /_wick/door/WORKER/N    one connection of the box to Wick's API, as bytes; asked for by DOOR {connection: N}
 *
 * A connection that is lost takes nothing along but code and doors: carriers keep what the other side has not
 * acknowledged. START and PREPARE come without fds there: the node asks for packages it lacks. */
#pragma once

#include "wire/frame.h"

#define LINK_PROTOCOL 1
#define LINK_PATH     "/_wick/link"
#define LINK_ALPN     "wick-link/1"

/*	name, number, direction, prose */
#define LINK_MESSAGES(X)                                                                                               \
	X(HELLO, 32, BOTH,                                                                                             \
	  "first on a connection: {protocol, version, name, memory_mb, cpus, labels: [...], devices: [...], cost: "    \
	  "USD an hour, share_roles, time_ms: Unix time}. A remote node that does not resume adds workers: "           \
	  "[{id, function, version, change_id, state: idle, concurrency, slices, provisioned, keys_expire_ms: as in "  \
	  "START}]")                                                                                                   \
	X(START, 33, TO_NODE,                                                                                          \
	  "start a worker. {function: <model/function.h document>, env: {NAME: value, ...} complete, region, "         \
	  "slices: [{device: id, slots, memory_mb, mig}], park: bool}. "                                               \
	  "layers: [{arn, sha256}] in their order; reason: why one more is started. fd 0: the code package (zip) of "  \
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
	  "fd 0: where requests of the snapshot that this worker is forked from come in, while it initialises. "       \
	  "Remotely {connection: N}: the box (or that snapshot) has opened a connection to Wick's API")                \
	X(DEVICES, 43, TO_GATE, "the devices are others, or were measured anew: {devices: [...]} as in HELLO")         \
	X(NEED, 44, TO_GATE, "a package is needed that is not here: {sha256: hex}")                                    \
	X(PARK, 46, TO_NODE, "an idle worker gives its device memory back, or takes it again: {on: bool}")             \
	X(PARKED, 47, TO_GATE, "{on: bool, us}, {error} too where it failed: what came of PARK")

#define LINK_ENUM(name, number, direction, prose) LINK_##name = (number),
enum link_message { LINK_MESSAGES(LINK_ENUM) };
#undef LINK_ENUM

/* How many fds travel with a message: in its meta, added and taken off by link/peer.c. */
#define LINK_KEY_FDS 64

const char *link_message_name(unsigned type); /* "START"; "unknown" for others. For logs */

/* What wick-node and a zygote say to each other over a SOCK_SEQPACKET socket, fd 3 of the zygote: a message is one
 * packet, file descriptors travel beside it. A zygote is any program that is loaded once and forks boxed workers:
 * wick-python, wick-runtime, wick-nodejs, wick-box. Pure; fuzzed.
 *
 *   node:    starts PROGRAM --zygote [--uid N --gid N] [--import A,B] with the socket on fd 3
 *   zygote:  LOADED      text: what it has loaded, names with blanks between
 *   node:    FORK        id of the worker, text: an encoded boxplan; fds: lane, output pipe, then as the plan says
 *   zygote:  FORKED      id, pid as the zygote sees it; fd: pidfd. The worker is a child of node (CLONE_PARENT)
 *         or FAILED      id, text: why. The lane's end is closed by then
 *   zygote:  EXITED      id, status (as of waitpid), cpu_us: only from a zygote that must be the parent itself: one in
 *                        a pid namespace of its own (SnapStart)
 * A zygote ends when the socket is closed. It works off messages one after the other and never waits for a worker. */
#pragma once

#include "base/str.h"
#include "base/buf.h"

#define ZYGOTE_CONTROL_FD  3
#define ZYGOTE_TEXT_MAX    (96u << 10)
#define ZYGOTE_HEADER_SIZE 40 /* a packet is at most this and the text */

enum zygote_message { ZYGOTE_LOADED = 1, ZYGOTE_FORK, ZYGOTE_FORKED, ZYGOTE_FAILED, ZYGOTE_EXITED };

struct zygote_packet {
	enum zygote_message type;
	uint8_t id[16];
	int32_t pid, status;
	uint64_t cpu_us;
	struct str text;
};

void zygote_encode(struct buf *b, const struct zygote_packet *p);
bool zygote_decode(struct zygote_packet *ret, struct str bytes); /* views into bytes */

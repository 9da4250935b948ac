/* A box plan: what it takes to put one worker into its box, as data. wick-node makes it (node/plan.c), box/box.c checks
 * every operation again and carries them out in a straight line, `wick-box --dry-run` prints it. Pure: bytes in, bytes
 * out; fuzzed.
 *
 * Paths under `to` are inside the new root, absolute, without "." and ".." and symbolic links. The folder that holds
 * `to` must be there (DIR); the mount points of BIND, TMPFS and PROC are made where they are missing. File descriptors
 * are named by their index among those that came with the plan. Operations run in their order; the order of kinds is
 * checked: CGROUP, ROOT, what fills the root (DIR to PROC), PIVOT, then the rest, and RIGHTS last, always.
 * A plan without ROOT leaves the root that stands (that of the box it is forked from), and mounts over it.
 * A plan without ROOT and PIVOT works on the root that is there, that of the box which the process is in already;
 * BIND's `from` is then a path in that box. Its namespaces are ALL when a worker forks another one (SnapStart): what is
 * mounted then is seen by the new one only. They are 0 when a pooled box is specialised; then there is no PROC,
 * HOSTNAME and LOOPBACK either. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

/*	name, members used */
#define BOX_OPS(X)                                                                                                     \
	X(CGROUP, "join", "fd: an open `tasks` (v1) or `cgroup.procs` (v2) file; the worker writes 0 to it")           \
	X(ROOT, "root", "a new tmpfs, value: bytes, becomes the root at PIVOT")                                        \
	X(DIR, "dir", "to")                                                                                            \
	X(LINK, "link", "to: symbolic link, from: its text")                                                           \
	X(FILE, "file", "to: a file with the bytes of from, mode 0444")                                                \
	X(BIND, "bind", "from (host) at to, with its submounts; flags: BOX_WRITABLE, BOX_EXEC, BOX_DEV, BOX_OPTIONAL") \
	X(TMPFS, "tmpfs", "to; value: bytes; flags: BOX_EXEC")                                                         \
	X(PROC, "proc", "to: processes of the box's own pid namespace; read-only, but for BOX_PROFILE_SNAPSHOT")       \
	X(PIVOT, "pivot", "the new root becomes /, read-only; the old one is gone")                                    \
	X(UNMOUNT, "unmount", "to: what an earlier plan of this box mounted (pooled boxes)")                           \
	X(HOSTNAME, "hostname", "from")                                                                                \
	X(LOOPBACK, "loopback", "lo of the box's net namespace goes up")                                               \
	X(LISTEN, "listen", "a TCP socket on 127.0.0.1, port value; passed to the gate with the BOXED frame")          \
	X(WAIT, "wait",                                                                                                \
	  "fd: a pipe; goes on when it says a NUL, fails with the words it says instead (network is up)")              \
	X(RLIMIT, "rlimit", "which: RLIMIT_*; value: soft and hard")                                                   \
	X(LANDLOCK, "landlock", "to: below it may be read and executed; flags: BOX_WRITABLE. Where the kernel has it") \
	X(RIGHTS, "rights", "value: enum box_profile. No capability, no_new_privs, seccomp filter")

#define BOX_ENUM(name, text, members) BOX_##name,
enum box_op_kind { BOX_OPS(BOX_ENUM) BOX_OP_KINDS };
#undef BOX_ENUM

#define BOX_WRITABLE 1u /* read-only without it; nosuid always */
#define BOX_EXEC     2u /* noexec without it */
#define BOX_DEV      4u /* device files work; nodev without it */
#define BOX_OPTIONAL 8u /* nothing is done where `from` does not exist */

enum box_profile {
	BOX_PROFILE_WORKER,   /* what a function may do */
	BOX_PROFILE_SNAPSHOT, /* and fork boxed workers of itself (SnapStart). Not with LANDLOCK, which forbids mounts
			       */
	BOX_PROFILE_POOL,     /* an unspecialised pooled box: keeps the right to mount in it, until a second plan with
				 namespaces 0 takes that too. No filter. Runs nothing of a function */
	BOX_PROFILES,
};

/* Namespaces the worker is cloned into, all in one call. */
#define BOX_NS_USER   1u
#define BOX_NS_MOUNT  2u
#define BOX_NS_PID    4u
#define BOX_NS_IPC    8u
#define BOX_NS_UTS    16u
#define BOX_NS_CGROUP 32u
#define BOX_NS_NET    64u
#define BOX_NS_ALL    127u

struct box_op {
	enum box_op_kind kind;
	uint32_t flags, which, fd;
	uint64_t value;
	struct str from, to;
};

struct boxplan {
	uint32_t namespaces; /* BOX_NS_*: a pooled box is made with ALL, what specialises it has 0 */
	uint32_t n_fds;      /* that come with it, lane and output included: 0 is the lane, 1 the output pipe */
	struct box_op *ops;
	size_t n_ops;
	/* What runs in it. argv[0] says what a runtime's program does with it: each runtime's own. */
	struct str *argv, *env; /* env: NAME=value, complete */
	size_t n_argv, n_env;
	struct str cwd; /* in the box */
};

#define BOXPLAN_MAX_BYTES (96u << 10) /* encoded: one message of a SEQPACKET socket */
#define BOXPLAN_MAX_OPS   256
#define BOXPLAN_MAX_FDS   8
#define BOXPLAN_MAX_WORDS 1024 /* of argv, and of env */

const char *box_op_name(enum box_op_kind k); /* "bind" */
void boxplan_encode(struct buf *b, const struct boxplan *p);
/* Views into bytes and a. -1: err says what is malformed, or which operation stands where it may not. */
int boxplan_decode(struct boxplan *ret, struct str bytes, struct arena *a, struct err *err);
/* The rules that need no system: order, paths, flags, fds in range, sizes; part of decode, and for who makes a plan. */
bool boxplan_makes_root(const struct boxplan *p);
int boxplan_check(const struct boxplan *p, struct err *err);
bool boxplan_has_root(const struct boxplan *p); /* has ROOT (and then PIVOT) */
/* One operation a line, for people: "bind     /usr -> /usr ro,exec". Values of env are not shown (secrets). */
void boxplan_print(struct buf *b, const struct boxplan *p);

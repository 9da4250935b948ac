/* Box plans: their bytes, the rules they keep, and how they look to people. Owns nothing: a decoded plan is views into
 * the bytes and arrays in the caller's arena. What fails is a plan that is malformed or breaks a rule; the message
 * names the operation by its place and kind.
 *
 *   u32 "WBX1", namespaces, n_fds, n_ops, n_argv, n_env; cwd
 *   an operation: u32 kind, flags, which, fd; u64 value; from, to          a string: u32 length, bytes
 * Little-endian. */
#include "wire/boxplan.h"

#include <endian.h>
#include <stdio.h>

#define MAGIC        0x31584257u
#define PATH_BYTES   4095
#define HOSTNAME_MAX 63
#define RLIMIT_KINDS 16
#define TMPFS_MAX    (1ull << 50)
#define FILE_MAX     (64u << 10)

#define BOX_NAME(name, text, members) [BOX_##name] = text,
static const char *const names[] = {BOX_OPS(BOX_NAME)};
#undef BOX_NAME

const char *box_op_name(enum box_op_kind k)
{
	return (unsigned)k < ARRAY_SIZE(names) ? names[k] : "?";
}

static void put32(struct buf *b, uint32_t v)
{
	v = htole32(v);
	buf_add(b, &v, sizeof(v));
}

static void put64(struct buf *b, uint64_t v)
{
	v = htole64(v);
	buf_add(b, &v, sizeof(v));
}

static void put_str(struct buf *b, struct str s)
{
	put32(b, (uint32_t)s.n);
	buf_add_str(b, s);
}

void boxplan_encode(struct buf *b, const struct boxplan *p)
{
	put32(b, MAGIC);
	put32(b, p->namespaces);
	put32(b, p->n_fds);
	put32(b, (uint32_t)p->n_ops);
	put32(b, (uint32_t)p->n_argv);
	put32(b, (uint32_t)p->n_env);
	put_str(b, p->cwd);
	for (size_t i = 0; i < p->n_ops; i++) {
		const struct box_op *op = &p->ops[i];

		put32(b, op->kind);
		put32(b, op->flags);
		put32(b, op->which);
		put32(b, op->fd);
		put64(b, op->value);
		put_str(b, op->from);
		put_str(b, op->to);
	}
	for (size_t i = 0; i < p->n_argv; i++)
		put_str(b, p->argv[i]);
	for (size_t i = 0; i < p->n_env; i++)
		put_str(b, p->env[i]);
}

static bool take32(struct str *in, uint32_t *ret)
{
	if (in->n < sizeof(*ret))
		return false;
	memcpy(ret, in->p, sizeof(*ret));
	*ret = le32toh(*ret);
	*in = str_sub(*in, sizeof(*ret), SIZE_MAX);
	return true;
}

static bool take64(struct str *in, uint64_t *ret)
{
	if (in->n < sizeof(*ret))
		return false;
	memcpy(ret, in->p, sizeof(*ret));
	*ret = le64toh(*ret);
	*in = str_sub(*in, sizeof(*ret), SIZE_MAX);
	return true;
}

static bool take_str(struct str *in, struct str *ret)
{
	uint32_t n;

	if (!take32(in, &n) || n > in->n)
		return false;
	*ret = str_n(in->p, n);
	*in = str_sub(*in, n, SIZE_MAX);
	return true;
}

static bool take_op(struct str *in, struct box_op *ret)
{
	uint32_t kind;

	if (!take32(in, &kind) || kind >= BOX_OP_KINDS)
		return false;
	ret->kind = (enum box_op_kind)kind;
	return take32(in, &ret->flags) && take32(in, &ret->which) && take32(in, &ret->fd) && take64(in, &ret->value) &&
	       take_str(in, &ret->from) && take_str(in, &ret->to);
}

static bool take_words(struct str *in, struct str *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!take_str(in, &words[i]))
			return false;
	return true;
}

int boxplan_decode(struct boxplan *ret, struct str bytes, struct arena *a, struct err *err)
{
	struct boxplan p = {0};
	uint32_t magic, n_ops, n_argv, n_env;

	if (bytes.n > BOXPLAN_MAX_BYTES)
		return err_set(err, 0, "box plan: %zu bytes, the limit is %u", bytes.n, BOXPLAN_MAX_BYTES);
	if (!take32(&bytes, &magic) || magic != MAGIC)
		return err_set(err, 0, "box plan: not a box plan");
	if (!take32(&bytes, &p.namespaces) || !take32(&bytes, &p.n_fds) || !take32(&bytes, &n_ops) ||
	    !take32(&bytes, &n_argv) || !take32(&bytes, &n_env) || !take_str(&bytes, &p.cwd))
		return err_set(err, 0, "box plan: cut short");
	if (n_ops > BOXPLAN_MAX_OPS || n_argv > BOXPLAN_MAX_WORDS || n_env > BOXPLAN_MAX_WORDS)
		return err_set(err, 0, "box plan: more than %u operations or %u words", BOXPLAN_MAX_OPS,
			       BOXPLAN_MAX_WORDS);
	p.n_ops = n_ops, p.n_argv = n_argv, p.n_env = n_env;
	p.ops = arena_new_n(a, struct box_op, n_ops + 1);
	p.argv = arena_new_n(a, struct str, n_argv + 1);
	p.env = arena_new_n(a, struct str, n_env + 1);
	for (size_t i = 0; i < p.n_ops; i++)
		if (!take_op(&bytes, &p.ops[i]))
			return err_set(err, 0, "box plan: operation %zu is cut short or of an unknown kind", i);
	if (!take_words(&bytes, p.argv, p.n_argv) || !take_words(&bytes, p.env, p.n_env))
		return err_set(err, 0, "box plan: argv or env is cut short");
	if (bytes.n)
		return err_set(err, 0, "box plan: %zu bytes follow its end", bytes.n);
	if (boxplan_check(&p, err) < 0)
		return -1;
	*ret = p;
	return 0;
}

/* Absolute, no empty, "." or ".." part, no NUL; "/" itself only where it makes sense. */
static const char *path_fault(struct str s, bool root)
{
	struct str part, rest;

	if (s.n > PATH_BYTES)
		return "is too long";
	if (!s.n || s.p[0] != '/')
		return "is not absolute";
	if (memchr(s.p, '\0', s.n))
		return "holds a NUL byte";
	if (s.n == 1)
		return root ? NULL : "is the root";
	rest = str_sub(s, 1, SIZE_MAX);
	for (bool more = true; more;) {
		more = str_cut(rest, '/', &part, &rest);
		if (!part.n || str_eqz(part, ".") || str_eqz(part, ".."))
			return "has an empty, \".\" or \"..\" part";
	}
	return NULL;
}

static const char *text_fault(struct str s, size_t max)
{
	if (!s.n)
		return "is empty";
	if (s.n > max)
		return "is too long";
	return memchr(s.p, '\0', s.n) ? "holds a NUL byte" : NULL;
}

static const char *hostname_fault(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
		      c == '.'))
			return "is not a name";
	}
	return text_fault(s, HOSTNAME_MAX);
}

/* Which members a kind uses, and within which limits. */
struct op_rule {
	bool to, to_root; /* a path; may be "/" */
	enum { FROM_NONE, FROM_PATH, FROM_TEXT, FROM_BYTES, FROM_HOSTNAME } from;
	uint32_t flags;
	bool fd;
	uint64_t least, most; /* of value */
	uint32_t needs;       /* namespaces */
	bool inside;          /* may stand in a plan with namespaces 0 */
	enum { PHASE_FIRST, PHASE_ROOT, PHASE_FILL, PHASE_PIVOT, PHASE_REST, PHASE_RIGHTS } phase;
};

static const struct op_rule rules[BOX_OP_KINDS] = {
	[BOX_CGROUP] = {.fd = true, .inside = true, .phase = PHASE_FIRST},
	[BOX_ROOT] = {.least = 1, .most = TMPFS_MAX, .needs = BOX_NS_MOUNT, .phase = PHASE_ROOT},
	[BOX_DIR] = {.to = true, .needs = BOX_NS_MOUNT, .phase = PHASE_FILL},
	[BOX_LINK] = {.to = true, .from = FROM_TEXT, .needs = BOX_NS_MOUNT, .phase = PHASE_FILL},
	[BOX_FILE] = {.to = true, .from = FROM_BYTES, .needs = BOX_NS_MOUNT, .phase = PHASE_FILL},
	[BOX_BIND] = {.to = true,
		      .from = FROM_PATH,
		      .flags = BOX_WRITABLE | BOX_EXEC | BOX_DEV | BOX_OPTIONAL,
		      .needs = BOX_NS_MOUNT,
		      .inside = true,
		      .phase = PHASE_FILL},
	[BOX_TMPFS] = {.to = true,
		       .flags = BOX_EXEC,
		       .least = 1,
		       .most = TMPFS_MAX,
		       .needs = BOX_NS_MOUNT,
		       .inside = true,
		       .phase = PHASE_FILL},
	[BOX_PROC] = {.to = true, .needs = BOX_NS_MOUNT | BOX_NS_PID, .phase = PHASE_FILL},
	[BOX_PIVOT] = {.needs = BOX_NS_MOUNT, .phase = PHASE_PIVOT},
	[BOX_UNMOUNT] = {.to = true, .needs = BOX_NS_MOUNT, .inside = true, .phase = PHASE_REST},
	[BOX_HOSTNAME] = {.from = FROM_HOSTNAME, .needs = BOX_NS_UTS, .phase = PHASE_REST},
	[BOX_LOOPBACK] = {.needs = BOX_NS_NET, .phase = PHASE_REST},
	[BOX_LISTEN] = {.least = 1, .most = 65535, .needs = BOX_NS_NET, .inside = true, .phase = PHASE_REST},
	[BOX_WAIT] = {.fd = true, .inside = true, .phase = PHASE_REST},
	[BOX_RLIMIT] = {.most = UINT64_MAX, .inside = true, .phase = PHASE_REST},
	[BOX_LANDLOCK] = {.to = true, .to_root = true, .flags = BOX_WRITABLE, .inside = true, .phase = PHASE_REST},
	[BOX_RIGHTS] = {.most = BOX_PROFILES - 1, .inside = true, .phase = PHASE_RIGHTS},
};

static const char *from_fault(const struct box_op *op, const struct op_rule *r)
{
	switch (r->from) {
	case FROM_PATH:
		return path_fault(op->from, true);
	case FROM_TEXT:
		return text_fault(op->from, PATH_BYTES);
	case FROM_BYTES:
		return op->from.n > FILE_MAX ? "is too long" : NULL;
	case FROM_HOSTNAME:
		return hostname_fault(op->from);
	case FROM_NONE:
		break;
	}
	return op->from.n ? "is not used" : NULL;
}

static int op_check(const struct boxplan *p, size_t i, struct err *err)
{
	const struct box_op *op = &p->ops[i];
	const struct op_rule *r = &rules[op->kind];
	const char *name = box_op_name(op->kind), *fault;
	bool ranged = r->least || r->most;

	if (p->namespaces ? (p->namespaces & r->needs) != r->needs : !r->inside)
		return err_set(err, 0, "box plan: operation %zu, %s, needs a namespace that the plan does not make", i,
			       name);
	if (op->flags & ~r->flags)
		return err_set(err, 0, "box plan: operation %zu, %s: flags %#x are not its", i, name,
			       op->flags & ~r->flags);
	if (r->fd ? op->fd < 2 || op->fd >= p->n_fds : op->fd != 0)
		return err_set(err, 0, "box plan: operation %zu, %s: file descriptor %u is out of place", i, name,
			       op->fd);
	if (op->kind == BOX_RLIMIT ? op->which >= RLIMIT_KINDS : op->which != 0)
		return err_set(err, 0, "box plan: operation %zu, %s: %u is no limit of processes", i, name, op->which);
	if (ranged ? op->value < r->least || op->value > r->most : op->value != 0)
		return err_set(err, 0, "box plan: operation %zu, %s: value %llu is out of range", i, name,
			       (unsigned long long)op->value);
	fault = r->to ? path_fault(op->to, r->to_root) : op->to.n ? "is not used" : NULL;
	if (fault)
		return err_set(err, 0, "box plan: operation %zu, %s: path %.*s %s", i, name, (int)MIN(op->to.n, 200),
			       op->to.p, fault);
	fault = from_fault(op, r);
	if (fault)
		return err_set(err, 0, "box plan: operation %zu, %s: %s %s", i, name,
			       r->from == FROM_PATH ? "its source" : "its text", fault);
	return 0;
}

bool boxplan_makes_root(const struct boxplan *p)
{
	for (size_t i = 0; i < p->n_ops; i++)
		if (p->ops[i].kind == BOX_ROOT)
			return true;
	return false;
}

/* May `next` follow `phase`? With a new root: FIRST, ROOT once, FILL, PIVOT once, REST, RIGHTS once. Without: there is
 * no PIVOT, and FILL and REST mix. */
static bool may_follow(int phase, int next, bool rooted)
{
	if (next == PHASE_RIGHTS)
		return phase != PHASE_RIGHTS && (!rooted || phase >= PHASE_PIVOT);
	if (!rooted)
		return next != PHASE_PIVOT && (next == PHASE_FIRST ? phase == PHASE_FIRST : phase < PHASE_RIGHTS);
	switch (next) {
	case PHASE_ROOT:
		return phase == PHASE_FIRST;
	case PHASE_FILL:
	case PHASE_PIVOT:
		return phase == PHASE_ROOT || phase == PHASE_FILL;
	case PHASE_REST:
		return phase == PHASE_PIVOT || phase == PHASE_REST;
	default:
		return phase == PHASE_FIRST;
	}
}

bool boxplan_has_root(const struct boxplan *p)
{
	for (size_t i = 0; i < p->n_ops; i++)
		if (p->ops[i].kind == BOX_ROOT)
			return true;
	return false;
}

static int order_check(const struct boxplan *p, struct err *err)
{
	int phase = PHASE_FIRST;
	bool rooted = boxplan_has_root(p), landlock = false;

	for (size_t i = 0; i < p->n_ops; i++) {
		enum box_op_kind kind = p->ops[i].kind;

		if (!may_follow(phase, rules[kind].phase, rooted))
			return err_set(err, 0, "box plan: operation %zu, %s, stands where it may not", i,
				       box_op_name(kind));
		phase = rules[kind].phase;
		landlock = landlock || kind == BOX_LANDLOCK;
	}
	if (phase != PHASE_RIGHTS)
		return err_set(err, 0, "box plan: its last operation is not %s", box_op_name(BOX_RIGHTS));
	if (landlock && p->ops[p->n_ops - 1].value != BOX_PROFILE_WORKER)
		return err_set(err, 0, "box plan: %s is for workers only: under it nothing can be mounted",
			       box_op_name(BOX_LANDLOCK));
	return 0;
}

int boxplan_check(const struct boxplan *p, struct err *err)
{
	const char *fault;

	if (p->namespaces & ~BOX_NS_ALL)
		return err_set(err, 0, "box plan: unknown namespaces %#x", p->namespaces & ~BOX_NS_ALL);
	if (p->namespaces && !(p->namespaces & BOX_NS_USER))
		return err_set(err, 0, "box plan: namespaces without one of users");
	if (p->n_fds < 1 || p->n_fds > BOXPLAN_MAX_FDS)
		return err_set(err, 0, "box plan: %u file descriptors, 1 to %u can be", p->n_fds, BOXPLAN_MAX_FDS);
	if (p->n_ops > BOXPLAN_MAX_OPS || p->n_argv > BOXPLAN_MAX_WORDS || p->n_env > BOXPLAN_MAX_WORDS)
		return err_set(err, 0, "box plan: more than %u operations or %u words", BOXPLAN_MAX_OPS,
			       BOXPLAN_MAX_WORDS);
	fault = path_fault(p->cwd, true);
	if (fault)
		return err_set(err, 0, "box plan: its working directory %s", fault);
	if (!p->n_argv)
		return err_set(err, 0, "box plan: argv is empty");
	for (size_t i = 0; i < p->n_argv; i++)
		if (memchr(p->argv[i].p, '\0', p->argv[i].n))
			return err_set(err, 0, "box plan: argv[%zu] holds a NUL byte", i);
	for (size_t i = 0; i < p->n_env; i++)
		if (str_chr(p->env[i], '=', 0) <= 0 || memchr(p->env[i].p, '\0', p->env[i].n))
			return err_set(err, 0, "box plan: env[%zu] is not NAME=value", i);
	for (size_t i = 0; i < p->n_ops; i++)
		if (op_check(p, i, err) < 0)
			return -1;
	return order_check(p, err);
}

/* Printed text goes to terminals: nothing of a plan may steer one. */
static void print_str(struct buf *b, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '\\' || c < 0x20 || c == 0x7f)
			buf_printf(b, "\\x%02x", c);
		else
			buf_addc(b, (char)c);
	}
}

static void print_flags(struct buf *b, uint32_t flags)
{
	buf_adds(b, flags & BOX_WRITABLE ? " rw" : " ro");
	if (flags & BOX_EXEC)
		buf_adds(b, ",exec");
	if (flags & BOX_DEV)
		buf_adds(b, ",dev");
	if (flags & BOX_OPTIONAL)
		buf_adds(b, ",optional");
}

static const char *rlimit_name(uint32_t which)
{
	static const char *const limits[RLIMIT_KINDS] = {
		"cpu",     "fsize", "data",  "stack",      "core",     "rss",  "nproc",  "nofile",
		"memlock", "as",    "locks", "sigpending", "msgqueue", "nice", "rtprio", "rttime",
	};

	return which < RLIMIT_KINDS ? limits[which] : "?";
}

static void print_op(struct buf *b, const struct box_op *op)
{
	static const char *const profiles[BOX_PROFILES] = {"worker", "snapshot", "pool"};
	const struct op_rule *r = &rules[op->kind];

	buf_printf(b, "%-9s", box_op_name(op->kind));
	if (op->kind == BOX_FILE)
		buf_printf(b, "%zu bytes -> ", op->from.n);
	else if (r->from != FROM_NONE) {
		print_str(b, op->from);
		if (r->to)
			buf_adds(b, " -> ");
	}
	if (r->to)
		print_str(b, op->to);
	if (r->fd)
		buf_printf(b, "fd %u", op->fd);
	if (op->kind == BOX_RIGHTS)
		buf_adds(b, op->value < BOX_PROFILES ? profiles[op->value] : "?");
	else if (op->kind == BOX_RLIMIT)
		buf_printf(b, "%s %llu", rlimit_name(op->which), (unsigned long long)op->value);
	else if (op->kind == BOX_LISTEN)
		buf_printf(b, "127.0.0.1:%llu", (unsigned long long)op->value);
	else if (r->most)
		buf_printf(b, "%s%llu bytes", r->to ? " " : "", (unsigned long long)op->value);
	if (op->kind == BOX_BIND || op->kind == BOX_LANDLOCK)
		print_flags(b, op->flags);
	else if (op->kind == BOX_TMPFS)
		print_flags(b, op->flags | BOX_WRITABLE);
	buf_addc(b, '\n');
}

void boxplan_print(struct buf *b, const struct boxplan *p)
{
	static const char *const spaces[] = {"user", "mount", "pid", "ipc", "uts", "cgroup", "net"};
	struct str name;

	buf_adds(b, "clone");
	for (size_t i = 0; i < ARRAY_SIZE(spaces); i++)
		if (p->namespaces & (1u << i))
			buf_printf(b, "%s%s", i ? "," : "    ", spaces[i]);
	buf_adds(b, p->namespaces ? "\n" : "    nothing: in the box that stands\n");
	for (size_t i = 0; i < p->n_ops; i++)
		print_op(b, &p->ops[i]);
	for (size_t i = 0; i < p->n_env; i++) {
		buf_adds(b, "env      ");
		str_cut(p->env[i], '=', &name, &(struct str){0});
		print_str(b, name);
		buf_addc(b, '\n');
	}
	buf_adds(b, "cwd      ");
	print_str(b, p->cwd);
	buf_adds(b, "\nrun     ");
	for (size_t i = 0; i < p->n_argv; i++) {
		buf_addc(b, ' ');
		print_str(b, p->argv[i]);
	}
	buf_addc(b, '\n');
}

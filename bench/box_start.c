/* What a box costs: one clone into all namespaces until the last right is given up, as a zygote's child does it, one
 * after the other; by parts, and with what a zygote prepares.
 *   box_start [COUNT]      as root (boxes are then those of nobody) or as an ordinary user */
#include "box/box.h"
#include "box/rights.h"
#include "box/spare.h"
#include "box/template.h"
#include "sys/clock.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT_MAX 5000
#define NOBODY    65534

#define OP(k, ...)                                                                                                     \
	{                                                                                                              \
		.kind = BOX_##k, __VA_ARGS__                                                                           \
	}
#define TO(s)     .to = STR(s)
#define SHARE(s)  OP(BIND, .to = STR(s), .from = STR(s), .flags = BOX_EXEC | BOX_OPTIONAL)
#define DEVICE(s) OP(BIND, .to = STR(s), .from = STR(s), .flags = BOX_WRITABLE | BOX_DEV)
#define NOTE(s)   OP(FILE, .to = STR(s), .from = STR("# a few words\n"))

/* As node/plan.c has it. */
static struct box_op worker[] = {
	OP(ROOT, .value = 1 << 20),
	OP(DIR, TO("/var")),
	OP(DIR, TO("/opt")),
	OP(DIR, TO("/etc")),
	OP(DIR, TO("/etc/ssl")),
	OP(DIR, TO("/dev")),
	SHARE("/usr"),
	OP(LINK, TO("/bin"), .from = STR("usr/bin")),
	OP(LINK, TO("/lib"), .from = STR("usr/lib")),
	OP(LINK, TO("/lib64"), .from = STR("usr/lib64")),
	SHARE("/etc/alternatives"),
	SHARE("/etc/ld.so.cache"),
	SHARE("/etc/ld.so.conf"),
	SHARE("/etc/ld.so.conf.d"),
	SHARE("/etc/ssl/certs"),
	SHARE("/etc/ssl/openssl.cnf"),
	SHARE("/etc/python3"),
	SHARE("/etc/fonts"),
	SHARE("/etc/mime.types"),
	SHARE("/etc/services"),
	SHARE("/etc/protocols"),
	SHARE("/etc/localtime"),
	NOTE("/etc/passwd"),
	NOTE("/etc/group"),
	NOTE("/etc/hosts"),
	NOTE("/etc/nsswitch.conf"),
	NOTE("/etc/resolv.conf"),
	DEVICE("/dev/null"),
	DEVICE("/dev/zero"),
	DEVICE("/dev/full"),
	DEVICE("/dev/random"),
	DEVICE("/dev/urandom"),
	OP(TMPFS, TO("/dev/shm"), .value = 64 << 20),
	OP(PROC, TO("/proc")),
	OP(TMPFS, TO("/tmp"), .value = 512 << 20, .flags = BOX_EXEC),
	OP(BIND, TO("/var/task"), .from = STR("/usr/share"), .flags = BOX_EXEC),
	OP(PIVOT),
	OP(HOSTNAME, .from = STR("wick")),
	OP(LOOPBACK),
	OP(LISTEN, .value = 9000),
	OP(RLIMIT, .which = 4),
	OP(LANDLOCK, TO("/")),
	OP(LANDLOCK, TO("/tmp"), .flags = BOX_WRITABLE),
	OP(LANDLOCK, TO("/dev"), .flags = BOX_WRITABLE),
	OP(RIGHTS, .value = BOX_PROFILE_WORKER),
};
static struct box_op nothing[] = {OP(RIGHTS, .value = BOX_PROFILE_POOL)};
static struct box_op rights[] = {OP(RIGHTS, .value = BOX_PROFILE_WORKER)};

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static bool with_spare;

static uint64_t one(const struct boxplan *p)
{
	uint64_t us = 0;
	int out[2], pidfd;
	pid_t pid;

	if (with_spare && spare_wanted())
		spare_make();
	if (pipe(out) < 0)
		exit(1);
	pid = box_clone(p, false, &pidfd);
	if (pid < 0) {
		fprintf(stderr, "box_start: this machine gives no namespaces\n");
		exit(1);
	}
	if (pid == 0) {
		struct box_result res;
		struct err err = ERR_NULL;

		if (box_enter(p, (int[]){0, 1}, 2, &res, &err) < 0)
			fprintf(stderr, "box_start: %s\n", err.msg);
		else if (write(out[1], &res.us, sizeof(res.us)) == sizeof(res.us))
			_exit(0);
		_exit(1);
	}
	close(out[1]);
	if (read(out[0], &us, sizeof(us)) != sizeof(us))
		exit(1);
	close(out[0]);
	close(pidfd);
	waitpid(pid, NULL, 0);
	return us;
}

static void measure(const char *name, struct box_op *ops, size_t n, uint32_t namespaces, size_t count)
{
	static uint64_t us[COUNT_MAX];
	struct str argv[] = {STR("worker")};
	const struct boxplan p = {.namespaces = namespaces,
				  .n_fds = 2,
				  .ops = ops,
				  .n_ops = n,
				  .argv = argv,
				  .n_argv = 1,
				  .cwd = STR("/")};

	for (size_t i = 0; i < count; i++)
		us[i] = one(&p);
	qsort(us, count, sizeof(*us), ascending);
	printf("%-44s p50 %5llu  p90 %5llu  p99 %5llu us\n", name, (unsigned long long)us[count / 2],
	       (unsigned long long)us[count * 9 / 10], (unsigned long long)us[count * 99 / 100]);
}

int main(int argc, char **argv)
{
	uint64_t count = 300;
	struct err err = ERR_NULL;

	if (argc > 1 && (!str_to_u64(str_from(argv[1]), &count) || count < 1 || count > COUNT_MAX)) {
		fprintf(stderr, "box_start: COUNT is 1 to %d\n", COUNT_MAX);
		return 2;
	}
	if ((geteuid() == 0 && box_drop_to(NOBODY, NOBODY, &err) < 0) || rights_prepare(&err) < 0) {
		fprintf(stderr, "box_start: %s\n", err.msg);
		return 1;
	}
	measure("clone, all namespaces but net", nothing, 1, BOX_NS_ALL & ~BOX_NS_NET, count);
	measure("clone, all namespaces", nothing, 1, BOX_NS_ALL, count);
	measure("  and rights given up", rights, 1, BOX_NS_ALL, count);
	measure("a worker's box, each mount by itself", worker, ARRAY_SIZE(worker), BOX_NS_ALL, count);
	if (template_begin(&err) < 0) {
		fprintf(stderr, "box_start: %s\n", err.msg);
		return 1;
	}
	measure("a worker's box, from the root's template", worker, ARRAY_SIZE(worker), BOX_NS_ALL, count);
	with_spare = true;
	measure("  and a net namespace made ahead", worker, ARRAY_SIZE(worker), BOX_NS_ALL, count);
	return 0;
}

/* wick-box: shows box plans, and runs programs in boxes. Owns nothing that outlives a command. As a zygote it loads
 * nothing: a worker's program is executed in its box, as pid 1 of it. */
#include "base/mem.h"
#include "box/zygote.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
	"wick-box puts a worker into its box: namespaces, a root of its own, no rights. wick-node starts it.\n"
	"\n"
	"  wick-box --dry-run FILE   reads an encoded box plan (- for standard input), checks it and prints what it "
	"would\n"
	"                            do, one operation a line; values of the environment are not shown\n"
	"  wick-box --zygote [--uid N --gid N]\n"
	"                            with a packet socket as fd 3: boxes and executes a program for each message\n"
	"  wick-box --help | --version\n"
	"\n"
	"Examples:\n"
	"  wick-box --dry-run worker.plan\n"
	"  wick-box --dry-run - < worker.plan\n"
	"\n"
	"Exit status: 0 done, 1 the plan is refused or cannot be read, 2 wrong arguments.\n";

static int dry_run(const char *path)
{
	_cleanup_(buf_done) struct buf in = BUF_NULL, out = BUF_NULL;
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	_cleanup_(err_done) struct err err = ERR_NULL;
	struct boxplan plan;
	int r = file_read(strcmp(path, "-") == 0 ? "/dev/stdin" : path, BOXPLAN_MAX_BYTES, &in);

	if (r < 0) {
		fprintf(stderr, "wick-box: read %s: %s\n", path, strerror(-r));
		return 1;
	}
	if (boxplan_decode(&plan, buf_str(&in), &a, &err) < 0) {
		fprintf(stderr, "wick-box: %s: %s\n", path, err.msg);
		return 1;
	}
	boxplan_print(&out, &plan);
	return fwrite(out.p, 1, out.n, stdout) == out.n && fflush(stdout) == 0 ? 0 : 1;
}

/* The program gets the lane and what else came with the plan under the numbers they have. */
static void run_program(void *arg, const struct zygote_worker *w)
{
	char **argv = xnew_n(char *, w->plan->n_argv + 1);

	for (size_t i = 0; i < w->plan->n_argv; i++)
		argv[i] = str_dup(w->plan->argv[i]);
	for (size_t i = 0; i < w->n_fds; i++)
		if (w->fds[i] > 2)
			fcntl(w->fds[i], F_SETFD, 0);
	execvp(argv[0], argv);
	dprintf(2, "wick-box: execute %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

int main(int argc, char **argv)
{
	static const struct zygote_runtime runtime = {.program = "wick-box", .run = run_program};

	if (argc == 2 && strcmp(argv[1], "--help") == 0)
		return fputs(help, stdout) < 0;
	if (argc == 2 && strcmp(argv[1], "--version") == 0)
		return printf("wick-box %s\n", WICK_VERSION) < 0;
	if (argc == 3 && strcmp(argv[1], "--dry-run") == 0)
		return dry_run(argv[2]);
	if (argc >= 2 && strcmp(argv[1], "--zygote") == 0)
		return zygote_main(argc, argv, &runtime, NULL);
	fputs("wick-box: --dry-run FILE or --zygote (try --help)\n", stderr);
	return 2;
}

/* The native runtime: pid 1 of the box starts the function's process and answers for it when it crashes. That process
 * is either a fork of this program which loads the shared object, or an executable linked with libwick; it has the lane
 * for itself. pid 1 only reaps, and looks whether the lane is still open at its other end. */
#include "runtime/shim/shim.h"
#include "wick.h"
#include "wire/execfile.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TASK_ROOT   "/var/task"
#define DEFAULT_SYM "wick_handler"

static _noreturn_ void init_error(const char *type, const char *fmt, ...) _printf_(2, 3);

/* In the forked child, which has the lane. */
static _noreturn_ void init_error(const char *type, const char *fmt, ...)
{
	struct buf message = BUF_NULL;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&message, fmt, ap);
	va_end(ap);
	wick_init_error(type, buf_cstr(&message));
}

/* dlopen says of an object for another machine that there is no such file. */
static void check_object(const char *path)
{
	char head[EXECFILE_HEAD];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof(head));
	struct execfile x;
	const char *name;

	if (n < 0)
		init_error("Runtime.InvalidEntrypoint", "%s: %s", path, strerror(errno));
	close(fd);
	execfile_look(&x, str_n(head, (size_t)n));
	if (x.kind != EXECFILE_ELF)
		init_error("Runtime.InvalidEntrypoint", "%s is not a shared object", path);
	name = execfile_machine_name(x.machine);
	if (!x.ours)
		init_error("Runtime.InvalidEntrypoint", "%s is built for %s, this machine is %s", path,
			   name ? name : "another architecture", execfile_machine_here());
}

static _noreturn_ void run_object(const char *path, const char *symbol)
{
	wick_handler_fn *handler;
	int (*init)(void);
	void *object;
	int r;

	check_object(path);
	object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!object)
		init_error("Runtime.InvalidEntrypoint", "%s", dlerror());
	*(void **)&handler = dlsym(object, symbol);
	if (!handler)
		init_error("Runtime.HandlerNotFound", "%s", dlerror());
	*(void **)&init = dlsym(object, "wick_init");
	r = init ? init() : 0;
	if (r)
		init_error("Runtime.InitError", "wick_init of %s returned %d", path, r);
	_exit(wick_run(handler));
}

/* The number by which libwick finds it. */
static void name_lane(int fd)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", fd);
	setenv("WICK_LANE_FD", text, 1);
}

static void exited(void *arg, int status)
{
	shim_program_over(arg, status);
}

static void start_object(struct shim *s, struct str file, struct str symbol)
{
	struct buf path = BUF_NULL;
	char *symbol_text = str_dup(symbol.n ? symbol : STR(DEFAULT_SYM));
	pid_t pid;

	buf_printf(&path, "%s%.*s", str_starts(file, STR("/")) ? "" : TASK_ROOT "/", STR_ARG(file));
	pid = fork();
	if (pid < 0)
		shim_init_failed(s, "Runtime.InitError", "fork: %s", strerror(errno));
	if (pid == 0) {
		program_unblock_signals();
		close(s->poller.epoll);
		close(s->program.signals.fd);
		name_lane(s->lane.watch.fd);
		run_object(path.p, symbol_text);
	}
	free(symbol_text);
	buf_done(&path);
	program_adopt(&s->program, pid);
}

static void start_executable(struct shim *s, struct str file)
{
	struct buf path = BUF_NULL;
	struct err err = ERR_NULL;
	const int keep[] = {s->lane.watch.fd};

	buf_printf(&path, "%s%.*s", str_starts(file, STR("/")) ? "" : TASK_ROOT "/", STR_ARG(file));
	name_lane(PROGRAM_GIVEN_FD);
	if (program_start(&s->program, path.p, (char *[]){path.p, NULL}, keep, ARRAY_SIZE(keep), &err) < 0)
		shim_init_failed(s, "Runtime.InvalidEntrypoint", "%s", err.msg);
	buf_done(&path);
}

void native_run(const struct zygote_worker *w)
{
	struct shim *s = xnew(struct shim);
	struct str handler = str_from(shim_env("_HANDLER", "")), file, symbol;

	shim_begin(s, w, NULL, exited, s);
	str_cut(handler, ':', &file, &symbol);
	if (str_ends(file, STR(".so")))
		start_object(s, file, symbol);
	else
		start_executable(s, handler);
	poller_run(&s->poller);
}

/* The native runtime: pid 1 of the box starts the function's process and answers for it when it crashes. That process
 * is either a fork of this program which loads the shared object, or an executable linked with libwick; it has the lane
 * for itself. pid 1 only reaps, and looks whether the lane is still open at its other end. */
#include "runtime/native/state.h"
#include "runtime/shim/shim.h"
#include "wick.h"
#include "wire/execfile.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TASK_ROOT   "/var/task"
#define DEFAULT_SYM "wick_handler"

struct native {
	struct shim shim;
	struct native_state *state;
};

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

static struct native_state *make_state(int *fd)
{
	struct native_state *s;

	*fd = memfd_create("wick", MFD_CLOEXEC);
	if (*fd < 0 || ftruncate(*fd, sizeof(*s)) < 0)
		return NULL;
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	return s == MAP_FAILED ? NULL : s;
}

/* The numbers by which libwick finds its descriptors. */
static void name_fds(int lane, int state)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", lane);
	setenv(NATIVE_LANE_ENV, text, 1);
	snprintf(text, sizeof(text), "%d", state);
	setenv(NATIVE_STATE_ENV, text, 1);
}

static void exited(void *arg, int status)
{
	struct native *n = arg;
	struct buf message = BUF_NULL;

	n->shim.ready = n->state->ready;
	if (n->state->init_error)
		shim_end(&n->shim, 1);
	if (n->state->writing) /* in the middle of a frame: nothing more can be said on this lane */
		_exit(1);
	shim_exit_message(status, &message);
	for (size_t i = 0; i < NATIVE_SLOTS; i++)
		if (n->state->slots[i].open)
			shim_error(&n->shim, n->state->slots[i].id, "Runtime.ExitError", "%s", buf_cstr(&message));
	buf_done(&message);
	shim_program_over(&n->shim, status);
}

static void start_object(struct native *n, struct str file, struct str symbol, int state_fd)
{
	struct buf path = BUF_NULL;
	char *symbol_text = str_dup(symbol.n ? symbol : STR(DEFAULT_SYM));
	pid_t pid;

	buf_printf(&path, "%s%.*s", str_starts(file, STR("/")) ? "" : TASK_ROOT "/", STR_ARG(file));
	pid = fork();
	if (pid < 0)
		shim_init_failed(&n->shim, "Runtime.InitError", "fork: %s", strerror(errno));
	if (pid == 0) {
		program_unblock_signals();
		close(n->shim.poller.epoll);
		close(n->shim.program.signals.fd);
		name_fds(n->shim.lane.watch.fd, state_fd);
		run_object(path.p, symbol_text);
	}
	close(state_fd);
	free(symbol_text);
	buf_done(&path);
	program_adopt(&n->shim.program, pid);
}

static void start_executable(struct native *n, struct str file, int state_fd)
{
	struct buf path = BUF_NULL;
	struct err err = ERR_NULL;
	const int keep[] = {n->shim.lane.watch.fd, state_fd};

	buf_printf(&path, "%s%.*s", str_starts(file, STR("/")) ? "" : TASK_ROOT "/", STR_ARG(file));
	name_fds(PROGRAM_GIVEN_FD, PROGRAM_GIVEN_FD + 1);
	if (program_start(&n->shim.program, path.p, (char *[]){path.p, NULL}, keep, ARRAY_SIZE(keep), &err) < 0)
		shim_init_failed(&n->shim, "Runtime.InvalidEntrypoint", "%s", err.msg);
	close(state_fd);
	buf_done(&path);
}

void native_run(const struct zygote_worker *w)
{
	struct native *n = xnew(struct native);
	struct str handler = str_from(shim_env("_HANDLER", "")), file, symbol;
	int state_fd;

	shim_begin(&n->shim, w, NULL, exited, n);
	n->state = make_state(&state_fd);
	if (!n->state)
		shim_init_failed(&n->shim, "Runtime.InitError", "shared memory: %s", strerror(errno));
	str_cut(handler, ':', &file, &symbol);
	if (str_ends(file, STR(".so")))
		start_object(n, file, symbol, state_fd);
	else
		start_executable(n, handler, state_fd);
	poller_run(&n->shim.poller);
}

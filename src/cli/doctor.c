/* wick doctor: what this machine lacks. Each check says ok, warn or fail, what it saw, and how to mend it. Changes
 * nothing but a temporary file in the data folder, which tells how long a durable write takes. */
#include "cli/doctor.h"

#include "cli/commands.h"
#include "cli/out.h"
#include "cli/program.h"

#include "base/mem.h"
#include "base/time.h"
#include "sys/clock.h"
#include "sys/file.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#define LOW_DISK        ((uint64_t)2 << 30)
#define SLOW_FSYNC_US   50000
#define CLOCK_SKEW_MS   60000
#define CHILD_LIMIT_MS  20000
#define TYPICAL_NOFILE  1024
#define HTTP_TIMEOUT_MS 3000

void doctor_say(struct doctor *d, enum verdict v, const char *what, const char *mend, const char *fmt, ...)
{
	static const char *const words[] = {"ok", "warn", "fail"};
	static const enum tone tones[] = {TONE_GOOD, TONE_WARN, TONE_BAD};
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	d->failed = d->failed || v == FAIL;
	if (d->list) {
		json_t *o = json_pack("{s:s, s:s}", "check", what, "verdict", words[v]);

		json_set_str(o, "seen", buf_str(&b));
		if (mend && v != OK)
			json_object_set_new(o, "mend", json_string(mend));
		json_array_append_new(d->list, o);
		return;
	}
	printf("%s%-4s%s  %-14s %s\n", tone_on(STDOUT_FILENO, tones[v]), words[v], tone_off(STDOUT_FILENO, tones[v]),
	       what, buf_cstr(&b));
	if (mend && v != OK)
		printf("%22s%s\n", "", mend);
}

static bool python_has(const char *module)
{
	_cleanup_(freep) char *code = xasprintf("import %s", module);
	const char *argv[] = {"/usr/bin/python3.11", "-c", code, NULL};

	return program_run(argv, CHILD_LIMIT_MS, NULL) == 0;
}

static void check_python(struct doctor *d)
{
	void *lib = dlopen("libpython3.11.so.1.0", RTLD_LAZY | RTLD_LOCAL);
	bool boto3, pillow;

	if (lib)
		dlclose(lib);
	doctor_say(d, lib ? OK : FAIL, "python", "apt install libpython3.11", "%s",
		   lib ? "libpython3.11 is there" : "libpython3.11.so.1.0 is missing: Python functions cannot run");
	if (access("/usr/bin/python3.11", X_OK) < 0) {
		doctor_say(d, WARN, "python modules", "apt install python3.11", "no /usr/bin/python3.11 to look with");
		return;
	}
	boto3 = python_has("boto3");
	pillow = python_has("PIL");
	doctor_say(d, boto3 ? OK : WARN, "boto3", "apt install python3-boto3", "%s",
		   boto3 ? "functions can import it" : "functions that import it need it in their package");
	doctor_say(d, pillow ? OK : WARN, "Pillow", "apt install python3-pil", "%s",
		   pillow ? "functions can import it" : "examples/thumbnail needs it");
}

/* The nearest folder above that is there. */
static char *existing(const char *path)
{
	_cleanup_(freep) char *at = xstrdup(path);

	while (access(at, F_OK) < 0) {
		char *slash = strrchr(at, '/');

		if (!slash)
			return xstrdup(".");
		if (slash == at)
			return xstrdup("/");
		*slash = '\0';
	}
	return steal(&at);
}

static void check_fsync(struct doctor *d, const char *dir)
{
	_cleanup_(freep) char *path = xasprintf("%s/.wick-doctor-%d", dir, getpid());
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	uint64_t began;
	char block[4096] = "", text[OUT_TEXT];
	bool ok;

	if (fd < 0) {
		doctor_say(d, WARN, "disk speed", NULL, "%s cannot be written: %s", dir, strerror(errno));
		return;
	}
	began = clock_mono_us();
	ok = write_all(fd, block, sizeof(block)) == 0 && fsync(fd) == 0;
	began = clock_mono_us() - began;
	close(fd);
	unlink(path);
	if (!ok)
		doctor_say(d, FAIL, "disk speed", "use a disk that takes fsync", "a durable write failed: %s",
			   strerror(errno));
	else
		doctor_say(d, began < SLOW_FSYNC_US ? OK : WARN, "disk speed",
			   "every upload waits for this: put the data folder on a faster disk",
			   "a durable write takes %s", out_us(began, text));
}

static void check_disk(struct doctor *d)
{
	_cleanup_(freep) char *dir = existing(d->data);
	struct statvfs vfs;
	struct stat st;
	char text[OUT_TEXT];
	uint64_t room;

	if (stat(d->data, &st) == 0 && !S_ISDIR(st.st_mode))
		doctor_say(d, FAIL, "data folder", "name another with --data DIR", "%s is not a folder", d->data);
	else if (access(dir, W_OK) < 0)
		doctor_say(d, FAIL, "data folder", "name another with --data DIR", "%s cannot be written: %s", dir,
			   strerror(errno));
	else
		doctor_say(d, OK, "data folder", NULL, "%s%s", d->data, strcmp(dir, d->data) ? " (will be made)" : "");
	if (statvfs(dir, &vfs) < 0)
		return;
	room = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	doctor_say(d, room > LOW_DISK ? OK : WARN, "disk space", "objects, logs and packages need room", "%s free",
		   out_bytes(room, text));
	check_fsync(d, dir);
}

static void check_kernel(struct doctor *d)
{
	struct utsname u;
	int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	long files = sysconf(_SC_OPEN_MAX);

	uname(&u);
	if (pidfd >= 0)
		close(pidfd);
	doctor_say(d, pidfd >= 0 ? OK : FAIL, "kernel", "Linux 5.9 or newer is needed", "Linux %s, pidfd %s", u.release,
		   pidfd >= 0 ? "works" : "is missing");
	doctor_say(d, files > TYPICAL_NOFILE ? OK : WARN, "open files", "raise it: ulimit -n 65536", "limit %ld",
		   files);
}

static void check_server(struct doctor *d)
{
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_(http_response_done) struct http_response r = {0};
	struct client_call health = {
		.service = "wick", .method = "GET", .path = "/_wick/health", .timeout_ms = HTTP_TIMEOUT_MS};
	_cleanup_(err_done) struct err err = ERR_NULL;
	int64_t date, off;
	char code[64];

	client = client_open(d->c->data, &err);
	if (!client) {
		doctor_say(d, WARN, "server", NULL, "%s", err.msg);
		return;
	}
	if (client_call(client, &health, &r, &err) < 0) {
		doctor_say(d, WARN, "server", "start it: wick serve", "%s", err.msg);
		return;
	}
	doctor_say(d, r.status == 200 ? OK : FAIL, "server", "see its log", "%s answers %u",
		   client_conf(client)->endpoint, r.status);
	if (time_parse_http(http_response_header(&r, "date"), &date)) {
		off = clock_wall_ms() - date * 1000;
		doctor_say(d, off < CLOCK_SKEW_MS && off > -CLOCK_SKEW_MS ? OK : FAIL, "clock",
			   "set it (systemd-timesyncd or chrony): signatures fail beyond 15 minutes",
			   "%lld s from the server's", (long long)(off / 1000));
	}
	if (client_json(client, "lambda", "GET", "/2015-03-31/functions", "MaxItems=1", NULL, NULL, code, &err) < 0)
		doctor_say(d, FAIL, "keys", "eval \"$(wick env)\" on the server's machine", "%s", err.msg);
	else
		doctor_say(d, OK, "keys", NULL, "accepted");
}

static void check_port(struct doctor *d)
{
	_cleanup_(freep) char *path = xasprintf("%s/run/endpoint", d->data);

	if (access(path, F_OK) == 0)
		return; /* check_server says whether it answers */
	doctor_say(d, OK, "port", NULL, "wick serve takes 127.0.0.1:9000 unless --listen says another");
}

int doctor_run(const struct cli *c)
{
	_cleanup_(freep) char *data = c->data ? xstrdup(c->data) : client_default_data();
	struct doctor d = {.c = c, .data = data, .list = c->json ? json_array() : NULL};

	if (c->n_args)
		return cli_usage(c, "takes no operands");
	check_python(&d);
	check_disk(&d);
	check_kernel(&d);
	doctor_boxes(&d);
	doctor_devices(&d);
	check_port(&d);
	check_server(&d);
	if (d.list)
		cli_print_json(d.list);
	return d.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Starts, watches and ends MPS daemons (NVIDIA, "Multi-Process Service" guide). A daemon is there when its socket
 * `control` is. One that dies takes the work of its clients along: they are told, and it is started again after a pause
 * for those that come; one that nobody needed for a minute ends.
 *
 * Owns the daemons and their folders below the node's. Never fails by itself: what is wrong is told to who waits. */
#include "node/mps.h"

#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "sys/child.h"
#include "sys/file.h"
#include "sys/log.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LAUNCHER       "wick-devices"
#define RUNTIME_FOLDER "/run/wick/mps" /* as root; short, for it holds sockets, and open to the boxes' user */
#define LOOK_MS        20
#define READY_MS       10000
#define IDLE_MS        60000
#define PAUSE_FIRST_MS 500
#define PAUSE_MAX_MS   4000 /* less than who waits does */
#define STEADY_MS      30000

struct daemon;

struct mps_use {
	struct list_link on_daemon;
	struct daemon *daemon;
	void (*ready)(void *arg, const char *error); /* NULL: it was called */
	void (*lost)(void *arg);
	void *arg;
};

DEFINE_LIST(use_list, struct mps_use, on_daemon)

struct daemon {
	struct list_link on_mps;
	struct mps *mps;
	char *uuid, *control, *folder;
	struct child *child;
	bool up;
	struct timer *timer; /* looks whether it is up; then when it may be started again, or end */
	uint64_t started_ms, waits_ms, pause_ms;
	struct use_list uses;
};

DEFINE_LIST(daemon_list, struct daemon, on_mps)

struct mps {
	struct loop *loop;
	const struct node_conf *conf;
	char *folder;
	struct daemon_list daemons;
};

static void start(struct daemon *d);

/* All who wait; each may give its use back in the call. */
static void tell_ready(struct daemon *d, const char *error)
{
	struct mps_use *u = use_list_first(&d->uses);

	while (u) {
		void (*ready)(void *, const char *) = u->ready;

		u->ready = NULL;
		if (!ready) {
			u = use_list_next(u);
			continue;
		}
		ready(u->arg, error);
		u = use_list_first(&d->uses); /* the list may be another now */
	}
}

static void tell_lost(struct daemon *d)
{
	struct mps_use *u = use_list_first(&d->uses);

	while (u) {
		void (*lost)(void *) = u->lost;
		bool was_ready = !u->ready;

		if (!lost || !was_ready) {
			u = use_list_next(u);
			continue;
		}
		u->lost = NULL;
		lost(u->arg);
		u = use_list_first(&d->uses);
	}
}

static bool anybody_waits(const struct daemon *d)
{
	for (const struct mps_use *u = use_list_first(&d->uses); u; u = use_list_next(u))
		if (u->ready)
			return true;
	return false;
}

static void on_exit_of(void *arg, const struct child_exit *ex)
{
	struct daemon *d = arg;
	bool was_up = d->up;

	d->child = child_free(d->child);
	d->up = false;
	if (loop_now_ms(d->mps->loop) - d->started_ms >= STEADY_MS)
		d->pause_ms = PAUSE_FIRST_MS;
	log_warn("the MPS daemon of %s ended (%s %d); starting it again in %llu ms", d->uuid,
		 WIFSIGNALED(ex->status) ? "signal" : "status",
		 WIFSIGNALED(ex->status) ? WTERMSIG(ex->status) : WEXITSTATUS(ex->status),
		 (unsigned long long)d->pause_ms);
	timer_set(d->timer, d->pause_ms);
	d->pause_ms = MIN(d->pause_ms * 2, (uint64_t)PAUSE_MAX_MS);
	if (was_up)
		tell_lost(d);
}

static bool is_there(const struct daemon *d)
{
	_cleanup_(freep) char *path = xasprintf("%s/pipe/control", d->folder);

	return access(path, F_OK) == 0;
}

static void end(struct daemon *d)
{
	d->child = child_free(d->child);
	d->up = false;
	rm_rf(d->folder);
}

static void on_timer(void *arg)
{
	struct daemon *d = arg;
	bool late = anybody_waits(d) && loop_now_ms(d->mps->loop) - d->waits_ms > READY_MS;

	if (!d->uses.n && (!d->child || d->up)) {
		end(d);
		return;
	}
	if (!d->child && !late) {
		start(d);
		return;
	}
	if (d->child && !d->up && is_there(d)) {
		d->up = true;
		log_info("the MPS daemon of %s runs", d->uuid);
	}
	if (d->up) {
		tell_ready(d, NULL);
		return;
	}
	if (late)
		tell_ready(d, "its MPS daemon did not start within 10 s");
	timer_set(d->timer, d->child ? LOOK_MS : d->pause_ms);
}

/* Nothing of an earlier life, whose socket would look as if the daemon were there. */
static int make_folders(const struct daemon *d, struct err *err)
{
	static const struct {
		const char *name;
		unsigned mode;
	} folders[] = {{"pipe", 0755}, {"log", 0700}, {"shm", 01777}};
	int r = rm_rf(d->folder);

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(folders); i++) {
		_cleanup_(freep) char *path = xasprintf("%s/%s", d->folder, folders[i].name);

		r = mkdir_p(path, folders[i].mode);
		if (r >= 0 && chmod(path, folders[i].mode) < 0)
			r = -1;
	}
	return r < 0 ? err_set(err, 0, "make the folders of an MPS daemon in %s", d->folder) : 0;
}

static int start_child(struct daemon *d, struct err *err)
{
	_cleanup_(freep) char *path = file_find_program(d->mps->conf->libexec, LAUNCHER);
	_cleanup_(freep) char *pipe = xasprintf("CUDA_MPS_PIPE_DIRECTORY=%s/pipe", d->folder);
	_cleanup_(freep) char *log = xasprintf("CUDA_MPS_LOG_DIRECTORY=%s/log", d->folder);
	_cleanup_(freep) char *visible = xasprintf("CUDA_VISIBLE_DEVICES=%s", d->uuid);
	_cleanup_(freep) char *search =
		xasprintf("PATH=%s", getenv("PATH") ? getenv("PATH") : "/usr/local/bin:/usr/bin:/bin");
	_cleanup_(freep) char *libraries =
		xasprintf("LD_LIBRARY_PATH=%s", getenv("LD_LIBRARY_PATH") ? getenv("LD_LIBRARY_PATH") : "");
	char program[] = LAUNCHER, word[] = "mps";
	char *argv[] = {program, word, d->folder, d->control, NULL};
	char *envp[] = {pipe, log, visible, search, libraries, NULL};
	const struct child_fd fds[] = {{2, 1}, {2, 2}};
	const struct child_spec spec = {
		.path = path,
		.argv = argv,
		.envp = envp,
		.fds = fds,
		.n_fds = ARRAY_SIZE(fds),
		.new_session = true, /* its server ends with it */
		.die_with_parent = true,
	};

	if (!path)
		return err_set(err, 0, "the program %s is not installed", LAUNCHER);
	if (make_folders(d, err) < 0)
		return -1;
	d->child = child_start(d->mps->loop, &spec, on_exit_of, d, err);
	return d->child ? 0 : -1;
}

static void start(struct daemon *d)
{
	_cleanup_(err_done) struct err err = ERR_NULL;

	d->started_ms = loop_now_ms(d->mps->loop);
	if (start_child(d, &err) == 0) {
		timer_set(d->timer, LOOK_MS);
		return;
	}
	log_warn("the MPS daemon of %s cannot be started: %s", d->uuid, err.msg);
	timer_set(d->timer, d->pause_ms);
	d->pause_ms = MIN(d->pause_ms * 2, (uint64_t)PAUSE_MAX_MS);
	tell_ready(d, err.msg);
}

static struct daemon *daemon_of(struct mps *m, struct str uuid, struct str control)
{
	struct daemon *d = daemon_list_first(&m->daemons);

	while (d && !str_eqz(uuid, d->uuid))
		d = daemon_list_next(d);
	if (d)
		return d;
	d = xnew(struct daemon);
	*d = (struct daemon){.mps = m, .uuid = str_dup(uuid), .control = str_dup(control), .pause_ms = PAUSE_FIRST_MS};
	d->folder = xasprintf("%s/%zu", m->folder, m->daemons.n);
	d->timer = timer_new(m->loop, on_timer, d);
	daemon_list_push(&m->daemons, d);
	return d;
}

struct mps_use *mps_take(struct mps *m, struct str uuid, struct str control,
			 void (*ready)(void *arg, const char *error), void (*lost)(void *arg), void *arg)
{
	struct mps_use *u = xnew(struct mps_use);
	struct daemon *d = daemon_of(m, uuid, control);

	*u = (struct mps_use){.daemon = d, .ready = ready, .lost = lost, .arg = arg};
	if (!anybody_waits(d))
		d->waits_ms = loop_now_ms(m->loop);
	use_list_push(&d->uses, u);
	/* One that died waits for its pause: its timer is set then. */
	if (!d->child && loop_now_ms(m->loop) - d->started_ms < d->pause_ms && d->started_ms)
		return u;
	if (!d->child || d->up)
		timer_set(d->timer, 0);
	return u;
}

struct mps_use *mps_give(struct mps_use *u)
{
	struct daemon *d;

	if (!u)
		return NULL;
	d = u->daemon;
	use_list_remove(&d->uses, u);
	if (!d->uses.n && d->up)
		timer_set(d->timer, IDLE_MS);
	free(u);
	return NULL;
}

const char *mps_folder(const struct mps_use *u)
{
	return u->daemon->folder;
}

struct mps *mps_new(struct loop *l, const struct node_conf *conf)
{
	struct mps *m = xnew(struct mps);

	*m = (struct mps){.loop = l, .conf = conf};
	/* Several nodes on one machine have folders of their own, the same ones in every life. */
	m->folder = conf->box_uid ? xasprintf("%s/%08llx", RUNTIME_FOLDER,
					      (unsigned long long)(siphash13((const uint8_t[16]){0}, conf->data,
									     strlen(conf->data)) >>
								   32))
				  : xasprintf("%s/node/mps", conf->data);
	return m;
}

struct mps *mps_free(struct mps *m)
{
	struct daemon *d;

	if (!m)
		return NULL;
	while ((d = daemon_list_pop(&m->daemons))) {
		end(d);
		timer_free(d->timer);
		free(d->uuid);
		free(d->control);
		free(d->folder);
		free(d);
	}
	rm_rf(m->folder);
	free(m->folder);
	free(m);
	return NULL;
}

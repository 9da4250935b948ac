/* Runs wick-devices and keeps what it says. While there is a driver that measures, it says so every second; one that
 * says nothing for 5 s, or dies, is started anew after a pause, and meanwhile its devices keep their last known state
 * and the trouble. A machine without such a driver is looked at again every 10 minutes.
 *
 * Owns the child and the list; the list is replaced as a whole. Fails only on a wrong declaration. */
#include "node/devices.h"

#include "base/mem.h"
#include "node/usage.h"
#include "sys/child.h"
#include "sys/file.h"
#include "sys/log.h"
#include "wire/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM        "wick-devices"
#define ANSWER_MS      5000
#define PAUSE_FIRST_MS 1000
#define PAUSE_MAX_MS   60000
#define RESCAN_MS      600000
#define MEASURED_MS    10000
#define LINE_MAX_BYTES (1u << 20)
#define HUNG           "the driver did not answer within 5 s"
#define CRASHED        "its driver crashed"
#define GONE           "it is gone: its driver does not list it any more"

struct devices {
	struct loop *loop;
	const struct node_conf *conf;
	const struct devices_handler *handler;
	void *arg;
	char *path; /* of wick-devices; NULL: it is not installed */
	struct child *child;
	int out;
	struct watch *watch;
	struct buf line;
	struct timer *deadline, *again;
	uint64_t pause_ms, told_ms;
	bool answered; /* by the child that runs */
	bool watched;  /* the child goes on telling */
	bool bare;     /* the child asks no driver: the one before hung or crashed, and no device was known */
	bool failing, said;

	json_t *declared_doc; /* whose strings they are, or the setting's */
	struct arena declared_arena;
	struct device *declared;
	size_t n_declared;

	struct arena arena; /* of the list, whose strings are views into all */
	json_t *all, *processes;
	struct device *list;
	size_t n;
	struct str mps_control;
	char *mps_text;
};

/* ---- the list ---- */

static bool equal_lists(const struct device *a, size_t n_a, const struct device *b, size_t n_b)
{
	if (n_a != n_b)
		return false;
	for (size_t i = 0; i < n_a; i++)
		if (!device_equal(&a[i], &b[i]))
			return false;
	return true;
}

/* Takes the new list over; its strings may be views into the old one until here. */
static void replace(struct devices *d, json_t *all /* taken */)
{
	struct arena a = ARENA_NULL, old = d->arena;
	json_t *before = d->all, *o;
	struct device *list = arena_new_n(&a, struct device, json_array_size(all) + 1);
	size_t n = 0, i;
	bool same, measured;

	json_array_foreach(all, i, o)
	{
		if (device_from_json(&list[n], o, &a, NULL) == 0)
			n++;
	}
	same = equal_lists(d->list, d->n, list, n);
	measured = !before || !json_equal(before, all);
	d->list = list;
	d->n = n;
	d->all = all;
	d->arena = a;
	arena_done(&old);
	json_decref(before);
	if (!same) {
		d->told_ms = loop_now_ms(d->loop);
		d->handler->changed(d->arg);
	} else if (measured && loop_now_ms(d->loop) - d->told_ms >= MEASURED_MS) {
		d->told_ms = loop_now_ms(d->loop);
		d->handler->measured(d->arg);
	}
}

static bool lists_id(const json_t *all, struct str id)
{
	const json_t *o;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)all, i, o)
	{
		if (str_eq(json_get_str(o, "id", STR_NULL), id))
			return true;
	}
	return false;
}

static bool is_nvml(const struct device *one)
{
	return one->source == DEVICE_NVML;
}

static json_t *in_trouble(const struct device *one, const char *trouble, bool lost)
{
	struct device copy = *one;

	if (!copy.trouble.n || str_eqz(copy.trouble, HUNG) || str_eqz(copy.trouble, CRASHED))
		copy.trouble = str_from(trouble);
	copy.lost |= lost;
	copy.utilisation_percent = copy.processes = 0;
	return device_to_json(&copy);
}

/* NVIDIA's cards that were known and are not told any more stay in the list with their trouble: whoever looks sees what
 * became of them, and nothing of the bus takes their place. */
static void add_missing(const struct devices *d, json_t *all)
{
	for (size_t i = 0; i < d->n; i++)
		if (is_nvml(&d->list[i]) && !lists_id(all, d->list[i].id))
			json_array_append_new(all, in_trouble(&d->list[i], GONE, true));
}

static bool takes_place_of_known(const struct devices *d, const struct device *found)
{
	for (size_t i = 0; found->source == DEVICE_PCI && found->pci.n && i < d->n; i++)
		if (is_nvml(&d->list[i]) && str_eq(d->list[i].pci, found->pci))
			return true;
	return false;
}

static void add_own(const struct devices *d, json_t *all)
{
	const struct device cpu = {.id = STR("cpu"),
				   .kind = STR("cpu"),
				   .model = STR("CPU"),
				   .source = DEVICE_CPU,
				   .host_memory = true,
				   .memory_mb = d->conf->memory_mb};

	for (size_t i = 0; i < d->n_declared; i++)
		json_array_append_new(all, device_to_json(&d->declared[i]));
	if (!lists_id(all, cpu.id))
		json_array_append_new(all, device_to_json(&cpu));
}

static int take(struct devices *d, struct str text, struct err *err)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	_cleanup_json_ json_t *doc = json_parse(text, err);
	json_t *all, *found = json_get_array(doc, "devices"), *o;
	struct device one;
	size_t i;

	if (!found)
		return doc ? err_set(err, 0, "no devices in it") : -1;
	json_array_foreach(found, i, o)
	{
		if (device_from_json(&one, o, &a, err) < 0)
			return -1;
	}
	all = json_array();
	json_array_foreach(found, i, o)
	{
		if (device_from_json(&one, o, &a, NULL) == 0 && !device_is_declared(d->declared, d->n_declared, &one) &&
		    !takes_place_of_known(d, &one) && !lists_id(all, one.id))
			json_array_append(all, o);
	}
	add_missing(d, all);
	add_own(d, all);
	json_decref(d->processes);
	d->processes = json_incref(json_get_array(doc, "processes"));
	free(d->mps_text);
	d->mps_text = str_dup(json_get_str(json_get_object(doc, "facts"), "mps_control", STR_NULL));
	d->answered = true;
	d->watched = json_get_bool(doc, "watched", false);
	replace(d, all);
	d->handler->looked(d->arg);
	return 0;
}

/* ---- the child ---- */

static void start(void *arg);

static void over(struct devices *d)
{
	d->child = child_free(d->child);
	d->watch = watch_free(d->watch);
	if (d->out >= 0)
		close(steal_fd(&d->out));
	buf_clear(&d->line);
	timer_stop(d->deadline);
}

static void fail(struct devices *d, const char *trouble)
{
	bool known = false;
	json_t *all;

	over(d);
	if (!d->failing)
		log_warn("%s ended without an answer: %s", PROGRAM, trouble);
	d->failing = true;
	for (size_t i = 0; i < d->n; i++)
		known |= is_nvml(&d->list[i]);
	if (!known && !d->bare) {
		d->bare = true;
		timer_set(d->again, 0);
		return;
	}
	if (known) {
		json_decref(d->processes);
		d->processes = NULL;
		all = json_array();
		for (size_t i = 0; i < d->n; i++)
			json_array_append_new(all, is_nvml(&d->list[i]) ? in_trouble(&d->list[i], trouble, false)
									: device_to_json(&d->list[i]));
		replace(d, all);
	}
	d->bare = false;
	timer_set(d->again, d->pause_ms);
	d->pause_ms = MIN(d->pause_ms * 2, (uint64_t)PAUSE_MAX_MS);
}

static void on_deadline(void *arg)
{
	fail(arg, HUNG);
}

static void on_line(struct devices *d, struct str text)
{
	_cleanup_(err_done) struct err err = ERR_NULL;

	if (take(d, text, &err) < 0) {
		if (!d->said)
			log_warn("%s says what is no list of devices: %s", PROGRAM, err.msg);
		d->said = true;
		return;
	}
	if (!d->bare) {
		d->failing = false;
		d->pause_ms = PAUSE_FIRST_MS;
	}
	timer_set(d->deadline, ANSWER_MS);
}

static void read_lines(struct devices *d)
{
	ssize_t n;

	while ((n = read(d->out, buf_reserve(&d->line, 65536), 65536)) > 0) {
		const char *end;

		d->line.n += (size_t)n;
		while ((end = memchr(d->line.p, '\n', d->line.n))) {
			size_t length = (size_t)(end - d->line.p);

			on_line(d, str_n(d->line.p, length));
			buf_consume(&d->line, length + 1);
		}
		if (d->line.n > LINE_MAX_BYTES) {
			buf_clear(&d->line);
			log_warn("%s says a line without an end", PROGRAM);
		}
	}
	if (n == 0)
		watch_set(d->watch, 0); /* its exit comes as well */
}

static void on_output(void *arg, int events)
{
	read_lines(arg);
}

static void on_exit_of(void *arg, const struct child_exit *ex)
{
	struct devices *d = arg;
	bool done;

	read_lines(d);
	done = WIFEXITED(ex->status) && WEXITSTATUS(ex->status) == 0 && d->answered && !d->watched;
	if (!done) {
		fail(d, CRASHED);
		return;
	}
	over(d);
	timer_set(d->again, d->bare ? d->pause_ms : RESCAN_MS);
	if (d->bare)
		d->pause_ms = MIN(d->pause_ms * 2, (uint64_t)PAUSE_MAX_MS);
	d->bare = false;
}

/* Those of this process, with what the settings say of libraries; bare: no driver is asked. */
static char **make_env(const struct devices *d)
{
	extern char **environ;
	static const char *const ours[] = {"WICK_NVML=", "WICK_OPENCL=", "WICK_MPS_CONTROL="};
	const char *values[] = {d->bare ? "none" : d->conf->nvml, d->bare ? "none" : d->conf->opencl,
				d->conf->mps_control};
	size_t n = 0, at = 0;
	char **env;

	while (environ[n])
		n++;
	env = xnew_n(char *, n + ARRAY_SIZE(ours) + 1);
	for (size_t i = 0; i < n; i++) {
		bool mine = false;

		for (size_t k = 0; k < ARRAY_SIZE(ours); k++)
			mine |= strncmp(environ[i], ours[k], strlen(ours[k])) == 0;
		if (!mine)
			env[at++] = xstrdup(environ[i]);
	}
	for (size_t k = 0; k < ARRAY_SIZE(ours); k++)
		if (values[k] && values[k][0])
			env[at++] = xasprintf("%s%s", ours[k], values[k]);
	return env;
}

static int start_child(struct devices *d, struct err *err)
{
	char program[] = PROGRAM, flag[] = "--watch";
	char *argv[] = {program, flag, NULL};
	char **env;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(err, errno, "make a pipe for %s", PROGRAM);
	fd_set_nonblock(ends[0]);
	d->out = ends[0];
	d->answered = d->watched = false;
	env = make_env(d);
	const struct child_fd fds[] = {{ends[1], 1}, {2, 2}};
	const struct child_spec spec = {
		.path = d->path,
		.argv = argv,
		.envp = env,
		.fds = fds,
		.n_fds = ARRAY_SIZE(fds),
		.new_session = true,
		.die_with_parent = true,
		.batch = true,
	};

	d->child = child_start(d->loop, &spec, on_exit_of, d, err);
	close(ends[1]);
	for (size_t i = 0; env[i]; i++)
		free(env[i]);
	free(env);
	if (!d->child)
		return -1;
	d->watch = watch_new(d->loop, d->out, WATCH_READ, on_output, d);
	timer_set(d->deadline, ANSWER_MS);
	return 0;
}

static void start(void *arg)
{
	struct devices *d = arg;
	_cleanup_(err_done) struct err err = ERR_NULL;

	if (start_child(d, &err) == 0)
		return;
	log_warn("%s cannot be started: %s", PROGRAM, err.msg);
	over(d);
	timer_set(d->again, d->pause_ms);
	d->pause_ms = MIN(d->pause_ms * 2, (uint64_t)PAUSE_MAX_MS);
}

/* ---- what is declared ---- */

static int read_declared(struct devices *d, struct err *err)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	const char *text = d->conf->devices;
	int r;

	if (!text || text[0] != '@')
		return devices_declared_parse(str_from(text), &d->declared_arena, &d->declared, &d->n_declared, err);
	r = file_read(text + 1, YAML_MAX, &b);
	if (r < 0)
		return err_set(err, -r, "devices: read %s", text + 1);
	d->declared_doc = yaml_parse(buf_str(&b), err);
	if (!d->declared_doc)
		return err_wrap(err, "devices: %s", text + 1);
	if (devices_declared_from_json(d->declared_doc, &d->declared_arena, &d->declared, &d->n_declared, err) < 0)
		return err_wrap(err, "%s", text + 1);
	return 0;
}

/* ---- for others ---- */

const struct device *devices_list(const struct devices *d, size_t *n)
{
	*n = d->n;
	return d->list;
}

const struct device *devices_find(const struct devices *d, struct str id)
{
	for (size_t i = 0; i < d->n; i++)
		if (str_eq(d->list[i].id, id))
			return &d->list[i];
	return NULL;
}

json_t *devices_json(const struct devices *d)
{
	return json_incref(d->all);
}

uint64_t devices_used_mb(const struct devices *d, struct str id, int pid)
{
	uint64_t sum = 0;
	json_t *o;
	size_t i;

	json_array_foreach(d->processes, i, o)
	{
		int64_t mb = json_get_int(o, "memory_mb", 0);

		if (mb > 0 && str_eq(json_get_str(o, "device", STR_NULL), id) &&
		    usage_is_below((int)json_get_int(o, "pid", 0), pid))
			sum += (uint64_t)mb;
	}
	return sum;
}

struct str devices_mps_control(const struct devices *d)
{
	return str_from(d->mps_text);
}

struct devices *devices_new(struct loop *l, const struct node_conf *conf, const struct devices_handler *h, void *arg,
			    struct err *err)
{
	struct devices *d = xnew(struct devices);

	*d = (struct devices){.loop = l, .conf = conf, .handler = h, .arg = arg, .out = -1, .pause_ms = PAUSE_FIRST_MS};
	d->deadline = timer_new(l, on_deadline, d);
	d->again = timer_new(l, start, d);
	d->all = json_array();
	if (read_declared(d, err) < 0)
		return devices_free(d);
	add_own(d, d->all);
	d->list = arena_new_n(&d->arena, struct device, json_array_size(d->all));
	for (; d->n < json_array_size(d->all); d->n++)
		if (device_from_json(&d->list[d->n], json_array_get(d->all, d->n), &d->arena, err) < 0)
			return devices_free(d);
	d->path = file_find_program(conf->libexec, PROGRAM);
	if (d->path)
		timer_set(d->again, 0);
	else
		log_warn("the program %s is not installed (looked in %s): only declared devices are known", PROGRAM,
			 conf->libexec);
	return d;
}

struct devices *devices_free(struct devices *d)
{
	if (!d)
		return NULL;
	over(d);
	timer_free(d->deadline);
	timer_free(d->again);
	buf_done(&d->line);
	arena_done(&d->declared_arena);
	arena_done(&d->arena);
	json_decref(d->all);
	json_decref(d->processes);
	json_decref(d->declared_doc);
	free(d->mps_text);
	free(d->path);
	free(d);
	return NULL;
}

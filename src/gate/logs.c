/* Function logs on disk. A function's log is a row of numbered files, each at most an eighth of log_max_bytes; the
 * oldest goes when a ninth begins. Lines are gathered per loop turn and appended with one write per function, so that
 * a line is in the page cache before the answer that it belongs to leaves, and survives the death of any process. Owns
 * the open files (at most OPEN_MAX; a function that is silent holds none) and the watches of those who follow. A log
 * that cannot be written is told to the gate's own log once and tried again with the next line. */
#include "gate/logs.h"

#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEGMENTS      8
#define SEGMENT_LEAST 65536u
#define GATHER_MAX    262144u /* bytes of a function before they are written within a turn */
#define OPEN_MAX      128
#define LINE_MAX_READ (16u << 20)

struct log_file {
	char *function;
	int fd;
	uint64_t number, size;
	struct buf gathered;
	struct list_link on_used; /* longest unused first */
	bool touched;             /* since the last flush */
	bool failing;
};

struct logs_watch {
	struct logs *logs;
	char *function;
	void (*fn)(void *arg); /* NULL: freed while being told */
	void *arg;
	struct list_link on_watches;
};

DEFINE_LIST(log_list, struct log_file, on_used)
DEFINE_LIST(watch_list, struct logs_watch, on_watches)

struct logs {
	struct gate *g;
	struct map files; /* function -> struct log_file */
	struct log_list used;
	struct watch_list watches;
	struct loop_hook *hook;
	bool dirty, telling;
};

/* Names come from checked requests; this is the last door before the file system. */
static bool is_plain_name(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
		      c == '_'))
			return false;
	}
	return s.n > 0 && s.n <= 64;
}

static char *folder_of(const char *data, struct str function)
{
	return xasprintf("%s/logs/%.*s", data, STR_ARG(function));
}

/* The first and the last number in a folder; false: none there. */
static bool numbers(const char *dir, uint64_t *first, uint64_t *last)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	bool any = false;

	if (!d)
		return false;
	while ((e = readdir(d))) {
		struct str name = str_from(e->d_name);
		uint64_t n;

		if (!str_ends(name, STR(".log")) || !str_to_u64(str_sub(name, 0, name.n - 4), &n))
			continue;
		*first = any ? MIN(*first, n) : n;
		*last = any ? MAX(*last, n) : n;
		any = true;
	}
	closedir(d);
	return any;
}

/* ---- writing ---- */

static void file_free(struct logs *l, struct log_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	log_list_remove(&l->used, f);
	map_del(&l->files, str_from(f->function));
	buf_done(&f->gathered);
	free(f->function);
	free(f);
}

static int open_segment(struct logs *l, struct log_file *f, uint64_t number)
{
	_cleanup_(freep) char *path =
		xasprintf("%s/logs/%s/%llu.log", l->g->conf.s.data, f->function, (unsigned long long)number);
	struct stat st;
	char last = '\n';
	int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0640);

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		st.st_size = 0;
	/* A gate that was killed, or a disk that was full, may have left half a line. */
	if (st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) == 1 && last != '\n' && write(fd, "\n", 1) == 1)
		st.st_size++;
	if (f->fd >= 0)
		close(f->fd);
	f->fd = fd;
	f->number = number;
	f->size = (uint64_t)st.st_size;
	return 0;
}

static int open_newest(struct logs *l, struct log_file *f)
{
	_cleanup_(freep) char *dir = folder_of(l->g->conf.s.data, str_from(f->function));
	uint64_t first, last = 0;

	if (!numbers(dir, &first, &last)) {
		int r = mkdir_p(dir, 0750);

		if (r < 0)
			return r;
	}
	return open_segment(l, f, last);
}

static int rotate(struct logs *l, struct log_file *f)
{
	_cleanup_(freep) char *dir = folder_of(l->g->conf.s.data, str_from(f->function));
	uint64_t first, last;
	int r = open_segment(l, f, f->number + 1);

	if (r < 0 || !numbers(dir, &first, &last))
		return r;
	for (; first + SEGMENTS <= f->number; first++) {
		_cleanup_(freep) char *old = xasprintf("%s/%llu.log", dir, (unsigned long long)first);

		unlink(old);
	}
	return 0;
}

static int write_gathered(struct logs *l, struct log_file *f)
{
	uint64_t most = MAX(l->g->conf.s.log_max_bytes / SEGMENTS, SEGMENT_LEAST);
	int r = 0;

	if (f->fd < 0)
		r = open_newest(l, f);
	else if (f->size >= most)
		r = rotate(l, f);
	if (r == 0)
		r = write_all(f->fd, f->gathered.p, f->gathered.n);
	if (r == 0) {
		f->size += f->gathered.n;
		f->failing = false;
	} else {
		if (!f->failing)
			log_error("log of %s: %zu bytes are lost: %s", f->function, f->gathered.n, strerror(-r));
		f->failing = true;
		if (f->fd >= 0)
			close(steal_fd(&f->fd)); /* opened anew, which mends half a line */
	}
	buf_clear(&f->gathered);
	return r;
}

static struct log_file *file_of(struct logs *l, struct str function)
{
	struct log_file *f = map_get(&l->files, function);

	if (f) {
		log_list_remove(&l->used, f);
	} else {
		f = xnew(struct log_file);
		f->function = str_dup(function);
		f->fd = -1;
		map_put(&l->files, function, f);
	}
	log_list_push(&l->used, f);
	return f;
}

static void add_text(struct buf *b, struct str text)
{
	size_t from = b->n;

	buf_add_str(b, text);
	for (size_t i = from; i < b->n; i++)
		if (b->p[i] == '\n')
			b->p[i] = '\r';
}

void logs_add(struct logs *l, struct str function, int64_t at_ms, const char *request_id, struct str line)
{
	struct log_file *f;

	if (!is_plain_name(function))
		return;
	f = file_of(l, function);
	buf_add_u64(&f->gathered, (uint64_t)MAX(at_ms, (int64_t)0));
	buf_addc(&f->gathered, '\t');
	buf_adds(&f->gathered, request_id && *request_id ? request_id : "-");
	buf_addc(&f->gathered, '\t');
	add_text(&f->gathered, line);
	buf_addc(&f->gathered, '\n');
	f->touched = true;
	l->dirty = true;
	if (f->gathered.n >= GATHER_MAX)
		write_gathered(l, f);
}

/* Those who are told may free any watch; such a one stays until all are told. */
static void tell(struct logs *l, const char *function)
{
	struct logs_watch *w, *next;

	l->telling = true;
	for (w = watch_list_first(&l->watches); w; w = watch_list_next(w))
		if (w->fn && strcmp(w->function, function) == 0)
			w->fn(w->arg);
	l->telling = false;
	for (w = watch_list_first(&l->watches); w; w = next) {
		next = watch_list_next(w);
		if (!w->fn)
			logs_watch_free(w);
	}
}

void logs_flush(struct logs *l)
{
	struct log_file *f, *before;

	if (!l->dirty)
		return;
	l->dirty = false;
	/* What was added in this turn stands at the end of the list. */
	for (f = log_list_last(&l->used); f && f->touched; f = before) {
		before = log_list_prev(f);
		f->touched = false;
		if (f->gathered.n)
			write_gathered(l, f);
		if (watch_list_first(&l->watches))
			tell(l, f->function);
	}
	while (l->used.n > OPEN_MAX)
		file_free(l, log_list_first(&l->used));
}

static void turn_over(void *arg)
{
	logs_flush(arg);
}

struct logs *logs_open(struct gate *g, struct err *err)
{
	_cleanup_(freep) char *dir = xasprintf("%s/logs", g->conf.s.data);
	struct logs *l;
	int r = mkdir_p(dir, 0750);

	if (r < 0) {
		err_set(err, -r, "make folder %s", dir);
		return NULL;
	}
	l = xnew(struct logs);
	l->g = g;
	l->hook = loop_hook_new(g->loop, turn_over, l);
	return l;
}

struct logs *logs_close(struct logs *l)
{
	if (!l)
		return NULL;
	logs_flush(l);
	loop_hook_free(l->hook);
	while (log_list_first(&l->used))
		file_free(l, log_list_first(&l->used));
	while (watch_list_first(&l->watches))
		logs_watch_free(watch_list_first(&l->watches));
	map_done(&l->files);
	free(l);
	return NULL;
}

void logs_remove(struct logs *l, struct str function)
{
	struct log_file *f = map_get(&l->files, function);
	_cleanup_(freep) char *dir = NULL;
	int r;

	if (!is_plain_name(function))
		return;
	if (f)
		file_free(l, f);
	dir = folder_of(l->g->conf.s.data, function);
	r = rm_rf(dir);
	if (r < 0)
		log_error("remove %s: %s", dir, strerror(-r));
}

/* ---- following ---- */

struct logs_watch *logs_watch(struct logs *l, struct str function, void (*fn)(void *arg), void *arg)
{
	struct logs_watch *w = xnew(struct logs_watch);

	w->logs = l;
	w->function = str_dup(function);
	w->fn = fn;
	w->arg = arg;
	watch_list_push(&l->watches, w);
	return w;
}

struct logs_watch *logs_watch_free(struct logs_watch *w)
{
	if (!w)
		return NULL;
	w->fn = NULL;
	if (w->logs->telling)
		return NULL;
	watch_list_remove(&w->logs->watches, w);
	free(w->function);
	free(w);
	return NULL;
}

/* ---- reading ---- */

struct place {
	uint64_t number, offset;
};

static int read_segment(const char *dir, struct place at, size_t n, struct buf *ret)
{
	_cleanup_(freep) char *path = xasprintf("%s/%llu.log", dir, (unsigned long long)at.number);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = 0;

	if (fd < 0)
		return -errno;
	while (ret->n < n) {
		got = pread(fd, buf_reserve(ret, n - ret->n), n - ret->n, (off_t)(at.offset + ret->n));
		if (got <= 0)
			break;
		ret->n += (size_t)got;
	}
	got = got < 0 ? -errno : 0;
	close(fd);
	return (int)got;
}

/* When a segment begins; INT64_MAX when that cannot be said. */
static int64_t segment_begins(const char *dir, uint64_t number)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	struct str at, rest;
	int64_t ms;

	if (read_segment(dir, (struct place){.number = number}, 64, &b) < 0)
		return INT64_MAX;
	str_cut(buf_str(&b), '\t', &at, &rest);
	return str_to_i64(at, &ms) ? ms : INT64_MAX;
}

/* Where reading goes on: the position, or what is the oldest now when that is gone. */
static struct place find_place(const char *dir, const char *position, int64_t since_ms, uint64_t first, uint64_t last)
{
	struct str number, offset;
	struct place p = {.number = first};

	if (str_cut(str_from(position), ':', &number, &offset) && str_to_u64(number, &p.number) &&
	    str_to_u64(offset, &p.offset)) {
		if (p.number < first || p.number > last)
			p = (struct place){.number = first};
		return p;
	}
	p = (struct place){.number = first};
	while (p.number < last && segment_begins(dir, p.number + 1) <= since_ms)
		p.number++;
	return p;
}

/* Whole lines only; returns how many bytes they are. */
static size_t take_lines(struct str bytes, int64_t since_ms, struct buf *ret)
{
	size_t used = 0;
	ssize_t end;

	while ((end = str_chr(bytes, '\n', used)) >= 0) {
		struct str line = str_sub(bytes, used, (size_t)end + 1 - used), at, rest;
		int64_t ms;

		used += line.n;
		if (str_cut(line, '\t', &at, &rest) && str_to_i64(at, &ms) && ms >= since_ms &&
		    str_chr(rest, '\t', 0) >= 0)
			buf_add_str(ret, line);
	}
	return used;
}

int logs_read(const char *data, struct str function, int64_t since_ms, const char *position, size_t max_bytes,
	      struct buf *ret, char next[static 64])
{
	_cleanup_(freep) char *dir = NULL;
	uint64_t first, last;
	size_t window = MAX(max_bytes, (size_t)4096), n;
	struct place p;

	n = strlen(position);
	memmove(next, n < 64 ? position : "", n < 64 ? n + 1 : 1); /* one buffer may be both */
	if (!is_plain_name(function))
		return 0;
	dir = folder_of(data, function);
	if (!numbers(dir, &first, &last))
		return 0;
	p = find_place(dir, next, since_ms, first, last);
	for (;;) {
		_cleanup_(buf_done) struct buf b = BUF_NULL;
		int r = read_segment(dir, p, window, &b);
		size_t used;

		if (r < 0 && r != -ENOENT)
			return r;
		used = take_lines(buf_str(&b), since_ms, ret);
		p.offset += used;
		if (used == 0 && b.n == window && window < LINE_MAX_READ)
			window *= 2; /* a line longer than that */
		else if (used == 0 && p.number < last)
			/* last was read before, so nothing is added to this one any more */
			p = (struct place){.number = p.number + 1};
		else if (used == 0 || ret->n >= max_bytes)
			break;
	}
	snprintf(next, 64, "%llu:%llu", (unsigned long long)p.number, (unsigned long long)p.offset);
	return 0;
}

/* Fetches: one for each package that somebody waits for, by its SHA-256. A fetch owns its list of waiters, the list of
 * links that may have the package, and the file that fills. One link is asked at a time; when that is lost another is,
 * or the same one when it is back. A fetch ends with the file, with the gate's word that it has not got it, with an
 * error of this machine (no room), or when no link is left: everybody who waits is told then, each with a descriptor of
 * their own. What comes is bounded in size and otherwise not trusted here. */
#include "node/fetch.h"

#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "node/gate_link.h"
#include "sys/file.h"
#include "sys/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define HEX_N 64

static const char gone_text[] = "the gateway that has the code package is gone";

struct fetch_waiter {
	struct list_link on_fetch;
	fetched *done;
	void *arg;
};

DEFINE_LIST(fetch_waiters, struct fetch_waiter, on_fetch)

struct fetch_link {
	struct list_link on_fetch;
	struct gate_link *link;
};

DEFINE_LIST(fetch_links, struct fetch_link, on_fetch)

struct fetch {
	struct list_link on_fetches;
	struct fetches *set;
	char hex[HEX_N + 1];
	struct fetch_waiters waiters;
	struct fetch_links links;
	struct gate_link *asked; /* who was asked, or sends */
	const void *sender;      /* by what; NULL: nothing comes */
	int fd;                  /* -1: nothing comes */
	uint64_t size;
};

DEFINE_LIST(fetch_list, struct fetch, on_fetches)

struct fetches {
	char *folder;
	struct map by_hex;
	struct fetch_list list;
};

struct fetches *fetches_new(const char *folder)
{
	struct fetches *f = xnew(struct fetches);

	f->folder = xstrdup(folder);
	return f;
}

struct fetches *fetches_free(struct fetches *f)
{
	if (!f)
		return NULL;
	if (f->list.n)
		__builtin_trap(); /* somebody waits: whoever ends the links has told them */
	map_done(&f->by_hex);
	free(f->folder);
	free(f);
	return NULL;
}

static struct fetch *fetch_new(struct fetches *f, const char *hex)
{
	struct fetch *x = xnew(struct fetch);

	*x = (struct fetch){.set = f, .fd = -1};
	snprintf(x->hex, sizeof(x->hex), "%s", hex);
	map_put(&f->by_hex, str_from(x->hex), x);
	fetch_list_push(&f->list, x);
	return x;
}

static struct fetch_link *find_link(const struct fetch *x, const struct gate_link *link)
{
	struct fetch_link *l = fetch_links_first(&x->links);

	while (l && l->link != link)
		l = fetch_links_next(l);
	return l;
}

/* A descriptor with a position of its own: several may read at once. */
static int reopen(int fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* The fetch is over: it leaves before anybody is told, who may ask for the same again. fd -1: it failed. */
static void settle(struct fetch *x, const char *type, const char *error)
{
	struct fetch_waiter *w;
	struct fetch_link *l;

	map_del(&x->set->by_hex, str_from(x->hex));
	fetch_list_remove(&x->set->list, x);
	while ((w = fetch_waiters_pop(&x->waiters))) {
		int fd = error ? -1 : reopen(x->fd);

		w->done(w->arg, fd, type,
			error    ? error
			: fd < 0 ? "the code package that came cannot be opened"
				 : NULL);
		free(w);
	}
	while ((l = fetch_links_pop(&x->links)))
		free(l);
	if (x->fd >= 0)
		close(x->fd);
	free(x);
}

static void ask(struct fetch *x)
{
	for (struct fetch_link *l = fetch_links_first(&x->links); l && !x->asked; l = fetch_links_next(l))
		if (l->link->ops->need(l->link, x->hex))
			x->asked = l->link;
}

void fetch_get(const struct fetch_from *from, const char *hex, fetched *done, void *arg)
{
	struct fetches *f = from->fetches;
	struct fetch *x;

	if (!from->link || !from->link->ops->need) {
		if (done)
			done(arg, -1, NULL, "the code package did not come with the order to start");
		return;
	}
	if (from->link->gone) {
		if (done)
			done(arg, -1, "Runtime.CodeMissing", gone_text);
		return;
	}
	x = map_get(&f->by_hex, str_from(hex));
	if (!x && !done)
		return;
	if (!x)
		x = fetch_new(f, hex);
	if (done) {
		struct fetch_waiter *w = xnew(struct fetch_waiter);

		*w = (struct fetch_waiter){.done = done, .arg = arg};
		fetch_waiters_push(&x->waiters, w);
	}
	if (!find_link(x, from->link)) {
		struct fetch_link *l = xnew(struct fetch_link);

		l->link = from->link;
		fetch_links_push(&x->links, l);
	}
	ask(x);
}

void fetches_up(struct fetches *f, struct gate_link *link)
{
	for (struct fetch *x = fetch_list_first(&f->list); x; x = fetch_list_next(x))
		if (find_link(x, link))
			ask(x);
}

static void forget_bytes(struct fetch *x)
{
	if (x->fd >= 0)
		close(steal_fd(&x->fd));
	x->size = 0;
	x->asked = NULL;
	x->sender = NULL;
}

void fetches_down(struct fetches *f, struct gate_link *link)
{
	for (struct fetch *x = fetch_list_first(&f->list); x; x = fetch_list_next(x)) {
		if (x->asked != link)
			continue;
		forget_bytes(x);
		ask(x);
	}
}

static struct fetch *orphan(struct fetches *f)
{
	struct fetch *x = fetch_list_first(&f->list);

	while (x && x->links.n)
		x = fetch_list_next(x);
	return x;
}

void fetches_gone(struct fetches *f, struct gate_link *link)
{
	struct fetch_link *l;
	struct fetch *x;

	for (x = fetch_list_first(&f->list); x; x = fetch_list_next(x)) {
		l = find_link(x, link);
		if (!l)
			continue;
		fetch_links_remove(&x->links, l);
		free(l);
		if (x->asked == link) {
			forget_bytes(x);
			ask(x);
		}
	}
	while ((x = orphan(f)))
		settle(x, "Runtime.CodeMissing", gone_text);
}

/* ---- bytes ---- */

static int open_unnamed(const char *folder)
{
	char path[4096];
	int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
		return fd;
	/* A file system without such files. The name is one that node/code.c clears away. */
	snprintf(path, sizeof(path), "%s/.new-fetch-XXXXXX", folder);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	return fd;
}

static void fail_here(struct fetch *x, const char *what)
{
	_cleanup_(freep) char *error = xasprintf("%s: %s", what, strerror(errno));

	log_error("%s", error);
	settle(x, "Runtime.Unavailable", error);
}

bool fetch_begin(struct fetches *f, struct gate_link *link, struct str hex, const void *sender)
{
	struct fetch *x = map_get(&f->by_hex, hex);

	if (!x || x->sender || !find_link(x, link))
		return false;
	x->fd = open_unnamed(f->folder);
	if (x->fd < 0) {
		fail_here(x, "a file for a code package cannot be made");
		return false;
	}
	x->asked = link;
	x->sender = sender;
	return true;
}

static struct fetch *find_sender(struct fetches *f, struct str hex, const void *sender)
{
	struct fetch *x = map_get(&f->by_hex, hex);

	return x && x->sender == sender ? x : NULL;
}

bool fetch_data(struct fetches *f, struct str hex, const void *sender, struct str bytes)
{
	struct fetch *x = find_sender(f, hex, sender);

	if (!x)
		return false;
	if (x->size + bytes.n > FETCH_MAX) {
		settle(x, NULL, "the code package is larger than 512 MiB");
		return false;
	}
	if (write_all(x->fd, bytes.p, bytes.n) < 0) {
		fail_here(x, "a code package cannot be written");
		return false;
	}
	x->size += bytes.n;
	return true;
}

void fetch_end(struct fetches *f, struct str hex, const void *sender)
{
	struct fetch *x = find_sender(f, hex, sender);

	if (x)
		settle(x, NULL, NULL);
}

void fetch_refused(struct fetches *f, struct str hex, const void *sender, const char *why)
{
	struct fetch *x = find_sender(f, hex, sender);

	if (x)
		settle(x, "Runtime.CodeMissing", why);
}

/* Starting and ending wick-net. Owns its process, the end of a socket whose closing ends it whatever becomes of this
 * process, and the pipe with its last words. What may fail: the program is not there, or it cannot make the network;
 * why is what it printed. */
#include "node/net.h"

#include "base/buf.h"
#include "base/mem.h"
#include "sys/child.h"
#include "sys/fdpass.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM   "wick-net"
#define WORDS_MAX 4096

struct net_helper {
	struct child *child;
	int lifetime, words;
	void (*ended)(void *arg, const char *why);
	void *arg;
};

static void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static void exited(void *arg, const struct child_exit *ex)
{
	struct net_helper *h = arg;
	char words[WORDS_MAX];
	ssize_t n = read(h->words, words, sizeof(words));
	struct str said = str_n(words, n > 0 ? (size_t)n : 0);
	_cleanup_(freep) char *why = NULL;

	while (said.n && said.p[said.n - 1] == '\n')
		said.n--;
	if (said.n)
		why = str_dup(said);
	else if (WIFSIGNALED(ex->status))
		why = xasprintf("%s was ended by signal %d", PROGRAM, WTERMSIG(ex->status));
	else
		why = xasprintf("%s ended with status %d", PROGRAM, WEXITSTATUS(ex->status));
	h->ended(h->arg, why);
}

static int start(struct net_helper *h, struct loop *l, const char *path, int pidfd, int go_fd, const char *allow,
		 struct err *err)
{
	_cleanup_(closep) int lifetime_far = -1, words_far = -1;
	char program[] = PROGRAM, allow_flag[] = "--allow";
	_cleanup_(freep) char *networks = xstrdup(allow ? allow : "");
	char *argv[] = {program, *networks ? allow_flag : NULL, networks, NULL};
	char *envp[] = {NULL};
	int pair[2], r;

	r = unix_pair(pair);
	if (r < 0)
		return err_set(err, -r, "make a socket for %s", PROGRAM);
	h->lifetime = pair[0], lifetime_far = pair[1];
	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_set(err, errno, "make a pipe for %s", PROGRAM);
	h->words = pair[0], words_far = pair[1];
	fd_set_nonblock(h->words);

	const struct child_fd fds[] = {{words_far, 2}, {pidfd, 3}, {go_fd, 4}, {lifetime_far, 5}};
	const struct child_spec spec = {
		.path = path,
		.argv = argv,
		.envp = envp,
		.fds = fds,
		.n_fds = ARRAY_SIZE(fds),
		.die_with_parent = true,
	};

	h->child = child_start(l, &spec, exited, h, err);
	return h->child ? 0 : -1;
}

struct net_helper *net_helper_start(struct loop *l, const char *libexec, int pidfd, int go_fd, const char *allow,
				    void (*ended)(void *arg, const char *why), void *arg, struct err *err)
{
	_cleanup_(freep) char *path = file_find_program(libexec, PROGRAM);
	struct net_helper *h;

	if (!path)
		return NULL;
	h = xnew(struct net_helper);
	*h = (struct net_helper){.lifetime = -1, .words = -1, .ended = ended, .arg = arg};
	if (start(h, l, path, pidfd, go_fd, allow, err) < 0)
		return net_helper_free(h);
	return h;
}

struct net_helper *net_helper_free(struct net_helper *h)
{
	if (!h)
		return NULL;
	child_free(h->child);
	closep(&h->lifetime);
	closep(&h->words);
	free(h);
	return NULL;
}

/* A worker is process 1 of its pid namespace, and for that one the kernel drops every signal from inside that has no
 * handler: os.abort(), os.kill(os.getpid(), 9), an alarm or a child's SIGTERM would do nothing. So signals whose
 * default is to end the process have a handler that ends process 1 with the status a shell gives, 128 and the signal's
 * number, and SIGKILL to oneself, which nothing can handle, is caught where it is sent. Faults (a null pointer) end it
 * by their signal: those the kernel delivers to process 1 too. In every other process (what a handler forks) the
 * default happens.
 *
 * The handlers are set once, in the zygote; a program started by exec has none of them. */
#include "runtime/python/ends.h"

#include "base/util.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STATUS_BASE 128

static void on_signal(int sig, siginfo_t *info, void *context)
{
	const struct sigaction plain = {.sa_handler = SIG_DFL};
	bool fault = info->si_code > 0 && (sig == SIGSEGV || sig == SIGBUS || sig == SIGILL || sig == SIGFPE);

	if (!fault && getpid() == 1)
		_exit(STATUS_BASE + sig);
	/* A fault comes again at once when this returns; any other signal is sent anew, and comes then. */
	sigaction(sig, &plain, NULL);
	if (!fault)
		raise(sig);
}

void ends_setup(void)
{
	static const int signals[] = {SIGHUP,  SIGQUIT, SIGILL,    SIGABRT, SIGBUS,   SIGFPE,
				      SIGUSR1, SIGSEGV, SIGUSR2,   SIGALRM, SIGTERM,  SIGXCPU,
				      SIGPROF, SIGPOLL, SIGVTALRM, SIGPWR,  SIGSTKFLT};
	struct sigaction old, ours = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER};

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
			sigaction(signals[i], &ours, NULL);
}

/* In place of libc's, for the interpreter and its libraries. */
int kill(pid_t pid, int sig)
{
	if (sig == SIGKILL && getpid() == 1 && (pid == 1 || pid == 0)) {
		if (pid == 0)
			syscall(SYS_kill, pid, sig);
		_exit(STATUS_BASE + sig);
	}
	return (int)syscall(SYS_kill, pid, sig);
}

int raise(int sig)
{
	if (sig == SIGKILL && getpid() == 1)
		_exit(STATUS_BASE + sig);
	return (int)syscall(SYS_tgkill, getpid(), gettid(), sig);
}

/* The terminal. Its state is the process's, so it is kept here in one place: the settings as they were found, and what
 * is to be undone. Leaving by exit() gives it back, too. */
#include "cli/term.h"

#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define SCREEN_ON  "\033[?1049h\033[?25l\033[2J"
#define SCREEN_OFF "\033[?25h\033[?1049l"

static struct {
	struct termios found;
	volatile sig_atomic_t open;
	bool screen, at_exit;
} term;

static void put(const char *s)
{
	ssize_t r = write(STDOUT_FILENO, s, strlen(s));

	(void)r; /* a terminal that has gone away needs nothing */
}

static bool take(void)
{
	struct termios t = term.found;

	t.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	t.c_cc[VMIN] = 1;
	t.c_cc[VTIME] = 0;
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &t) < 0)
		return false;
	term.open = 1;
	if (term.screen)
		put(SCREEN_ON);
	return true;
}

bool term_open(bool screen)
{
	if (tcgetattr(STDIN_FILENO, &term.found) < 0 || (screen && !isatty(STDOUT_FILENO)))
		return false;
	/* In the background a terminal's settings are not this program's to change. */
	if (tcgetpgrp(STDIN_FILENO) != getpgrp())
		return false;
	term.screen = screen;
	if (!term.at_exit && atexit(term_close) == 0)
		term.at_exit = true;
	return take();
}

void term_close(void)
{
	if (!term.open)
		return;
	term.open = 0;
	if (term.screen)
		put(SCREEN_OFF);
	tcsetattr(STDIN_FILENO, TCSADRAIN, &term.found);
}

void term_suspend(void)
{
	bool was = term.open;

	term_close();
	raise(SIGSTOP);
	if (was)
		take();
}

struct term_size term_size(int fd)
{
	struct winsize w;

	if (ioctl(fd, TIOCGWINSZ, &w) < 0 || w.ws_col == 0 || w.ws_row == 0)
		return (struct term_size){80, 24};
	return (struct term_size){w.ws_col, w.ws_row};
}

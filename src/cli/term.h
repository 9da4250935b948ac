/* The terminal of a command that watches keys or draws a screen: taken in term_open, given back in term_close whatever
 * happened between. One at a time. */
#pragma once

#include "base/util.h"

struct term_size {
	unsigned cols, rows;
};

/* Keys come one by one and unseen; Ctrl-C and Ctrl-Z stay signals. screen: an empty one of its own, without a cursor,
 * until term_close. False: standard input (or, for a screen, standard output) is no terminal, and nothing was done. */
bool term_open(bool screen);
void term_close(void);   /* also when it is not open; may be called in a signal handler */
void term_suspend(void); /* on Ctrl-Z: gives the terminal back, stops, and takes it again when the program goes on */
struct term_size term_size(int fd); /* 80 x 24 where it cannot be told */

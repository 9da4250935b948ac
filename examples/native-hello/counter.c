/* A program of its own, and an answer in pieces. Build: cc -O2 -o counter counter.c -lwick -pthread
 * Deploy with tag wick:runtime=native, Handler "counter". */
#include <stdio.h>
#include <stdlib.h>
#include <wick.h>

static void count(wick_invocation *in)
{
	static const char *const headers[] = {"Content-Type: text/plain", NULL};
	int to = atoi(wick_event(in, NULL));

	if (to < 0 || to > 1000000) {
		wick_error(in, "Counter.Range", "the event is a number from 0 to 1000000");
		return;
	}
	wick_head(in, 200, headers);
	for (int i = 1; i <= to; i++) {
		char line[16];

		/* Waits while the caller is slow, fails when it is gone. */
		if (wick_write(in, line, (size_t)snprintf(line, sizeof(line), "%d\n", i)) < 0)
			return;
	}
}

int main(void)
{
	return wick_run(count);
}

/* Reads /proc/net/tcp and tcp6: for saying where a program listens instead of where it should. What cannot be read is
 * absent. */
#include "runtime/web/web.h"

#include <arpa/inet.h>
#include <stdio.h>

#define STATE_LISTEN 0x0a
#define WICK_API     9000

static void add(struct buf *ret, const char *address, bool v6, unsigned port)
{
	if (ret->n)
		buf_adds(ret, ", ");
	buf_printf(ret, v6 ? "[%s]:%u" : "%s:%u", address, port);
}

static void read_table(struct buf *ret, const char *path, bool v6)
{
	_cleanup_(freep) char *line = NULL;
	FILE *f = fopen(path, "re");
	size_t cap = 0;

	while (f && getline(&line, &cap, f) > 0) {
		char hex[33], text[INET6_ADDRSTRLEN];
		unsigned port, state;
		uint32_t words[4] = {0};

		if (sscanf(line, " %*u: %32[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x", hex, &port, &state) != 3 ||
		    state != STATE_LISTEN || port == WICK_API || strlen(hex) != (v6 ? 32 : 8))
			continue;
		for (size_t i = 0; i < (v6 ? 4u : 1u); i++)
			sscanf(hex + 8 * i, "%8x", &words[i]);
		if (inet_ntop(v6 ? AF_INET6 : AF_INET, words, text, sizeof(text)))
			add(ret, text, v6, port);
	}
	if (f)
		fclose(f);
}

void listening_describe(struct buf *ret)
{
	buf_clear(ret);
	read_table(ret, "/proc/net/tcp", false);
	read_table(ret, "/proc/net/tcp6", true);
}
